"""Diffusion: noise schedules, denoisers, samplers and guidance, each replaceable."""

from spikeloom.diffusion.denoiser import Denoiser, ExactGaussian, NetworkDenoiser
from spikeloom.diffusion.guidance import Guided
from spikeloom.diffusion.sampler import DDIM, DDPM, DPMSolver2M, Heun, Sampler, SDEDPMSolver2M, UniPC
from spikeloom.diffusion.schedule import Cosine, LinearBeta, NoiseSchedule
from spikeloom.diffusion.stream import Stream
from spikeloom.diffusion.windowed import Windowed

__all__ = [
    "Cosine",
    "DDIM",
    "DDPM",
    "DPMSolver2M",
    "Denoiser",
    "ExactGaussian",
    "Guided",
    "Heun",
    "LinearBeta",
    "NetworkDenoiser",
    "NoiseSchedule",
    "SDEDPMSolver2M",
    "Sampler",
    "Stream",
    "UniPC",
    "Windowed",
]
