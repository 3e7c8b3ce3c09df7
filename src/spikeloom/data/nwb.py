"""Read NWB files (version 2, in HDF5) as `Recording`, with h5py.

The units (spike times, ids, observation intervals, plain columns) and the trials are read at once. Other interval
tables, and time series with one or two axes, are read when they are first used. Time series are looked for in
acquisition and in the processing modules. Raw voltages and images are ignored. The parts of a file are read separately.
So the spikes can be read even if a series is damaged or has a type that is not part of the NWB standard. Damaged series
are left out with a warning. (pynwb reads the whole file or fails.)

A file without spike times may hold counts in bins as a time series. The user names the series, because many series are
whole numbers. NWB does not define whether a time stamp is the start or the middle of a bin; here it is the start.
"""

import json
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import h5py
import numpy as np
from numpy.typing import NDArray

from spikeloom import objects
from spikeloom.data.hdf5 import DAMAGE, OnDemand, check_path, damaged, opened, text_of, values_of
from spikeloom.data.nwb_columns import NO_UNIT, UnreadSeriesWarning, plain_columns, ragged_rows, seconds_in
from spikeloom.data.recording import Recording
from spikeloom.data.series import StoredSeries
from spikeloom.errors import CorruptFileError, DataError, FileError, SpikeloomWarning
from spikeloom.shapes import Array
from spikeloom.text import counted, verb
from spikeloom.trials.nwb import CONDITIONED_ON

BULKY = {"ElectricalSeries", "SpikeEventSeries", "ImageSeries", "TwoPhotonSeries", "OnePhotonSeries", "IndexSeries"}
"""Types of series that hold raw data, not behaviour. Reading them could fill the memory."""

SERIES_IN = ("acquisition", "processing")
"""Groups of a file whose time series are behaviour."""

TABLES_IN = ("intervals", "stimulus", *SERIES_IN)
"""Groups of a file that hold interval tables."""

INVALID = "invalid_times"
"""Name of the table of times that must not be used."""

ANGLE_UNIT = re.compile(r"\b(deg|degrees?|rad|radians?)\b")
"""Unit of an angle in the description of a column."""

NO_ANGLE = re.compile(r"visual|dva|celsius|per |/|velocity|speed|size|width|radius|freedom|temperature|cycles")
"""Words in a description that show that its degrees or radians do not measure an angle."""


class DamagedUnitsWarning(SpikeloomWarning):
    """Units or spike times of a file are invalid and were left out; the message names them and the reason."""


def read_nwb(path: str | os.PathLike[str], *, trial_table: str = "trials") -> Recording:
    """Read an NWB file.

    A file without spike times gives a recording without neurons. One of its series may hold counts; see
    `Recording.counted`.

    Args:
        path: The file.
        trial_table: Name of the interval table whose rows are the trials, such as "epochs".

    Raises:
        FileError: if the file cannot be read or is not NWB; CorruptFileError if it is damaged.
        DataError: if there is no such table, or no unit has usable spike times.

    Warns:
        DamagedUnitsWarning: if spike times or units were left out.
        UnreadSeriesWarning: if a series was left out.
    """
    path = os.fspath(path)
    check_path(path)
    with opened(path) as file:
        _check_version(file, path)
        path_of = _tables(file)  # name of a table -> its path in the file
        tables = OnDemand(list(path_of), lambda name: _read_table(path, path_of[name]))
        if trial_table not in path_of and trial_table != "trials":
            raise DataError(
                "The trials must be an interval table of the file.",
                f"There is no table {trial_table!r} in {os.path.basename(path)}.",
                f"There are {', '.join(path_of)}." if path_of else "The file has no interval table.",
            )
        trials = tables[trial_table] if trial_table in path_of else {}
        behavior = _series(file, path)
        column_units = _column_units(file, list(path_of.values()))
        conditioned_on = _conditioned_on(file[path_of[trial_table]]) if trial_table in path_of else None
        spikes, observed, neuron_table = _units(file)
    invalid = None
    if INVALID in path_of:
        rows = tables[INVALID]
        invalid = np.stack([rows["start_time"], rows["stop_time"]], 1).astype(np.float64)
    spikes, observed, neuron_table = _usable(spikes, observed, neuron_table, _earliest(trials, behavior, observed))
    return Recording(
        spikes,
        behavior=behavior,
        trial_table=trials,
        tables=tables,
        trial_units=column_units,
        neuron_table=neuron_table,
        observed_each=observed,
        invalid=invalid,
        conditioned_on=conditioned_on,
        source=os.path.basename(path),
    )


def _check_version(file: h5py.File, path: str) -> None:
    """Raise a FileError unless a file is NWB of version 2."""
    stated = file.attrs.get("nwb_version", file["nwb_version"][()] if "nwb_version" in file else None)
    if stated is None:
        raise FileError(
            "A recording must be an NWB file.",
            f"{path} is HDF5, but it has no nwb_version.",
            "Give the .nwb file of a session, or read the arrays with h5py and give them to sl.load.",
        )
    version = text_of(stated).removeprefix("NWB-")
    if version.startswith(("0.", "1.")):
        raise FileError(
            "spikeloom reads NWB files of version 2.",
            f"{path} has version {version}, with another layout.",
            "Look for a newer version of the data set (DANDI holds version 2). Or read the spike times with h5py, from "
            "/processing/MODULE/UnitTimes/UNIT/times, and pass the list of them to sl.load.",
        )


# --- units -----------------------------------------------------------------------------------------------------------

Units = tuple[Sequence[NDArray[np.float64]] | None, Sequence[NDArray[np.float64]] | None, dict[str, Array]]
"""Spike times and observation intervals of each unit, and the plain columns of their table."""


def _units(file: h5py.File) -> Units:
    """Read spike times (s) and observation intervals (s) of each unit, and the other columns of the units table.

    Spike times or intervals that the file does not hold are None.
    """
    units = file.get("units")
    if not isinstance(units, h5py.Group) or "spike_times" not in units:
        return None, None, {}
    scale = seconds_in(units["spike_times"])
    spikes = [objects.scaled(np.asarray(times, np.float64), scale) for times in ragged_rows(units, "spike_times")]
    table = {"id": values_of(units["id"])} if "id" in units else {}
    table |= {name: column for name, column in plain_columns(units).items() if column.ndim == 1}
    wrong_length = {name: len(column) for name, column in table.items() if len(column) != len(spikes)}
    if wrong_length:
        lengths = ", ".join(f"{name} {rows}" for name, rows in wrong_length.items())
        raise CorruptFileError(
            "Every column of the units table must have one entry per unit.",
            f"spike_times has {counted(len(spikes), 'unit')}, but {lengths}.",
            "Copy the file again, or export its units again.",
        )
    observed: list[NDArray[np.float64]] | None = None
    if "obs_intervals" in units:
        scale = seconds_in(units["obs_intervals"])
        intervals = [np.asarray(entry, np.float64).reshape(-1, 2) for entry in ragged_rows(units, "obs_intervals")]
        rows = [objects.scaled(entry, scale) for entry in intervals]
        observed = rows if any(map(len, rows)) else None
    return spikes, observed, table


def _earliest(
    trials: Mapping[str, Array],
    behavior: Mapping[str, StoredSeries],
    observed: Sequence[NDArray[np.float64]] | None,
) -> float:
    """Return the earliest time (s) at which a spike may lie.

    This is 0, or the first time of series, trials or observation intervals if one of them begins before 0.

    Args:
        trials: Trial table: columns by name.
        behavior: Time series of the file by name.
        observed: Observation intervals of each unit, s, or None.
    """
    stated = [series.span[0] for series in behavior.values()]
    stated += [float(rows[:, 0].min()) for rows in observed or () if len(rows)]
    starts = trials.get("start_time")
    if starts is not None and len(starts) and starts.dtype.kind in "iuf" and not np.isnan(starts).all():
        stated.append(float(np.nanmin(starts)))
    return min([0.0, *(time for time in stated if np.isfinite(time))])


def _usable(
    spikes: Sequence[NDArray[np.float64]] | None,
    observed: Sequence[NDArray[np.float64]] | None,
    table: dict[str, Array],
    earliest: float,
) -> Units:
    """Leave out invalid spike times, and units whose times are not sorted, with one warning.

    Args:
        spikes: Spike times of each unit, s, or None.
        observed: Observation intervals of each unit, s, or None.
        table: Other columns of the units table.
        earliest: Earliest time at which a spike may lie, s.

    Returns:
        Spike times, observation intervals and other columns of the units that are kept.
    """
    if spikes is None:
        return spikes, observed, table
    kept = []
    valid_spikes = []
    notes = []
    names = [f"{unit} (id {table['id'][unit]})" if "id" in table else str(unit) for unit in range(len(spikes))]
    for unit, times in enumerate(spikes):
        invalid = ~np.isfinite(times) | (times < earliest)
        valid = times[~invalid]
        unsorted = np.flatnonzero(np.diff(valid) < 0)  # spikes that a smaller time follows
        if unsorted.size:
            row = int(unsorted[0])
            notes.append(
                f"unit {names[unit]} was left out, because its spike times are not sorted "
                f"({valid[row + 1]:g} s follows {valid[row]:g} s)"
            )
            continue
        n_invalid = int(invalid.sum())
        if n_invalid:
            values = ", ".join(f"{value:g}" for value in np.unique(times[invalid])[:3])
            notes.append(
                f"{counted(n_invalid, 'spike time', of=len(times))} of unit {names[unit]} "
                f"{verb(n_invalid, 'was', 'were')} left out: {values} (valid times are finite and not before "
                f"{earliest:g} s)"
            )
        kept.append(unit)
        valid_spikes.append(valid)
    if notes:
        _report_left_out(notes, any_spikes=any(map(len, valid_spikes)))
    rows = np.array(kept, np.int64)
    return (
        valid_spikes,
        None if observed is None else [observed[unit] for unit in kept],
        {name: column[rows] for name, column in table.items()},
    )


def _report_left_out(notes: Sequence[str], *, any_spikes: bool) -> None:
    """Warn of spike times and units that were left out, or raise a DataError if no spike time is left.

    Args:
        notes: One sentence for each unit, which names the reason.
        any_spikes: Whether a usable spike time is left.
    """
    if not any_spikes:
        raise DataError(
            "A recording must hold at least one usable spike time.",
            f"{notes[0][0].upper()}{notes[0][1:]}."
            + (f" The same holds for {counted(len(notes) - 1, 'more unit')}." if len(notes) > 1 else ""),
            "Repair the spike times in the file.",
        )
    others = f"; and so for {counted(len(notes) - 5, 'more unit')}" if len(notes) > 5 else ""
    text = "; ".join(notes[:5]) + others
    warnings.warn(f"{text[0].upper()}{text[1:]}.", DamagedUnitsWarning, stacklevel=4)


# --- tables ----------------------------------------------------------------------------------------------------------


def _tables(file: h5py.File) -> dict[str, str]:
    """Return the paths of the interval tables by name, or by path if two have the same name."""
    paths = [
        path
        for parent in TABLES_IN
        for path, group in _groups(file, parent)
        if {"start_time", "stop_time"} <= set(group) and "colnames" in group.attrs
    ]
    names = [path.rsplit("/", 1)[-1] for path in paths]
    return {name if names.count(name) == 1 else path: path for path, name in zip(paths, names, strict=True)}


def _column_units(file: h5py.File, tables: list[str]) -> dict[str, str]:
    """Return the unit of each column that has one.

    It is the attribute `unit` of the column, or a unit of angles in its description. Columns named `*_time` are left
    out, because they are read in seconds.
    """
    units = {}
    for table in tables:
        for name, column in file[table].items():
            if not isinstance(column, h5py.Dataset) or name.endswith(("_index", "_time")):
                continue
            unit = text_of(column.attrs.get("unit", "")).strip()
            if unit and unit.lower() not in NO_UNIT:
                units[name] = unit
                continue
            text = text_of(column.attrs.get("description", "")).lower()
            word = ANGLE_UNIT.search(text)
            if column.dtype.kind in "iuf" and word and not NO_ANGLE.search(text):
                units[name] = word[0]
    return units


def _conditioned_on(table: h5py.Group) -> list[str] | None:
    """Return the conditions of generated trials that spikeloom wrote; None for a recording."""
    names = table.attrs.get(CONDITIONED_ON)
    return None if names is None else list(json.loads(text_of(names)))


def _read_table(path: str, table_path: str) -> dict[str, Array]:
    """Read the columns of the table at `table_path` in the file at `path`."""
    with opened(path) as file:
        columns = plain_columns(file[table_path])
    rows = {name: len(column) for name, column in columns.items()}
    if len(set(rows.values())) > 1:
        raise CorruptFileError(
            "Every column of a table must have one entry per row.",
            f"In {table_path} of {path} the rows are {rows}.",
            "Copy the file again, or export the table again.",
        )
    return columns


def _groups(file: h5py.File, parent: str) -> Iterator[tuple[str, h5py.Group]]:
    """Yield path and group of all groups below a parent, each once. Links to other groups are not followed."""
    group = file.get(parent)
    if not isinstance(group, h5py.Group):
        return
    for name in group:
        if isinstance(group.get(name, getlink=True), h5py.SoftLink):
            continue
        inner = group.get(name)
        if isinstance(inner, h5py.Group):
            yield f"{parent}/{name}", inner
            yield from _groups(file, f"{parent}/{name}")


# --- series ----------------------------------------------------------------------------------------------------------


def _series(file: h5py.File, path: str) -> dict[str, StoredSeries]:
    """Find the time series of a file, and return them by name, or by path if two have the same name.

    Damaged series are left out with a warning.
    """
    listed: dict[str, StoredSeries] = {}  # by path in the file
    for parent in SERIES_IN:
        for series_path, group in _groups(file, parent):
            if "data" not in group or not ({"timestamps", "starting_time"} & set(group)):
                continue
            name = series_path.partition("/")[2]
            try:
                series = _one_series(group, path)
            except (DataError, *DAMAGE) as error:  # a damaged series must not make the spikes unreadable
                reason = str(error) if isinstance(error, DataError) else str(damaged(path, error).args[1])
                warnings.warn(f"The series {name} was left out. {reason}", UnreadSeriesWarning, stacklevel=3)
                continue
            if series is not None:
                listed[name] = series
    names = [series_path.rsplit("/", 1)[-1] for series_path in listed]
    return {
        name if names.count(name) == 1 else series_path: series
        for (series_path, series), name in zip(listed.items(), names, strict=True)
    }


def _one_series(group: h5py.Group, path: str) -> StoredSeries | None:
    """Return one series of the file, or None if it is raw data, text, an image, or empty."""
    data = group["data"]
    if text_of(group.attrs.get("neurodata_type", "")) in BULKY:
        return None
    if not isinstance(data, h5py.Dataset) or not 1 <= data.ndim <= 2 or data.dtype.kind not in "iufb" or not len(data):
        return None
    attributes = dict(data.attrs)
    series = StoredSeries(
        path,
        str(data.name),
        (len(data), data.shape[1] if data.ndim == 2 else 1),
        text_of(attributes.get("unit", "")),
        conversion=float(attributes.get("conversion", 1.0)) or 1.0,  # some files hold 0 for a factor that is not set
        offset=float(attributes.get("offset", 0.0)),
        description=text_of(group.attrs.get("description", "")),
    )
    if "timestamps" in group:
        stamps = group["timestamps"]
        _check_stamps(stamps, len(data))
        scale = seconds_in(stamps)
        ends = objects.scaled(np.array([stamps[0], stamps[len(data) - 1]], np.float64), scale)
        start = float(ends[0])
        stop = float(ends[1])
        return replace(series, timestamps=str(stamps.name), start=start, stop=stop, seconds_in_stamp=scale)
    scale = seconds_in(group["starting_time"])
    start = float(objects.scaled(np.array([group["starting_time"][()]], np.float64), scale)[0])
    rate = float(group["starting_time"].attrs.get("rate", np.nan))
    if not (np.isfinite(start) and np.isfinite(rate) and rate > 0):
        raise DataError(
            "A series without time stamps needs a starting time and a rate.",
            f"It starts at {start:g} s with {rate:g} samples per second.",
            "Repair them in the file.",
        )
    return replace(series, start=start, stop=start + (len(data) - 1) / rate, rate=rate)


def _check_stamps(stamps: h5py.Dataset, n_samples: int) -> None:
    """Raise a DataError unless there is one time stamp per sample, and the first and the last one are in order."""
    if stamps.ndim != 1 or len(stamps) != n_samples:
        raise DataError(
            "A series must have one time stamp per sample.",
            f"It has {counted(n_samples, 'sample')}, and time stamps of shape {stamps.shape}.",
            "Repair it in the file, or leave it out.",
        )
    first = float(stamps[0])
    last = float(stamps[n_samples - 1])
    if not (np.isfinite(first) and np.isfinite(last) and first <= last):
        raise DataError(
            "The times of a series must be finite and sorted seconds.",
            f"The first time is {first:g} and the last one {last:g}.",
            "Repair it in the file, or leave it out.",
        )
