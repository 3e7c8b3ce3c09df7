"""Observation models compute rates from a drive and draw counts, with three slots; see `observation.model`."""

from spikeloom.observation.history import SpikeHistory
from spikeloom.observation.model import ObservationModel
from spikeloom.observation.noise import SharedNoise
from spikeloom.observation.poisson import Poisson
from spikeloom.observation.refractory import Refractory
from spikeloom.observation.regular import Regular
from spikeloom.observation.slots import CountDistribution, History, Noise

__all__ = [
    "CountDistribution",
    "History",
    "Noise",
    "ObservationModel",
    "Poisson",
    "Refractory",
    "Regular",
    "SharedNoise",
    "SpikeHistory",
]
