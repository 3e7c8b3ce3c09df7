"""Sums over interspike intervals, per trial and neuron; means and deviations follow for any choice of trials."""

from dataclasses import dataclass

import numpy as np

from spikeloom.metrics.arrays import Numbers, ratio
from spikeloom.shapes import TrialCounts


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
