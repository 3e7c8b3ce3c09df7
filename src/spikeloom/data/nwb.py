"""NWB files -> `Recording`, by pynwb (the extra "nwb").

Read are: the units table (spike times, observation intervals, plain columns), the trials table (plain columns), and as
behaviour every time series of acquisition and of the processing modules that has one or two axes and time stamps or a
rate. Raw voltages and images are left where they are. A file without spike times may hold counts in bins as a time
series; which one is the user's choice, because many series are whole numbers. NWB does not say whether a time stamp is
the beginning or the middle of a bin; here it is the beginning.
"""

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import h5py
import numpy as np

from spikeloom.data.binning import common_intervals
from spikeloom.data.recording import Recording
from spikeloom.data.series import Series
from spikeloom.errors import CorruptFileError, DataError, FileError, ShapeError, SpikeloomError, SpikeloomWarning
from spikeloom.shapes import Array
from spikeloom.trials.nwb import import_pynwb

BULKY = {"ElectricalSeries", "SpikeEventSeries", "ImageSeries", "TwoPhotonSeries", "OnePhotonSeries", "IndexSeries"}
"""Kinds of series that are raw data, not behaviour; reading them could fill the memory."""


class UnreadSeriesWarning(SpikeloomWarning):
    """A behaviour series of a file is damaged and was left out; the message names it and says why."""


def read_nwb(path: str | os.PathLike[str]) -> Recording:
    """Read an NWB file.

    A file without spike times gives a recording without neurons, whose series may hold counts; see
    `Recording.counted`.

    Raises:
        FileError: if the file cannot be read or is not NWB; CorruptFileError if it is damaged.
        DataError: if spike times are NaN, negative or unsorted.
    """
    with _opened(os.fspath(path)) as file:
        spikes, observed, neuron_table = _units(file)
        return Recording(
            spikes,
            behavior=_behavior(_all_series(file)),
            trial_table={} if file.trials is None else _plain_columns(file.trials),
            neuron_table=neuron_table,
            observed=observed,
            source=os.path.basename(path),
        )


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    """The NWB file, open; whatever the libraries raise on a damaged one becomes a CorruptFileError."""
    try:
        with open(path, "rb") as raw:
            head = raw.read(8)
    except OSError as error:
        raise FileError(
            "The recording must exist and be readable.", f"{path} is not: {error.strerror}.", "Check the path."
        ) from error
    if head and head != b"\x89HDF\r\n\x1a\n":
        raise _not_nwb(path, "it is not HDF5")
    pynwb = import_pynwb()
    try:
        if not head:
            raise OSError("it is empty")
        with h5py.File(path, "r") as plain:
            if "nwb_version" not in plain.attrs:
                raise _not_nwb(path, "it has no nwb_version")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of cached namespaces and old versions; nothing a user can do
            warnings.simplefilter("always", UnreadSeriesWarning)
            with pynwb.NWBHDF5IO(path, "r") as io:
                yield io.read()
    except SpikeloomError:
        raise
    except Exception as error:  # pynwb, hdmf and h5py have a dozen ways to fail on a damaged file
        raise CorruptFileError(
            "An NWB file must be whole and follow its schema.",
            f"{path} does not: {' '.join(str(error).split())[:200] or type(error).__name__}.",
            "Copy it again; `pip install nwbinspector` checks a file in full.",
        ) from error


def _units(file: Any) -> tuple[list[Array] | None, Array | None, dict[str, Array]]:
    """Spike times, common observation intervals, and plain columns of the units table; None where there are none."""
    units = file.units
    if units is None or not len(units) or "spike_times" not in units.colnames:
        return None, None, {}
    spikes = _ragged(units["spike_times"])
    observed = None
    if "obs_intervals" in units.colnames:
        intervals = [np.asarray(rows, np.float64) for rows in _ragged(units["obs_intervals"]) if len(rows)]
        observed = common_intervals(intervals) if intervals else None
    return [np.asarray(times, np.float64) for times in spikes], observed, _plain_columns(units, axes=1)


def _ragged(column: Any) -> list[Array]:
    """Rows of an indexed column, read in one go."""
    return np.split(np.asarray(column.target.data[:]), np.asarray(column.data[:])[:-1].astype(np.int64))


def _plain_columns(table: Any, *, axes: int = 2) -> dict[str, Array]:
    """Columns with one number, text or vector per row; ragged ones and references are left out."""
    found = {}
    for name in table.colnames:
        column = table[name]
        if hasattr(column, "target") or hasattr(column, "table"):
            continue
        values = np.asarray(column.data[:])
        if values.dtype.kind == "O" and all(isinstance(value, str | bytes) for value in values.flat):
            values = np.array([v.decode() if isinstance(v, bytes) else v for v in values.flat]).reshape(values.shape)
        if values.dtype.kind in "iufbU" and values.ndim <= axes:
            found[name] = values
    return found


def _all_series(file: Any) -> dict[str, Any]:
    """Time series of acquisition and processing, by path such as "behavior/Position/hand_pos"."""
    found = {}
    for thing in file.objects.values():
        if not hasattr(thing, "timestamps") or not hasattr(thing, "rate") or not hasattr(thing.data, "shape"):
            continue
        if thing.neurodata_type in BULKY or len(thing.data.shape) > 2 or np.dtype(thing.data.dtype).kind not in "iufb":
            continue
        names, place = [thing.name], thing.parent
        while place is not None and place.parent is not None:
            names.insert(0, place.name)
            place = place.parent
        if names[0] in file.processing or names[0] in file.acquisition:
            found["/".join(names)] = thing
    return found


def _behavior(series: Mapping[str, Any]) -> dict[str, Series]:
    """Series under their own names, or under their paths where two have the same name."""
    names = [where.rsplit("/", 1)[-1] for where in series]
    found = {}
    for (where, one), name in zip(series.items(), names, strict=True):
        values = np.asarray(one.data[:])
        if (one.conversion or 1.0) != 1.0 or (one.offset or 0.0) != 0.0:
            values = values * (one.conversion or 1.0) + (one.offset or 0.0)
        times = _times(one)
        if not len(times):
            continue
        try:
            found[name if names.count(name) == 1 else where] = Series(times, values, one.unit or "")
        except (DataError, ShapeError) as error:  # one bad series must not make the spikes unreadable
            warnings.warn(f"The series {where} was left out. {error}", UnreadSeriesWarning, stacklevel=2)
    return found


def _times(one: Any) -> Array:
    if one.timestamps is not None:
        return np.asarray(one.timestamps[:], np.float64)
    return (one.starting_time or 0.0) + np.arange(len(one.data)) / one.rate


def _not_nwb(path: str, why: str) -> FileError:
    return FileError(
        "A recording must be an NWB file in HDF5.", f"{path} is not: {why}.", "Give the .nwb file of a session."
    )
