"""What users already hold in memory -> `Recording` or `Trials`, known by what it can do, not by its type.

- spike times of each neuron: a list or dict of them, of arrays, quantities, neo `SpikeTrain` or pynapple `Ts`; a cell
  array (an object array, as MATLAB's come); a pynapple `TsGroup`; a neo `Segment` or `Block`;
- counts: one array with named axes (NumPy, torch, SciPy sparse, pandas, xarray), or a ragged list of (time, neuron)
  arrays, one per trial.

Nothing of these libraries is imported. Objects that know the times in which they were observed pass them on as the
recording's `observed`. Spike times cut by trial have a door of their own, `Trials.from_spike_times`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from spikeloom import clock, objects
from spikeloom.data.binning import common_intervals
from spikeloom.data.recording import Recording
from spikeloom.errors import DataError, ShapeError
from spikeloom.shapes import Array
from spikeloom.trials import Trials

BY_TRIAL = "Use sl.Trials.from_spike_times(x, window=(0, 1), bin_width=0.01), x[trial][neuron] from each trial's zero."
"""What to do with spike times that are cut by trial."""


def from_spike_times(times: Mapping[Any, Any] | Iterable[Any], **fields: Any) -> Recording:
    """A recording of the spike times of each neuron; a dict's keys become the neuron column "name".

    Spike trains that know when they begin and end (neo, pynapple) say what was observed: the times common to all.

    Raises:
        DataError: if the times are cut by trial, or are no times.
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
    spans = [span for train in trains if (span := _span(train)) is not None]
    if spans and len(spans) == len(trains):
        fields = {"observed": common_intervals(spans), **fields}
    return Recording(trains, **{"source": "spike times", **fields})


def _span(train: Any) -> Array | None:
    """Intervals (interval, 2) in which a spike train was observed, if it says so."""
    if hasattr(train, "t_start") and hasattr(train, "t_stop"):  # neo
        ends = [clock.duration(end, what="The ends of a spike train") for end in (train.t_start, train.t_stop)]
        return np.array([ends])
    support = getattr(train, "time_support", None)  # pynapple
    return None if support is None else clock.intervals(support, what="The time support")


def _holds_trains(value: Any) -> bool:
    """Check for a list or cell of arrays of times, where one array of times is due."""
    if isinstance(value, np.ndarray):
        return value.dtype == object and any(np.size(each) > 1 for each in value.ravel())
    if hasattr(value, "rescale") or not isinstance(value, list | tuple):
        return False
    return any(np.ndim(each) > 0 and not isinstance(each, str | bytes) for each in value)


def from_counts(counts: Sequence[Any], *, bin_width: Any, **fields: Any) -> Trials:
    """Trials from a ragged list of counts (time, neuron), one array per trial."""
    parts = [objects.plain(each) for each in counts]
    neurons = {part.shape[1] if part.ndim == 2 else None for part in parts}
    if len(neurons) != 1 or None in neurons:
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


def from_pynapple(group: Any, **fields: Any) -> Recording:
    """A recording from a pynapple `TsGroup`: its time support is what was observed, its columns the neuron table."""
    keys = list(group.keys())
    columns = [name for name in getattr(group, "metadata_columns", ()) if name != "rate"]  # pynapple's own mean rate
    table = {"name": np.array(keys), **{str(name): group[name] for name in columns}}
    observed = clock.intervals(group.time_support, what="The time support")
    fields = {"observed": observed, "neuron_table": table, "source": "pynapple", **fields}
    return Recording([np.asarray(group[key].times()) for key in keys], **fields)


def from_neo(thing: Any, **fields: Any) -> Recording:
    """A recording from neo spike trains, or the `Segment` or `Block` that holds them, in seconds.

    Raises:
        DataError: if a Block holds several segments, which have clocks of their own.
    """
    if hasattr(thing, "segments"):
        if len(thing.segments) != 1:
            raise DataError(
                "load takes a neo Block of one segment, for each segment has a clock of its own.",
                f"This one holds {len(thing.segments)} segments.",
                "If each is a trial: sl.Trials.from_spike_times(block, window=(0, 1), bin_width=0.01). Otherwise load "
                "one of them: sl.load(block.segments[0]).",
            )
        thing = thing.segments[0]
    trains = list(thing.spiketrains if hasattr(thing, "spiketrains") else thing)
    names = [getattr(train, "name", None) for train in trains]
    if all(names) and len(set(names)) == len(names):
        fields = {"neuron_table": {"name": np.array(names)}, **fields}
    return from_spike_times(trains, **{"source": "neo", **fields})


def is_pynapple(thing: Any) -> bool:
    """Check whether it behaves like a pynapple TsGroup."""
    return hasattr(thing, "time_support") and hasattr(thing, "keys") and hasattr(thing, "__getitem__")


def is_neo(thing: Any) -> bool:
    """Check whether it behaves like a neo Block or Segment, or a list of SpikeTrain."""
    if hasattr(thing, "segments") or hasattr(thing, "spiketrains"):
        return True
    return isinstance(thing, list | tuple) and bool(thing) and all(map(is_neo_train, thing))


def is_neo_train(thing: Any) -> bool:
    """Check whether it behaves like a neo SpikeTrain."""
    return hasattr(thing, "rescale") and hasattr(thing, "t_stop")


def is_cells(thing: Any) -> bool:
    """Check for an object array, as MATLAB's cell arrays come."""
    return isinstance(thing, np.ndarray) and thing.dtype == object


def from_cells(cells: Array, **fields: Any) -> Recording:
    """A recording from an object array of spike times, one cell per neuron, (neuron,), (neuron, 1) or (1, neuron).

    Raises:
        DataError: if there are several rows and columns of cells.
    """
    if cells.ndim > 1 and sorted(cells.shape)[-2] > 1:
        raise DataError(
            "load takes the spike times of a whole recording, one cell per neuron.",
            f"The cells have shape {cells.shape}.",
            'If they are cut by trial: sl.Trials.from_spike_times(x, axes="neuron trial", window=(0, 1), '
            "bin_width=0.01).",
        )
    return from_spike_times(list(cells.ravel()), **fields)


def is_ragged_counts(things: Sequence[Any]) -> bool:
    """Check whether a list holds arrays with two axes, hence counts of trials, and not times of neurons."""
    return len(things) > 0 and all(getattr(each, "ndim", 0) == 2 for each in things)


def is_columns(things: Sequence[Any]) -> bool:
    """Check whether a list holds columns (n, 1) or rows (1, n) only, as MATLAB gives lists of times."""
    return is_ragged_counts(things) and all(min(each.shape) <= 1 for each in things)


def from_array(counts: Any, *, axes: str | None, bin_width: Any, **fields: Any) -> Trials:
    """Trials from one array of counts, whose axes and bin width must be said."""
    if axes is None:
        axes = named_axes(counts)
    if axes is None or bin_width is None:
        raise DataError(
            "An array of counts needs the names of its axes and the bin width in seconds.",
            f"There was axes={axes!r}, bin_width={bin_width!r}.",
            'Give, for instance, axes="trial time neuron", bin_width=0.005. For spike times give a list, one array per '
            "neuron.",
        )
    return Trials.from_array(counts, axes=axes, bin_width=bin_width, **fields)


def named_axes(counts: Any) -> str | None:
    """Names of the axes of an xarray DataArray, singular and in the order that it has; None for anything else."""
    dims = getattr(counts, "dims", None)
    if not isinstance(dims, tuple) or not all(isinstance(name, str) for name in dims):
        return None
    words = {
        "trials": "trial",
        "times": "time",
        "bin": "time",
        "neurons": "neuron",
        "unit": "neuron",
        "units": "neuron",
    }
    return " ".join(words.get(name.lower(), name.lower()) for name in dims)
