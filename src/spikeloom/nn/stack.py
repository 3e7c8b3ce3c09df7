r"""The residual backbone: state-space layers along time alternate with small networks along channels.

A block with modulation (shift, scale, gate) x 2 computes

.. math:: x \leftarrow x + g_1 \, \mathrm{GELU}(\mathrm{S4D}(m \cdot (\mathrm{norm}(x)(1 + s_1) + b_1))), \qquad
          x \leftarrow x + g_2 \, \mathrm{MLP}(\mathrm{norm}(x)(1 + s_2) + b_2),

with the mask m in front of the only operator that mixes bins. In an encoder the six modulations are learned vectors. In
a denoiser they are linear functions of an embedding (level, condition), zero at the start, so that each block begins as
the identity.

Inputs and outputs are (batch, time, channel); inside, activations are (channel, batch, time), see `nn.ssm`.
Source: LDNS (Kapoor, Schulz et al. 2024); modulation as in diffusion transformers (adaptive norm, zero gates).
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from spikeloom.nn.condition import Condition, ConditionEmbedding
from spikeloom.nn.norm import gated_sum, modulated_norm, rms_norm
from spikeloom.nn.ssm import S4D


class GroupedLinear(nn.Module):
    """Linear map per bin in which each group of outputs reads one group of inputs only.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        groups: Number of groups; must divide both. 1 is an ordinary linear map.
    """

    def __init__(self, inputs: int, outputs: int, *, groups: int = 1) -> None:
        super().__init__()
        if inputs % groups or outputs % groups:
            raise ValueError(f"{groups} groups must divide {inputs} inputs and {outputs} outputs")
        bound = 1 / math.sqrt(inputs // groups)
        self.weight = nn.Parameter(torch.empty(groups, outputs // groups, inputs // groups).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound))

    def forward(self, x: Float[Tensor, "channel batch time"]) -> Float[Tensor, "out batch time"]:
        """Map channels in every bin, (channel, batch, time) -> (out, batch, time)."""
        groups, _, inputs = self.weight.shape
        y = torch.bmm(self.weight, x.reshape(groups, inputs, -1)).to(x.dtype)  # autocast: half precision in, half out
        # in place on the product: with a view of it, autograd would copy the gradient three times
        return y.add_(self.bias.to(x.dtype).view(groups, -1, 1)).view(-1, *x.shape[1:])


class Block(nn.Module):
    """One residual block; see the module for the formula.

    Args:
        width: Channels.
        bidirectional: Whether the state-space layer reads the future too.
        embedding: Size of the embedding that modulates the block; 0 for learned modulation.
    """

    def __init__(self, width: int, *, bidirectional: bool, embedding: int = 0) -> None:
        super().__init__()
        self.ssm = S4D(width, bidirectional=bidirectional)
        self.up = GroupedLinear(width, 2 * width)
        self.down = GroupedLinear(2 * width, width)
        if embedding:
            self.modulation: nn.Module | nn.Parameter = nn.Linear(embedding, 6 * width)
            nn.init.zeros_(self.modulation.weight)
            nn.init.zeros_(self.modulation.bias)
        else:
            self.modulation = nn.Parameter(torch.cat((torch.zeros(4 * width), torch.ones(2 * width))))

    def forward(self, x: Tensor, mask: Tensor | None, embedding: Tensor | None) -> Tensor:
        """Apply the block to x (channel, batch, time); mask (batch, time) of 0 and 1, embedding (batch, embedding)."""
        shift, shift2, scale, scale2, gate, gate2 = self._modulation(embedding)
        x = gated_sum(x, functional.gelu(self.ssm(modulated_norm(x, scale, shift, mask))), gate)
        return gated_sum(x, self.down(functional.gelu(self.up(modulated_norm(x, scale2, shift2)))), gate2)

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output of one more bin (channel, batch) and the next state; causal, without embedding."""
        shift, shift2, scale, scale2, gate, gate2 = (part[..., 0] for part in self._modulation(None))
        y, state = self.ssm.step(rms_norm(x[..., None])[..., 0] * (1 + scale) + shift, state)
        x = x + functional.gelu(y) * gate
        h = rms_norm(x[..., None]) * (1 + scale2[..., None]) + shift2[..., None]
        return x + self.down(functional.gelu(self.up(h)))[..., 0] * gate2, state

    def _modulation(self, embedding: Tensor | None) -> tuple[Tensor, ...]:
        """Return the six modulations, each (channel, batch or 1, 1)."""
        if isinstance(self.modulation, nn.Parameter):
            return self.modulation.view(6, -1, 1, 1).unbind(0)
        assert embedding is not None  # the stack was built with an embedding
        values = self.modulation(functional.gelu(embedding))
        return values.T.reshape(6, -1, len(values), 1).unbind(0)


class Stack(nn.Module):
    """Linear map in, residual blocks, linear map out: (batch, time, channel) -> (batch, time, out).

    Outputs of valid bins do not depend on the content or the amount of padding. With `bidirectional=False` they do not
    depend on later bins.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        width: Channels inside.
        blocks: Residual blocks.
        bidirectional: Whether the state-space layers read the future too.
        embedding: Size of the embedding that modulates the blocks; 0 without modulation.
        groups_in: Groups of the linear map in; each group of outputs reads one group of inputs only.
        groups_out: Groups of the linear map out.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        width: int,
        blocks: int,
        bidirectional: bool,
        embedding: int = 0,
        groups_in: int = 1,
        groups_out: int = 1,
    ) -> None:
        super().__init__()
        self.enter = GroupedLinear(inputs, width, groups=groups_in)
        self.blocks = nn.ModuleList(
            Block(width, bidirectional=bidirectional, embedding=embedding) for _ in range(blocks)
        )
        self.leave = GroupedLinear(width, outputs, groups=groups_out)

    def forward(
        self,
        x: Float[Tensor, "batch time channel"],
        mask: Bool[Tensor, "batch time"] | None = None,
        *,
        embedding: Float[Tensor, "batch embedding"] | None = None,
        added: Float[Tensor, "batch time_or_one width"] | None = None,
    ) -> Float[Tensor, "batch time out"]:
        """Run the stack; `added` is added to the activations after the linear map in."""
        h = self.enter(x.permute(2, 0, 1))
        if added is not None:
            h = h + added.permute(2, 0, 1)
        keep = None if mask is None else mask.to(h.dtype)
        for block in self.blocks:
            h = block(h, keep, embedding)
        return self.leave(h).permute(1, 2, 0)

    def residual_blocks(self) -> list[Block]:
        """Return the blocks in their order."""
        return [block for block in self.blocks if isinstance(block, Block)]

    # --- the same stack, one bin at a time -----------------------------------------------------------------------

    def start(self, batch: int) -> list[Tensor]:
        """Return the states of the blocks before the first bin."""
        return [block.ssm.start(batch) for block in self.residual_blocks()]

    def step(self, x: Float[Tensor, "batch channel"], states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Return the output (batch, out) of one more bin and the next states; causal stacks without embedding only."""
        h = self.enter(x.T[..., None])[..., 0]
        after = []
        for block, state in zip(self.residual_blocks(), states, strict=True):
            h, state = block.step(h, state)
            after.append(state)
        return self.leave(h[..., None])[..., 0].T, after


class LevelEmbedding(nn.Module):
    """Embedding of a noise level in [0, 1]: sinusoids of 1000 x level with periods up to 10,000, then a small network.

    Args:
        size: Numbers in the embedding.
    """

    frequency: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(256, size), nn.SiLU(), nn.Linear(size, size))
        self.register_buffer("frequency", torch.exp(-math.log(10_000) * torch.arange(128) / 128), persistent=False)

    def forward(self, level: Float[Tensor, " batch"]) -> Float[Tensor, "batch size"]:
        """Return the embedding (batch, size) of levels (batch,)."""
        angle = 1000 * level[:, None].float() * self.frequency
        return self.network(torch.cat((angle.cos(), angle.sin()), -1))


class Backbone(nn.Module):
    """Stack with the signature of a denoiser's backbone: (x, level, condition, mask) -> like x.

    Args:
        channels: Channels of the diffused signal.
        width: Channels inside.
        blocks: Residual blocks.
        bidirectional: Whether the state-space layers read the future too.
        vector: Size of a condition's vector; 0 without one.
        sequence: Size of a condition's sequence; 0 without one.
        grouped: In the linear maps in and out, give each diffused channel a separate group of inner channels, if the
            width is a multiple of the channels.
        scale_out: Factor on the initial weights of the linear map out.
    """

    def __init__(
        self,
        channels: int,
        *,
        width: int,
        blocks: int,
        bidirectional: bool = True,
        vector: int = 0,
        sequence: int = 0,
        grouped: bool = True,
        scale_out: float = 0.1,
    ) -> None:
        super().__init__()
        embedding = max(width // 4, 32)
        groups = channels if grouped and width % channels == 0 else 1
        self.level = LevelEmbedding(embedding)
        self.condition = ConditionEmbedding(vector=vector, sequence=sequence, embedding=embedding, width=width)
        self.stack = Stack(
            channels,
            channels,
            width=width,
            blocks=blocks,
            bidirectional=bidirectional,
            groups_in=groups,
            groups_out=groups,
            embedding=embedding,
        )
        with torch.no_grad():
            self.stack.leave.weight.mul_(scale_out)
            self.stack.leave.bias.mul_(scale_out)

    def forward(
        self, x: Tensor, level: Tensor, condition: Condition | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Return the network output for x (batch, time, channel) at the levels (batch,)."""
        vector, sequence = self.condition(condition, len(x))
        embedding = self.level(level)
        return self.stack(x, mask, embedding=embedding if vector is None else embedding + vector, added=sequence)
