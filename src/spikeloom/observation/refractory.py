r"""Bin refractoriness: bins with two spikes are rarer than in Poisson counts.

Draw k from a Poisson distribution of rate :math:`\lambda`. If k >= 2, replace it by 1 with the neuron's probability q:

.. math:: P(0) = P_\lambda(0), \quad P(1) = P_\lambda(1) + q P_\lambda(k \ge 2), \quad P(k) = (1 - q) P_\lambda(k).

The expected count is :math:`r = \lambda - q (\lambda - 1 + P_\lambda(0))`. Solving it for :math:`\lambda` makes rates
exact for every q. The fit compares the number of bins with several spikes in the data with the number that the rates
predict, :math:`q = 1 - \sum 1[s \ge 2] / \sum P_\lambda(k \ge 2)`, at least 0. If such bins are not rarer than
predicted, as with wide bins, counts stay Poisson.
"""

from typing import final

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from spikeloom.observation.links import SMALLEST_RATE, SMALLEST_UNIFORM, array
from spikeloom.observation.moments import Moments
from spikeloom.observation.poisson import poisson_quantile
from spikeloom.observation.slots import ROUNDING, CountDistribution, Entries, Values
from spikeloom.shapes import TrialMask, TrialRates
from spikeloom.trials import Trials

LARGEST_Q = 0.98
"""Largest q. With q = 1 no bin could hold two spikes, and rates above 1 would have no solution."""

NEWTON_STEPS = 8
"""Largest number of Newton steps for the Poisson rate."""

TOLERANCE = 1e-6
"""Newton steps below this size end the iteration, spikes/bin."""

GROUPS = 1024
"""Number of means by which the rates of a neuron are represented in the fit, each of similar rates."""

ROUNDS = 4
"""Rounds of fitting q. Each q changes the Poisson rate and so the predicted number of bins."""


@final
class Refractory(CountDistribution):
    """Poisson counts in which a fraction of the counts of two and more is replaced by one.

    Args:
        link: Map from drive to rate, "softplus" or "exp".
    """

    q: Tensor  # probability, for each neuron, that a count of several spikes becomes one

    def build(self, n_neurons: int, bin_width: float) -> None:
        """Make the buffer q; see `CountDistribution.build`."""
        del bin_width
        self.register_buffer("q", torch.zeros(n_neurons))

    def log_prob(self, counts: Values, rates: Values) -> Values:
        """Return the log-probability of each count in nats, not summed."""
        rate = self.raised(rates)
        q = self.q.to(rates)
        several = torch.log1p(-q) + counts * rate.log() - rate - torch.lgamma(counts + 1)
        one = torch.log(rate * torch.exp(-rate) + q * _several(rate))
        return torch.where(counts == 0, -rate, torch.where(counts == 1, one, several))

    def quantile(self, rates: Entries, uniform: Entries, neuron: NDArray[np.int64]) -> NDArray[np.int64]:
        r"""Return the smallest count whose cumulative probability exceeds the uniform number.

        A count is 0 where :math:`u < e^{-\lambda}`, that is where the expected count r is below that of
        :math:`\lambda = -\log u`. It is 1 where :math:`1 - u > (1 - q) \lambda^2 / 2 \ge P(k \ge 2)`, and there
        :math:`\lambda \le r / (1 - q)`. Only the few others need the Poisson rate.
        """
        kept = 1 - array(self.q)[neuron]
        at_zero = -np.log(np.maximum(uniform, SMALLEST_UNIFORM))
        counts = (rates >= at_zero - (1 - kept) * (at_zero - 1 + uniform)).astype(np.int64)
        several = np.flatnonzero((counts > 0) & (2 * kept * (1 - uniform) <= (1 + ROUNDING) * rates**2))
        if len(several):
            kept = kept[several]
            u = uniform[several]
            rate = _poisson_rate(rates[several], 1 - kept)
            # The tail has 1 - q of its Poisson probability, so a number in it is mapped to the Poisson tail.
            counts[several] = poisson_quantile(rate, np.maximum(1 - (1 - u) / kept, 0)).clip(min=1)
        return counts

    def raised(self, rates: Values) -> Values:
        r"""Return the Poisson rate :math:`\lambda` whose counts, after the replacement, have these expected counts."""
        return _raised(rates, self.q.to(rates))

    def correct(self, target: Moments, drawn: Moments, share: float) -> None:
        """Change q until the target's fraction of bins holds several spikes; see `CountDistribution.correct`."""
        half = 0.5 / min(target.bins, drawn.bins)
        ratio = ((target.several + half) / (drawn.several + half)) ** share
        self.q.copy_((1 - (1 - self.q.double().cpu()) * torch.from_numpy(ratio)).clamp(0, LARGEST_Q))

    def fit(self, trials: Trials, rates: TrialRates, mask: TrialMask | None = None) -> None:
        """Fit q to the number of bins with several spikes; see `CountDistribution.fit`."""
        if mask is not None:
            return  # `correct` fits q by simulation
        several = torch.from_numpy((trials.counts[trials.mask] >= 2).sum(0, dtype=np.float64))
        means, sizes = _groups(rates[trials.mask])
        self.q.zero_()
        for _ in range(ROUNDS):
            expected = sizes @ _several(self.raised(means.clamp(min=SMALLEST_RATE)))
            # half a bin is added to both, so that q stays near 0 for a neuron with very few such bins
            self.q.copy_((1 - (several + 0.5) / (expected + 0.5)).clamp(0, LARGEST_Q))


def _groups(rates: Float[np.ndarray, "row neuron"]) -> tuple[Float[Tensor, "group neuron"], Float[Tensor, " group"]]:
    """Return means of groups of similar rates of each neuron, and the sizes of the groups."""
    ordered = np.sort(rates.T, axis=1)
    first = np.arange(0, ordered.shape[1], max(1, ordered.shape[1] // GROUPS))
    sizes = np.diff([*first, ordered.shape[1]]).astype(np.float64)
    means = np.add.reduceat(ordered, first, axis=1, dtype=np.float64) / sizes
    return torch.from_numpy(means).T, torch.from_numpy(sizes)


def _raised(rates: Tensor, q: Tensor) -> Tensor:
    """Return the Poisson rates of expected counts, with a q for each neuron or each entry."""
    if not q.any():
        return rates
    with torch.no_grad():
        rate = rates + q * rates.clamp(max=1) ** 2 / 2  # exact to second order in the rate
        for _ in range(NEWTON_STEPS):  # the mean is concave in the rate, so Newton's method converges
            step = _step(rate, rates, q)
            rate += step
            if float(step.abs().max()) < TOLERANCE:
                break
    return rate + _step(rate, rates, q) if rates.requires_grad else rate  # one more step, for the derivative


def _poisson_rate(rates: Entries, q: Entries) -> Entries:
    """Return the Poisson rates of expected counts in NumPy, for drawing; see `_raised`."""
    rate = rates + q * np.minimum(rates, 1) ** 2 / 2
    for _ in range(NEWTON_STEPS):
        silent = np.expm1(-rate)
        step = (rates - rate + q * (rate + silent)) / (1 + q * silent)
        rate += step
        if float(np.abs(step).max()) < TOLERANCE:
            break
    return rate


def _several(rate: Tensor) -> Tensor:
    """Return P(k >= 2), by its series where rates are small and a difference would lose precision."""
    series = rate**2 * (1 / 2 - rate / 3 + rate**2 / 8)
    return torch.where(rate < 0.01, series, 1 - torch.exp(-rate) * (1 + rate))


def _step(rate: Tensor, rates: Tensor, q: Tensor) -> Tensor:
    """Return the Newton step of the Poisson rate towards the expected counts `rates`."""
    silent = torch.expm1(-rate)
    return (rates - rate + q * (rate + silent)) / (1 + q * silent)
