"""Events in seconds -> counts in bins, exactly; series in seconds -> values at bins.

Bin k of a trial that begins at b (seconds) is the half-open interval [e_k, e_{k+1}) with e_k = b + k w for bins of
width w, and an event at exactly an edge belongs to the bin that the edge begins. Binary fractions spoil this rule as it
stands: 3 * 0.1 > 0.3, so an event at 0.3 would fall before the edge it lies on. Hence all times, of events and of
edges, are first rounded to whole nanoseconds and compared as integers. That is finer than any acquisition clock, and
as fine as float64 allows up to 50 days; no comparison of floats and no tolerance is left.

A series (hand velocity at 1 kHz, position at 60 Hz) becomes one value per bin: the mean of the samples inside the bin,
or, where a bin holds none, the straight line between the samples on both sides, read at the bin's centre.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int64, Integer
from numpy.typing import NDArray

PER_SECOND = 1e9
"""Nanoseconds."""
SLACK = 1e-3
"""Part of a bin by which a trial or window may overshoot: stop times are often rounded to 0.1 ms or to float32."""

Edges = Int64[np.ndarray, "trial edge"]
"""Bin edges of each trial in nanoseconds; one more than its longest trial has bins."""


def nanoseconds(seconds: NDArray[np.floating] | float) -> NDArray[np.int64]:
    """Seconds as whole nanoseconds."""
    return np.array(np.rint(np.asarray(seconds, np.float64) * PER_SECOND), np.int64)


def bin_edges(starts: Float[np.ndarray, " trial"], bins: int, bin_width: float) -> Edges:
    """Edges e_k = start + k w of every trial, in nanoseconds (trial, bins + 1)."""
    return nanoseconds(starts[:, None] + np.arange(bins + 1) * bin_width)


def bins_between(
    starts: Float[np.ndarray, " trial"], stops: Float[np.ndarray, " trial"], bin_width: float
) -> Int64[np.ndarray, " trial"]:
    """Whole bins from start to stop (trial,); a last bin may overshoot by a thousandth of its width."""
    return np.floor((stops - starts) / bin_width + SLACK).astype(np.int64)


def count_spikes(
    spikes: Sequence[Float[np.ndarray, " _"]], edges: Edges, lengths: Integer[np.ndarray, " trial"]
) -> Int64[np.ndarray, "trial time neuron"]:
    """Spikes of each neuron in each bin.

    Args:
        spikes: Spike times of each neuron in seconds, sorted.
        edges: Bin edges (trial, time + 1) in nanoseconds, from `bin_edges`. Trials may overlap.
        lengths: Valid bins of each trial; nothing is counted beyond them.
    """
    trials, time = edges.shape[0], edges.shape[1] - 1
    counts = np.zeros(trials * time * len(spikes), np.int64)
    last = edges[np.arange(trials), lengths]
    for neuron, seconds in enumerate(spikes):
        when = nanoseconds(seconds)
        first = np.searchsorted(when, edges[:, 0], side="left")
        inside = np.searchsorted(when, last, side="left") - first
        trial = np.repeat(np.arange(trials), inside)
        event = when[np.arange(len(trial)) - np.repeat(np.cumsum(inside) - inside, inside) + np.repeat(first, inside)]
        place = (trial * time + _bin_of(event, edges, trial)) * len(spikes) + neuron
        np.add.at(counts, place, 1)
    return counts.reshape(trials, time, len(spikes))


def _bin_of(
    event: Int64[np.ndarray, " event"], edges: Edges, trial: Integer[np.ndarray, " event"]
) -> Int64[np.ndarray, " event"]:
    """Bin of each event within its trial: a guess by division, then corrected against the edges themselves."""
    time = edges.shape[1] - 1
    width = np.maximum(edges[:, -1] - edges[:, 0], 1) / max(time, 1)
    guess = ((event - edges[trial, 0]) / width[trial]).astype(np.int64).clip(0, time - 1)
    guess -= event < edges[trial, guess]
    guess += event >= edges[trial, guess + 1]
    return guess


def covered(
    starts: Float[np.ndarray, " trial"],
    stops: Float[np.ndarray, " trial"],
    intervals: Float[np.ndarray, "interval 2"],
    *,
    slack: float,
) -> Bool[np.ndarray, " trial"]:
    """Whether each span [start, stop] lies inside one of the disjoint, sorted intervals, give or take `slack` s."""
    if not len(intervals):
        return np.zeros(len(starts), bool)
    place = np.searchsorted(intervals[:, 0], starts + slack, side="right") - 1
    return (place >= 0) & (stops <= intervals[place.clip(0), 1] + slack)


def joined(intervals: Float[np.ndarray, "_ 2"]) -> Float[np.ndarray, "_ 2"]:
    """The same times as sorted intervals that neither overlap nor touch; empty ones are dropped."""
    rows = np.asarray(intervals, np.float64)
    rows = rows[rows[:, 1] > rows[:, 0]]
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    if not len(rows):
        return rows
    reach = np.maximum.accumulate(rows[:, 1])
    fresh = np.r_[True, rows[1:, 0] > reach[:-1]]
    return np.stack([rows[fresh, 0], np.r_[reach[:-1][fresh[1:]], reach[-1]]], 1)


def common_intervals(intervals: Sequence[Float[np.ndarray, "_ 2"]]) -> Float[np.ndarray, "_ 2"]:
    """Times in which every neuron was observed: the intersection of the neurons' intervals."""
    distinct = list({each.tobytes(): joined(each) for each in intervals}.values())  # mostly one, shared by all
    at = np.concatenate([each.T.ravel() for each in distinct])
    by = np.concatenate([np.repeat([1, -1], len(each)) for each in distinct])
    order = np.lexsort((-by, at))
    at, depth = at[order], np.cumsum(by[order])
    full = np.flatnonzero(depth == len(distinct))
    return joined(np.stack([at[full], at[np.minimum(full + 1, len(at) - 1)]], 1))


def resample(
    times: Float[np.ndarray, " event"],
    values: Float[np.ndarray, "event dim"],
    edges: Edges,
    lengths: Integer[np.ndarray, " trial"],
    *,
    lag: float = 0.0,
) -> Float[np.ndarray, "trial time dim"]:
    """A series at the bins: mean of the samples in [e_k, e_{k+1}), or the line between neighbours at the bin's centre.

    Args:
        times: When each sample was taken, in seconds, sorted.
        values: The samples; a row with a NaN counts as no sample.
        edges: Bin edges (trial, time + 1) in nanoseconds.
        lengths: Valid bins of each trial.
        lag: Seconds by which the series is read later than the spikes beside which it is put; 0.1 puts the velocity at
            1.1 s beside the spikes at 1.0 s (the neurons lead).

    Returns:
        One row per bin; zero in the padding. NaN where no sample is near: neighbours more than two sampling intervals
        (or two bins) apart are not connected, and beyond the first and last sample nothing is known.
    """
    finite = np.isfinite(values).all(1)
    when, samples = nanoseconds(times[finite]), np.asarray(values, np.float64)[finite]
    shifted = edges + nanoseconds(lag)
    trials, time = edges.shape[0], edges.shape[1] - 1
    valid = np.arange(time) < lengths[:, None]
    out = np.zeros((trials, time, values.shape[1]))
    if not len(when):
        out[valid] = np.nan
        return out
    left, right = np.searchsorted(when, shifted[:, :-1][valid]), np.searchsorted(when, shifted[:, 1:][valid])
    centres = (shifted[:, :-1] + shifted[:, 1:])[valid] / 2
    width = float(np.diff(edges[:, :2]).max()) if time else 0.0
    reach = 2.1 * max(width, float(np.median(np.diff(nanoseconds(times)))) if len(times) > 1 else width)
    rows = _between(when, samples, centres, reach)
    for dim in range(values.shape[1]):
        rows[:, dim] = _means(samples[:, dim], left, right, otherwise=rows[:, dim])
    out[valid] = rows
    return out


def _between(
    when: Int64[np.ndarray, " event"],
    samples: Float[np.ndarray, "event dim"],
    centres: Float[np.ndarray, " bin"],
    reach: float,
) -> Float[np.ndarray, "bin dim"]:
    """Straight line between the samples on both sides of each centre; NaN where they are more than `reach` apart."""
    after = np.searchsorted(when, centres).clip(1, max(len(when) - 1, 1))
    before, after = after - 1, np.minimum(after, len(when) - 1)
    gap = when[after] - when[before]
    known = (gap > 0) & (gap <= reach) & (when[before] <= centres) & (centres <= when[after])
    part = np.where(known, (centres - when[before]) / np.where(gap > 0, gap, 1), np.nan)[:, None]
    return samples[before] * (1 - part) + samples[after] * part


def _means(
    samples: Float[np.ndarray, " event"],
    left: Integer[np.ndarray, " bin"],
    right: Integer[np.ndarray, " bin"],
    *,
    otherwise: Float[np.ndarray, " bin"],
) -> Float[np.ndarray, " bin"]:
    """Mean of samples[left:right] for each bin; `otherwise` where that is empty. A lone sample comes back exactly."""
    ranges = np.stack([left, right], 1).ravel()
    sums = np.add.reduceat(np.append(samples, 0.0), ranges)[::2]
    inside = right - left
    return np.where(inside > 0, sums / np.maximum(inside, 1), otherwise)
