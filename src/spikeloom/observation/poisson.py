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
"""Rate, spikes/bin, above which quantiles are computed by scipy. The sum would begin with the tiny number e^-r."""


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
    """Return the smallest k with P(count <= k) > u, by adding up P(count = k) from k = 0; large rates use scipy.

    Args:
        rates: Rate of each entry, spikes/bin.
        uniform: Number u of each entry, in [0, 1).
    """
    counts = np.zeros(len(rates), np.int64)
    large = rates > LARGEST_SUM
    if large.any():
        quantile = np.ceil(scipy.special.pdtrik(uniform[large], rates[large]))
        counts[large] = quantile.clip(min=0).astype(np.int64)
    entries = np.flatnonzero(~large)  # entries whose count is not decided yet
    rate = rates[entries]
    u = uniform[entries]
    chance = np.exp(-rate)  # P(count = k)
    cumulative = chance.copy()  # P(count <= k)
    k = 0
    while True:
        # Entries whose count exceeds k; most counts are 0. If P(count = k) is rounded to 0, k is the largest count.
        above = np.flatnonzero((u >= cumulative) & (chance > 0))
        if not len(above):
            return counts
        k += 1
        entries = entries[above]
        rate = rate[above]
        u = u[above]
        chance = chance[above] * rate / k
        cumulative = cumulative[above] + chance
        counts[entries] = k
