r"""Shared fast noise: neurons fire together within 10 ms more often than their rates predict,

.. math:: r'_{tn} = r_{tn} \exp\Big(\sum_k U_{nk} e_{kt} - \tfrac12 \sum_k U_{nk}^2\Big),

with Gaussian series e of unit variance whose correlation over lags is a triangle of 10 ms, because each is the mean of
white noise over a **box** of L bins, :math:`e_t = \sum_{j<L} w_{t-j} / \sqrt L`. Noise keeps the mean rate. Bins wider
than two boxes do not resolve the box. Then there is no noise, and the rates alone explain what neurons share within a
bin.

**Fit by moment matching.** Let D(lag) be the covariance of the counts about their mean at each time of the trial, data
minus simulation. Noise of covariance :math:`c(\mathrm{lag}) = \rho(\mathrm{lag}) U U^\top` adds
:math:`E[r_i r_j] (e^{c_{ij}} - 1)`. So D is regressed on :math:`\rho` and a constant. The constant stands for
covariance that is slower than the box and belongs to the rates. A single coefficient has an error larger than its
value, but together they have a few significant directions. In units in which the sampling error s of every pair is the
same, eigenvalues below :math:`\epsilon \approx 2 s \sqrt N` come from errors alone, and the others are shrunk to
:math:`\sqrt{\lambda^2 - \epsilon^2}`. With few trials there are few directions, or none. Then trials are simulated
with the noise, the remaining difference is added, and the fit is repeated.
"""

import math
from collections.abc import Callable
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from spikeloom.errors import SettingError
from spikeloom.observation.covariance import lag_weights, low_rank, summed_covariance, variances
from spikeloom.observation.links import array
from spikeloom.observation.slots import Memory, Noise, Numbers, PerNeuron
from spikeloom.shapes import TrialCounts, TrialMask, TrialRates
from spikeloom.trials import Trials

LARGEST_VARIANCE = 1.0
"""Largest variance of one neuron's noise. The covariances of a neuron with few spikes may give a much larger one."""

LAGS_BEYOND = 4
"""Number of lags beyond the box at which slower covariance is measured."""

ROUNDS = 3
"""Rounds of simulating and fitting."""

COPIES = 2
"""Simulations averaged per round."""


@final
class SharedNoise(Noise):
    """Fast noise shared by neurons.

    Args:
        duration: Length of the box in seconds; there is no box if this is shorter than half a bin.
        rank: Largest number of directions along which the noise moves the neurons.
    """

    weights: Tensor  # U (neuron, rank)

    def __init__(self, *, duration: float = 0.01, rank: int = 8) -> None:
        super().__init__()
        if duration <= 0 or rank < 1:
            raise SettingError(
                "SharedNoise needs a duration > 0 and a rank >= 1.",
                f"It got duration={duration}, rank={rank}.",
                "The defaults are a box of 0.01 s and rank 8.",
            )
        self.duration = duration
        self.rank = rank

    def build(self, n_neurons: int, bin_width: float) -> None:
        """Choose the bins of the box, and make the weights; see `Noise.build`."""
        self.box_bins = math.floor(self.duration / bin_width + 0.5 + 1e-9)  # half a bin is rounded up to one
        self.n_numbers = self.rank if self.box_bins else 0
        self.register_buffer("weights", torch.zeros(n_neurons, self.n_numbers))

    def series(self, white: Float[NDArray[np.float64], "batch time number"], memory: Memory) -> Numbers:
        """Return the noise of a piece of each trial, continued from the memory; see `Noise.series`."""
        if self.box_bins:
            white, memory["noise"] = box_series(white, memory.get("noise", white[:, :0]), self.box_bins)
        return white @ array(self.weights).T

    def variance(self) -> PerNeuron:
        """Return the variance of each neuron's noise."""
        return (self.weights**2).sum(1)

    @property
    def shared_bins(self) -> int:
        """Number of lags, in bins, at which the noise adds covariance."""
        return self.box_bins

    # --- fitting ---------------------------------------------------------------------------------------------------

    def fit(self, trials: Trials, rates: TrialRates, mask: TrialMask, simulate: Callable[[int], TrialCounts]) -> None:
        """Fit the weights to covariances at short lags, data minus simulation; see `Noise.fit`."""
        self.weights.zero_()
        lags = self._lags(min(trials.n_bins, rates.shape[1]))
        if not self.box_bins or min(len(trials), len(rates)) < 2 or len(lags) < 2:
            return
        mean = trials.counts.sum((0, 1)) / trials.n_valid_bins
        root = np.sqrt(np.maximum(mean, 1e-6))
        weights, uncertainty = lag_weights(lags, box_correlation(lags, self.box_bins))
        recorded = summed_covariance(trials.counts, trials.mask, lags, weights)
        # Rows and columns are weighted so that the sampling error of every pair is about the same.
        valid = rates[mask]
        unit = np.outer(root, root) / np.maximum(valid.T @ valid / len(valid), 1e-12)
        spread = float(np.mean(variances(trials.counts, trials.mask) / root**2))  # of a count, in units of its mean
        error = uncertainty * spread * math.sqrt(1 / trials.n_valid_bins + 1 / (COPIES * mask.sum()))
        for number in range(ROUNDS):
            simulated = np.zeros_like(recorded)
            for copy in range(COPIES):
                simulated += summed_covariance(simulate(COPIES * number + copy), mask, lags, weights) / COPIES
            self._add((recorded - simulated) * unit, error, root)

    def _add(self, fitted: NDArray[np.float64], error: float, root: NDArray[np.float64]) -> None:
        """Add the remaining covariance to that of the weights, and reduce the sum to few directions."""
        old = self.weights.double().cpu().numpy() * root[:, None]
        new = low_rank(old @ old.T + fitted, rank=self.rank, error=error) / root[:, None]
        self.weights.copy_(torch.from_numpy(new))
        excess = (self.variance() / LARGEST_VARIANCE).clamp(min=1).sqrt()
        self.weights /= excess[:, None]

    def _lags(self, time: int) -> NDArray[np.int64]:
        """Return the lags of the box and a few beyond it."""
        return np.arange(min(max(1, self.box_bins) + LAGS_BEYOND, time))


def box_correlation(lags: NDArray[np.int64], bins: int) -> NDArray[np.float64]:
    """Return the correlation of box means of white noise at these lags, bins."""
    return (1 - lags / bins).clip(min=0)


def box_series(
    white: Float[NDArray[np.float64], "batch time rank"], before: Float[NDArray[np.float64], "batch _ rank"], bins: int
) -> tuple[Float[NDArray[np.float64], "batch time rank"], Float[NDArray[np.float64], "batch _ rank"]]:
    """Return the box means of a piece of white noise, of unit variance, and the state for the next piece.

    At the beginning of a trial there are fewer values, and the sum of these is scaled to unit variance.

    Args:
        white: White noise of the piece (trial, time, rank).
        before: State after the piece before; empty (no bins) at the beginning of a trial.
        bins: Number of bins of the box.
    """
    joined = np.concatenate((before, white), 1)
    time = white.shape[1]
    total = joined.copy()
    for lag in range(1, min(bins, joined.shape[1])):
        total[:, lag:] += joined[:, :-lag]
    n_values = np.minimum(np.arange(1, joined.shape[1] + 1), bins)
    keep = joined[:, max(0, joined.shape[1] - bins + 1) :]
    return (total / np.sqrt(n_values)[:, None])[:, joined.shape[1] - time :], keep
