"""Moments: statistics of counts that an observation model must reproduce.

Counts are simulated with the model, the moments of simulated and recorded counts are compared, and the model's
statistics are corrected by the difference.
"""

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
        repeats: Frequency of a second spike after a lag (lag, neuron), lag 1 first: the fraction of all pairs of bins
            at this distance in which both bins hold a spike.
        bins: Number of valid bins from which the fractions were computed.
    """

    mean: Float[np.ndarray, " neuron"]
    several: Float[np.ndarray, " neuron"]
    repeats: Float[np.ndarray, "lag neuron"]
    bins: int

    @classmethod
    def of(cls, counts: TrialCounts, mask: TrialMask, lags: int) -> "Moments":
        """Compute the moments of the valid bins.

        Most bins hold no spike. Therefore only the entries with a spike are visited, as positions in the flattened
        array.

        Args:
            counts: Counts (trial, time, neuron).
            mask: Valid bins.
            lags: Largest lag of `repeats`, bins.
        """
        n_bins, n_neurons = counts.shape[1:]
        n_valid = int(mask.sum())
        fired = (counts > 0) & mask[..., None]
        entries = np.flatnonzero(fired)
        # number of spikes, neuron and bin of each of these entries
        n_spikes = counts.reshape(-1)[entries]
        neuron = entries % n_neurons
        time = entries // n_neurons % n_bins
        total = np.bincount(neuron, n_spikes, n_neurons)
        several = np.bincount(neuron[n_spikes >= 2], minlength=n_neurons) / n_valid
        flat_fired = fired.reshape(-1)
        repeats = np.zeros((lags, n_neurons))
        for lag in range(1, min(lags, n_bins - 1) + 1):
            early = entries[time < n_bins - lag]  # spikes that are followed by a bin at this lag
            repeated = early[flat_fired[early + lag * n_neurons]]  # spikes after which this bin holds a spike, too
            n_pairs = max(1, int(mask[:, lag:].sum()))
            repeats[lag - 1] = np.bincount(repeated % n_neurons, minlength=n_neurons) / n_pairs
        return cls(total / n_valid, several, repeats, n_valid)
