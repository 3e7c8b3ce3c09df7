"""The condition of a generator: a vector per trial, a sequence per bin, or nothing.

A `vector` (batch, d) is added to the level embedding and modulates every block; a `sequence` (batch, time, d) is
projected and added to the input. If the condition of a trial is absent, learned embeddings replace both. So one
network learns the conditional and the unconditional distribution, and guidance can combine them.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor, nn


@dataclass(frozen=True)
class Condition:
    """Condition of a batch of trials.

    Args:
        vector: One vector per trial (batch, d), or None.
        sequence: One vector per bin (batch, time, d), or None.
        present: True for trials that have their condition (batch,). `None` stands for all trials.
    """

    vector: Tensor | None = None
    sequence: Tensor | None = None
    present: Tensor | None = None

    def to(self, device: torch.device) -> "Condition":
        """Return the same condition on another device."""
        parts = (self.vector, self.sequence, self.present)
        return Condition(*(None if part is None else part.to(device) for part in parts))

    def select(self, rows: NDArray[np.intp] | slice, *, n_bins: int | None = None) -> "Condition":
        """Return the condition of some trials, in their first `n_bins` bins; in all bins if that is None."""
        index = rows if isinstance(rows, slice) else torch.from_numpy(rows)
        return Condition(
            vector=None if self.vector is None else self.vector[index],
            sequence=None if self.sequence is None else self.sequence[index][:, :n_bins],
            present=None if self.present is None else self.present[index],
        )


class ConditionEmbedding(nn.Module):
    """Network that maps a `Condition` to a term of the level embedding and a term of the stack's input.

    Args:
        vector: Size of the vector, 0 if there is none.
        sequence: Size of the sequence's vectors, 0 if there is none.
        embedding: Size of the level embedding.
        width: Channels of the stack.
    """

    def __init__(self, *, vector: int, sequence: int, embedding: int, width: int) -> None:
        super().__init__()
        self.vector = (
            nn.Sequential(nn.Linear(vector, embedding), nn.SiLU(), nn.Linear(embedding, embedding)) if vector else None
        )
        self.sequence = nn.Linear(sequence, width) if sequence else None
        self.absent_vector = nn.Parameter(torch.zeros(embedding)) if vector else None
        self.absent_sequence = nn.Parameter(torch.zeros(width)) if sequence else None

    def forward(
        self, condition: Condition | None, batch: int
    ) -> tuple[Float[Tensor, "batch embedding"] | None, Float[Tensor, "batch time width"] | None]:
        """Return the terms for the level embedding and the input; None where the network takes no such condition."""
        condition = Condition() if condition is None else condition
        present = condition.present
        return (
            _embed(self.vector, self.absent_vector, condition.vector, present, (batch,)),
            _embed(self.sequence, self.absent_sequence, condition.sequence, present, (batch, 1)),
        )


def _embed(
    network: nn.Module | None,
    absent: nn.Parameter | None,
    value: Tensor | None,
    present: Bool[Tensor, " batch"] | None,
    axes: tuple[int, ...],
) -> Tensor | None:
    if network is None or absent is None:
        return None
    default = absent.expand(*axes, -1)
    if value is None:
        return default
    embedded = network(value)
    if present is None:
        return embedded
    return torch.where(present.view(-1, *[1] * (embedded.dim() - 1)), embedded, default)
