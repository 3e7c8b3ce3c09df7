r"""The residual network of encoders and denoisers: layers along time alternate with small networks along channels.

A block consists of two parts. The first mixes bins by a state-space layer (S4D, `nn.ssm`), the second mixes channels by
a small network (MLP):

.. math:: x \leftarrow x + g_1 \, \mathrm{GELU}(\mathrm{S4D}(m \cdot (\mathrm{norm}(x)(1 + s_1) + b_1))), \qquad
          x \leftarrow x + g_2 \, \mathrm{MLP}(\mathrm{norm}(x)(1 + s_2) + b_2).

The mask m is 0 in the padding and stands before the state-space layer, the only layer that mixes bins. So padding has
no effect on valid bins. Shifts b, scales s and gates g are the six modulations of a block. In an encoder they are
learned vectors. In a denoiser they are linear functions of an embedding of noise level and condition. These functions
are zero before training, so each block begins as the identity.

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
    """Linear map of each bin in which each group of outputs reads one group of inputs only.

    Args:
        inputs: Number of input channels.
        outputs: Number of output channels.
        groups: Number of groups; must divide both. 1 is an ordinary linear map.

    Raises:
        ValueError: if the number of groups does not divide both.
    """

    def __init__(self, inputs: int, outputs: int, *, groups: int = 1) -> None:
        super().__init__()
        if inputs % groups or outputs % groups:
            raise ValueError(f"{groups} groups must divide {inputs} inputs and {outputs} outputs")
        bound = 1 / math.sqrt(inputs // groups)
        self.weight = nn.Parameter(torch.empty(groups, outputs // groups, inputs // groups).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound))

    def forward(self, x: Float[Tensor, "channel batch time"]) -> Float[Tensor, "out batch time"]:
        """Return the output channels of every bin, in the precision of the input."""
        groups, _, inputs = self.weight.shape
        y = torch.bmm(self.weight, x.reshape(groups, inputs, -1)).to(x.dtype)
        # The bias is added in place before `view`. If it were added after `view`, autograd would copy the gradient
        # three times.
        return y.add_(self.bias.to(x.dtype).view(groups, -1, 1)).view(-1, *x.shape[1:])


class Block(nn.Module):
    """One residual block; see the module for the formula.

    Args:
        width: Number of channels.
        bidirectional: True if the state-space layer also reads later bins.
        embedding: Size of the embedding that modulates the block; 0 for learned modulation.
    """

    def __init__(self, width: int, *, bidirectional: bool, embedding: int = 0) -> None:
        super().__init__()
        self.ssm = S4D(width, bidirectional=bidirectional)
        self.up = GroupedLinear(width, 2 * width)
        self.down = GroupedLinear(2 * width, width)
        if embedding:  # two shifts, two scales and two gates
            self.modulation: nn.Module | nn.Parameter = nn.Linear(embedding, 6 * width)
            nn.init.zeros_(self.modulation.weight)
            nn.init.zeros_(self.modulation.bias)
        else:
            shifts_and_scales = torch.zeros(4 * width)
            gates = torch.ones(2 * width)
            self.modulation = nn.Parameter(torch.cat((shifts_and_scales, gates)))

    def forward(self, x: Tensor, mask: Tensor | None, embedding: Tensor | None) -> Tensor:
        """Return the output of the block.

        Args:
            x: Activations (channel, batch, time).
            mask: 1 in valid bins and 0 in the padding (batch, time). `None` means that all bins are valid.
            embedding: Embedding (batch, embedding), if the block was built for one.
        """
        shift, shift2, scale, scale2, gate, gate2 = self._modulation(embedding)
        over_time = self.ssm(modulated_norm(x, scale, shift, mask))
        x = gated_sum(x, functional.gelu(over_time), gate)
        over_channels = self.down(functional.gelu(self.up(modulated_norm(x, scale2, shift2))))
        return gated_sum(x, over_channels, gate2)

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output of one more bin (channel, batch) and the next state of the state-space layer.

        Only causal blocks without an embedding can run bin by bin.
        """
        shift, shift2, scale, scale2, gate, gate2 = (part[..., 0] for part in self._modulation(None))
        # `x[..., None]` is one bin: `rms_norm` and the linear maps expect an axis of time
        y, state = self.ssm.step(rms_norm(x[..., None])[..., 0] * (1 + scale) + shift, state)
        x = x + functional.gelu(y) * gate
        h = rms_norm(x[..., None]) * (1 + scale2[..., None]) + shift2[..., None]
        return x + self.down(functional.gelu(self.up(h)))[..., 0] * gate2, state

    def _modulation(self, embedding: Tensor | None) -> tuple[Tensor, ...]:
        """Return two shifts, two scales and two gates, each (channel, batch or 1, 1)."""
        if isinstance(self.modulation, nn.Parameter):
            return self.modulation.view(6, -1, 1, 1).unbind(0)
        assert embedding is not None  # the stack was built with an embedding
        values = self.modulation(functional.gelu(embedding))
        return values.T.reshape(6, -1, len(values), 1).unbind(0)


class Stack(nn.Module):
    """A linear map, residual blocks and another linear map: (batch, time, channel) -> (batch, time, out).

    Outputs of valid bins do not depend on the content or the amount of padding. With `bidirectional=False` they do not
    depend on later bins.

    Args:
        inputs: Number of input channels.
        outputs: Number of output channels.
        width: Number of channels of the blocks.
        blocks: Number of residual blocks.
        bidirectional: True if the state-space layers also read later bins.
        embedding: Size of the embedding that modulates the blocks; 0 for learned modulation.
        groups_in: Number of groups of the first linear map; see `GroupedLinear`.
        groups_out: Number of groups of the last linear map.
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
        """Return the output of the stack.

        Args:
            x: Input.
            mask: True in valid bins. `None` means that all are valid.
            embedding: Embedding that modulates the blocks, if the stack was built for one.
            added: Term that is added to the activations after the first linear map, such as an embedded condition.
        """
        h = self.enter(x.permute(2, 0, 1))  # (width, batch, time)
        if added is not None:
            h = h + added.permute(2, 0, 1)
        valid = None if mask is None else mask.to(h.dtype)
        for block in self.blocks:
            h = block(h, valid, embedding)
        return self.leave(h).permute(1, 2, 0)

    def residual_blocks(self) -> list[Block]:
        """Return the blocks in their order, typed as `Block`."""
        return [block for block in self.blocks if isinstance(block, Block)]

    # --- the same stack, one bin at a time -----------------------------------------------------------------------

    def start(self, batch: int) -> list[Tensor]:
        """Return the states of the blocks before the first bin."""
        return [block.ssm.start(batch) for block in self.residual_blocks()]

    def step(self, x: Float[Tensor, "batch channel"], states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Return the output (batch, out) of one more bin, and the states of the blocks after this bin.

        Only causal stacks without an embedding can run bin by bin.
        """
        h = self.enter(x.T[..., None])[..., 0]  # (width, batch); `enter` expects an axis of time
        next_states = []
        for block, state in zip(self.residual_blocks(), states, strict=True):
            h, next_state = block.step(h, state)
            next_states.append(next_state)
        return self.leave(h[..., None])[..., 0].T, next_states


class LevelEmbedding(nn.Module):
    """Embedding of a noise level in [0, 1] as a vector.

    The level times 1000 is the argument of 128 pairs of sinusoids, whose frequencies fall geometrically from 1 to
    almost 1 / 10,000. A small network maps their values to the embedding.

    Args:
        size: Size of the embedding.
    """

    frequency: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(256, size), nn.SiLU(), nn.Linear(size, size))
        self.register_buffer("frequency", torch.exp(-math.log(10_000) * torch.arange(128) / 128), persistent=False)

    def forward(self, level: Float[Tensor, " batch"]) -> Float[Tensor, "batch size"]:
        """Return the embedding of each level."""
        angle = 1000 * level[:, None].float() * self.frequency
        return self.network(torch.cat((angle.cos(), angle.sin()), -1))


class Backbone(nn.Module):
    """Backbone of a denoiser, made of a `Stack`: (x, level, condition, mask) -> output with the axes of x.

    Args:
        channels: Number of channels of the diffused signal.
        width: Number of channels of the blocks.
        blocks: Number of residual blocks.
        bidirectional: True if the state-space layers also read later bins.
        vector: Size of the vector of a condition; 0 if conditions have no vector.
        sequence: Size of the sequence of a condition in each bin; 0 if conditions have no sequence.
        grouped: True to connect each channel of the signal, in the first and last linear map, to its own group of
            channels of the blocks. It has no effect if `width` is not a multiple of `channels`.
        scale_out: Factor by which the initial weights of the last linear map are multiplied.
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
        """Return the output of the network.

        Args:
            x: Noisy signal (batch, time, channel).
            level: Noise level of each trial (batch,), in [0, 1].
            condition: Condition of the trials.
            mask: True in valid bins (batch, time).
        """
        vector, sequence = self.condition(condition, len(x))
        embedding = self.level(level)
        return self.stack(x, mask, embedding=embedding if vector is None else embedding + vector, added=sequence)
