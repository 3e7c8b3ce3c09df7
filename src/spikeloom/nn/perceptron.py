r"""Networks that map one vector per trial: a stack of residual blocks, and the backbone of a denoiser made of it.

Each block adds the output of a small network (MLP) to its input:

.. math:: x \leftarrow x + g \, \mathrm{MLP}(\mathrm{norm}(x)(1 + s) + b).

Shift b, scale s and gate g are the modulation of the block. They are either learned vectors or linear functions of an
embedding of noise level and condition. All are zero before training, so each block begins as the identity.

The diffusion code is written for sequences. Denoisers of vectors take a vector as a sequence of length 1.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from spikeloom.nn.condition import Condition, ConditionEmbedding
from spikeloom.nn.stack import LevelEmbedding


class Perceptron(nn.Module):
    """A linear map, residual blocks and another linear map: (batch, channel) -> (batch, out).

    Args:
        inputs: Number of input channels.
        outputs: Number of output channels.
        width: Number of channels of the blocks.
        blocks: Number of residual blocks.
        embedding: Size of the embedding that modulates the blocks; 0 for learned modulation.
        scale_out: Factor by which the initial weights of the last linear map are multiplied.
    """

    def __init__(
        self, inputs: int, outputs: int, *, width: int, blocks: int, embedding: int = 0, scale_out: float = 1.0
    ) -> None:
        super().__init__()
        self.enter = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(_Block(width, embedding=embedding) for _ in range(blocks))
        self.leave = nn.Linear(width, outputs)
        with torch.no_grad():
            self.leave.weight.mul_(scale_out)
            self.leave.bias.mul_(scale_out)

    def forward(
        self, x: Float[Tensor, "batch channel"], embedding: Float[Tensor, "batch embedding"] | None = None
    ) -> Float[Tensor, "batch out"]:
        """Return the output of the network. Pass an embedding if the network was built for one."""
        h = self.enter(x)
        for block in self.blocks:
            h = block(h, embedding)
        return self.leave(h)


class _Block(nn.Module):
    """One residual block; see the module for the formula."""

    def __init__(self, width: int, *, embedding: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.up = nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)
        if embedding:  # shift, scale and gate
            self.modulation: nn.Module | nn.Parameter = nn.Linear(embedding, 3 * width)
            nn.init.zeros_(self.modulation.weight)
            nn.init.zeros_(self.modulation.bias)
        else:
            self.modulation = nn.Parameter(torch.zeros(3 * width))

    def forward(self, x: Tensor, embedding: Tensor | None) -> Tensor:
        """Return the output of the block for x (batch, channel)."""
        if isinstance(self.modulation, nn.Parameter):
            values: Tensor = self.modulation
        else:
            assert embedding is not None  # the perceptron was built with an embedding
            values = self.modulation(functional.gelu(embedding))
        shift, scale, gate = values.chunk(3, -1)  # each (channel,) or (batch, channel)
        return x + gate * self.down(functional.gelu(self.up(self.norm(x) * (1 + scale) + shift)))


class VectorBackbone(nn.Module):
    r"""Backbone of a denoiser of vectors: (x, level, condition, mask) -> velocity, with the axes of x.

    A noisy vector is :math:`x = a x_0 + \sigma \varepsilon`, with :math:`x_0` the clean vector and :math:`\varepsilon`
    standard normal noise. The velocity, which the denoiser predicts, is :math:`v = a \varepsilon - \sigma x_0`.

    Channels of :math:`x_0` may have very different standard deviations s, as principal components do. The errors of a
    network whose outputs all have the same scale would be larger than the small channels. So the backbone starts from
    the exact expected velocity of independent Gaussian channels. It adds a correction by the network f, which is scaled
    by the remaining uncertainty of each channel and is near zero before training:

    .. math:: \hat v = \frac{a \sigma (1 - s^2)}{a^2 s^2 + \sigma^2} x
              + \frac{s}{\sqrt{a^2 s^2 + \sigma^2}} f\left(\frac{x}{\sqrt{a^2 s^2 + \sigma^2}}\right).

    For s = 1 this is f(x) alone, since :math:`a^2 + \sigma^2 = 1`.

    Args:
        channels: Size of the vector.
        schedule: Function from levels (batch,) to the scales a of the signal and sigma of the noise.
        width: Number of channels of the blocks.
        blocks: Number of residual blocks.
        vector: Size of the vector of a condition; 0 without a condition.
    """

    sd: Tensor  # sd of each channel over training trials

    def __init__(
        self,
        channels: int,
        *,
        schedule: Callable[[Tensor], tuple[Tensor, Tensor]],
        width: int,
        blocks: int,
        vector: int = 0,
    ) -> None:
        super().__init__()
        embedding = max(width // 2, 32)
        self.schedule = schedule
        self.level = LevelEmbedding(embedding)
        self.condition = ConditionEmbedding(vector=vector, sequence=0, embedding=embedding, width=width)
        self.network = Perceptron(channels, channels, width=width, blocks=blocks, embedding=embedding, scale_out=0.1)
        self.register_buffer("sd", torch.ones(channels))

    def forward(
        self,
        x: Float[Tensor, "batch 1 channel"],
        level: Float[Tensor, " batch"],
        condition: Condition | None = None,
        _mask: Tensor | None = None,
    ) -> Float[Tensor, "batch 1 channel"]:
        """Return the velocity of x at these noise levels; a vector has no padding, so the mask is not used."""
        signal, noise = (scale[:, None] for scale in self.schedule(level))
        noisy_sd = (signal**2 * self.sd**2 + noise**2).sqrt()  # sd of each channel of x
        standardised = x[:, 0] / noisy_sd
        vector, _ = self.condition(condition, len(x))
        embedding = self.level(level)
        correction = self.network(standardised, embedding if vector is None else embedding + vector)
        gaussian = signal * noise * (1 - self.sd**2) / noisy_sd * standardised
        return (gaussian + self.sd / noisy_sd * correction)[:, None]
