"""Write `Trials` as an NWB file, with spike times, trial table, conditions and behaviour.

Binning the file with the same bin width w gives the same counts, lengths, conditions and behaviour, with their units of
measurement. Trials are placed one after another on an artificial clock. Each begins at a whole second, at least one
second after the end of the previous one. The spikes of a bin are spread evenly inside it, so no spike lies on an edge.
If bin k of a trial that begins at b has c spikes, their times are t_j = b + (k + (j + 1) / (c + 1)) w for
j = 0, ..., c - 1. Behaviour is sampled at the centres of the bins.

Rates, latents and codes are not written; a trials file keeps them. NWB has no place for the units of conditions and for
`conditioned_on`. They are stored as attributes of the HDF5 file: `unit` of a column of the trial table, and
`conditioned_on` of that table (names in JSON).
"""

import datetime
import hashlib
import io
import json
import os
import warnings
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING

import h5py
import numpy as np
from jaxtyping import Float, Integer

from spikeloom.errors import DataError, missing_extra
from spikeloom.files import atomic_write
from spikeloom.shapes import Array, Fields

if TYPE_CHECKING:
    from hdmf.common import VectorData
    from pynwb import NWBFile
    from pynwb.misc import Units

GAP = 1.0
"""Shortest time between two trials, s."""

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
"""Start of the artificial session. NWB requires a date, and trials have none."""

CLOCK = "laid end to end on an artificial clock"
"""Words in the session description that mark a file as written by this module."""

CONDITIONED_ON = "conditioned_on"
"""Name of the attribute of the trial table that holds the conditions on which generated trials were conditioned."""

TAKEN = {"id", "start_time", "stop_time", "align_time", "tags", "timeseries", "spike_times", "obs_intervals"}
"""Columns that this module or NWB writes; no condition or neuron column can have these names."""


def write(path: str | os.PathLike[str], fields: Fields) -> None:
    """Write an NWB file atomically.

    The trial table of the file has the columns `start_time`, `stop_time`, `align_time` (start of the first bin) and the
    conditions. Its table of units has the columns of the neuron table; whole numbers in the column `id` become the ids
    of the units.

    Args:
        path: Path of the file, in a folder that exists.
        fields: Fields of `Trials` by name.

    Raises:
        DataError: if there are no trials, or NWB reserves a name.
        FileError: if the file cannot be written; no partial file is left.
    """
    pynwb = import_pynwb()
    _check_names(fields)
    image = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # hdmf warns about column names such as "name", although they are valid
        file = _session(pynwb, fields)
        with h5py.File(image, "w") as raw, pynwb.NWBHDF5IO(file=raw, mode="w") as out:
            out.write(file)
            _put_attributes(raw["intervals/trials"], fields)
    atomic_write(path, image.getvalue())


def _put_attributes(table: h5py.Group, fields: Fields) -> None:
    """Add the units of conditions, and the conditions of generated trials, to the trial table of a file."""
    for name in fields["conditions"]:
        if name in fields["units"]:
            table[name].attrs["unit"] = fields["units"][name]
    if fields["conditioned_on"] is not None:
        table.attrs[CONDITIONED_ON] = json.dumps(fields["conditioned_on"])


def written_source(path: str | os.PathLike[str]) -> str | None:
    """Return the source of the trials in an NWB file that `write` made, or None for any other file."""
    try:
        with h5py.File(path, "r") as file:
            description = file["session_description"].asstr()[()]
            notes = file["general/notes"].asstr()[()]
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError):
        return None
    is_ours = CLOCK in description and notes.startswith("bin_width=")
    return notes.partition("source=")[2] if is_ours else None


def _session(pynwb: ModuleType, fields: Fields) -> "NWBFile":
    """Return the NWB file as an object of pynwb, from the fields of `Trials` by name."""
    counts = fields["counts"]
    lengths = fields["lengths"]
    width = fields["bin_width"]
    source = fields["source"] or "unknown"
    file = pynwb.NWBFile(
        session_description=f"Trials from {source}, binned at {width:g} s and {CLOCK}; "
        "spikes are spread evenly inside their bins.",
        identifier=hashlib.sha256(counts.tobytes() + lengths.tobytes()).hexdigest()[:32],
        session_start_time=EPOCH,
        notes=f"bin_width={width!r} s; source={source}",
    )
    starts = trial_starts(lengths, width)
    stops = starts + lengths * width
    columns = {"start_time": starts, "stop_time": stops, "align_time": starts, **fields["conditions"]}
    file.trials = pynwb.epoch.TimeIntervals(
        name="trials", description="trials", columns=_columns(columns), colnames=list(columns)
    )
    times, ends = spike_times(counts, starts, width)  # times of all neurons; position after the last one of each
    file.units = _units(pynwb, times, ends, np.stack([starts, stops], 1), fields["neuron_table"])
    if fields["behavior"]:
        module = file.create_processing_module("behavior", "behaviour at the centres of the bins")
        valid = np.arange(counts.shape[1]) < lengths[:, None]
        centres = (starts[:, None] + (np.arange(counts.shape[1]) + 0.5) * width)[valid]
        for name, values in fields["behavior"].items():
            data = values[valid].astype(np.uint8) if values.dtype.kind == "b" else values[valid]
            module.add(pynwb.TimeSeries(name=name, data=data, unit=fields["units"][name], timestamps=centres))
    return file


def import_pynwb() -> ModuleType:
    """Return the module pynwb, or raise an error that says how to install it."""
    try:
        import pynwb
    except ImportError as error:
        raise missing_extra("NWB files need", "pynwb", "nwb") from error
    return pynwb


def trial_starts(lengths: Integer[np.ndarray, " trial"], bin_width: float) -> Float[np.ndarray, " trial"]:
    """Return the start of each trial on the artificial clock, a whole number of seconds.

    Args:
        lengths: Valid bins of each trial.
        bin_width: Width of a bin, s.
    """
    spans = np.ceil(lengths * bin_width + GAP)
    return np.cumsum(spans) - spans


def spike_times(
    counts: Integer[np.ndarray, "trial time neuron"], starts: Float[np.ndarray, " trial"], bin_width: float
) -> tuple[Float[np.ndarray, " spike"], Integer[np.ndarray, " neuron"]]:
    """Return the times of spikes that are spread evenly inside their bins.

    Args:
        counts: Counts, 0 in the padding.
        starts: Start of each trial, s.
        bin_width: Width of a bin, s.

    Returns:
        Spike times in seconds, neuron by neuron and sorted within each neuron. And for each neuron the position after
        its last spike: the number of spikes of this neuron and all earlier neurons.
    """
    neuron, trial, bins = np.nonzero(counts.transpose(2, 0, 1))  # of each bin that holds spikes, neuron by neuron
    n_spikes = counts[trial, bins, neuron].astype(np.int64)
    n_before = np.cumsum(n_spikes) - n_spikes
    rank = np.arange(int(n_spikes.sum())) - np.repeat(n_before, n_spikes)  # j, number of the spike within its bin
    fraction = (rank + 1) / (np.repeat(n_spikes, n_spikes) + 1)
    times = np.repeat(starts[trial], n_spikes) + (np.repeat(bins, n_spikes) + fraction) * bin_width
    ends = np.cumsum(np.bincount(neuron, weights=n_spikes, minlength=counts.shape[2])).astype(np.int64)
    return times, ends


def _check_names(fields: Fields) -> None:
    """Raise a DataError if there are no trials or neurons, or if NWB does not allow a name of a column or series."""
    if not len(fields["counts"]) or not fields["counts"].shape[2]:
        raise DataError("An NWB file needs at least one trial and neuron.", "There are none.", "Write a trials file.")
    for group, reserved in (("conditions", TAKEN), ("neuron_table", TAKEN), ("behavior", set())):
        for name in fields[group]:
            if group == "neuron_table" and name == "id" and fields[group]["id"].dtype.kind in "iu":
                continue  # it becomes the ids of the units
            if name in reserved or not name or "/" in name or ":" in name:
                raise DataError(
                    f'A name in {group} must not contain "/" or ":", and NWB must not reserve it.',
                    f"It was {name!r}.",
                    "Rename it, or write a trials file (.h5).",
                )


def _units(
    pynwb: ModuleType,
    times: Float[np.ndarray, " spike"],
    ends: Integer[np.ndarray, " neuron"],
    observed: Float[np.ndarray, "trial 2"],
    neuron_table: Mapping[str, Array],
) -> "Units":
    """Return the table of units (neurons) of an NWB file.

    Args:
        pynwb: Module pynwb.
        times: Spike times, neuron by neuron, s.
        ends: For each neuron, the position after its last spike in `times`.
        observed: Start and end of each trial, s.
        neuron_table: Further columns.
    """
    from hdmf.common import VectorData, VectorIndex

    # NWB stores a column with several values per neuron as all values in a row, and an index of where each neuron ends.
    spikes = VectorData(name="spike_times", description="seconds", data=times)
    spans = VectorData(name="obs_intervals", description="the trials, seconds", data=np.tile(observed, (len(ends), 1)))
    span_ends = np.arange(1, len(ends) + 1) * len(observed)
    ragged = [
        spikes,
        VectorIndex(name="spike_times_index", data=ends, target=spikes),
        spans,
        VectorIndex(name="obs_intervals_index", data=span_ends, target=spans),
    ]
    columns = {name: value for name, value in neuron_table.items() if name != "id"}
    return pynwb.misc.Units(
        name="units",
        description="neurons",
        id=neuron_table.get("id"),
        columns=ragged + _columns(columns),
        colnames=["spike_times", "obs_intervals", *columns],
    )


def _columns(table: Mapping[str, Array]) -> "list[VectorData]":
    """Return the columns of a table of an NWB file."""
    from hdmf.common import VectorData

    # hdmf writes text as UTF-8 only if it is an array of Python strings
    values = {name: value.astype(object) if value.dtype.kind == "U" else value for name, value in table.items()}
    return [VectorData(name=name, description=name, data=value) for name, value in values.items()]
