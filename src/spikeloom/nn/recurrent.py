r"""Recurrent encoder: one vector for a complete trial of any length.

A gated recurrent unit reads the bins forwards and another one backwards; their last states, joined, go through a linear
map. Each direction ends at the last (or first) valid bin of the trial, so padding changes nothing.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence


class TrialEncoder(nn.Module):
    """Encoder from activity (batch, time, channel) to one vector per trial (batch, code).

    Args:
        channels: Channels per bin.
        n_codes: Numbers in the vector.
        width: Units of each direction.
    """

    def __init__(self, channels: int, n_codes: int, *, width: int) -> None:
        super().__init__()
        self.units = nn.GRU(channels, width, batch_first=True, bidirectional=True)
        self.leave = nn.Linear(2 * width, n_codes)

    def forward(
        self, x: Float[Tensor, "batch time channel"], mask: Bool[Tensor, "batch time"] | None = None
    ) -> Float[Tensor, "batch code"]:
        """Return one vector per trial; valid bins, where the mask is True, come first."""
        return self.leave(self.read(x, mask))

    def read(
        self, x: Float[Tensor, "batch time channel"], mask: Bool[Tensor, "batch time"] | None = None
    ) -> Float[Tensor, "batch twice"]:
        """Return the last states of both directions, joined; `leave` maps them to the vector."""
        if mask is None or bool(mask.all()):
            _, last = self.units(x)
        else:
            packed = pack_padded_sequence(x, mask.sum(1).cpu(), batch_first=True, enforce_sorted=False)
            _, last = self.units(packed)
        return torch.cat((last[0], last[1]), -1)
