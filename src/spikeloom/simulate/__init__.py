"""Simulated recordings with true rates and latents: the Lorenz benchmark, and reaches of an arm."""

from spikeloom.simulate.lorenz_system import lorenz
from spikeloom.simulate.reaching_task import reaching

__all__ = ["lorenz", "reaching"]
