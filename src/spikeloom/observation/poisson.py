r"""Poisson counts: :math:`c \sim \mathrm{Poisson}(r)`, :math:`\log p(c \mid d) = c \log r - r - \log c!`.

The link is :math:`r = \log(1 + e^d)` (softplus, as LDNS) or :math:`r = e^d` (as LFADS). log c! is kept, so that values
can be compared between models.
"""

from typing import Literal, final

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional

from spikeloom.observation.base import ObservationModel
from spikeloom.seeds import Streams

SMALLEST_RATE = 1e-7
"""Rates below are raised to it, spikes/bin: a silent neuron's logarithm stays finite."""

LARGEST_DRIVE = 10.0
"""Drives of the exponential link above are lowered to it; e^10 spikes/bin is no neuron, but makes exp overflow."""


@final
class Poisson(ObservationModel):
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

    def sample(
        self, drive: Float[Tensor, "batch time neuron"], streams: Streams
    ) -> Integer[np.ndarray, "batch time neuron"]:
        """Counts drawn under the drive, one stream per trial, in the order of time."""
        rates = self.rates(drive).double().cpu().numpy()
        return np.stack([rng.poisson(rate) for rng, rate in zip(streams.generators, rates, strict=True)])
