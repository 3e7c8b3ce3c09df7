r"""Shared fast noise: neurons fire together within 10 ms more often than their rates predict,

.. math:: r'_{tn} = r_{tn} \exp\Big(\sum_k U_{nk} e_{kt} - \tfrac12 \sum_k U_{nk}^2\Big),

with Gaussian series e of unit variance. Their correlation over lags is that of a **box** of 10 ms, and of slower series
if these are enabled; see `observation.components`. Noise keeps the mean rate. Bins wider than two boxes do not resolve
the box. Then there is no noise, and the rates alone explain what neurons share within a bin.

**Fit by moment matching.** Let D(lag) be the covariance of the counts about their mean at each time of the trial, data
minus simulation. Noise of covariance :math:`c(\mathrm{lag}) = \sum \rho(\mathrm{lag}) U U^\top` adds
:math:`E[r_i r_j] (e^{c_{ij}} - 1)`. So D is regressed on the :math:`\rho` and a constant. The constant stands for
covariance that is slower than every component and belongs to the rates. A single coefficient has an error larger than
its value, but together they have a few significant directions. In units in which the sampling error s of every pair is
the same, eigenvalues below
:math:`\epsilon \approx 2 s \sqrt N` come from errors alone, and the others are shrunk to
:math:`\sqrt{\lambda^2 - \epsilon^2}`. With few trials there are few directions, or none. Then trials are simulated with
the noise, the remaining difference is added, and the fit is repeated.
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
from spikeloom.observation.components import Box, Component, Decay
from spikeloom.observation.covariance import lagged, low_rank, regressed
from spikeloom.observation.slots import Memory, Noise, PerNeuron, Real
from spikeloom.shapes import TrialCounts, TrialMask, TrialRates
from spikeloom.trials import Trials

LARGEST_VARIANCE = 1.0
"""Largest variance of one neuron's noise. The covariances of a neuron with few spikes may give a much larger one."""

SLOWER_LAGS = 4
"""Number of lags beyond the box at which slower covariance is measured."""

ROUNDS = 3
"""Rounds of simulating and fitting."""

COPIES = 2
"""Simulations averaged per round."""


@final
class SharedNoise(Noise):
    """Fast noise shared by neurons.

    Args:
        duration: Length of the box in seconds; there is no box where it is shorter than half a bin.
        rank: Largest number of directions along which the box moves the neurons.
        slow: Slower noise, pairs of time constant (s) and rank; none by default.
    """

    weights: Tensor  # U (neuron, rank), the box's directions first

    def __init__(self, *, duration: float = 0.01, rank: int = 8, slow: tuple[tuple[float, int], ...] = ()) -> None:
        super().__init__()
        if duration <= 0 or rank < 1 or any(seconds <= 0 or number < 1 for seconds, number in slow):
            raise SettingError(
                "SharedNoise needs durations > 0 and ranks >= 1.",
                f"It got duration={duration}, rank={rank}, slow={slow}.",
                "The defaults are a box of 0.01 s and rank 8.",
            )
        self.duration = duration
        self.rank = rank
        self.slow = tuple(slow)

    def build(self, n_neurons: int, bin_width: float) -> None:
        """Choose the components that the bins resolve, and make the weights; see `Noise.build`."""
        self.box_bins = math.floor(self.duration / bin_width + 0.5 + 1e-9)  # half a bin is rounded up to one
        box = [Box(self.box_bins, self.rank)] if self.box_bins else []
        slow = [Decay(math.exp(-bin_width / seconds), number) for seconds, number in self.slow]
        self.components: list[Component] = [*box, *slow]
        self.n_numbers = sum(component.rank for component in self.components)
        self.register_buffer("weights", torch.zeros(n_neurons, self.n_numbers))

    def series(self, white: Float[Tensor, "batch time number"], memory: Memory) -> Real:
        """Return the noise of a piece of each trial, continued from the memory; see `Noise.series`."""
        parts, start = [white[..., :0]], 0
        for number, component in enumerate(self.components):
            numbers, name = white[..., start : start + component.rank], f"noise{number}"
            series, memory[name] = component.series(numbers, memory.get(name, numbers[:, :0]))
            parts.append(series)
            start += component.rank
        return torch.cat(parts, 2) @ self.weights.to(white).T

    def variance(self) -> PerNeuron:
        """Return the variance of each neuron's noise."""
        return (self.weights**2).sum(1)

    @property
    def shared_bins(self) -> int:
        """Number of lags, in bins, of covariances from the box; slow noise is not counted."""
        return self.box_bins

    # --- fitting ---------------------------------------------------------------------------------------------------

    def fit(self, trials: Trials, rates: TrialRates, mask: TrialMask, simulate: Callable[[int], TrialCounts]) -> None:
        """Fit the weights to covariances at short lags, data minus simulation; see `Noise.fit`."""
        self.weights.zero_()
        lags = self._lags(min(trials.n_bins, rates.shape[1]))
        if not self.components or min(len(trials), len(rates)) < 2 or len(lags) < 2:
            return
        mean = trials.counts.sum((0, 1)) / trials.n_valid_bins
        recorded, root = lagged(trials.counts, trials.mask, lags), np.sqrt(np.maximum(mean, 1e-6))
        valid = rates[mask]
        # Rows and columns are weighted so that the sampling error of every pair is about the same.
        unit = np.outer(root, root) / np.maximum(valid.T @ valid / len(valid), 1e-12)
        spread = float(np.mean(np.diag(recorded[0]) / root**2))  # mean variance of a count, in units of its mean
        correlation = np.stack([component.correlation(lags) for component in self.components], 1)
        for number in range(ROUNDS):
            copies = [lagged(simulate(COPIES * number + copy), mask, lags) for copy in range(COPIES)]
            fitted, error = regressed((recorded - np.mean(copies, 0)) * unit, lags, correlation)
            error = error * spread * math.sqrt(1 / trials.n_valid_bins + 1 / (COPIES * mask.sum()))
            self._add(fitted, error, root)

    def _add(self, fitted: NDArray[np.float64], error: NDArray[np.float64], root: NDArray[np.float64]) -> None:
        """Add the remaining covariance to each component and reduce the sum to few directions."""
        start = 0
        for component, more, sd in zip(self.components, fitted, error, strict=True):
            columns = slice(start, start + component.rank)
            old = self.weights[:, columns].double().cpu().numpy() * root[:, None]
            new = low_rank(old @ old.T + more, rank=component.rank, error=float(sd)) / root[:, None]
            self.weights[:, columns] = torch.from_numpy(new).to(self.weights)
            start += component.rank
        excess = (self.variance() / LARGEST_VARIANCE).clamp(min=1).sqrt()
        self.weights /= excess[:, None]

    def _lags(self, time: int) -> NDArray[np.int64]:
        """Return the lags of the box, a few beyond it, and further ones for slower noise."""
        slow = [-1 / math.log(component.factor) for component in self.components if isinstance(component, Decay)]
        box = max(1, self.box_bins)
        far = np.geomspace(box, max([2 * box, *(2 * bins for bins in slow)]), 8 if slow else 1)
        near = np.arange(box + SLOWER_LAGS)
        return np.array([lag for lag in np.unique(np.concatenate((near, far.round().astype(int)))) if lag < time])
