r"""Recurrent encoder: one vector for a complete trial of any length.

One gated recurrent network reads the bins forwards and another one reads them backwards. The last states of both are
joined and mapped linearly to the vector. The forward network stops at the last valid bin, and the backward network
starts there, so padding has no effect.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence


class TrialEncoder(nn.Module):
    """Encoder from activity (batch, time, channel) to one vector per trial (batch, code).

    Args:
        channels: Number of channels per bin.
        n_codes: Size of the vector.
        width: Number of units of each direction.
    """

    def __init__(self, channels: int, n_codes: int, *, width: int) -> None:
        super().__init__()
        self.units = nn.GRU(channels, width, batch_first=True, bidirectional=True)
        self.leave = nn.Linear(2 * width, n_codes)

    def forward(
        self, x: Float[Tensor, "batch time channel"], mask: Bool[Tensor, "batch time"] | None = None
    ) -> Float[Tensor, "batch code"]:
        """Return one vector per trial. The mask is True in valid bins, which come first; `None` if all are valid."""
        return self.leave(self.read(x, mask))

    def read(
        self, x: Float[Tensor, "batch time channel"], mask: Bool[Tensor, "batch time"] | None = None
    ) -> Float[Tensor, "batch twice"]:
        """Return the last states of both directions, joined. The linear map `leave` turns them into the vector."""
        if mask is None or bool(mask.all()):
            _, last = self.units(x)
        else:
            packed = pack_padded_sequence(x, mask.sum(1).cpu(), batch_first=True, enforce_sorted=False)
            _, last = self.units(packed)
        # `last` has the axes (direction, batch, unit)
        return torch.cat((last[0], last[1]), -1)
