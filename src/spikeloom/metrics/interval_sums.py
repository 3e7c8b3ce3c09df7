"""Sums over interspike intervals, per trial and neuron, from which means and deviations of any trials follow."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikeloom.metrics.arrays import ratio
from spikeloom.shapes import Numbers, TrialCounts

MOST_SPIKES = 20_000_000
"""Largest number of spikes that are listed singly; beyond it, intervals are summed per bin to save memory."""


@dataclass(frozen=True, eq=False)
class IntervalSums:
    """Number of intervals, their sum (s) and sum of squares (s^2), each (trial, neuron)."""

    number: Numbers
    total: Numbers
    squares: Numbers

    def pooled(self, weight: Numbers | None = None) -> tuple[Numbers, Numbers, Numbers]:
        """Return number, mean (s) and standard deviation (s, ddof 0) of each neuron's intervals; NaN without intervals.

        Args:
            weight: Number of times that each trial counts (trial,); 1 if absent.
        """
        weight = np.ones(len(self.number)) if weight is None else weight
        number, total, squares = (weight @ part for part in (self.number, self.total, self.squares))
        mean = ratio(total, number)
        return number, mean, np.sqrt(np.maximum(0, ratio(squares, number) - mean**2))


def interval_sums(counts: TrialCounts, bin_width: float, *, spread: bool) -> IntervalSums:
    """Compute the sums over the intervals of every trial and neuron.

    Args:
        counts: Spike counts (trial, time, neuron); padding is zero.
        bin_width: Bin width in seconds.
        spread: Spread the spikes of a bin evenly inside it (LDNS protocol), instead of one event per non-empty bin.
    """
    trials, time, neurons = counts.shape
    rows = np.ascontiguousarray(
        counts.transpose(2, 0, 1)
    )  # the trials of a neuron are contiguous, so one pass orders events
    flat = np.flatnonzero(rows)
    row, bins = np.divmod(flat, max(time, 1))
    position = bins.astype(np.float64)
    if spread and int(counts.sum(dtype=np.int64)) > MOST_SPIKES:
        return _spread_sums(row, bins, rows.ravel()[flat].astype(np.float64), bin_width, (neurons, trials))
    if spread:
        spikes = rows.ravel()[flat].astype(np.int64)
        first = np.repeat(np.cumsum(spikes) - spikes, spikes)
        row = np.repeat(row, spikes)
        position = np.repeat(position, spikes)
        spikes = np.repeat(spikes, spikes)
        position = position + (np.arange(len(row)) - first + 1) / (spikes + 1)
    same = row[1:] == row[:-1]
    interval = np.diff(position)[same] * bin_width
    row = row[1:][same]

    def add(weights: Numbers | None) -> Numbers:
        return np.bincount(row, weights, minlength=neurons * trials).reshape(neurons, trials).T.astype(np.float64)

    return IntervalSums(add(None), add(interval), add(interval**2))


def _spread_sums(
    row: NDArray[np.int64], bins: NDArray[np.int64], spikes: Numbers, bin_width: float, shape: tuple[int, int]
) -> IntervalSums:
    """Compute the same sums for spikes spread evenly inside their bins, in closed form.

    A bin with c spikes has c - 1 intervals of 1 / (c + 1) bins; the interval to the next bin with spikes runs from
    the last spike, c / (c + 1) into this bin, to the first one, 1 / (c' + 1) into the other.
    """
    same = row[1:] == row[:-1]
    across = (np.diff(bins) + 1 / (spikes[1:] + 1) - spikes[:-1] / (spikes[:-1] + 1))[same] * bin_width
    inside = bin_width / (spikes + 1)

    def add(between: Numbers | None, within: Numbers) -> Numbers:
        size = shape[0] * shape[1]
        total = np.bincount(row[1:][same], between, minlength=size) + np.bincount(row, within, minlength=size)
        return total.reshape(shape).T.astype(np.float64)

    return IntervalSums(
        add(None, spikes - 1), add(across, (spikes - 1) * inside), add(across**2, (spikes - 1) * inside**2)
    )
