r"""Poisson counts: :math:`c \sim \mathrm{Poisson}(r)`, :math:`\log p(c \mid r) = c \log r - r - \log c!`.

log c! is included, so that values can be compared between models.
"""

from typing import final

import numpy as np
import scipy.special
import torch
from jaxtyping import Int
from numpy.typing import NDArray

from spikeloom.observation.slots import CountDistribution, Entries, Values

LARGEST_SUM = 50.0
"""Rate above which quantiles come from scipy, because e^-r would vanish, spikes/bin."""


@final
class Poisson(CountDistribution):
    """Independent Poisson counts in each bin.

    Args:
        link: Map from drive to rate, "softplus" as in LDNS or "exp" as in LFADS.
    """

    def log_prob(self, counts: Values, rates: Values) -> Values:
        """Return the log-probability of each count in nats, not summed."""
        return counts * rates.log() - rates - torch.lgamma(counts + 1)

    def quantile(self, rates: Entries, uniform: Entries, neuron: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the smallest count whose cumulative probability exceeds the uniform number."""
        del neuron
        return poisson_quantile(rates, uniform)


def poisson_quantile(rates: Entries, uniform: Entries) -> Int[NDArray[np.int64], " entry"]:
    """Return the smallest k with P(count <= k) > u, from sums of probabilities; large rates use scipy."""
    counts = np.zeros(len(rates), np.int64)
    large = rates > LARGEST_SUM
    if large.any():
        guess = np.ceil(scipy.special.pdtrik(uniform[large], rates[large]))
        counts[large] = guess.clip(min=0).astype(np.int64)
    rest = np.flatnonzero(~large)
    rate = rates[rest]
    u = uniform[rest]
    term = np.exp(-rate)
    total = term.copy()
    k = 0
    while True:  # the loop continues with counts above k only; most are 0
        more = np.flatnonzero((u >= total) & (term > 0))
        if not len(more):
            return counts
        k += 1
        rest = rest[more]
        rate = rate[more]
        u = u[more]
        term = term[more] * rate / k
        total = total[more] + term
        counts[rest] = k
