r"""Refractory counts: after a spike a neuron cannot fire for a moment, so bins with two spikes are rare.

Draw k from a Poisson distribution of rate :math:`\lambda`. If k >= 2, replace it by 1 with the neuron's probability q.
The resulting counts have the probabilities P, where :math:`P_\lambda` are Poisson probabilities:

.. math:: P(0) = P_\lambda(0), \quad P(1) = P_\lambda(1) + q P_\lambda(k \ge 2), \quad
          P(k) = (1 - q) P_\lambda(k) \text{ for } k \ge 2.

The expected count is :math:`r = \lambda - q (\lambda - 1 + P_\lambda(0))`. This equation is solved for the Poisson rate
:math:`\lambda`, so that the mean count is the rate r for every q.

**Fit.** The number of recorded counts s of at least 2 is divided by the number that Poisson counts would have:
:math:`q = 1 - \sum 1[s \ge 2] / \sum P_\lambda(k \ge 2)`, at least 0. In wide bins, counts of at least 2 are often as
frequent as in Poisson counts. Then q is 0, and counts have a Poisson distribution.
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
from spikeloom.observation.slots import CountDistribution, Entries, Values
from spikeloom.shapes import TrialMask, TrialRates
from spikeloom.trials import Trials

LARGEST_Q = 0.98
"""Largest q. With q = 1 no bin could hold two spikes, and rates above 1 would have no solution."""

NEWTON_STEPS = 8
"""Largest number of steps of Newton's method, which computes the Poisson rate."""

TOLERANCE = 1e-6
"""Newton's method ends after a step smaller than this, spikes/bin."""

ROUNDING = 1e-9
"""Relative margin for rounding in the decision that a count is 1."""

GROUPS = 1024
"""Number of groups of similar rates into which the fit divides the bins of a neuron. The mean rate of a group stands
for all of its bins, which makes the fit fast."""

ROUNDS = 4
"""Rounds of fitting q. The predicted number of bins depends on the Poisson rate, which depends on q itself."""


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
        log_several = torch.log1p(-q) + counts * rate.log() - rate - torch.lgamma(counts + 1)
        log_one = torch.log(rate * torch.exp(-rate) + q * _several(rate))
        return torch.where(counts == 0, -rate, torch.where(counts == 1, log_one, log_several))

    def quantile(self, rates: Entries, uniform: Entries, neuron: NDArray[np.int64]) -> NDArray[np.int64]:
        r"""Return the smallest count whose cumulative probability exceeds the uniform number.

        The computation of the Poisson rate :math:`\lambda` is slow. Most counts are 0 or 1, and these counts are found
        without :math:`\lambda`:

        1. The count is 0 if :math:`u < e^{-\lambda}`, that is if :math:`\lambda < \lambda_0 = -\log u`. The expected
           count r grows with :math:`\lambda`. So the count is 0 if r is below :math:`r_0`, the expected count of
           :math:`\lambda_0`.
        2. The chance of several spikes is at most :math:`(1 - q) \lambda^2 / 2`, and :math:`\lambda` has an upper bound
           (`_largest_rate`). So a count above 0 is 1 if 1 - u is above the bound of this chance.

        :math:`\lambda` is computed for the few other entries.
        """
        kept = 1 - array(self.q)[neuron]  # probability that a count of several spikes is not replaced
        zero_rate = -np.log(np.maximum(uniform, SMALLEST_UNIFORM))  # lambda_0
        zero_expected = zero_rate - (1 - kept) * (zero_rate - 1 + uniform)  # r_0
        counts = (rates >= zero_expected).astype(np.int64)
        chance = kept * _largest_rate(rates, kept) ** 2 / 2  # upper bound of the chance of several spikes
        several = np.flatnonzero((counts > 0) & (1 - uniform <= (1 + ROUNDING) * chance))
        if len(several):
            kept = kept[several]
            u = uniform[several]
            rate = _poisson_rate(rates[several], 1 - kept)
            # P(count > k) is 1 - q times its Poisson value for k >= 1, so 1 - u is divided by 1 - q.
            poisson_u = np.maximum(1 - (1 - u) / kept, 0)
            counts[several] = poisson_quantile(rate, poisson_u).clip(min=1)
        return counts

    def raised(self, rates: Values) -> Values:
        r"""Return the Poisson rate :math:`\lambda` whose counts, after the replacement, have these expected counts."""
        return _raised(rates, self.q.to(rates))

    def correct(self, target: Moments, drawn: Moments, share: float) -> None:
        """Change q towards the target's fraction of bins with several spikes; see `CountDistribution.correct`.

        The probability 1 - q that a count of several spikes is not replaced is multiplied by a ratio: the target's
        fraction divided by the simulated fraction.
        """
        half = 0.5 / min(target.bins, drawn.bins)  # half a bin is added to both fractions, so that neither is 0
        ratio = ((target.several + half) / (drawn.several + half)) ** share
        self.q.copy_((1 - (1 - self.q.double().cpu()) * torch.from_numpy(ratio)).clamp(0, LARGEST_Q))

    def fit(self, trials: Trials, rates: TrialRates, mask: TrialMask | None = None) -> None:
        """Fit q to the number of bins with several spikes; see `CountDistribution.fit`."""
        if mask is not None:
            return  # q then keeps its value, and `correct` adapts it by simulation
        n_several = torch.from_numpy((trials.counts[trials.mask] >= 2).sum(0, dtype=np.float64))
        means, sizes = _groups(rates[trials.mask])  # (group, neuron), (group,)
        self.q.zero_()
        for _ in range(ROUNDS):
            n_expected = sizes @ _several(self.raised(means.clamp(min=SMALLEST_RATE)))
            # half a bin is added to both numbers, so that q stays near 0 for a neuron with very few such bins
            self.q.copy_((1 - (n_several + 0.5) / (n_expected + 0.5)).clamp(0, LARGEST_Q))


def _groups(rates: Float[np.ndarray, "row neuron"]) -> tuple[Float[Tensor, "group neuron"], Float[Tensor, " group"]]:
    """Sort the rates of each neuron, and divide them into groups of neighbours.

    Returns:
        The mean rate of each group (group, neuron), and the number of bins of each group (group,).
    """
    ordered = np.sort(rates.T, axis=1)
    first = np.arange(0, ordered.shape[1], max(1, ordered.shape[1] // GROUPS))
    sizes = np.diff([*first, ordered.shape[1]]).astype(np.float64)
    means = np.add.reduceat(ordered, first, axis=1, dtype=np.float64) / sizes
    return torch.from_numpy(means).T, torch.from_numpy(sizes)


def _raised(rates: Tensor, q: Tensor) -> Tensor:
    r"""Return the Poisson rates :math:`\lambda` of the expected counts `rates`, for a q of each neuron or entry."""
    if not q.any():
        return rates
    with torch.no_grad():
        rate = rates + q * rates.clamp(max=1) ** 2 / 2  # exact to second order in the rate
        for _ in range(NEWTON_STEPS):  # the expected count is concave in the Poisson rate, so Newton's method converges
            step = _step(rate, rates, q)
            rate += step
            if float(step.abs().max()) < TOLERANCE:
                break
    if rates.requires_grad:
        return rate + _step(rate, rates, q)  # a last step with gradient has the same derivative as the solution
    return rate


def _poisson_rate(rates: Entries, q: Entries) -> Entries:
    """Return the Poisson rates that `_raised` returns, computed in NumPy. They are used to draw counts."""
    rate = rates + q * np.minimum(rates, 1) ** 2 / 2
    for _ in range(NEWTON_STEPS):
        minus_firing = np.expm1(-rate)  # -P(k >= 1)
        step = (rates - rate + q * (rate + minus_firing)) / (1 + q * minus_firing)
        rate += step
        if float(np.abs(step).max()) < TOLERANCE:
            break
    return rate


def _largest_rate(rates: Entries, kept: Entries) -> Entries:
    r"""Return upper bounds of the Poisson rates :math:`\lambda` that give these expected counts.

    As a function of :math:`\lambda`, the expected count r is concave, 0 at 0, and :math:`1 - q / e` at 1. So r is at
    least :math:`(1 - q / e) \lambda` for :math:`\lambda \le 1`. Its slope is at least 1 - q, so r is at least
    :math:`(1 - q) \lambda` for every :math:`\lambda`. Dividing r by these slopes gives the bounds.

    Args:
        rates: Expected counts r.
        kept: Probability 1 - q that a count of several spikes is not replaced.
    """
    chord = 1 - (1 - kept) / np.e  # the expected count at a Poisson rate of 1
    return rates / np.where(rates <= chord, chord, kept)


def _several(rate: Tensor) -> Tensor:
    """Return P(k >= 2) of Poisson counts."""
    # At small rates 1 - P(0) - P(1) would lose precision, so a power series is used.
    series = rate**2 * (1 / 2 - rate / 3 + rate**2 / 8)
    return torch.where(rate < 0.01, series, 1 - torch.exp(-rate) * (1 + rate))


def _step(rate: Tensor, rates: Tensor, q: Tensor) -> Tensor:
    """Return the Newton step of the Poisson rate `rate` towards the expected counts `rates`."""
    minus_firing = torch.expm1(-rate)  # -P(k >= 1)
    return (rates - rate + q * (rate + minus_firing)) / (1 + q * minus_firing)
