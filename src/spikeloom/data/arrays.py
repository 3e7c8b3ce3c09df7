"""Convert objects in memory to `Recording` or `Trials`. Objects are recognised by their attributes, not by their type.

- spike times of each neuron: a list or dict of arrays, quantities, neo `SpikeTrain` or pynapple `Ts`; an object array
  (a cell array of MATLAB); a pynapple `TsGroup`; a neo `Segment` or `Block`;
- counts: one array whose axes are named by `axes` (NumPy, torch, SciPy sparse, pandas, xarray), or a ragged list of
  (time, neuron) arrays, one per trial.

These libraries are not imported. If an object states the times in which it was observed, they become the recording's
`observed`. `Trials.from_spike_times` reads spike times that are cut by trial.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from spikeloom import clock, objects
from spikeloom.data.binning import common_intervals
from spikeloom.data.recording import Recording
from spikeloom.errors import DataError, ShapeError
from spikeloom.objects import Foreign
from spikeloom.shapes import Array
from spikeloom.trials import Trials

BY_TRIAL = (
    "Use sl.Trials.from_spike_times(x, window=(0, 1), bin_width=0.01), where x[trial][neuron] holds times in seconds "
    "from time 0 of the trial."
)
"""Remedy for spike times that are cut by trial."""


def from_spike_times(times: Mapping[Foreign, Foreign] | Iterable[Foreign], **fields: Foreign) -> Recording:
    """Return a recording of the spike times of each neuron. The keys of a dict become the neuron column "name".

    If all spike trains state their start and end (neo, pynapple), the time common to all of them is `observed`.

    Args:
        times: Spike times of each neuron.
        fields: Further arguments of `Recording`. They replace those that are found here.

    Raises:
        DataError: if the times are cut by trial, or the values are not times.
    """
    if isinstance(times, Mapping):
        fields = {"neuron_table": {"name": np.array([str(key) for key in times])}, **fields}
        trains = list(times.values())
    else:
        trains = list(times)
    if any(_holds_trains(train) for train in trains):
        raise DataError(
            "load takes the spike times of a whole recording, one array per neuron.",
            "These are cut by trial: each entry holds several arrays.",
            BY_TRIAL,
        )
    spans = [span for train in trains if (span := _observed_in(train)) is not None]
    if spans and len(spans) == len(trains):
        fields = {"observed": common_intervals(spans), **fields}
    return Recording(trains, **{"source": "spike times", **fields})


def _observed_in(train: object) -> Array | None:
    """Return the intervals (interval, 2) in which a spike train was observed, or None if it does not state them."""
    if hasattr(train, "t_start") and hasattr(train, "t_stop"):  # neo
        ends = [clock.duration(end, what="The ends of a spike train") for end in (train.t_start, train.t_stop)]
        return np.array([ends])
    support = getattr(train, "time_support", None)  # pynapple
    return None if support is None else clock.intervals(support, what="The time support")


def _holds_trains(value: object) -> bool:
    """Return whether a value is a list or cell of several arrays of times, instead of one array of times."""
    if isinstance(value, np.ndarray):
        return value.dtype == object and any(np.size(entry) > 1 for entry in value.ravel())
    if hasattr(value, "rescale") or not isinstance(value, list | tuple):  # a quantity is one array
        return False
    return any(np.ndim(entry) > 0 and not isinstance(entry, str | bytes) for entry in value)


def from_counts(counts: Sequence[Foreign], *, bin_width: Foreign, **fields: Foreign) -> Trials:
    """Return trials from a ragged list of counts.

    Args:
        counts: Counts (time, neuron) of each trial.
        bin_width: Width of a bin, in seconds or with a unit.
        fields: Further arguments of `Trials`.

    Raises:
        ShapeError: if trials have different numbers of neurons.
    """
    parts = [objects.plain(entry) for entry in counts]
    numbers_of_neurons = {part.shape[1] if part.ndim == 2 else None for part in parts}
    if len(numbers_of_neurons) != 1 or None in numbers_of_neurons:
        raise ShapeError(
            "Every trial must be an array (time, neuron), with the same neurons.",
            f"The shapes are {', '.join(str(part.shape) for part in parts[:5])}.",
            "Transpose each trial, or give one array and its axes.",
        )
    lengths = np.array([len(part) for part in parts])
    padded = np.zeros((len(parts), lengths.max(), *parts[0].shape[1:]), np.result_type(*parts))
    for row, part in zip(padded, parts, strict=True):
        row[: len(part)] = part
    bin_width = clock.duration(bin_width, what="A bin width")
    return Trials(padded, bin_width, lengths=lengths, **{"source": "array", **fields})


def from_pynapple(group: Foreign, **fields: Foreign) -> Recording:
    """Return a recording from a pynapple `TsGroup`: time support as `observed`, columns as the neuron table."""
    keys = list(group.keys())
    columns = [name for name in getattr(group, "metadata_columns", ()) if name != "rate"]  # pynapple's own mean rate
    table = {"name": np.array(keys), **{str(name): group[name] for name in columns}}
    observed = clock.intervals(group.time_support, what="The time support")
    fields = {"observed": observed, "neuron_table": table, "source": "pynapple", **fields}
    return Recording([np.asarray(group[key].times()) for key in keys], **fields)


def from_neo(value: Foreign, **fields: Foreign) -> Recording:
    """Return a recording from neo spike trains, or from the `Segment` or `Block` that holds them.

    Raises:
        DataError: if a Block holds several segments, because each segment has its own clock.
    """
    if hasattr(value, "segments"):
        if len(value.segments) != 1:
            raise DataError(
                "load takes a neo Block of one segment, because each segment has its own clock.",
                f"This one holds {len(value.segments)} segments.",
                "If each is a trial: sl.Trials.from_spike_times(block, window=(0, 1), bin_width=0.01). Otherwise load "
                "one of them: sl.load(block.segments[0]).",
            )
        value = value.segments[0]
    trains = list(value.spiketrains if hasattr(value, "spiketrains") else value)
    names = [getattr(train, "name", None) for train in trains]
    if all(names) and len(set(names)) == len(names):
        fields = {"neuron_table": {"name": np.array(names)}, **fields}
    return from_spike_times(trains, **{"source": "neo", **fields})


def is_pynapple(value: object) -> bool:
    """Return whether a value has the attributes of a pynapple TsGroup."""
    return hasattr(value, "time_support") and hasattr(value, "keys") and hasattr(value, "__getitem__")


def is_neo(value: object) -> bool:
    """Return whether a value has the attributes of a neo Block or Segment, or is a list of SpikeTrain."""
    if hasattr(value, "segments") or hasattr(value, "spiketrains"):
        return True
    return isinstance(value, list | tuple) and bool(value) and all(map(is_neo_train, value))


def is_neo_train(value: object) -> bool:
    """Return whether a value has the attributes of a neo SpikeTrain."""
    return hasattr(value, "rescale") and hasattr(value, "t_stop")


def is_cells(value: object) -> bool:
    """Return whether a value is an object array, which is how cell arrays of MATLAB are read."""
    return isinstance(value, np.ndarray) and value.dtype == object


def from_cells(cells: Array, **fields: object) -> Recording:
    """Return a recording from an object array of spike times: one cell per neuron, in one row or column.

    Raises:
        DataError: if there are several rows and columns of cells.
    """
    if cells.ndim > 1 and sorted(cells.shape)[-2] > 1:  # two axes are longer than 1
        raise DataError(
            "load takes the spike times of a whole recording, one cell per neuron.",
            f"The cells have shape {cells.shape}.",
            'If they are cut by trial: sl.Trials.from_spike_times(x, axes="neuron trial", window=(0, 1), '
            "bin_width=0.01).",
        )
    return from_spike_times(list(cells.ravel()), **fields)


def is_ragged_counts(entries: Sequence[object]) -> bool:
    """Return whether a list holds arrays with two axes, which are counts of trials and not times of neurons."""
    return len(entries) > 0 and all(getattr(entry, "ndim", 0) == 2 for entry in entries)


def is_columns(entries: Sequence[Foreign]) -> bool:
    """Return whether a list holds only columns (n, 1) or rows (1, n), the form of a list of times in MATLAB."""
    return is_ragged_counts(entries) and all(min(entry.shape) <= 1 for entry in entries)


def from_array(counts: object, *, axes: str | None, bin_width: object, **fields: object) -> Trials:
    """Return trials from one array of counts.

    Args:
        counts: Counts, of any library that `spikeloom.objects` reads.
        axes: Axes of the array as words, such as "trial time neuron". `None` reads the names that an xarray
            DataArray has.
        bin_width: Width of a bin, in seconds or with a unit.
        fields: Further arguments of `Trials`.

    Raises:
        DataError: if the names of the axes or the bin width are missing.
    """
    if axes is None:
        axes = named_axes(counts)
    if axes is None or bin_width is None:
        raise DataError(
            "An array of counts needs the names of its axes and the bin width in seconds.",
            f"It has axes={axes!r} and bin_width={bin_width!r}.",
            'Give, for instance, axes="trial time neuron", bin_width=0.005. For spike times give a list, one array per '
            "neuron.",
        )
    return Trials.from_array(counts, axes=axes, bin_width=bin_width, **fields)


def named_axes(counts: object) -> str | None:
    """Return the names of the axes of an xarray DataArray, in the singular and in order, or None for other values."""
    dims = getattr(counts, "dims", None)
    if not isinstance(dims, tuple) or not all(isinstance(name, str) for name in dims):
        return None
    axis_of = {
        "trials": "trial",
        "times": "time",
        "bin": "time",
        "neurons": "neuron",
        "unit": "neuron",
        "units": "neuron",
    }
    return " ".join(axis_of.get(name.lower(), name.lower()) for name in dims)
