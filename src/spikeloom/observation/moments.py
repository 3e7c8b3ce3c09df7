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
        n_bins, n_neurons = counts.shape[1:]
        n_valid = int(mask.sum())
        fired = (counts > 0) & mask[..., None]
        entries = np.flatnonzero(fired)  # most bins hold no spike
        number = counts.reshape(-1)[entries]
        neuron = entries % n_neurons
        total = np.bincount(neuron, number, n_neurons)
        several = np.bincount(neuron[number >= 2], minlength=n_neurons) / n_valid
        flat = fired.reshape(-1)
        time = entries // n_neurons % n_bins
        repeats = np.zeros((lags, n_neurons))
        for lag in range(1, min(lags, n_bins - 1) + 1):
            early = entries[time < n_bins - lag]
            both = early[flat[early + lag * n_neurons]]
            repeats[lag - 1] = np.bincount(both % n_neurons, minlength=n_neurons) / max(1, int(mask[:, lag:].sum()))
        return cls(total / n_valid, several, repeats, n_valid)
