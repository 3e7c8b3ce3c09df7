"""What users already hold in memory -> `Recording` or `Trials`, known by what it can do, not by its type.

- spike times: a list of one array of seconds per neuron, or a dict of them; a pynapple `TsGroup`; a neo `Segment`,
  `Block` or list of `SpikeTrain`;
- counts: one array with named axes, or a ragged list of (time, neuron) arrays, one per trial.

Nothing of pynapple or neo is imported. neo times carry a unit and are turned into seconds; pynapple objects know the
times in which they were observed, which become the recording's `observed`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from spikeloom.data.recording import Recording
from spikeloom.errors import DataError, ShapeError
from spikeloom.shapes import Array
from spikeloom.trials import Trials


def from_spike_times(times: Mapping[Any, Any] | Sequence[Any], **fields: Any) -> Recording:
    """A recording of spike times in seconds, one array per neuron; a dict's keys become the neuron column "name"."""
    if isinstance(times, Mapping):
        fields = {"neuron_table": {"name": np.array([str(key) for key in times])}, **fields}
        times = list(times.values())
    spikes = [np.asarray(each, np.float64) for each in times]
    return Recording(spikes, **{"source": "spike times", **fields})


def from_counts(counts: Sequence[Any], *, bin_width: float, **fields: Any) -> Trials:
    """Trials from a ragged list of counts (time, neuron), one array per trial."""
    parts = [np.asarray(each) for each in counts]
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
    return Trials(padded, bin_width, lengths=lengths, **{"source": "array", **fields})


def from_pynapple(group: Any, **fields: Any) -> Recording:
    """A recording from a pynapple `TsGroup`, with its time support as the times observed."""
    support = np.stack([np.asarray(group.time_support.start), np.asarray(group.time_support.end)], 1)
    keys = list(group.keys())
    fields = {"observed": support, "neuron_table": {"name": np.array(keys)}, "source": "pynapple", **fields}
    return Recording([np.asarray(group[key].times()) for key in keys], **fields)


def from_neo(thing: Any, **fields: Any) -> Recording:
    """A recording from neo spike trains, or the `Segment` or `Block` that holds them, in seconds.

    Raises:
        DataError: if a Block holds several segments, which have clocks of their own.
    """
    if hasattr(thing, "segments"):
        if len(thing.segments) != 1:
            raise DataError(
                "A neo Block must hold one segment, for each has a clock of its own.",
                f"It holds {len(thing.segments)}.",
                "Load one of them: load(block.segments[0]).",
            )
        thing = thing.segments[0]
    trains = list(thing.spiketrains if hasattr(thing, "spiketrains") else thing)
    seconds = lambda quantity: np.asarray(quantity.rescale("s").magnitude, np.float64)  # noqa: E731
    start = max((float(seconds(train.t_start)) for train in trains), default=0.0)
    stop = min((float(seconds(train.t_stop)) for train in trains), default=0.0)
    fields = {"observed": np.array([[start, stop]]), "source": "neo", **fields}
    return Recording([seconds(train) for train in trains], **fields)


def is_pynapple(thing: Any) -> bool:
    """Whether it behaves like a pynapple TsGroup."""
    return hasattr(thing, "time_support") and hasattr(thing, "keys") and hasattr(thing, "__getitem__")


def is_neo(thing: Any) -> bool:
    """Whether it behaves like a neo Block or Segment, or a list of SpikeTrain."""
    if hasattr(thing, "segments") or hasattr(thing, "spiketrains"):
        return True
    return isinstance(thing, Iterable) and not isinstance(thing, Mapping) and _all_trains(thing)


def is_ragged_counts(things: Sequence[Any]) -> bool:
    """Whether a list holds 2-D arrays, hence counts of trials, and not times of neurons."""
    return len(things) > 0 and all(np.ndim(each) == 2 for each in things)


def from_npz(archive: Mapping[str, Array], *, axes: str | None, bin_width: float | None, source: str) -> Trials:
    """Trials from an archive with an array `counts`, and perhaps `bin_width` and `lengths`."""
    if "counts" not in archive:
        raise DataError(
            "An .npz archive must hold an array named counts.",
            f"{source} holds {', '.join(archive)}.",
            "Save it with np.savez(path, counts=..., bin_width=0.005).",
        )
    if bin_width is None and "bin_width" in archive:
        bin_width = float(archive["bin_width"])
    more = {"lengths": archive["lengths"]} if "lengths" in archive else {}
    return from_array(archive["counts"], axes=axes or "trial time neuron", bin_width=bin_width, source=source, **more)


def from_array(counts: Any, *, axes: str | None, bin_width: float | None, **fields: Any) -> Trials:
    """Trials from one array of counts, whose axes and bin width must be said."""
    if axes is None or bin_width is None:
        raise DataError(
            "An array of counts needs the names of its axes and the bin width in seconds.",
            f"There was axes={axes!r}, bin_width={bin_width!r}.",
            'Give, for instance, axes="trial time neuron", bin_width=0.005.',
        )
    return Trials.from_array(counts, axes=axes, bin_width=bin_width, **fields)


def _all_trains(things: Iterable[Any]) -> bool:
    listed = list(things) if isinstance(things, list | tuple) else []
    return bool(listed) and all(hasattr(each, "rescale") and hasattr(each, "t_stop") for each in listed)
