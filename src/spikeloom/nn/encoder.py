r"""The autoencoder of LDNS: counts -> one smooth latent vector per bin -> drive of each neuron.

The drive is the number from which the link function computes a firing rate (`observation.links`).

The encoder is a stack of state-space blocks. Its last linear map is grouped: latent k is computed from group k of the
channels only. The decoder maps each bin separately. By default it has one hidden layer and is a generalised additive
model, :math:`d_n(t) = b_n + \sum_k f_{nk}(z_k(t))`: the drive d of neuron n is a sum of functions of single latents z.
A mixed decoder has two dense hidden layers, so that latents interact. Source: LDNS (Kapoor, Schulz et al. 2024),
METHODS 2.1.
"""

from typing import final

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from spikeloom.nn.stack import GroupedLinear, Stack


class Encoder(nn.Module):
    """Counts (batch, time, neuron) -> latents (batch, time, latent).

    Args:
        n_neurons: Number of neurons of the recording.
        n_latents: Number of latents per bin.
        width: Number of channels inside; a multiple of `n_latents`.
        blocks: Number of residual blocks.
        bidirectional: True if latents may depend on later bins. Otherwise the encoder is causal and can stream.
    """

    def __init__(self, n_neurons: int, *, n_latents: int, width: int, blocks: int, bidirectional: bool) -> None:
        super().__init__()
        self.stack = Stack(
            n_neurons, n_latents, width=width, blocks=blocks, bidirectional=bidirectional, groups_out=n_latents
        )

    def forward(
        self, counts: Float[Tensor, "batch time neuron"], mask: Tensor | None = None
    ) -> Float[Tensor, "batch time latent"]:
        """Return the latents, which are not standardised yet. The mask (batch, time) is True in valid bins."""
        return self.stack(counts, mask)


class Decoder(nn.Module):
    """Latents (batch, time, latent) -> drive (batch, time, neuron), bin by bin.

    Args:
        n_latents: Number of latents per bin.
        n_neurons: Number of neurons of the recording.
        width: Number of units of a hidden layer; a multiple of `n_latents`.
        mixed: True for two dense hidden layers, in which latents interact. False for one hidden layer in which each
            latent has its own group of units.
    """

    def __init__(self, n_latents: int, n_neurons: int, *, width: int, mixed: bool) -> None:
        super().__init__()
        self.enter = GroupedLinear(n_latents, width, groups=1 if mixed else n_latents)
        self.hidden = GroupedLinear(width, width) if mixed else None
        self.leave = GroupedLinear(width, n_neurons)

    def forward(self, latents: Float[Tensor, "batch time latent"]) -> Float[Tensor, "batch time neuron"]:
        """Return the drive of each neuron, before the link."""
        h = functional.gelu(self.enter(latents.permute(2, 0, 1)))  # (channel, batch, time)
        if self.hidden is not None:
            h = h + functional.gelu(self.hidden(h))
        return self.leave(h).permute(1, 2, 0)

    def start_at(self, drive: Float[Tensor, " neuron"]) -> None:
        """Set the bias so that training begins near this drive, such as the drive of the mean rates."""
        with torch.no_grad():
            self.leave.bias.copy_(drive)


@final
class ArrayDecoder:
    """A decoder in NumPy, with which trials are drawn: latents (*axes, latent) -> drive (*axes, neuron).

    Matrix products are in double precision, so that the result of a bin does not depend on the other bins. Functions of
    single numbers are in single precision.

    Args:
        network: Decoder, whose weights are copied.
    """

    def __init__(self, network: Decoder) -> None:
        self.enter = _ArrayLinear(network.enter)
        self.hidden = None if network.hidden is None else _ArrayLinear(network.hidden)
        self.leave = _ArrayLinear(network.leave)

    def __call__(self, latents: Float[NDArray[np.float64], "*axes latent"]) -> Float[np.ndarray, "*axes neuron"]:
        """Return the drive of each neuron, before the link."""
        activity = _gelu(self.enter(latents))
        if self.hidden is not None:
            activity = activity + _gelu(self.hidden(activity))
        return self.leave(activity).astype(np.float32)


class _ArrayLinear:
    """A grouped linear map in NumPy, in double precision."""

    def __init__(self, layer: GroupedLinear) -> None:
        weight = layer.weight.detach().cpu().double().numpy()
        self.bias = layer.bias.detach().cpu().double().numpy()
        self.groups, _, n_inputs = weight.shape  # (group, output, input)
        if self.groups == 1:
            self.weight = weight[0].T  # (input, output)
        elif n_inputs == 1:
            self.weight = weight[..., 0]  # (group, output)
        else:
            raise ValueError("if there are several groups, each must have one input")

    def __call__(self, x: Float[np.ndarray, "*axes channel"]) -> Float[np.ndarray, "*axes out"]:
        if self.groups == 1:
            y = x.astype(np.float64).reshape(-1, x.shape[-1]) @ self.weight
        else:
            y = x[..., None] * self.weight  # (*axes, group, output)
        return y.reshape(*x.shape[:-1], -1) + self.bias


def _gelu(x: Float[np.ndarray, "*axes channel"]) -> Float[np.ndarray, "*axes channel"]:
    """Return the activation in single precision."""
    return functional.gelu(torch.from_numpy(x.astype(np.float32))).numpy()
