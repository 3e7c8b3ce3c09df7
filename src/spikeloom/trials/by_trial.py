"""Convert spike times that are already cut into trials to counts.

Every trial has its own clock, whose zero is the event to which the trials are aligned. With bins of width w and a
window that begins at b, bin k holds the spikes of [b + k w, b + (k + 1) w). Spike times and edges of bins are first
rounded to whole nanoseconds, as in `spikeloom.data.binning`.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikeloom import clock
from spikeloom.errors import DataError, SettingError, ShapeError, SpikeloomWarning
from spikeloom.objects import Foreign
from spikeloom.shapes import Fields, TrialCounts
from spikeloom.text import counted, verb

SLACK = 1e-3
"""Fraction of a bin by which a window may deviate from a whole number of bins or exceed the observed time."""

FORM = "Give x[trial][neuron], an array of seconds each: [[[0.1, 0.2], [0.3]], [[0.1], [0.2, 0.5]]]."
"""Remedy of errors about the form of spike times."""


class UnobservedTrialsWarning(SpikeloomWarning):
    """Trials were left out because they were not observed for the complete window; the message gives their number."""


class MissingTimesWarning(SpikeloomWarning):
    """Missing spike times (NaN, None or masked) were left out; the message gives their number."""


class ByTrial(NamedTuple):
    """Spike times by trial and neuron, names of the neurons, and the observed time span of each trial."""

    times: list[list[Foreign]]
    names: list[str] | None
    observed: NDArray[np.float64]


def count_by_trial(times: object, *, window: object, bin_width: object, axes: str) -> tuple[Fields, NDArray[np.int64]]:
    """Count the spikes of each trial, bin and neuron; `Trials.from_spike_times` describes the arguments.

    Returns:
        Arguments of `Trials` for all trials, and the numbers of the trials that were observed for the complete window.

    Raises:
        SettingError: if the window does not hold a whole number of bins.
        ShapeError: if trials have different neurons, or the times are not nested by trial and neuron.
        DataError: if the values are not times, or no trial is left.

    Warns:
        UnobservedTrialsWarning: if trials were left out.
        MissingTimesWarning: if missing times were left out.
    """
    width = clock.duration(bin_width, what="A bin width")
    start, stop = clock.window(window)
    n_bins = _whole_bins(start, stop, width)
    by_trial = nested(times, axes=axes)
    counts = _count(by_trial.times, start + np.arange(n_bins + 1) * width)
    first_seen, last_seen = by_trial.observed.T
    kept = np.flatnonzero((first_seen <= start + SLACK * width) & (last_seen >= stop - SLACK * width))
    n_left_out = len(counts) - len(kept)
    message = (
        f"{counted(n_left_out, 'trial', of=len(counts))} {verb(n_left_out, 'was', 'were')} not observed for "
        f"the whole window, {start:g} to {stop:g} s"
    )
    if not len(kept):
        raise DataError(
            "At least one trial must be left.",
            f"{message}; the first was observed from {first_seen[0]:g} to {last_seen[0]:g} s.",
            "Choose another window.",
        )
    if n_left_out:
        warnings.warn(
            f"{message}, and {verb(n_left_out, 'was', 'were')} left out.", UnobservedTrialsWarning, stacklevel=3
        )
    table = {} if by_trial.names is None else {"neuron_table": {"name": np.array(by_trial.names)}}
    return {"counts": counts, "bin_width": width, "source": "spike times", **table}, kept


def nested(times: Foreign, *, axes: str = "trial neuron") -> ByTrial:
    """Return spike times by trial and neuron from any of the forms that `Trials.from_spike_times` accepts.

    Args:
        times: Spike times, nested in the order of `axes`. Trials may be dicts neuron -> times.
        axes: "trial neuron" for times[trial][neuron], or "neuron trial" for times[neuron][trial].

    Raises:
        SettingError: if `axes` is neither of the two.
        ShapeError: if trials have different neurons, or the times are not nested by trial and neuron.
    """
    if axes.split() not in (["trial", "neuron"], ["neuron", "trial"]):
        raise SettingError('axes must be "trial neuron" or "neuron trial".', f"It was {axes!r}.", FORM)
    names = None
    if isinstance(times, Mapping):  # neuron -> its trials
        names = [str(name) for name in times]
        times = list(times.values())
        axes = "neuron trial"
    if hasattr(times, "segments"):  # neo Block
        times = times.segments
    trials = [_entries(trial) for trial in times]  # for the axes "neuron trial", each entry is a neuron
    if names is None and trials and all(isinstance(trial, Mapping) for trial in trials):
        names = [str(name) for name in trials[0]]
        different = [number for number, trial in enumerate(trials) if sorted(map(str, trial)) != sorted(names)]
        if different:
            raise ShapeError(
                "Every trial must have the same neurons.",
                f"Trial {different[0]} has {', '.join(map(str, trials[different[0]]))[:80]}, trial 0 has "
                f"{', '.join(names)[:80]}.",
                "Give an empty list for a neuron that was silent.",
            )
        keys = list(trials[0])
        trials = [[trial[key] for key in keys] for trial in trials]
    rows = [list(trial) for trial in trials]
    only_numbers = all(np.size(entry) == 1 and np.ndim(entry) == 0 for row in rows for entry in row)
    if not any(rows) or only_numbers:
        raise ShapeError(
            "Spike times by trial must be nested, trial by trial and neuron by neuron.", _shape(rows), FORM
        )
    sizes = sorted({len(row) for row in rows})
    outer, _ = axes.split()
    if len(sizes) > 1:
        raise ShapeError(
            f"Every {outer} must have the same {'neurons' if outer == 'trial' else 'trials'}.",
            f"There are from {sizes[0]} to {sizes[-1]}.",
            "Give an empty list for a neuron that was silent. " + FORM,
        )
    if outer == "neuron":  # from neuron by neuron to trial by trial
        rows = [list(trial) for trial in zip(*rows, strict=True)]
    if names is None:
        names = _names(rows[0])
    return ByTrial(rows, names, np.array([_span(row) for row in rows]))


def _entries(trial: Foreign) -> Foreign:
    """Return the contents of one trial: a list with the spike times of each neuron, or a mapping neuron -> times."""
    if hasattr(trial, "spiketrains"):  # neo Segment
        return list(trial.spiketrains)
    if isinstance(trial, Mapping):
        return trial
    if hasattr(trial, "keys") and hasattr(trial, "__getitem__") and hasattr(trial, "time_support"):  # pynapple TsGroup
        keys = trial.keys()  # pynapple does not document iteration over a TsGroup itself
        return {key: trial[key] for key in keys}
    if isinstance(trial, np.ndarray) and trial.dtype == object:
        is_row_or_column = min(trial.shape, default=0) <= 1 or trial.ndim == 1  # one cell per neuron
        return list(trial.ravel()) if is_row_or_column else list(trial)
    if isinstance(trial, list | tuple):
        return trial
    if hasattr(trial, "__next__"):  # an iterator
        return list(trial)
    raise ShapeError(
        "Spike times by trial must be nested, trial by trial and neuron by neuron.",
        f"A trial is {type(trial).__name__}" + (f" of shape {np.shape(trial)}." if hasattr(trial, "shape") else "."),
        FORM,
    )


def _shape(rows: list[list[object]]) -> str:
    """Describe spike times that are not nested by trial and neuron, for a message."""
    if not any(rows):
        return f"It got {counted(len(rows), 'trial')} without neurons."
    return f"It got {counted(len(rows), 'list')} of plain numbers."


def _names(trial: Sequence[object]) -> list[str] | None:
    """Return the names of the neo spike trains of a trial, or None if they have none or a name occurs twice."""
    names = [str(getattr(train, "name", None) or "") for train in trial]
    return names if all(names) and len(set(names)) == len(names) else None


def _span(trial: Sequence[object]) -> tuple[float, float]:
    """Return the start and the end of the time in which all neurons of a trial were observed, s.

    If the spike trains do not state this time, the result is minus and plus infinity.
    """
    observed = [train for train in trial if hasattr(train, "t_start") and hasattr(train, "t_stop")]
    starts = [clock.duration(train.t_start, what="The start of a spike train") for train in observed]
    stops = [clock.duration(train.t_stop, what="The end of a spike train") for train in observed]
    return max(starts, default=-math.inf), min(stops, default=math.inf)


def _whole_bins(start: float, stop: float, width: float) -> int:
    """Return the number of bins of a window. Raise a SettingError if it is not a whole number of at least 1."""
    bins = (stop - start) / width if width > 0 else math.nan
    if not (math.isfinite(bins) and bins > 0.5 and abs(bins - round(bins)) < SLACK):
        raise SettingError(
            "A window must end after it begins, and hold a whole number of bins.",
            f"From {start:g} to {stop:g} s there are {bins:.6g} bins of {width:g} s.",
            f"Give window=({start:g}, {start + max(math.ceil(bins), 1) * width:.6g})."
            if math.isfinite(bins)
            else "Give two numbers of seconds, and a bin width such as 0.01.",
        )
    return round(bins)


def _count(times: list[list[object]], edges: NDArray[np.floating]) -> TrialCounts:
    """Return the number of spikes of each trial, bin and neuron. Times may be unsorted.

    Args:
        times: Spike times by trial and neuron.
        edges: Edges of the bins, s.
    """
    n_trials = len(times)
    n_bins = len(edges) - 1
    n_neurons = len(times[0])
    limits = np.rint(edges * 1e9)  # edges in ns: whole numbers, exact in float64 for any window below 97 days
    counts = np.zeros((n_trials, n_bins, n_neurons), np.int64)
    n_missing = 0
    for trial, row in enumerate(times):
        for neuron, train in enumerate(row):
            seconds = clock.flat_seconds(train, what=f"Spike times of trial {trial}, neuron {neuron}")
            n_missing += int(np.isnan(seconds).sum())
            bins = np.searchsorted(limits, np.rint(seconds * 1e9), side="right") - 1
            inside = bins[(bins >= 0) & (bins < n_bins) & np.isfinite(seconds)]
            counts[trial, :, neuron] = np.bincount(inside, minlength=n_bins)
    if n_missing:
        warnings.warn(
            f"{counted(n_missing, 'missing spike time')} {verb(n_missing, 'was', 'were')} left out.",
            MissingTimesWarning,
            stacklevel=4,
        )
    return counts
