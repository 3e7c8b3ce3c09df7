"""Observation models: drive -> rates -> counts.

A drive is a real number per bin and neuron, before the link; a rate is the expected count, spikes/bin.
An observation model is three short methods; one that wraps another (spike history, refractoriness) has the same three.
"""

import abc

import numpy as np
from jaxtyping import Float, Integer
from torch import Tensor, nn

from spikeloom.seeds import Streams


class ObservationModel(nn.Module, abc.ABC):
    """Distribution of counts given the drive, independent of where the drive comes from."""

    @abc.abstractmethod
    def rates(self, drive: Float[Tensor, "batch time neuron"]) -> Float[Tensor, "batch time neuron"]:
        """Expected counts, spikes/bin."""

    @abc.abstractmethod
    def log_prob(
        self, counts: Float[Tensor, "batch time neuron"], drive: Float[Tensor, "batch time neuron"]
    ) -> Float[Tensor, "batch time neuron"]:
        """Log-probability of each count, in nats; not summed, not masked."""

    @abc.abstractmethod
    def sample(
        self, drive: Float[Tensor, "batch time neuron"], streams: Streams
    ) -> Integer[np.ndarray, "batch time neuron"]:
        """Counts drawn under the drive, one stream per trial."""

    @abc.abstractmethod
    def drive(self, rates: Float[Tensor, "*axes neuron"]) -> Float[Tensor, "*axes neuron"]:
        """The drive whose rates these are: the inverse of the link."""
