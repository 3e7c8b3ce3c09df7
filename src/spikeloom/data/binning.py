"""Count spikes in bins exactly, and average behaviour series over bins.

Bin k of a trial that begins at b (seconds) is the half-open interval [e_k, e_{k+1}) with e_k = b + k w for bins of
width w. A spike exactly on an edge belongs to the bin that begins there. With floats this rule fails: 3 * 0.1 > 0.3, so
a spike at 0.3 would fall before the edge on which it lies. Therefore all times of spikes and edges are first rounded to
whole ticks and compared as integers.

A tick is one nanosecond, finer than any acquisition clock. On clocks that count beyond 97 days (such as Unix time),
float64 is coarser than that, 0.24 us in the year 2026. There a tick is the next power of ten above four steps of
float64, 1 us for Unix time in seconds, and a spike closer to an edge than half a tick lies on the edge. Ticks are
counted from a reference near the earliest time, so that integers do not overflow.

A series (hand velocity at 1 kHz, position at 60 Hz) becomes one value per bin: the mean of the samples inside the bin,
or, if a bin holds none, the linear interpolation between the neighbouring samples at the bin's centre. Angles are
averaged and interpolated on the circle (`spikeloom.angles`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64, Integer
from numpy.typing import NDArray

from spikeloom import angles

LONGEST_IN_NANOSECONDS = float(2**23)
"""Seconds up to which float64 resolves a nanosecond."""
SLACK = 1e-3
"""Fraction of a bin by which a trial or window may overshoot: stop times are often rounded to 0.1 ms or to float32."""

Edges = Int64[np.ndarray, "trial edge"]
"""Bin edges of each trial in ticks, one more than the bins of the longest trial."""


@dataclass(frozen=True)
class Ticks:
    """A conversion from seconds to whole ticks after a reference.

    Args:
        reference: Time of tick 0 in seconds.
        per_second: Ticks per second.
    """

    reference: float = 0.0
    per_second: float = 1e9

    @classmethod
    def between(cls, low: float, high: float) -> "Ticks":
        """Return ticks for times from `low` to `high` seconds: nanoseconds, or coarser if float64 is coarser."""
        largest = max(abs(low), abs(high))
        if not largest > LONGEST_IN_NANOSECONDS:
            return cls()
        digits = math.ceil(math.log10(4 * np.spacing(largest)))
        return cls(math.floor(low), 10.0**-digits)

    @property
    def length(self) -> float:
        """Length of a tick in seconds."""
        return 1 / self.per_second

    def of(self, seconds: NDArray[np.floating] | float) -> NDArray[np.int64]:
        """Convert seconds to ticks."""
        return np.array(np.rint((np.asarray(seconds, np.float64) - self.reference) * self.per_second), np.int64)

    def edges(self, starts: Float[np.ndarray, " trial"], n_bins: int, bin_width: float) -> Edges:
        """Return the edges e_k = start + k w of every trial (trial, n_bins + 1)."""
        return self.of(starts[:, None] + np.arange(n_bins + 1) * bin_width)


NANOSECONDS = Ticks()


def bins_between(
    starts: Float[np.ndarray, " trial"], stops: Float[np.ndarray, " trial"], bin_width: float
) -> Int64[np.ndarray, " trial"]:
    """Return the number of whole bins from start to stop (trial,). The last may overshoot by a thousandth of a bin."""
    return np.floor((stops - starts) / bin_width + SLACK).astype(np.int64)


def count_spikes(
    spikes: Sequence[Float[np.ndarray, " _"]],
    edges: Edges,
    lengths: Integer[np.ndarray, " trial"],
    ticks: Ticks = NANOSECONDS,
) -> Integer[np.ndarray, "trial time neuron"]:
    """Count the spikes of each neuron in each bin, in the smallest unsigned integer type that holds the counts.

    Args:
        spikes: Spike times of each neuron in seconds, sorted.
        edges: Bin edges (trial, time + 1) in ticks, from `Ticks.edges`. Trials may overlap.
        lengths: Valid bins of each trial; counts beyond them are zero.
        ticks: Conversion of seconds to ticks, the same as for the edges.
    """
    n_trials = edges.shape[0]
    n_bins = edges.shape[1] - 1
    counts = np.zeros((n_trials * n_bins, len(spikes)), np.uint8)
    last = edges[np.arange(n_trials), lengths]
    for neuron, seconds in enumerate(spikes):
        when = ticks.of(seconds)
        first = np.searchsorted(when, edges[:, 0], side="left")
        inside = np.searchsorted(when, last, side="left") - first
        trial = np.repeat(np.arange(n_trials), inside)
        event = when[np.arange(len(trial)) - np.repeat(np.cumsum(inside) - inside, inside) + np.repeat(first, inside)]
        bins = trial * n_bins + _bin_of(event, edges, trial)  # in increasing order
        begins = np.flatnonzero(np.diff(bins, prepend=-1))
        number = np.diff(begins, append=len(bins))
        if number.max(initial=0) > np.iinfo(counts.dtype).max:
            counts = counts.astype(np.min_scalar_type(number.max()))
        counts[bins[begins], neuron] = number
    return counts.reshape(n_trials, n_bins, len(spikes))


def _bin_of(
    event: Int64[np.ndarray, " event"], edges: Edges, trial: Integer[np.ndarray, " event"]
) -> Int64[np.ndarray, " event"]:
    """Return the bin of each event within its trial: estimated by division, then corrected with the exact edges."""
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
    """Return whether each span [start, stop] lies inside one of the disjoint, sorted intervals, up to `slack` s."""
    if not len(intervals):
        return np.zeros(len(starts), bool)
    interval = np.searchsorted(intervals[:, 0], starts + slack, side="right") - 1
    return (interval >= 0) & (stops <= intervals[interval.clip(0), 1] + slack)


def joined(intervals: Float[np.ndarray, "_ 2"]) -> Float[np.ndarray, "_ 2"]:
    """Merge intervals into sorted ones that neither overlap nor touch. Empty intervals are dropped."""
    rows = np.asarray(intervals, np.float64)
    rows = rows[rows[:, 1] > rows[:, 0]]
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    if not len(rows):
        return rows
    reach = np.maximum.accumulate(rows[:, 1])
    fresh = np.r_[True, rows[1:, 0] > reach[:-1]]
    return np.stack([rows[fresh, 0], np.r_[reach[:-1][fresh[1:]], reach[-1]]], 1)


def common_intervals(intervals: Sequence[Float[np.ndarray, "_ 2"]]) -> Float[np.ndarray, "_ 2"]:
    """Return the intervals in which every neuron was observed, the intersection of the neurons' intervals."""
    distinct = list({each.tobytes(): joined(each) for each in intervals}.values())  # mostly one, shared by all
    at = np.concatenate([each.T.ravel() for each in distinct])
    by = np.concatenate([np.repeat([1, -1], len(each)) for each in distinct])
    order = np.lexsort((-by, at))
    at = at[order]
    depth = np.cumsum(by[order])
    full = np.flatnonzero(depth == len(distinct))
    return joined(np.stack([at[full], at[np.minimum(full + 1, len(at) - 1)]], 1))


def overlapping(
    starts: Float[np.ndarray, " trial"],
    stops: Float[np.ndarray, " trial"],
    intervals: Float[np.ndarray, "interval 2"],
) -> Bool[np.ndarray, " trial"]:
    """Return whether each span [start, stop) shares any time with one of the disjoint, sorted intervals."""
    if not len(intervals):
        return np.zeros(len(starts), bool)
    after = np.searchsorted(intervals[:, 1], starts, side="right").clip(max=len(intervals) - 1)
    return (intervals[after, 0] < stops) & (intervals[after, 1] > starts)


def without(
    intervals: Float[np.ndarray, "interval 2"], removed: Float[np.ndarray, "gap 2"]
) -> Float[np.ndarray, "_ 2"]:
    """Return the parts of `intervals` that lie outside `removed`."""
    if not len(removed):
        return intervals
    left = np.r_[-np.inf, removed[:, 1]]
    right = np.r_[removed[:, 0], np.inf]
    return intersection(intervals, np.stack([left, right], 1))


def intersection(first: Float[np.ndarray, "_ 2"], second: Float[np.ndarray, "_ 2"]) -> Float[np.ndarray, "_ 2"]:
    """Return the intersection of two sets of intervals."""
    first = joined(first)
    second = joined(second)
    if not len(first) or not len(second):
        return np.zeros((0, 2))
    # each interval of `first` overlaps the intervals begin:end of `second`
    begin = np.searchsorted(second[:, 1], first[:, 0], side="right")
    end = np.searchsorted(second[:, 0], first[:, 1], side="left")
    number = (end - begin).clip(0)
    row = np.repeat(np.arange(len(first)), number)
    other = np.arange(len(row)) - np.repeat(np.cumsum(number) - number, number) + np.repeat(begin, number)
    low = np.maximum(first[row, 0], second[other, 0])
    return np.stack([low, np.minimum(first[row, 1], second[other, 1])], 1)


def resample(
    times: Float[np.ndarray, " event"],
    values: Float[np.ndarray, "event dim"],
    edges: Edges,
    lengths: Integer[np.ndarray, " trial"],
    *,
    ticks: Ticks = NANOSECONDS,
    lag: float = 0.0,
    step: float | None = None,
    period: float = 0.0,
) -> Float[np.ndarray, "trial time dim"]:
    """Sample a series at the bins: the mean of the samples in [e_k, e_{k+1}), or interpolation at the bin's centre.

    Args:
        times: Time of each sample in seconds, sorted.
        values: The samples; rows that contain NaN are ignored.
        edges: Bin edges (trial, time + 1) in ticks.
        lengths: Valid bins of each trial.
        ticks: Conversion of seconds to ticks, the same as for the edges.
        lag: Seconds by which the series is read later than the spikes of the same bin. With 0.1, the spikes at 1.0 s
            are paired with the velocity at 1.1 s (the neurons lead).
        step: Median time between samples in seconds; by default, that of `times`.
        period: Period of an angle in its unit; 0 for other quantities.

    Returns:
        One row per bin; zero in the padding. NaN if no sample is near: samples more than two sampling intervals (or two
        bins) apart are not interpolated, and there are no values before the first or after the last sample.
    """
    finite = np.isfinite(values).all(1)
    when = ticks.of(times[finite])
    samples = np.asarray(values, np.float64)[finite]
    shifted = edges + np.int64(np.rint(lag * ticks.per_second))
    n_trials = edges.shape[0]
    n_bins = edges.shape[1] - 1
    valid = np.arange(n_bins) < lengths[:, None]
    out = np.zeros((n_trials, n_bins, values.shape[1]))
    if not len(when):
        out[valid] = np.nan
        return out
    left = np.searchsorted(when, shifted[:, :-1][valid])
    right = np.searchsorted(when, shifted[:, 1:][valid])
    centres = (shifted[:, :-1] + shifted[:, 1:])[valid] / 2
    width = float(np.diff(edges[:, :2]).max()) if n_bins and n_trials else 0.0
    if step is None:
        step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    rows = _between(when, samples, centres, 2.1 * max(width, step * ticks.per_second), period)
    for dim in range(values.shape[1]):
        if period:
            rows[:, dim] = _angle_means(samples[:, dim], left, right, rows[:, dim], period)
        else:
            rows[:, dim] = _means(samples[:, dim], left, right, otherwise=rows[:, dim])
    out[valid] = rows
    return out


def _between(
    when: Int64[np.ndarray, " event"],
    samples: Float[np.ndarray, "event dim"],
    centres: Float[np.ndarray, " bin"],
    reach: float,
    period: float,
) -> Float[np.ndarray, "bin dim"]:
    """Interpolate linearly between the samples around each centre; NaN if they are more than `reach` apart."""
    after = np.searchsorted(when, centres).clip(1, max(len(when) - 1, 1))
    before = after - 1
    after = np.minimum(after, len(when) - 1)
    gap = when[after] - when[before]
    bracketed = (gap > 0) & (gap <= reach) & (when[before] <= centres) & (centres <= when[after])
    part = np.where(bracketed, (centres - when[before]) / np.where(gap > 0, gap, 1), np.nan)[:, None]
    if not period:
        return samples[before] * (1 - part) + samples[after] * part
    turned = samples[before] + part * angles.difference(samples[after], samples[before], period)
    return angles.wrap(turned, period, low=angles.lowest(samples, period))


def _means(
    samples: Float[np.ndarray, " event"],
    left: Integer[np.ndarray, " bin"],
    right: Integer[np.ndarray, " bin"],
    *,
    otherwise: Float[np.ndarray, " bin"],
) -> Float[np.ndarray, " bin"]:
    """Return the mean of samples[left:right] for each bin, or `otherwise` if it is empty. One sample stays exact."""
    ranges = np.stack([left, right], 1).ravel()
    sums = np.add.reduceat(np.append(samples, 0.0), ranges)[::2]
    inside = right - left
    return np.where(inside > 0, sums / np.maximum(inside, 1), otherwise)


def _angle_means(
    samples: Float[np.ndarray, " event"],
    left: Integer[np.ndarray, " bin"],
    right: Integer[np.ndarray, " bin"],
    otherwise: Float[np.ndarray, " bin"],
    period: float,
) -> Float[np.ndarray, " bin"]:
    """Return the circular mean of samples[left:right] for each bin, or `otherwise` if it is empty.

    It is v + mean(d_i), where v is the direction of the mean unit vector and d_i are the shortest signed differences
    between the samples and v. Samples that do not wrap around thus have their ordinary mean. A single sample is kept
    exactly.
    """
    inside = right - left
    rows = np.repeat(np.arange(len(left)), inside)
    event = np.arange(len(rows)) - np.repeat(np.cumsum(inside) - inside, inside) + np.repeat(left, inside)

    def total(parts: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.bincount(rows, parts, len(left)), np.float64)

    turn = 2 * math.pi / period * samples[event]
    middle = np.arctan2(total(np.sin(turn)), total(np.cos(turn))) * period / (2 * math.pi)
    spread = total(angles.difference(samples[event], middle[rows], period)) / np.maximum(inside, 1)
    means = angles.wrap(middle + spread, period, low=angles.lowest(samples, period))
    return np.where(inside > 1, means, np.where(inside == 1, samples[left.clip(max=len(samples) - 1)], otherwise))
