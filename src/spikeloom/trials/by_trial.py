"""Convert spike times that are cut by trial to counts.

Every trial has its own clock, whose zero is the event that the trials are aligned to. Bin k of a window that begins
at b holds the spikes of [b + k w, b + (k + 1) w) for bins of width w. Spike times and edges are rounded to whole
nanoseconds first, as in recordings.
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

SLACK = 1e-3
"""Fraction of a bin by which a window may deviate from a whole number of bins or exceed the observed time."""

FORM = "Give x[trial][neuron], an array of seconds each: [[[0.1, 0.2], [0.3]], [[0.1], [0.2, 0.5]]]."


class UnobservedTrialsWarning(SpikeloomWarning):
    """Trials were left out, because they were not observed for the whole window; the message says how many."""


class MissingTimesWarning(SpikeloomWarning):
    """Missing spike times (NaN, None or masked) were left out; the message says how many."""


class ByTrial(NamedTuple):
    """Spike times by trial and neuron, names of the neurons, and the observed time span of each trial."""

    times: list[list[Foreign]]
    names: list[str] | None
    observed: NDArray[np.float64]


def count_by_trial(times: object, *, window: object, bin_width: object, axes: str) -> tuple[Fields, NDArray[np.int64]]:
    """Return arguments of `Trials` for all trials, and the trials that were observed for the full window.

    Raises:
        SettingError: if the window does not hold a whole number of bins.
        ShapeError: if trials have different neurons, or the times are not nested by trial and neuron.
        DataError: if the values are not times, or no trial is left.

    Warns:
        UnobservedTrialsWarning: if trials were left out.
        MissingTimesWarning: if missing times were left out.
    """
    width, (start, stop) = clock.duration(bin_width, what="A bin width"), clock.window(window)
    n_bins = _whole_bins(start, stop, width)
    by_trial = nested(times, axes=axes)
    counts = _count(by_trial.times, start + np.arange(n_bins + 1) * width)
    seen = by_trial.observed
    kept = np.flatnonzero((seen[:, 0] <= start + SLACK * width) & (seen[:, 1] >= stop - SLACK * width))
    lost = len(counts) - len(kept)
    message = f"{lost} of {len(counts)} trials were not observed for the whole window, {start:g} to {stop:g} s"
    if not len(kept):
        raise DataError(
            "At least one trial must be left.",
            f"{message}; the first was observed from {seen[0, 0]:g} to {seen[0, 1]:g} s.",
            "Choose another window.",
        )
    if lost:
        warnings.warn(f"{message}, and were left out.", UnobservedTrialsWarning, stacklevel=3)
    table = {} if by_trial.names is None else {"neuron_table": {"name": np.array(by_trial.names)}}
    return {"counts": counts, "bin_width": width, "source": "spike times", **table}, kept


def nested(times: Foreign, *, axes: str = "trial neuron") -> ByTrial:
    """Return spike times by trial and neuron from a nested list, cells, dicts, or a neo Block with a segment per trial.

    Args:
        times: x[trial][neuron], or x[neuron][trial] with the other `axes`. Trials may be dicts neuron -> times.
        axes: "trial neuron" or "neuron trial".

    Raises:
        ShapeError: if trials have different neurons, or the times are not nested by trial and neuron.
    """
    if axes.split() not in (["trial", "neuron"], ["neuron", "trial"]):
        raise SettingError('axes must be "trial neuron" or "neuron trial".', f"It was {axes!r}.", FORM)
    names = None
    if isinstance(times, Mapping):  # neuron -> its trials
        names = [str(name) for name in times]
        times = list(times.values())
        axes = "neuron trial"
    if hasattr(times, "segments"):
        times = times.segments
    outer = [_entries(each) for each in times]
    if names is None and outer and all(isinstance(each, Mapping) for each in outer):
        names = [str(name) for name in outer[0]]
        strange = [trial for trial, each in enumerate(outer) if sorted(map(str, each)) != sorted(names)]
        if strange:
            raise ShapeError(
                "Every trial must have the same neurons.",
                f"Trial {strange[0]} has {', '.join(map(str, outer[strange[0]]))[:80]}, trial 0 has "
                f"{', '.join(names)[:80]}.",
                "Give an empty list for a neuron that was silent.",
            )
        keys = list(outer[0])
        outer = [[each[key] for key in keys] for each in outer]
    rows = [list(each) for each in outer]
    if not rows or not any(rows) or all(np.size(each) == 1 and np.ndim(each) == 0 for row in rows for each in row):
        raise ShapeError(
            "Spike times by trial must be nested, trial by trial and neuron by neuron.", _shape(rows), FORM
        )
    sizes = sorted({len(row) for row in rows})
    if len(sizes) > 1:
        what = "trial" if axes.split()[0] == "trial" else "neuron"
        raise ShapeError(
            f"Every {what} must have the same {'neurons' if what == 'trial' else 'trials'}.",
            f"There are from {sizes[0]} to {sizes[-1]}.",
            "Give an empty list for a neuron that was silent. " + FORM,
        )
    if axes.split()[0] == "neuron":
        rows = [list(column) for column in zip(*rows, strict=True)]
    if names is None:
        names = _names(rows[0])
    return ByTrial(rows, names, np.array([_span(row) for row in rows]))


def _entries(trial: Foreign) -> Foreign:
    """Return the contents of one trial: a list of the neurons' times, or a mapping."""
    if hasattr(trial, "spiketrains"):  # neo Segment
        return list(trial.spiketrains)
    if isinstance(trial, Mapping):
        return trial
    if hasattr(trial, "keys") and hasattr(trial, "__getitem__") and hasattr(trial, "time_support"):  # pynapple TsGroup
        keys = trial.keys()  # iterating a TsGroup itself is not promised
        return {key: trial[key] for key in keys}
    if isinstance(trial, np.ndarray) and trial.dtype == object:
        return list(trial.ravel()) if min(trial.shape, default=0) <= 1 or trial.ndim == 1 else list(trial)
    if isinstance(trial, list | tuple):
        return trial
    if hasattr(trial, "__next__"):
        return list(trial)
    raise ShapeError(
        "Spike times by trial must be nested, trial by trial and neuron by neuron.",
        f"A trial is {type(trial).__name__}" + (f" of shape {np.shape(trial)}." if hasattr(trial, "shape") else "."),
        FORM,
    )


def _shape(rows: list[list[object]]) -> str:
    if not any(rows):
        return f"There are {len(rows)} trials without neurons."
    return f"There are {len(rows)} lists of plain numbers."


def _names(trial: Sequence[object]) -> list[str] | None:
    """Return the names of neo spike trains if they are different."""
    names = [str(getattr(train, "name", None) or "") for train in trial]
    return names if all(names) and len(set(names)) == len(names) else None


def _span(trial: Sequence[object]) -> tuple[float, float]:
    """Return the start and end of the time in which all neurons of a trial were observed, if available."""
    observed = [train for train in trial if hasattr(train, "t_start") and hasattr(train, "t_stop")]
    starts = [clock.duration(train.t_start, what="The start of a spike train") for train in observed]
    stops = [clock.duration(train.t_stop, what="The end of a spike train") for train in observed]
    return max(starts, default=-math.inf), min(stops, default=math.inf)


def _whole_bins(start: float, stop: float, width: float) -> int:
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
    """Count the spikes of each neuron in each bin. Times may be unsorted."""
    n_trials = len(times)
    n_bins = len(edges) - 1
    n_neurons = len(times[0])
    limits = np.rint(edges * 1e9)  # whole numbers, exact in float64 for any window below 97 days
    counts = np.zeros((n_trials, n_bins, n_neurons), np.int64)
    missing = 0
    for trial, row in enumerate(times):
        for neuron, each in enumerate(row):
            seconds = clock.train(each, what=f"Spike times of trial {trial}, neuron {neuron}")
            missing += int(np.isnan(seconds).sum())
            bins = np.searchsorted(limits, np.rint(seconds * 1e9), side="right") - 1
            inside = bins[(bins >= 0) & (bins < n_bins) & np.isfinite(seconds)]
            counts[trial, :, neuron] = np.bincount(inside, minlength=n_bins)
    if missing:
        warnings.warn(f"{missing} missing spike times were left out.", MissingTimesWarning, stacklevel=4)
    return counts
