"""Sums over the interspike intervals of each trial and neuron. They give the mean and sd of intervals of any trials."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikeloom.metrics.arrays import ratio
from spikeloom.shapes import Numbers, TrialCounts

MOST_SPIKES = 20_000_000
"""Largest number of spikes that are listed singly. With more spikes, intervals are summed per bin to save memory."""


@dataclass(frozen=True, eq=False)
class IntervalSums:
    """Number of intervals, their sum (s) and sum of squares (s^2), each (trial, neuron)."""

    number: Numbers
    total: Numbers
    squares: Numbers

    def pooled(self, weight: Numbers | None = None) -> tuple[Numbers, Numbers, Numbers]:
        """Return the number, mean (s) and standard deviation (s) of each neuron's intervals; NaN without intervals.

        Args:
            weight: Number of times that each trial is included (trial,). Default: once.
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
    n_trials, n_bins, n_neurons = counts.shape
    # A row is one trial of one neuron. Rows lie one after the other in memory, so one pass finds all events in order.
    by_row = np.ascontiguousarray(counts.transpose(2, 0, 1))
    flat = np.flatnonzero(by_row)
    row, bins = np.divmod(flat, max(n_bins, 1))
    position = bins.astype(np.float64)  # time of an event, in bins
    if spread and int(counts.sum(dtype=np.int64)) > MOST_SPIKES:
        return _spread_sums(row, bins, by_row.ravel()[flat].astype(np.float64), bin_width, (n_neurons, n_trials))
    if spread:
        spikes = by_row.ravel()[flat].astype(np.int64)
        first_of_bin = np.repeat(np.cumsum(spikes) - spikes, spikes)  # index of the first spike in the same bin
        row = np.repeat(row, spikes)
        position = np.repeat(position, spikes)
        spikes = np.repeat(spikes, spikes)
        position = position + (np.arange(len(row)) - first_of_bin + 1) / (spikes + 1)
    same_row = row[1:] == row[:-1]
    interval = np.diff(position)[same_row] * bin_width
    row = row[1:][same_row]

    def summed(values: Numbers | None) -> Numbers:
        """Return the sum of values over the intervals of each row (trial, neuron); None counts each interval once."""
        sums = np.bincount(row, values, minlength=n_neurons * n_trials)
        return sums.reshape(n_neurons, n_trials).T.astype(np.float64)

    return IntervalSums(summed(None), summed(interval), summed(interval**2))


def _spread_sums(
    row: NDArray[np.int64], bins: NDArray[np.int64], spikes: Numbers, bin_width: float, shape: tuple[int, int]
) -> IntervalSums:
    """Compute the sums of `interval_sums` for spikes spread evenly inside their bins, in closed form.

    A bin with c spikes has c - 1 intervals of 1 / (c + 1) bins. The interval to the next bin with spikes begins at the
    last spike, c / (c + 1) into this bin, and ends at the first spike of the next bin, 1 / (c' + 1) into that bin.

    Args:
        row: Trial of a neuron to which each non-empty bin belongs, counted over neurons, then trials (bin,).
        bins: Bin of the trial (bin,).
        spikes: Spikes of the bin (bin,).
        bin_width: Bin width in seconds.
        shape: Number of neurons and of trials.
    """
    same_row = row[1:] == row[:-1]
    across = (np.diff(bins) + 1 / (spikes[1:] + 1) - spikes[:-1] / (spikes[:-1] + 1))[same_row] * bin_width
    inside = bin_width / (spikes + 1)

    def summed(across_bins: Numbers | None, inside_bins: Numbers) -> Numbers:
        """Return the sum of both kinds of intervals over each row (trial, neuron).

        Args:
            across_bins: Value of each interval that ends in a later bin; None counts each interval once.
            inside_bins: Sum of the values of the intervals inside each bin (bin,).
        """
        size = shape[0] * shape[1]
        total = np.bincount(row[1:][same_row], across_bins, minlength=size) + np.bincount(
            row, inside_bins, minlength=size
        )
        return total.reshape(shape).T.astype(np.float64)

    number = summed(None, spikes - 1)
    total = summed(across, (spikes - 1) * inside)
    squares = summed(across**2, (spikes - 1) * inside**2)
    return IntervalSums(number, total, squares)
