r"""The autoencoder of LDNS: counts -> one smooth latent vector per bin -> drive of each neuron.

The encoder is a stack of state-space blocks whose output is grouped: latent k sees channel group k only. The decoder
works per bin, :math:`d_n(t) = b_n + \sum_k f_{nk}(z_k(t))` with one hidden layer (a generalised additive model), or,
mixed, with two dense hidden layers, so that latents interact. Source: LDNS (Kapoor, Schulz et al. 2024), METHODS 2.1.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from spikeloom.nn.stack import GroupedLinear, Stack


class Encoder(nn.Module):
    """Counts (batch, time, neuron) -> latents (batch, time, latent).

    Args:
        n_neurons: Neurons of the recording.
        n_latents: Latents per bin.
        width: Channels inside; a multiple of `n_latents`.
        blocks: Residual blocks.
        bidirectional: Whether latents may depend on later bins; without it the encoder is causal and can stream.
    """

    def __init__(self, n_neurons: int, *, n_latents: int, width: int, blocks: int, bidirectional: bool) -> None:
        super().__init__()
        self.stack = Stack(
            n_neurons, n_latents, width=width, blocks=blocks, bidirectional=bidirectional, groups_out=n_latents
        )

    def forward(
        self, counts: Float[Tensor, "batch time neuron"], mask: Tensor | None = None
    ) -> Float[Tensor, "batch time latent"]:
        """Return the latents, not standardised."""
        return self.stack(counts, mask)


class Decoder(nn.Module):
    """Latents (batch, time, latent) -> drive (batch, time, neuron), bin by bin.

    Args:
        n_latents: Latents per bin.
        n_neurons: Neurons of the recording.
        width: Hidden units; a multiple of `n_latents`.
        mixed: Dense hidden layers in which latents interact, instead of one group per latent.
    """

    def __init__(self, n_latents: int, n_neurons: int, *, width: int, mixed: bool) -> None:
        super().__init__()
        self.enter = GroupedLinear(n_latents, width, groups=1 if mixed else n_latents)
        self.hidden = GroupedLinear(width, width) if mixed else None
        self.leave = GroupedLinear(width, n_neurons)

    def forward(self, latents: Float[Tensor, "batch time latent"]) -> Float[Tensor, "batch time neuron"]:
        """Return the drive of each neuron, before the link."""
        h = functional.gelu(self.enter(latents.permute(2, 0, 1)))
        if self.hidden is not None:
            h = h + functional.gelu(self.hidden(h))
        return self.leave(h).permute(1, 2, 0)

    def start_at(self, drive: Float[Tensor, " neuron"]) -> None:
        """Set the bias so that the decoder begins near this drive, which saves the first updates."""
        with torch.no_grad():
            self.leave.bias.copy_(drive)
