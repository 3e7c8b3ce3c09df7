"""A small denoiser with random weights, for tests of windows and streams."""

import torch

from spikeloom.diffusion.denoiser import NetworkDenoiser
from spikeloom.diffusion.schedule import LinearBeta
from spikeloom.nn.stack import Backbone

SCHEDULE = LinearBeta()


def network() -> NetworkDenoiser:
    """Three channels, a condition of each kind, and modulations that are not zero."""
    torch.manual_seed(0)
    backbone = Backbone(3, width=6, blocks=1, vector=2, sequence=1, scale_out=1.0)
    for block in backbone.stack.blocks:
        torch.nn.init.normal_(block.modulation.weight, std=0.3)
    return NetworkDenoiser(backbone, schedule=SCHEDULE, prediction="velocity").eval()
