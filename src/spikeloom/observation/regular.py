r"""Regular counts: in wide bins, of several spikes each, counts vary less than Poisson counts.

A neuron that fires on every K-th event of a Poisson process of rate :math:`K r` fires regularly, with r spikes per bin.
A bin begins at a random time. Let U be the number of events since the last spike, uniform on 0, ..., K - 1, and k the
number of events in the bin, Poisson with mean K r. Then the bin holds :math:`N = \lfloor (k + U) / K \rfloor` spikes.
The mean of N is exactly r, its variance is about r / K + 1/6 if r is large, and its probabilities are

.. math:: P_K(n) = \frac{1}{K} \sum_{|m| < K} (K - |m|)\, p_{K r}(K n + m), \quad
          P_K(N \le n) = \frac{1}{K} \sum_{u=0}^{K - 1} P_{K r}(k \le K n + u),

with :math:`p_{K r}` and :math:`P_{K r}` the probabilities of Poisson counts of mean K r. A neuron has regular counts in
a share w of its bins and Poisson counts in the other bins.

**Fit.** If each rate was inferred while its count was hidden, w is fitted to the variance of the counts s around their
rates. Generated rates have no recorded counts. They vary like rates that were inferred from complete trials, and such
rates contain a part of the noise of the counts. So that this noise does not count twice, w for generated rates follows
from the law of total variance,

.. math:: \mathrm{Var}(s) = \mathrm{Var}(r) + w\,E[\mathrm{Var}_K(s \mid r)] + (1 - w)\,E[r].

If the variance is not below that of Poisson counts, w is 0 and counts are Poisson.
"""

from typing import final

import numpy as np
import scipy.special
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikeloom.observation.links import array
from spikeloom.observation.slots import CountDistribution, Entries, Values
from spikeloom.shapes import TrialMask, TrialRates
from spikeloom.trials import Trials

LARGEST_SUM = 50.0
"""Rate, spikes/bin, above which quantiles are found by bisection instead of counting up from 0."""

TAIL = 10.0
"""Upper end of the bisection: the rate plus this many standard deviations of Poisson counts."""

EVERY = 4
"""K: one spike for every K events. With K = 4, counts of a few spikes per bin can have half the variance of Poisson
counts."""


@final
class Regular(CountDistribution):
    """Mixture of Poisson and regular counts.

    Args:
        link: Map from drive to rate, "softplus" or "exp".
    """

    share: Tensor  # w of each neuron

    def build(self, n_neurons: int, bin_width: float) -> None:
        """Make the buffer w; see `CountDistribution.build`."""
        del bin_width
        self.register_buffer("share", torch.zeros(n_neurons))

    def log_prob(self, counts: Values, rates: Values) -> Values:
        """Return the log-probability of each count in nats, not summed."""
        share = self.share.to(rates)
        log_poisson = counts * rates.log() - rates - torch.lgamma(counts + 1)
        poisson_part = torch.log1p(-share) + log_poisson
        regular_part = share.log() + _log_regular(counts, rates)
        return torch.where(share > 0, torch.logaddexp(poisson_part, regular_part), poisson_part)

    def quantile(self, rates: Entries, uniform: Entries, neuron: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the smallest count whose cumulative probability exceeds the uniform number."""
        share = array(self.share)[neuron]
        counts = np.zeros(len(rates), np.int64)
        large = rates > LARGEST_SUM
        counts[large] = _bisected(rates[large], share[large], uniform[large])
        entries = np.flatnonzero(~large)  # entries whose count is not decided yet; most counts are small
        n = 0
        while len(entries):
            cumulative = _cumulative(n, rates[entries], share[entries])
            # if P(N <= n) is rounded to 1, no larger count is possible
            entries = entries[(uniform[entries] >= cumulative) & (cumulative < 1)]
            n += 1
            counts[entries] = n
        return counts

    def fit(self, trials: Trials, rates: TrialRates, mask: TrialMask | None = None) -> None:
        """Fit w to the variance of the counts; see the module, and `CountDistribution.fit` for the arguments.

        Without `mask`, w is fitted to the variance of counts around their rates. With `mask`, counts drawn from the
        rates get the total variance of the recorded counts.
        """
        counts = trials.counts[trials.mask]  # (valid bin, neuron)
        expected = rates[trials.mask if mask is None else mask].astype(np.float64)
        if mask is None:
            variance = np.square(counts - expected).mean(0)
        else:
            variance = counts.var(0, dtype=np.float64) - expected.var(0)
        # A variance minus the variance of Poisson counts is below 0 for regular counts; w is the ratio of two such
        # differences.
        difference = variance - expected.mean(0)
        difference_if_regular = (_variance(torch.from_numpy(expected)).numpy() - expected).mean(0)
        ratio = difference / np.minimum(difference_if_regular, -1e-12)  # avoids 0 / 0 for a neuron without spikes
        self.share.copy_(torch.from_numpy(ratio).clamp(0, 1))


def _log_regular(counts: Tensor, rates: Tensor) -> Tensor:
    """Return log P_K(n), the log-probability of regular counts n, as the sum over m of the module's first formula."""
    m = torch.arange(1 - EVERY, EVERY, dtype=rates.dtype, device=rates.device)
    events = EVERY * counts[..., None] + m  # K n + m (*axes, m)
    rate = EVERY * rates[..., None]
    log_poisson = events * rate.log() - rate - torch.lgamma(events.clamp(min=0) + 1)
    terms = log_poisson + torch.log((EVERY - m.abs()) / EVERY)
    return torch.where(events < 0, -torch.inf, terms).logsumexp(-1)


def _bisected(rates: Entries, share: Entries, uniform: Entries) -> NDArray[np.int64]:
    """Return the smallest count n with P(N <= n) above the uniform number, by bisection: fast for large rates."""
    low = np.full(rates.shape, -1, np.int64)  # P(N <= -1) = 0 does not exceed any uniform number
    high = np.ceil(rates + TAIL * np.sqrt(rates)).astype(np.int64)
    while (high - low > 1).any():
        middle = (low + high) // 2
        above = _cumulative(middle, rates, share) > uniform
        low = np.where(above, low, middle)
        high = np.where(above, middle, high)
    return high


def _cumulative(n: int | NDArray[np.int64], rates: Entries, share: Entries) -> Entries:
    """Return P(N <= n) of the mixture of regular and Poisson counts."""
    regular = sum(_at_most(EVERY * n + u, EVERY * rates) for u in range(EVERY)) / EVERY
    return (1 - share) * _at_most(n, rates) + share * regular


def _at_most(k: int | NDArray[np.int64], rate: Entries) -> Entries:
    """Return P(count <= k) of a Poisson distribution."""
    chance: Entries = scipy.special.gammaincc(k + 1.0, rate)
    return chance


def _variance(rates: Tensor) -> Tensor:
    r"""Return the variance of regular counts, :math:`r / K + E[f (1 - f)]`, with f = (k mod K) / K; see the module.

    The first term is the variance of k / K. The second term is the mean variance of the rounding by the random start U.

    The probabilities of the remainder k mod K are a discrete Fourier transform over j = 0, ..., K - 1 of
    :math:`E[e^{2 \pi i j k / K}] = \exp(K r (e^{2 \pi i j / K} - 1))`, which holds for Poisson counts k of mean K r.
    """
    roots = torch.exp(2j * torch.pi * torch.arange(EVERY) / EVERY).to(torch.complex128)  # e^{2 pi i j / K}
    expectations = torch.exp(EVERY * rates[..., None].to(torch.complex128) * (roots - 1))
    remainder = torch.arange(EVERY, dtype=torch.float64)
    transform = roots[None, :].conj().pow(remainder[:, None].to(torch.complex128)).T  # (j, remainder)
    probabilities = (expectations @ transform).real / EVERY
    fraction = remainder / EVERY
    return rates / EVERY + (probabilities * fraction * (1 - fraction)).sum(-1)
