r"""The backbone for one vector per trial: residual blocks of small networks, modulated as those of `nn.stack`.

.. math:: x \leftarrow x + g \, \mathrm{MLP}(\mathrm{norm}(x)(1 + s) + b),

with shift b, scale s and gate g learned, or linear in an embedding (level, condition); zero at the start, when the
network is a linear map. Denoisers pass the vector as a sequence of length 1, so that the same diffusion code serves
vectors and sequences.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from spikeloom.nn.condition import Condition, ConditionEmbedding
from spikeloom.nn.stack import LevelEmbedding


class Perceptron(nn.Module):
    """Linear map in, residual blocks, linear map out: (batch, channel) -> (batch, out).

    Args:
        inputs: Channels in.
        outputs: Channels out.
        width: Channels inside.
        blocks: Residual blocks.
        embedding: Size of the embedding that modulates the blocks; 0 for learned modulation.
        scale_out: Factor on the initial weights of the linear map out.
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
        """Run the blocks, modulated by the embedding if they were built for one."""
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
        if embedding:
            self.modulation: nn.Module | nn.Parameter = nn.Linear(embedding, 3 * width)
            nn.init.zeros_(self.modulation.weight)
            nn.init.zeros_(self.modulation.bias)
        else:
            self.modulation = nn.Parameter(torch.zeros(3 * width))

    def forward(self, x: Tensor, embedding: Tensor | None) -> Tensor:
        if isinstance(self.modulation, nn.Parameter):
            values: Tensor = self.modulation
        else:
            assert embedding is not None  # the perceptron was built with an embedding
            values = self.modulation(functional.gelu(embedding))
        shift, scale, gate = values.chunk(3, -1)
        return x + gate * self.down(functional.gelu(self.up(self.norm(x) * (1 + scale) + shift)))


class VectorBackbone(nn.Module):
    r"""Backbone of a denoiser of vectors: (x, level, condition, mask) -> velocity, like x, (batch, 1, channel).

    Channels may have very different sd s, as principal components do. A network with one output scale would have errors
    larger than the small channels. So the backbone starts from the exact velocity for independent Gaussian channels and
    adds a correction f, scaled by the remaining uncertainty of each channel:

    .. math:: \hat v = \frac{a \sigma (1 - s^2)}{a^2 s^2 + \sigma^2} x
              + \frac{s}{\sqrt{a^2 s^2 + \sigma^2}} f\left(\frac{x}{\sqrt{a^2 s^2 + \sigma^2}}\right),

    with f the network, near zero at the start. For s = 1 this is f alone.

    Args:
        channels: Numbers in the vector.
        schedule: Level (batch,) -> scales of signal a and noise sigma.
        width: Channels inside.
        blocks: Residual blocks.
        vector: Size of a condition's vector; 0 without one.
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
        """Return the velocity of x at the levels; a vector has no padding, so the mask is not used."""
        signal, noise = (scale[:, None] for scale in self.schedule(level))
        spread = (signal**2 * self.sd**2 + noise**2).sqrt()
        scaled = x[:, 0] / spread
        vector, _ = self.condition(condition, len(x))
        embedding = self.level(level)
        left = self.network(scaled, embedding if vector is None else embedding + vector)
        return (signal * noise * (1 - self.sd**2) / spread * scaled + self.sd / spread * left)[:, None]
