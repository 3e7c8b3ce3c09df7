"""Where the bins of each trial lie on the recording's clock, and which trials have none.

A trial begins at a start b and has L bins. With spike times, its edges are b + k w. With binned counts, its bins are
bins of the recording, and the edges are the times of those. A trial whose bins are not all observed is dropped.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int64
from numpy.typing import NDArray

from spikeloom.data import binning

OUTSIDE = "they leave the times observed"
SHORT = "they are shorter than one bin"


@dataclass
class Kept:
    """Which of the trials are still in, and why the others are not."""

    total: int
    alive: NDArray[np.bool_] = field(init=False)
    dropped: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.alive = np.ones(self.total, bool)

    def drop(self, bad: Bool[np.ndarray, " trial"], why: str) -> None:
        """Leave out the bad ones; a trial is counted under its first reason only."""
        if number := int((bad & self.alive).sum()):
            self.dropped[why] = self.dropped.get(why, 0) + number
            self.alive &= ~bad

    @property
    def rows(self) -> NDArray[np.int64]:
        """Trials still in, by their number in the trial table."""
        return np.flatnonzero(self.alive)

    def reasons(self) -> str:
        """Such as "3 because they leave the times observed, 1 because of no value of condition 'angle'"."""
        return ", ".join(f"{number} because {why}" for why, number in self.dropped.items())


@dataclass(frozen=True)
class Layout:
    """Bins of every trial; those of dropped trials mean nothing and have length 0.

    Args:
        edges: Nanoseconds (trial, time + 1).
        lengths: Bins of each trial.
        first: Number of each trial's first bin among the recording's own, where it has any.
        factor: How many of the recording's bins make one bin of the trials.
    """

    edges: binning.Edges
    lengths: Int64[np.ndarray, " trial"]
    first: Int64[np.ndarray, " trial"] | None = None
    factor: int = 1


def lay_on_spikes(
    starts: Float[np.ndarray, " trial"],
    stops: Float[np.ndarray, " trial"],
    bin_width: float,
    intervals: Float[np.ndarray, "interval 2"],
    *,
    bins: int | None,
    kept: Kept,
) -> Layout:
    """Bins of trials from start to stop in seconds: so many (a window), or as many as fit (None).

    Drops those that are shorter than a bin or leave the observed intervals.
    """
    starts, stops = (np.where(kept.alive, times, 0.0) for times in (starts, stops))
    lengths = binning.bins_between(starts, stops, bin_width) if bins is None else np.full(len(starts), bins)
    kept.drop(lengths < 1, SHORT)
    inside = binning.covered(starts, starts + lengths * bin_width, intervals, slack=binning.SLACK * bin_width)
    kept.drop(~inside, OUTSIDE)
    lengths = np.where(kept.alive, lengths, 0)
    return Layout(binning.bin_edges(starts, int(lengths.max(initial=0)), bin_width), lengths)


def lay_on_bins(
    starts: Float[np.ndarray, " trial"],
    stops: Float[np.ndarray, " trial"],
    own: Float[np.ndarray, "bin 2"],
    *,
    factor: int,
    bins: int | None,
    kept: Kept,
) -> Layout:
    """Bins of trials among the recording's own bins, each [begin, end) in seconds, `factor` of which make one.

    A whole trial (bins=None) has the bins that begin in [start, stop). A window of so many bins begins with the bin
    that begins nearest, so its alignment is good to half a bin; no closer one exists.
    """
    begins, ends, count = own[:, 0], own[:, 1], len(own)
    width = float(np.median(ends - begins))
    starts, stops = (np.where(kept.alive, at, 0.0) for at in (starts, stops))
    slack = binning.SLACK * width
    first = np.searchsorted(begins, starts - slack)
    if bins is None:
        near = np.ones(len(starts), bool)
        lengths = (np.searchsorted(begins, stops - slack) - first) // factor
        kept.drop(lengths < 1, SHORT)
    else:
        before, after = (first - 1).clip(0), first.clip(max=count - 1)
        first = np.where(np.abs(begins[before] - starts) < np.abs(begins[after] - starts), before, after)
        near = np.abs(begins[first] - starts) <= width / 2 + slack
        lengths = np.full(len(starts), bins)
    near &= first + lengths * factor <= count
    first, last = (index.clip(0, count - 1) for index in (first, first + lengths * factor - 1))
    gaps = np.r_[0, np.cumsum(begins[1:] > ends[:-1])]
    kept.drop(~(near & (gaps[last] == gaps[first])), OUTSIDE)
    lengths = np.where(kept.alive, lengths, 0)
    place = first[:, None] + np.arange(1, int(lengths.max(initial=0)) + 1) * factor - 1
    edges = np.concatenate([begins[first][:, None], ends[place.clip(max=count - 1)]], 1)
    return Layout(binning.nanoseconds(edges), lengths, first, factor)
