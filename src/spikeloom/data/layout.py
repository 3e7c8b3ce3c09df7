"""Place the bins of each trial on the recording's clock, and drop trials that were not fully observed.

A trial begins at time b and has L bins of width w. If the recording has spike times, the edges of the bins are b + k w.
If the recording has only counts in bins, the bins of a trial are bins of the recording, or sums of neighbouring ones.
"""

import os
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int64
from numpy.typing import NDArray

from spikeloom.data import binning
from spikeloom.data.binning import Ticks
from spikeloom.errors import SettingError
from spikeloom.trials.padding import check_padding

# Reasons why trials are dropped.
OUTSIDE = "not entirely within the observed times"
INVALID = "overlapping times that the recording marks as invalid"
SHORT = "shorter than one bin"


@dataclass
class Kept:
    """The trials that are kept, and the reasons why the others were dropped.

    Args:
        total: Number of trials before any was dropped.

    Attributes:
        alive: True for trials that are kept so far (trial,).
        dropped: Reason -> number of trials that were dropped for it.
    """

    total: int
    alive: NDArray[np.bool_] = field(init=False)
    dropped: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.alive = np.ones(self.total, bool)

    def drop(self, bad: Bool[np.ndarray, " trial"], why: str) -> None:
        """Drop the marked trials. A trial is counted under its first reason only."""
        if number := int((bad & self.alive).sum()):
            self.dropped[why] = self.dropped.get(why, 0) + number
            self.alive &= ~bad

    @property
    def rows(self) -> NDArray[np.int64]:
        """Indices of the kept trials in the trial table."""
        return np.flatnonzero(self.alive)

    def reasons(self) -> str:
        """Return the reasons as text: "3 not entirely within the observed times, 1 without angle"."""
        return ", ".join(f"{number} {why}" for why, number in self.dropped.items())


@dataclass(frozen=True)
class Layout:
    """The bins of every trial. Dropped trials have length 0, and their edges are meaningless.

    Args:
        edges: Bin edges in ticks (trial, time + 1).
        lengths: Number of bins of each trial.
        spans: Start and end of each trial in seconds (trial, 2), also of dropped trials.
        ticks: Conversion from seconds to ticks.
        first: Index of each trial's first bin among the recording's bins, for a recording of binned counts.
        factor: Number of the recording's bins in one bin of the trials.
    """

    edges: binning.Edges
    lengths: Int64[np.ndarray, " trial"]
    spans: Float[np.ndarray, "trial 2"]
    ticks: Ticks
    first: Int64[np.ndarray, " trial"] | None = None
    factor: int = 1


@dataclass(frozen=True)
class Times:
    """Times in which trials may lie.

    Args:
        observed: Disjoint, sorted intervals (interval, 2) in seconds.
        invalid: Disjoint, sorted intervals (gap, 2) in seconds that must not be used.
        ticks: Conversion from seconds to ticks.
        n_neurons: Number of neurons, from which the memory of the counts is estimated.
    """

    observed: Float[np.ndarray, "interval 2"]
    invalid: Float[np.ndarray, "gap 2"]
    ticks: Ticks
    n_neurons: int


def layout_of_spike_times(
    starts: Float[np.ndarray, " trial"],
    stops: Float[np.ndarray, " trial"],
    bin_width: float,
    times: Times,
    *,
    bins: int | None,
    kept: Kept,
) -> Layout:
    """Place the bins of each trial one after the other, from the start of the trial.

    Trials that are shorter than a bin, leave the observed intervals or overlap invalid ones are dropped.

    Args:
        starts: Start of each trial, s.
        stops: End of each trial, s. It is not used if `bins` is given.
        bin_width: Width of a bin, s.
        times: Times in which trials may lie.
        bins: Number of bins of every trial. `None` gives each trial all bins that fit between its start and end.
        kept: Trials that are kept so far; this function drops further trials.

    Raises:
        SettingError: if bins are finer than the clock, or the counts would not fit into memory.
        DataError: if the counts would be large and mostly padding.
    """
    check_width(bin_width, times.ticks)
    starts = np.where(kept.alive, starts, 0.0)  # dropped trials may have NaN
    stops = np.where(kept.alive, stops, 0.0)
    lengths = binning.bins_between(starts, stops, bin_width) if bins is None else np.full(len(starts), bins)
    kept.drop(lengths < 1, SHORT)
    spans = np.stack([starts, starts + lengths * bin_width], 1)
    slack = binning.SLACK * bin_width
    kept.drop(binning.overlapping(spans[:, 0] + slack, spans[:, 1] - slack, times.invalid), INVALID)
    kept.drop(~binning.covered(spans[:, 0], spans[:, 1], times.observed, slack=slack), OUTSIDE)
    lengths = np.where(kept.alive, lengths, 0)
    longest = int(lengths.max(initial=0))
    check_padding(lengths[kept.alive], times.n_neurons, bin_width)
    check_memory(int(kept.alive.sum()), longest, times.n_neurons, bin_width)
    edges = np.zeros((len(starts), longest + 1), np.int64)
    edges[kept.alive] = times.ticks.edges(starts[kept.alive], longest, bin_width)
    return Layout(edges, lengths, spans, times.ticks)


def check_width(bin_width: float, ticks: Ticks) -> None:
    """Raise SettingError if a bin is finer than the resolution of the recording's clock."""
    in_nanoseconds = ticks.per_second >= binning.NANOSECONDS.per_second
    least_ticks = 1 if in_nanoseconds else 100  # with 100 coarse ticks, rounding changes a bin by at most 1 %
    if bin_width >= ticks.length * least_ticks:
        return
    if in_nanoseconds:
        raise SettingError(
            "A bin must be at least a nanosecond wide.",
            f"It was {bin_width:g} s.",
            "Bin widths are seconds; for 5 ms give 0.005.",
        )
    raise SettingError(
        "Times must be seconds, in numbers that resolve the bins.",
        # a tick is at least four times the distance of neighbouring numbers
        f"They lie around {ticks.reference:.3g}, where float64 resolves {ticks.length / 4:.1g} s, and a bin has "
        f"{bin_width:g} s{_scale_of(ticks.reference)}.",
        "Convert the times to seconds, and subtract the first time from all of them.",
    )


def _scale_of(reference: float) -> str:
    """Guess the unit of a clock from a time on it. Return the guess as the end of a sentence, or an empty text."""
    # the year 2026 is at 1.8e9 s
    scales = (("milliseconds", 1e11, 1e13), ("microseconds", 1e13, 1e16), ("nanoseconds", 1e16, 1e19))
    unit = next((name for name, low, high in scales if low <= abs(reference) < high), "")
    return f"; they are probably {unit} since 1970" if unit else ""


def check_memory(n_trials: int, n_bins: int, n_neurons: int, bin_width: float) -> None:
    """Raise SettingError if the counts cannot fit into this machine's memory."""
    needed = n_trials * n_bins * (n_neurons + 16)  # bytes: one for each count, and 16 for edges and mask of a bin
    unknown_memory = 1 << 36  # bytes: 64 GiB, if the system does not state its memory
    has_sysconf = hasattr(os, "sysconf")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if has_sysconf else unknown_memory
    if needed > memory:
        raise SettingError(
            "The counts must fit into memory.",
            f"{n_trials} trials of up to {n_bins:.4g} bins of {bin_width:g} s and {n_neurons} neurons take "
            f"{needed / 1e9:.3g} GB; this machine has {memory / 1e9:.3g} GB.",
            "Give wider bins (5 ms is 0.005), a shorter window, or fewer neurons with --keep or --units.",
        )


def layout_of_counts(
    starts: Float[np.ndarray, " trial"],
    stops: Float[np.ndarray, " trial"],
    bin_spans: Float[np.ndarray, "bin 2"],
    times: Times,
    *,
    factor: int,
    bins: int | None,
    kept: Kept,
) -> Layout:
    """Assign the bins of a recording of counts to trials.

    A whole trial (`bins=None`) has the bins that begin in [start, stop). A window of a fixed number of bins begins with
    the recorded bin whose start is nearest, which is up to half a bin earlier or later. Trials are dropped as in
    `layout_of_spike_times`.

    Args:
        starts: Start of each trial, s.
        stops: End of each trial, s.
        bin_spans: Bins [begin, end) of the recording, s.
        times: Times in which trials may lie.
        factor: Number of bins of the recording in one bin of the trials.
        bins: Number of bins of every trial. `None` gives each trial the bins that begin in [start, stop).
        kept: Trials that are kept so far; this function drops further trials.
    """
    begins = bin_spans[:, 0]
    ends = bin_spans[:, 1]
    n_recorded = len(bin_spans)
    width = float(np.median(ends - begins))
    starts = np.where(kept.alive, starts, 0.0)  # dropped trials may have NaN
    stops = np.where(kept.alive, stops, 0.0)
    slack = binning.SLACK * width
    first = np.searchsorted(begins, starts - slack)  # the first recorded bin that begins in each trial
    if bins is None:
        near = np.ones(len(starts), bool)  # trials whose first recorded bin is near their start
        lengths = (np.searchsorted(begins, stops - slack) - first) // factor
        kept.drop(lengths < 1, SHORT)
    else:
        previous = (first - 1).clip(0)
        following = first.clip(max=n_recorded - 1)
        previous_is_nearer = np.abs(begins[previous] - starts) < np.abs(begins[following] - starts)
        first = np.where(previous_is_nearer, previous, following)
        near = np.abs(begins[first] - starts) <= width / 2 + slack
        lengths = np.full(len(starts), bins)
    near &= first + lengths * factor <= n_recorded  # trials whose bins are all in the recording
    last = (first + lengths * factor - 1).clip(0, n_recorded - 1)
    first = first.clip(0, n_recorded - 1)
    spans = np.stack([begins[first], np.maximum(ends[last], begins[first])], 1)  # empty trials end where they begin
    kept.drop(near & binning.overlapping(spans[:, 0] + slack, spans[:, 1] - slack, times.invalid), INVALID)
    n_gaps_before = np.r_[0, np.cumsum(begins[1:] > ends[:-1])]  # number of gaps in the recording before each bin
    has_gap = n_gaps_before[last] != n_gaps_before[first]
    kept.drop(~near | has_gap, OUTSIDE)
    lengths = np.where(kept.alive, lengths, 0)
    longest = int(lengths.max(initial=0))
    check_padding(lengths[kept.alive], times.n_neurons, width * factor)
    check_memory(len(starts), longest, times.n_neurons, width * factor)
    last_bins = first[:, None] + np.arange(1, longest + 1) * factor - 1  # last recorded bin in each bin of each trial
    edges = np.concatenate([begins[first][:, None], ends[last_bins.clip(max=n_recorded - 1)]], 1)
    return Layout(times.ticks.of(edges), lengths, spans, times.ticks, first, factor)
