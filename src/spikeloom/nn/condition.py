"""The condition of a generator: a vector per trial, a sequence per bin, or nothing.

A `vector` (batch, d), such as a direction, is embedded and added to the embedding of the noise level, which modulates
every block of the network. A `sequence` (batch, time, d), such as a hand path, is mapped linearly and added to the
input. If the condition of a trial is absent, learned embeddings replace both. So one network learns the conditional and
the unconditional distribution, and guidance can combine them.
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
        present: True for trials that have their condition (batch,). `None` means that all trials have it.
    """

    vector: Tensor | None = None
    sequence: Tensor | None = None
    present: Tensor | None = None

    def to(self, device: torch.device) -> "Condition":
        """Return the same condition on another device."""
        parts = (self.vector, self.sequence, self.present)
        return Condition(*(None if part is None else part.to(device) for part in parts))

    def select(self, rows: NDArray[np.intp] | slice, *, n_bins: int | None = None) -> "Condition":
        """Return the condition of the trials `rows` in their first `n_bins` bins; `None` means all bins."""
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
        """Return the terms that are added to the level embedding and to the input.

        Args:
            condition: Condition of the batch. `None` means that it is absent in all trials.
            batch: Number of trials.

        Returns:
            Two terms; each is `None` if the network was built without this kind of condition. The term for the input
            has one bin, which stands for all bins, if the sequence is absent in all trials.
        """
        condition = Condition() if condition is None else condition
        present = condition.present
        return (
            _embed(self.vector, self.absent_vector, condition.vector, present, (batch,)),
            _embed(self.sequence, self.absent_sequence, condition.sequence, present, (batch, 1)),
        )


def _embed(
    network: nn.Module | None,
    absent: Tensor | None,
    value: Tensor | None,
    present: Bool[Tensor, " batch"] | None,
    axes: tuple[int, ...],
) -> Tensor | None:
    """Return the embedding of a vector or a sequence.

    Args:
        network: Network that embeds the value. `None` if there is no condition of this kind.
        absent: Learned embedding of an absent condition.
        value: Vector or sequence of each trial, or `None` if it is absent in all trials.
        present: True for trials that have their condition.
        axes: Axes of the result before the channels if the value is absent.
    """
    if network is None or absent is None:
        return None
    default = absent.expand(*axes, -1)
    if value is None:
        return default
    embedded = network(value)
    if present is None:
        return embedded
    n_other_axes = embedded.dim() - 1
    return torch.where(present.view(-1, *[1] * n_other_axes), embedded, default)
