r"""Bin refractoriness: bins with two spikes are rarer than Poisson says.

Draw k from the model inside at rate :math:`\lambda`; if k >= 2, replace it by 1 with probability q of the neuron:

.. math:: P(0) = P_\lambda(0), \quad P(1) = P_\lambda(1) + q P_\lambda(k \ge 2), \quad P(k) = (1 - q) P_\lambda(k).

The expected count is :math:`r = \lambda - q (\lambda - 1 + P_\lambda(0))`; solving it for :math:`\lambda` makes rates
exact whatever q is. q compares bins of several spikes in the data with those the rates predict,
:math:`q = 1 - \sum 1[s \ge 2] / \sum P_\lambda(k \ge 2)`, not below 0: where such bins are no rarer, as in wide bins,
nothing changes.
"""

from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from spikeloom.observation.base import BinModel, Moments, Real
from spikeloom.observation.poisson import Poisson, poisson_quantile
from spikeloom.shapes import TrialRates
from spikeloom.trials import Trials

LARGEST_Q = 0.98
"""At 1 no bin could hold two spikes, and rates above 1 would have no solution."""

MOST_STEPS, ENOUGH = 8, 1e-6
ROUNDS = 4
"""Of fitting q, whose prediction moves with the rate that q itself raises."""


@final
class Refractory(BinModel):
    """Poisson counts of which some of two and more become one.

    Args:
        inner: Poisson counts; with a softplus link if absent.
    """

    inner: Poisson
    q: Tensor  # of each neuron, probability that a bin of several spikes keeps one

    def __init__(self, inner: Poisson | None = None) -> None:
        super().__init__(Poisson() if inner is None else inner)

    def build(self, neurons: int, bin_width: float) -> None:
        """See `ObservationModel.build`."""
        super().build(neurons, bin_width)
        self.register_buffer("q", torch.zeros(neurons))

    def rates(self, drive: Float[Tensor, "*axes neuron"]) -> Float[Tensor, "*axes neuron"]:
        """Expected counts, spikes/bin; those of the model inside."""
        return self.inner.rates(drive)

    def drive(self, rates: Float[Tensor, "*axes neuron"]) -> Float[Tensor, "*axes neuron"]:
        """The drive whose rates these are."""
        return self.inner.drive(rates)

    def log_prob(self, counts: Real, drive: Real) -> Real:
        """Log-probability of each count, in nats; not summed, not masked."""
        rate, q = self.raised(drive), self.q.to(drive)
        several = torch.log1p(-q) + counts * rate.log() - rate - torch.lgamma(counts + 1)
        one = torch.log(rate * torch.exp(-rate) + q * _several(rate))
        return torch.where(counts == 0, -rate, torch.where(counts == 1, one, several))

    def quantile(
        self, drive: Float[Tensor, "*axes neuron"], uniform: Float[Tensor, "*axes neuron"]
    ) -> Int[Tensor, "*axes neuron"]:
        """The smallest count whose cumulative probability exceeds the uniform number."""
        rate, q = self.raised(drive), self.q.to(drive)
        # The tail is thinned by 1 - q, so a number in it lies where the thinned tail reaches up to.
        counts = poisson_quantile(rate, (1 - (1 - uniform) / (1 - q)).clamp(min=0))
        return torch.where(uniform < torch.exp(-rate), 0, counts.clamp(min=1))

    def of(self, neuron: int) -> "Refractory":
        """The same model of one neuron alone."""
        alone = Refractory(self.inner)
        alone.q = self.q[neuron : neuron + 1].clone()
        return alone

    def raised(self, drive: Float[Tensor, "*axes neuron"]) -> Float[Tensor, "*axes neuron"]:
        r"""Poisson rate :math:`\lambda` whose counts have, thinned, the expected counts of the drive."""
        rates, q = self.inner.rates(drive), self.q.to(drive)
        if not q.any():
            return rates
        with torch.no_grad():
            rate = rates + q * rates.clamp(max=1) ** 2 / 2  # to second order
            for _ in range(MOST_STEPS):  # the mean is concave in the rate: Newton's steps cannot lead astray
                step = _step(rate, rates, q)
                rate += step
                if float(step.abs().max()) < ENOUGH:
                    break
        return rate + _step(rate, rates, q) if drive.requires_grad else rate  # once more, for the derivative

    def correct(self, wanted: Moments, found: Moments, share: float) -> None:
        """Move q until bins of several spikes are as many as wanted; see `ObservationModel.correct`."""
        super().correct(wanted, found, share)
        half = 0.5 / min(wanted.bins, found.bins)
        ratio = ((wanted.several + half) / (found.several + half)) ** share
        self.q.copy_((1 - (1 - self.q.double().cpu()) * torch.from_numpy(ratio)).clamp(0, LARGEST_Q))

    def measure(self, trials: Trials, rates: TrialRates, *, seed: int) -> None:
        """Set q from bins of several spikes; see `ObservationModel.measure`."""
        super().measure(trials, rates, seed=seed)
        mask = trials.mask
        found = (trials.counts[mask] >= 2).sum(0, dtype=np.float64)
        valid = torch.from_numpy(rates[mask])
        self.q.zero_()
        for _ in range(ROUNDS):
            rate = self.raised(self.inner.drive(valid))
            expected = _several(rate).sum(0, dtype=torch.float64)
            # half a bin more on both sides: a neuron that can hardly have two spikes is left as it is
            self.q.copy_((1 - (torch.from_numpy(found) + 0.5) / (expected + 0.5)).clamp(0, LARGEST_Q))


def _several(rate: Tensor) -> Tensor:
    """P(k >= 2); where rates are small, their series, for the difference of nearly equal numbers is noise."""
    series = rate**2 * (1 / 2 - rate / 3 + rate**2 / 8)
    return torch.where(rate < 0.01, series, 1 - torch.exp(-rate) * (1 + rate))


def _step(rate: Tensor, rates: Tensor, q: Tensor) -> Tensor:
    """Newton step of the Poisson rate towards these expected counts."""
    silent = torch.expm1(-rate)
    return (rates - rate + q * (rate + silent)) / (1 + q * silent)
