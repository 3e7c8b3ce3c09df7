r"""Poisson counts: :math:`c \sim \mathrm{Poisson}(r)`, :math:`\log p(c \mid r) = c \log r - r - \log c!`.

log c! is included, so that values can be compared between models.
"""

from typing import final

import numpy as np
import scipy.special
import torch
from jaxtyping import Float, Int
from torch import Tensor

from spikeloom.observation.slots import CountDistribution, Values

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

    def quantile(self, rates: Values, uniform: Values) -> Int[Tensor, "*axes neuron"]:
        """Return the smallest count whose cumulative probability exceeds the uniform number."""
        return poisson_quantile(rates, uniform)


def poisson_quantile(rates: Float[Tensor, "*axes"], uniform: Float[Tensor, "*axes"]) -> Int[Tensor, "*axes"]:
    """Return the smallest k with P(count <= k) > u, from sums of probabilities; large rates use scipy."""
    flat, u = rates.double().flatten(), uniform.double().flatten()
    counts = torch.zeros(flat.shape, dtype=torch.int64)
    large = flat > LARGEST_SUM
    if large.any():
        guess = np.ceil(scipy.special.pdtrik(u[large].numpy(), flat[large].numpy()))
        counts[large] = torch.from_numpy(guess.clip(min=0).astype(np.int64))
    rest = torch.arange(len(flat)) if not large.any() else torch.nonzero(~large)[:, 0]
    rate, u = flat[rest], u[rest]
    term = torch.exp(-rate)
    total = term.clone()
    k = 0
    while True:  # the loop continues with counts above k only; most are 0
        more = torch.nonzero((u >= total) & (term > 0))[:, 0]
        if not len(more):
            return counts.reshape(rates.shape)
        k += 1
        rest, rate, u = rest[more], rate[more], u[more]
        term = term[more] * rate / k
        total = total[more] + term
        counts[rest] = k
