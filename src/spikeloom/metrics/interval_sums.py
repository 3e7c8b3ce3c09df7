"""Sums over interspike intervals, per trial and neuron; means and deviations follow for any choice of trials."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikeloom.metrics.arrays import Numbers, ratio
from spikeloom.shapes import TrialCounts

MOST_SPIKES = 20_000_000
"""Spikes that are laid out one by one; of more, intervals are summed bin by bin, so that memory stays flat."""


@dataclass(frozen=True, eq=False)
class IntervalSums:
    """Number of intervals, their sum (s) and sum of squares (s^2), each (trial, neuron)."""

    number: Numbers
    total: Numbers
    squares: Numbers

    def pooled(self, weight: Numbers | None = None) -> tuple[Numbers, Numbers, Numbers]:
        """Number, mean (s) and standard deviation (s, ddof 0) of each neuron's intervals; NaN where there are none.

        Args:
            weight: How often each trial counts (trial,); once if absent.
        """
        weight = np.ones(len(self.number)) if weight is None else weight
        number, total, squares = (weight @ part for part in (self.number, self.total, self.squares))
        mean = ratio(total, number)
        return number, mean, np.sqrt(np.maximum(0, ratio(squares, number) - mean**2))


def interval_sums(counts: TrialCounts, bin_width: float, *, spread: bool) -> IntervalSums:
    """Sums over the intervals of every trial and neuron.

    Args:
        counts: (trial, time, neuron); padding is zero.
        bin_width: In seconds.
        spread: Spread the spikes of a bin evenly inside it (LDNS protocol), instead of one event per non-empty bin.
    """
    trials, time, neurons = counts.shape
    rows = np.ascontiguousarray(
        counts.transpose(2, 0, 1)
    )  # each neuron's trials in a row, so that one pass orders events
    flat = np.flatnonzero(rows)
    row, place = np.divmod(flat, max(time, 1))
    position = place.astype(np.float64)
    if spread and int(counts.sum(dtype=np.int64)) > MOST_SPIKES:
        return _spread_sums(row, place, rows.ravel()[flat].astype(np.float64), bin_width, (neurons, trials))
    if spread:
        many = rows.ravel()[flat].astype(np.int64)
        first = np.repeat(np.cumsum(many) - many, many)
        row, position, many = np.repeat(row, many), np.repeat(position, many), np.repeat(many, many)
        position = position + (np.arange(len(row)) - first + 1) / (many + 1)
    same = row[1:] == row[:-1]
    interval, row = np.diff(position)[same] * bin_width, row[1:][same]

    def add(weights: Numbers | None) -> Numbers:
        return np.bincount(row, weights, minlength=neurons * trials).reshape(neurons, trials).T.astype(np.float64)

    return IntervalSums(add(None), add(interval), add(interval**2))


def _spread_sums(
    row: NDArray[np.int64], place: NDArray[np.int64], many: Numbers, bin_width: float, shape: tuple[int, int]
) -> IntervalSums:
    """The same sums for spikes spread evenly inside their bins, in closed form.

    A bin with c spikes has c - 1 intervals of 1 / (c + 1) bins; the interval to the next bin with spikes runs from
    the last spike, c / (c + 1) into this bin, to the first one, 1 / (c' + 1) into the other.
    """
    same = row[1:] == row[:-1]
    across = (np.diff(place) + 1 / (many[1:] + 1) - many[:-1] / (many[:-1] + 1))[same] * bin_width
    inside = bin_width / (many + 1)

    def add(between: Numbers | None, within: Numbers) -> Numbers:
        size = shape[0] * shape[1]
        total = np.bincount(row[1:][same], between, minlength=size) + np.bincount(row, within, minlength=size)
        return total.reshape(shape).T.astype(np.float64)

    return IntervalSums(add(None, many - 1), add(across, (many - 1) * inside), add(across**2, (many - 1) * inside**2))
