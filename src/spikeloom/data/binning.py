"""Count spikes in bins exactly, and average behaviour series over bins.

Bin k of a trial that begins at b (seconds) is the half-open interval [e_k, e_{k+1}) with e_k = b + k w for bins of
width w. A spike exactly on an edge belongs to the bin that begins there. With floats this rule fails: 3 * 0.1 > 0.3, so
a spike at 0.3 would fall before the edge on which it lies. Therefore all times of spikes and edges are first rounded to
whole ticks and compared as integers.

A tick is one nanosecond, finer than any acquisition clock. On clocks that count beyond 97 days (such as Unix time),
neighbouring numbers of float64 are farther apart, 0.24 us in the year 2026. On such a clock, a tick is the next power
of ten above four times this distance: 1 us for Unix time in seconds. A spike closer to an edge than half a tick lies on
the edge. Ticks are counted from a reference near the earliest time, so that integers do not overflow.

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
        # a tick of 10^digits s is at least four times the distance of neighbouring numbers
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
"""Ticks of one nanosecond after time zero."""


def bins_between(
    starts: Float[np.ndarray, " trial"], stops: Float[np.ndarray, " trial"], bin_width: float
) -> Int64[np.ndarray, " trial"]:
    """Return the number of whole bins from start to stop. The last bin may end up to `SLACK` bins after the stop."""
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
    counts = np.zeros((n_trials * n_bins, len(spikes)), np.uint8)  # the bins of all trials, one trial after the other
    trial_ends = edges[np.arange(n_trials), lengths]
    for neuron, seconds in enumerate(spikes):
        spike_ticks = ticks.of(seconds)
        first = np.searchsorted(spike_ticks, edges[:, 0], side="left")  # index of the first spike in each trial
        n_inside = np.searchsorted(spike_ticks, trial_ends, side="left") - first  # spikes inside each trial
        trial, index = _ranges(first, n_inside)  # of each spike in a trial; a spike may be in several trials
        bins = trial * n_bins + _bin_of(spike_ticks[index], edges, trial)  # row of `counts`, in increasing order
        # equal bins are neighbours, so the count of a bin is the length of its run
        run_starts = np.flatnonzero(np.diff(bins, prepend=-1))
        run_lengths = np.diff(run_starts, append=len(bins))
        if run_lengths.max(initial=0) > np.iinfo(counts.dtype).max:
            counts = counts.astype(np.min_scalar_type(run_lengths.max()))
        counts[bins[run_starts], neuron] = run_lengths
    return counts.reshape(n_trials, n_bins, len(spikes))


def _ranges(
    first: Integer[np.ndarray, " range"], sizes: Integer[np.ndarray, " range"]
) -> tuple[Int64[np.ndarray, " element"], Int64[np.ndarray, " element"]]:
    """List the elements of several ranges of indices, one range after the other.

    Args:
        first: First index of each range.
        sizes: Number of indices in each range.

    Returns:
        The range of each element, and its index. Ranges from 5 with 2 elements and from 0 with 1 element give
        [0, 0, 1] and [5, 6, 0].
    """
    of_range = np.repeat(np.arange(len(first)), sizes)
    position = np.arange(len(of_range)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # 0, 1, ... in its range
    return of_range, position + np.repeat(first, sizes)


def _bin_of(
    event: Int64[np.ndarray, " event"], edges: Edges, trial: Integer[np.ndarray, " event"]
) -> Int64[np.ndarray, " event"]:
    """Return the bin of each event within its trial: estimated by division, then corrected by the edges.

    Args:
        event: Time of each event, in ticks.
        edges: Bin edges (trial, time + 1) in ticks.
        trial: Trial of each event.
    """
    n_bins = edges.shape[1] - 1
    width = np.maximum(edges[:, -1] - edges[:, 0], 1) / max(n_bins, 1)  # mean width of the bins of each trial, ticks
    bins = ((event - edges[trial, 0]) / width[trial]).astype(np.int64).clip(0, n_bins - 1)
    # the estimate is wrong by at most one bin, because edges are rounded to ticks
    bins -= event < edges[trial, bins]
    bins += event >= edges[trial, bins + 1]
    return bins


def covered(
    starts: Float[np.ndarray, " trial"],
    stops: Float[np.ndarray, " trial"],
    intervals: Float[np.ndarray, "interval 2"],
    *,
    slack: float,
) -> Bool[np.ndarray, " trial"]:
    """Return whether each span [start, stop] lies inside one of the disjoint, sorted intervals, up to `slack` s.

    Args:
        starts: Start of each span, s.
        stops: End of each span, s.
        intervals: Disjoint, sorted intervals, s.
        slack: Time by which a span may leave its interval, s.
    """
    if not len(intervals):
        return np.zeros(len(starts), bool)
    interval = np.searchsorted(intervals[:, 0], starts + slack, side="right") - 1  # the last that begins by the start
    return (interval >= 0) & (stops <= intervals[interval.clip(0), 1] + slack)


def joined(intervals: Float[np.ndarray, "_ 2"]) -> Float[np.ndarray, "_ 2"]:
    """Merge intervals into sorted ones that neither overlap nor touch. Empty intervals are dropped."""
    rows = np.asarray(intervals, np.float64)
    rows = rows[rows[:, 1] > rows[:, 0]]
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    if not len(rows):
        return rows
    latest_end = np.maximum.accumulate(rows[:, 1])  # of this and all earlier intervals
    is_new = np.r_[True, rows[1:, 0] > latest_end[:-1]]  # begins after all earlier intervals have ended
    return np.stack([rows[is_new, 0], np.r_[latest_end[:-1][is_new[1:]], latest_end[-1]]], 1)


def common_intervals(intervals: Sequence[Float[np.ndarray, "_ 2"]]) -> Float[np.ndarray, "_ 2"]:
    """Return the intervals in which every neuron was observed, the intersection of the neurons' intervals."""
    distinct = list({rows.tobytes(): joined(rows) for rows in intervals}.values())  # many neurons share their intervals
    # sort all starts and ends; +1 at a start and -1 at an end give the number of open intervals
    ends = np.concatenate([rows.T.ravel() for rows in distinct])
    change = np.concatenate([np.repeat([1, -1], len(rows)) for rows in distinct])
    order = np.lexsort((-change, ends))  # by time; of equal times, starts come first
    ends = ends[order]
    n_open = np.cumsum(change[order])
    common = np.flatnonzero(n_open == len(distinct))  # all intervals are open from such a time to the next one
    return joined(np.stack([ends[common], ends[np.minimum(common + 1, len(ends) - 1)]], 1))


def overlapping(
    starts: Float[np.ndarray, " trial"],
    stops: Float[np.ndarray, " trial"],
    intervals: Float[np.ndarray, "interval 2"],
) -> Bool[np.ndarray, " trial"]:
    """Return whether each span [start, stop) shares any time with one of the disjoint, sorted intervals.

    Args:
        starts: Start of each span, s.
        stops: End of each span, s.
        intervals: Disjoint, sorted intervals, s.
    """
    if not len(intervals):
        return np.zeros(len(starts), bool)
    # the first interval that ends after the start is the only one to check
    nearest = np.searchsorted(intervals[:, 1], starts, side="right").clip(max=len(intervals) - 1)
    return (intervals[nearest, 0] < stops) & (intervals[nearest, 1] > starts)


def without(
    intervals: Float[np.ndarray, "interval 2"], removed: Float[np.ndarray, "gap 2"]
) -> Float[np.ndarray, "_ 2"]:
    """Return the parts of `intervals` that lie outside `removed`."""
    if not len(removed):
        return intervals
    # `removed` leaves the times from the end of each of its intervals to the start of the next one
    kept_starts = np.r_[-np.inf, removed[:, 1]]
    kept_stops = np.r_[removed[:, 0], np.inf]
    return intersection(intervals, np.stack([kept_starts, kept_stops], 1))


def intersection(first: Float[np.ndarray, "_ 2"], second: Float[np.ndarray, "_ 2"]) -> Float[np.ndarray, "_ 2"]:
    """Return the times that lie in both of two sets of intervals, as disjoint and sorted intervals (interval, 2)."""
    first = joined(first)
    second = joined(second)
    if not len(first) or not len(second):
        return np.zeros((0, 2))
    # each interval of `first` overlaps the intervals begin:end of `second`
    begin = np.searchsorted(second[:, 1], first[:, 0], side="right")
    end = np.searchsorted(second[:, 0], first[:, 1], side="left")
    row, other = _ranges(begin, (end - begin).clip(0))  # all pairs of intervals that overlap
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
        step: Median time between samples in seconds. Default: computed from `times`.
        period: Period of an angle in its unit; 0 for other quantities.

    Returns:
        One row per bin; zero in the padding. NaN if no sample is near: samples more than two sampling intervals (or two
        bins) apart are not interpolated, and there are no values before the first or after the last sample.
    """
    finite = np.isfinite(values).all(1)
    sample_ticks = ticks.of(times[finite])
    samples = np.asarray(values, np.float64)[finite]
    shifted = edges + np.int64(np.rint(lag * ticks.per_second))  # between which the series is read
    n_trials = edges.shape[0]
    n_bins = edges.shape[1] - 1
    valid = np.arange(n_bins) < lengths[:, None]
    out = np.zeros((n_trials, n_bins, values.shape[1]))
    if not len(sample_ticks):
        out[valid] = np.nan
        return out
    # bin b holds the samples left[b] ... right[b] - 1
    left = np.searchsorted(sample_ticks, shifted[:, :-1][valid])
    right = np.searchsorted(sample_ticks, shifted[:, 1:][valid])
    centres = (shifted[:, :-1] + shifted[:, 1:])[valid] / 2
    width = float(np.diff(edges[:, :2]).max()) if n_bins and n_trials else 0.0  # of a bin, ticks
    if step is None:
        step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    largest_gap = 2.1 * max(width, step * ticks.per_second)  # two sampling intervals or two bins, with a tolerance
    rows = _between(sample_ticks, samples, centres, largest_gap, period)  # (valid bin, dim)
    for dim in range(values.shape[1]):
        if period:
            rows[:, dim] = _angle_means(samples[:, dim], left, right, rows[:, dim], period)
        else:
            rows[:, dim] = _means(samples[:, dim], left, right, otherwise=rows[:, dim])
    out[valid] = rows
    return out


def _between(
    sample_ticks: Int64[np.ndarray, " event"],
    samples: Float[np.ndarray, "event dim"],
    centres: Float[np.ndarray, " bin"],
    largest_gap: float,
    period: float,
) -> Float[np.ndarray, "bin dim"]:
    """Interpolate linearly between the samples before and after each centre.

    The result is NaN if a centre does not lie between two samples, or if these are too far apart.

    Args:
        sample_ticks: Time of each sample in ticks, sorted.
        samples: The samples, without NaN.
        centres: Times to interpolate at, in ticks.
        largest_gap: Largest distance of two samples that are interpolated, in ticks.
        period: Period of an angle, which is interpolated on the circle; 0 for other quantities.
    """
    # index of the sample after each centre, and of the sample before it
    following = np.searchsorted(sample_ticks, centres).clip(1, max(len(sample_ticks) - 1, 1))
    previous = following - 1
    following = np.minimum(following, len(sample_ticks) - 1)
    gap = sample_ticks[following] - sample_ticks[previous]
    is_between = (sample_ticks[previous] <= centres) & (centres <= sample_ticks[following])
    usable = (gap > 0) & (gap <= largest_gap) & is_between
    # position of each centre between its two samples, from 0 to 1 (bin, 1)
    fraction = np.where(usable, (centres - sample_ticks[previous]) / np.where(gap > 0, gap, 1), np.nan)[:, None]
    if not period:
        return samples[previous] * (1 - fraction) + samples[following] * fraction
    unwrapped = samples[previous] + fraction * angles.difference(samples[following], samples[previous], period)
    return angles.wrap(unwrapped, period, low=angles.lowest(samples, period))


def _means(
    samples: Float[np.ndarray, " event"],
    left: Integer[np.ndarray, " bin"],
    right: Integer[np.ndarray, " bin"],
    *,
    otherwise: Float[np.ndarray, " bin"],
) -> Float[np.ndarray, " bin"]:
    """Return the mean of samples[left:right] for each bin, or `otherwise` for a bin without samples.

    Args:
        samples: One dimension of a series, in the order of time.
        left: Index of the first sample of each bin.
        right: Index after the last sample of each bin.
        otherwise: Values for bins without samples.
    """
    # `reduceat` sums the samples from each bound to the next one. Every second sum is that of a bin, the others are of
    # samples between two bins. A bound may be the number of samples, hence the appended 0.
    bounds = np.stack([left, right], 1).ravel()
    sums = np.add.reduceat(np.append(samples, 0.0), bounds)[::2]
    n_inside = right - left
    return np.where(n_inside > 0, sums / np.maximum(n_inside, 1), otherwise)


def _angle_means(
    samples: Float[np.ndarray, " event"],
    left: Integer[np.ndarray, " bin"],
    right: Integer[np.ndarray, " bin"],
    otherwise: Float[np.ndarray, " bin"],
    period: float,
) -> Float[np.ndarray, " bin"]:
    """Return the circular mean of samples[left:right] for each bin, or `otherwise` for a bin without samples.

    The circular mean is v + mean(d_i). Here v is the direction of the mean unit vector, and d_i are the shortest signed
    differences between the samples and v. For samples that do not wrap around, this is the ordinary mean. A single
    sample is returned without rounding.

    Args:
        samples: One dimension of a series of angles, in the order of time.
        left: Index of the first sample of each bin.
        right: Index after the last sample of each bin.
        otherwise: Values for bins without samples.
        period: One turn, in the unit of the angles.
    """
    n_inside = right - left
    bins, event = _ranges(left, n_inside)  # bin and index of each sample in a bin

    def bin_sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sum over the samples of each bin."""
        return np.asarray(np.bincount(bins, values, len(left)), np.float64)

    radians = 2 * math.pi / period * samples[event]
    direction = np.arctan2(bin_sums(np.sin(radians)), bin_sums(np.cos(radians))) * period / (2 * math.pi)
    differences = angles.difference(samples[event], direction[bins], period)
    mean_difference = bin_sums(differences) / np.maximum(n_inside, 1)
    means = angles.wrap(direction + mean_difference, period, low=angles.lowest(samples, period))
    single = samples[left.clip(max=len(samples) - 1)]  # the first sample of each bin
    return np.where(n_inside > 1, means, np.where(n_inside == 1, single, otherwise))
