"""Moments: statistics of counts to which simulations of an observation model are matched."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from spikeloom.shapes import TrialCounts, TrialMask


@dataclass(frozen=True, eq=False)
class Moments:
    """Statistics of each neuron's counts that simulated and recorded trials must share.

    Args:
        mean: Mean count, spikes/bin.
        several: Fraction of bins that hold two spikes or more.
        repeats: Fraction of pairs of bins at each lag (lag, neuron), lag 1 first, of which both hold a spike.
        bins: Number of bins that were counted.
    """

    mean: Float[np.ndarray, " neuron"]
    several: Float[np.ndarray, " neuron"]
    repeats: Float[np.ndarray, "lag neuron"]
    bins: int

    @classmethod
    def of(cls, counts: TrialCounts, mask: TrialMask, lags: int) -> "Moments":
        """Compute the moments of the valid bins, at lags 1 to `lags`."""
        bins = int(mask.sum())
        valid = np.where(mask[..., None], counts, 0).astype(np.float32)
        fired = np.minimum(valid, 1)
        repeats = np.zeros((lags, counts.shape[2]))
        for lag in range(1, min(lags, counts.shape[1] - 1) + 1):
            pairs = max(1, int(mask[:, lag:].sum()))
            repeats[lag - 1] = np.einsum("btn,btn->n", fired[:, lag:], fired[:, :-lag]) / pairs
        several = (valid >= 2).sum((0, 1)) / bins
        return cls(valid.sum((0, 1), dtype=np.float64) / bins, several, repeats, bins)
