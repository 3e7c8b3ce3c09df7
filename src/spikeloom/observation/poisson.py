r"""Poisson counts: :math:`c \sim \mathrm{Poisson}(r)`, :math:`\log p(c \mid d) = c \log r - r - \log c!`.

The link is :math:`r = \log(1 + e^d)` (softplus, as LDNS) or :math:`r = e^d` (as LFADS). log c! is kept, so that values
can be compared between models.
"""

from typing import Literal, final

import numpy as np
import scipy.special
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from spikeloom.observation.base import BinModel

SMALLEST_RATE = 1e-7
"""Rates below are raised to it, spikes/bin: a silent neuron's logarithm stays finite."""

LARGEST_DRIVE = 10.0
"""Drives of the exponential link above are lowered to it; e^10 spikes/bin is no neuron, but makes exp overflow."""

LARGEST_SUM = 50.0
"""Rates above, spikes/bin, take their quantile from scipy: e^-r would vanish."""


@final
class Poisson(BinModel):
    """Independent Poisson counts in each bin.

    Args:
        link: Map from drive to rate, "softplus" or "exp".
    """

    def __init__(self, link: Literal["softplus", "exp"] = "softplus") -> None:
        super().__init__()
        self.link = link

    def rates(self, drive: Float[Tensor, "*axes neuron"]) -> Float[Tensor, "*axes neuron"]:
        """Expected counts, spikes/bin."""
        rates = functional.softplus(drive) if self.link == "softplus" else drive.clamp(max=LARGEST_DRIVE).exp()
        return rates.clamp(min=SMALLEST_RATE)

    def drive(self, rates: Float[Tensor, "*axes neuron"]) -> Float[Tensor, "*axes neuron"]:
        """log(e^r - 1) or log r."""
        rates = rates.clamp(min=SMALLEST_RATE)
        return rates + torch.log(-torch.expm1(-rates)) if self.link == "softplus" else rates.log()

    def log_prob(
        self, counts: Float[Tensor, "batch time neuron"], drive: Float[Tensor, "batch time neuron"]
    ) -> Float[Tensor, "batch time neuron"]:
        """Log-probability of each count, in nats; not summed, not masked."""
        rates = self.rates(drive)
        return counts * rates.log() - rates - torch.lgamma(counts + 1)

    def quantile(
        self, drive: Float[Tensor, "*axes neuron"], uniform: Float[Tensor, "*axes neuron"]
    ) -> Int[Tensor, "*axes neuron"]:
        """The smallest count whose cumulative probability exceeds the uniform number."""
        return poisson_quantile(self.rates(drive), uniform)

    def of(self, neuron: int) -> "Poisson":  # noqa: ARG002  # all neurons are alike
        """The same model of one neuron alone."""
        return self


def poisson_quantile(rates: Float[Tensor, "*axes"], uniform: Float[Tensor, "*axes"]) -> Int[Tensor, "*axes"]:
    """Smallest k with P(count <= k) > u: adds up probabilities for usual rates, asks scipy for huge ones."""
    flat, u = rates.double().flatten(), uniform.double().flatten()
    counts = torch.zeros(flat.shape, dtype=torch.int64)
    huge = flat > LARGEST_SUM
    if huge.any():
        guess = np.ceil(scipy.special.pdtrik(u[huge].numpy(), flat[huge].numpy()))
        counts[huge] = torch.from_numpy(guess.clip(min=0).astype(np.int64))
    place = torch.arange(len(flat)) if not huge.any() else torch.nonzero(~huge)[:, 0]
    rate, u = flat[place], u[place]
    term = torch.exp(-rate)
    total, k = term.clone(), 0
    while True:  # most counts are 0: only the rest goes on
        more = torch.nonzero((u >= total) & (term > 0))[:, 0]
        if not len(more):
            return counts.reshape(rates.shape)
        k += 1
        place, rate, u = place[more], rate[more], u[more]
        term = term[more] * rate / k
        total = total[more] + term
        counts[place] = k
