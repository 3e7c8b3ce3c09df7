r"""Regular counts: in wide bins, of several spikes each, counts vary less than Poisson counts.

A neuron that fires on every K-th event of a Poisson process of rate :math:`K r` fires regularly, with r spikes a bin.
When a bin begins at a random time, U of the K - 1 events between two spikes have already occurred, so its count is
:math:`\lfloor (k + U) / K \rfloor`, k Poisson with mean K r and U uniform on 0, ..., K - 1. Its mean is r exactly,

.. math:: P_K(n) = \frac{1}{K} \sum_{|m| < K} (K - |m|)\, p_{K r}(K n + m), \quad
          P_K(N \le n) = \frac{1}{K} \sum_{u=1}^{K} P_{K r}(k < K n + u),

and its variance about r / K + 1/6 where r is large. A neuron has such counts in a share w of its bins and
Poisson counts in the others. For rates that were inferred with their own counts hidden, w is fitted to the variance of
counts around the rates. Generated rates vary like those inferred from complete trials, which contain a part of the
noise of the counts. To avoid counting this noise twice, w for generated rates follows from the law of total variance,

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
"""Rates above, spikes/bin, have their quantile found by bisection instead of in steps of one count."""

TAIL = 10.0
"""Counts are at most this many standard deviations of Poisson counts above such a rate."""

EVERY = 4
"""K: one spike for every K events. Counts of a few spikes a bin can then have half the variance of Poisson counts."""


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
        poisson = counts * rates.log() - rates - torch.lgamma(counts + 1)
        plain = torch.log1p(-share) + poisson
        return torch.where(share > 0, torch.logaddexp(plain, share.log() + _log_regular(counts, rates)), plain)

    def quantile(self, rates: Entries, uniform: Entries, neuron: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the smallest count whose cumulative probability exceeds the uniform number."""
        share = array(self.share)[neuron]
        counts = np.zeros(len(rates), np.int64)
        large = rates > LARGEST_SUM
        counts[large] = _bisected(rates[large], share[large], uniform[large])
        rest = np.flatnonzero(~large)
        n = 0
        while len(rest):  # the loop continues with counts above n only; most are small
            below = _cumulative(n, rates[rest], share[rest])
            rest = rest[(uniform[rest] >= below) & (below < 1)]
            n += 1
            counts[rest] = n
        return counts

    def fit(self, trials: Trials, rates: TrialRates, mask: TrialMask | None = None) -> None:
        """Fit w to the variance of counts around their rates; see `CountDistribution.fit`.

        With the rates of other trials, w makes counts drawn from these rates vary as those of the trials do.
        """
        counts = trials.counts[trials.mask]
        expected = rates[trials.mask if mask is None else mask].astype(np.float64)
        if mask is None:
            variance = np.square(counts - expected).mean(0)
        else:
            variance = counts.var(0, dtype=np.float64) - expected.var(0)
        spare = variance - expected.mean(0)
        # Variance of regular counts minus that of Poisson counts, below 0; w is the share of it that is needed.
        possible = (_variance(torch.from_numpy(expected)).numpy() - expected).mean(0)
        self.share.copy_(torch.from_numpy(spare / np.minimum(possible, -1e-12)).clamp(0, 1))


def _log_regular(counts: Tensor, rates: Tensor) -> Tensor:
    """Return log P_K(n)."""
    m = torch.arange(1 - EVERY, EVERY, dtype=rates.dtype, device=rates.device)
    events = EVERY * counts[..., None] + m
    rate = EVERY * rates[..., None]
    logs = events * rate.log() - rate - torch.lgamma(events.clamp(min=0) + 1) + torch.log((EVERY - m.abs()) / EVERY)
    return torch.where(events < 0, -torch.inf, logs).logsumexp(-1)


def _bisected(rates: Entries, share: Entries, uniform: Entries) -> NDArray[np.int64]:
    """Return the count of the quantile by bisection, for rates so large that steps of one count are slow."""
    low = np.full(rates.shape, -1, np.int64)  # its cumulative probability, 0, does not exceed the number
    high = np.ceil(rates + TAIL * np.sqrt(rates)).astype(np.int64)
    while (high - low > 1).any():
        middle = (low + high) // 2
        above = _cumulative(middle, rates, share) > uniform
        low = np.where(above, low, middle)
        high = np.where(above, middle, high)
    return high


def _cumulative(n: int | NDArray[np.int64], rates: Entries, share: Entries) -> Entries:
    """Return P(N <= n) of the mixture."""
    regular = sum(_at_most(EVERY * n + u, EVERY * rates) for u in range(EVERY)) / EVERY
    return (1 - share) * _at_most(n, rates) + share * regular


def _at_most(k: int | NDArray[np.int64], rate: Entries) -> Entries:
    """Return P(count <= k) of a Poisson distribution."""
    chance: Entries = scipy.special.gammaincc(k + 1.0, rate)
    return chance


def _variance(rates: Tensor) -> Tensor:
    r"""Return the variance of P_K: r / K of events, and :math:`E[f (1 - f)]` from the phase, f = (k mod K) / K."""
    # E[e^{2 pi i j k / K}] = exp(K r (e^{2 pi i j / K} - 1)) gives the chances of k mod K
    turn = torch.exp(2j * torch.pi * torch.arange(EVERY) / EVERY).to(torch.complex128)
    waves = torch.exp(EVERY * rates[..., None].to(torch.complex128) * (turn - 1))
    left = torch.arange(EVERY, dtype=torch.float64)
    chances = (waves @ turn[None, :].conj().pow(left[:, None].to(torch.complex128)).T).real / EVERY
    part = left / EVERY
    return rates / EVERY + (chances * part * (1 - part)).sum(-1)
