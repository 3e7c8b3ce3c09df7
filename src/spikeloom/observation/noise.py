r"""Shared fast noise: neurons fire together within 10 ms more often than their rates predict.

The rate of neuron n in bin t is multiplied by a random factor,

.. math:: r'_{tn} = r_{tn} \exp\Big(\sum_k U_{nk} e_{kt} - \tfrac12 \sum_k U_{nk}^2\Big),

with weights U and a few Gaussian series e of unit variance. Each series is the sum of white noise w over a **box** of
the last L bins, :math:`e_t = \sum_{j<L} w_{t-j} / \sqrt L`, so its correlation :math:`\rho` falls linearly to 0 over
the 10 ms of the box. The factors have mean 1 and keep the mean rate. Bins wider than two boxes do not resolve the box;
with them there is no noise, and the rates alone explain the covariance within a bin.

**Fit by moment matching.** For each pair of neurons let D(lag) be the covariance of the recorded counts about their
mean at each time of the trial, minus that of counts simulated without noise. Noise of covariance
:math:`c(\mathrm{lag}) = \rho(\mathrm{lag}) U U^\top` adds :math:`E[r_i r_j] (e^{c_{ij}} - 1)`, which is about
proportional to :math:`\rho`. So D is regressed on :math:`\rho` and a constant. The constant stands for covariance that
is slower than the box and belongs to the rates.

The coefficient of a single pair has an error larger than its value, but the matrix of all N neurons has a few
significant directions. It is scaled to units in which the sampling error s of every pair is the same. Eigenvalues
below :math:`\epsilon \approx 2 s \sqrt N` can come from errors alone and are set to 0; each other eigenvalue
:math:`\lambda` is shrunk to :math:`\sqrt{\lambda^2 - \epsilon^2}`. With few trials there are few directions, or none.
The regression is only approximate, so counts are then simulated with the noise, the covariance that is still missing
is added, and the reduction is repeated.
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
"""Largest variance of one neuron's noise. The fit to a neuron with few spikes could give a much larger variance."""

LAGS_BEYOND = 4
"""Number of lags beyond the box that are used to estimate slower covariance."""

ROUNDS = 3
"""Rounds of simulating and fitting."""

COPIES = 2
"""Simulations averaged per round."""


@final
class SharedNoise(Noise):
    """Fast noise shared by neurons; the module has the formula.

    Args:
        duration: Length of the box, s. If it is shorter than half a bin, there is no noise.
        rank: Number of series, that is the largest number of directions of the covariance of the noise.

    Raises:
        SettingError: if `duration` is not above 0 or `rank` is below 1.
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
        """Set the number of bins of the box, and make the weights; see `Noise.build`."""
        self.box_bins = math.floor(self.duration / bin_width + 0.5 + 1e-9)  # rounded; a box of half a bin becomes one
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
        """Number of lags (0, 1, ... bins) at which the noise adds covariance."""
        return self.box_bins

    # --- fitting ---------------------------------------------------------------------------------------------------

    def fit(self, trials: Trials, rates: TrialRates, mask: TrialMask, simulate: Callable[[int], TrialCounts]) -> None:
        """Fit the weights to covariances at short lags, data minus simulation; see the module and `Noise.fit`.

        The weights stay 0 with fewer than two trials or two lags.
        """
        self.weights.zero_()
        lags = self._lags(min(trials.n_bins, rates.shape[1]))
        if not self.box_bins or min(len(trials), len(rates)) < 2 or len(lags) < 2:
            return
        mean = trials.counts.sum((0, 1)) / trials.n_valid_bins
        root = np.sqrt(np.maximum(mean, 1e-6))  # of each neuron's mean count
        lag_weight, relative_error = lag_weights(lags, box_correlation(lags, self.box_bins))
        recorded = summed_covariance(trials.counts, trials.mask, lags, lag_weight)
        # A covariance of counts divided by E[r_i r_j] is a covariance of the noise. It is multiplied by the roots of
        # both mean counts, which makes the sampling error of every pair about the same.
        valid = rates[mask]  # (bin, neuron)
        unit = np.outer(root, root) / np.maximum(valid.T @ valid / len(valid), 1e-12)
        # In these units a covariance over n bins has a standard error of variance / mean / sqrt(n). The errors of
        # recorded and simulated counts are independent.
        variance_over_mean = float(np.mean(variances(trials.counts, trials.mask) / root**2))
        error = relative_error * variance_over_mean * math.sqrt(1 / trials.n_valid_bins + 1 / (COPIES * mask.sum()))
        for number in range(ROUNDS):
            simulated = np.zeros_like(recorded)
            for copy in range(COPIES):
                simulated += summed_covariance(simulate(COPIES * number + copy), mask, lags, lag_weight) / COPIES
            self._add((recorded - simulated) * unit, error, root)

    def _add(self, missing: NDArray[np.float64], error: float, root: NDArray[np.float64]) -> None:
        """Add missing covariance to the covariance of the present weights, and reduce the sum to few directions.

        Args:
            missing: Covariance (neuron, neuron) that the present noise lacks, times the roots of both mean counts.
            error: Standard error of the entries of `missing`.
            root: Square root of each neuron's mean count.
        """
        scaled = self.weights.double().cpu().numpy() * root[:, None]
        weights = low_rank(scaled @ scaled.T + missing, rank=self.rank, error=error) / root[:, None]
        self.weights.copy_(torch.from_numpy(weights))
        excess = (self.variance() / LARGEST_VARIANCE).clamp(min=1).sqrt()  # 1 for neurons within the limit
        self.weights /= excess[:, None]

    def _lags(self, n_bins: int) -> NDArray[np.int64]:
        """Return the lags of the box and `LAGS_BEYOND` further lags; only lags that trials of `n_bins` bins have."""
        return np.arange(min(max(1, self.box_bins) + LAGS_BEYOND, n_bins))


def box_correlation(lags: NDArray[np.int64], bins: int) -> NDArray[np.float64]:
    """Return the correlation of box sums of white noise at these lags: 1 at lag 0, falling linearly to 0 at `bins`."""
    return (1 - lags / bins).clip(min=0)


def box_series(
    white: Float[NDArray[np.float64], "batch time rank"], earlier: Float[NDArray[np.float64], "batch _ rank"], bins: int
) -> tuple[Float[NDArray[np.float64], "batch time rank"], Float[NDArray[np.float64], "batch _ rank"]]:
    """Return the series e of a piece of each trial: sums of white noise over a box, scaled to unit variance.

    At the beginning of a trial the box holds fewer values, and the sum of these values is scaled to unit variance.

    Args:
        white: White noise of the piece (trial, time, rank).
        earlier: The last values of white noise before the piece; empty (no bins) at the beginning of a trial.
        bins: Number of bins of the box.

    Returns:
        The series (trial, time, rank), and the last values of white noise, which are `earlier` for the next piece.
    """
    joined = np.concatenate((earlier, white), 1)
    n_joined = joined.shape[1]
    n_bins = white.shape[1]
    total = joined.copy()
    for lag in range(1, min(bins, n_joined)):
        total[:, lag:] += joined[:, :-lag]
    n_values = np.minimum(np.arange(1, n_joined + 1), bins)  # number of values in the box of each bin
    last_values = joined[:, max(0, n_joined - bins + 1) :]
    return (total / np.sqrt(n_values)[:, None])[:, n_joined - n_bins :], last_values
