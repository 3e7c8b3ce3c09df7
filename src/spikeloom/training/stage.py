"""What a model hands to the training loop: stages, and losses as sums.

A loss is given as a sum and the number it is to be divided by, never as a mean: only so do micro-batches, processes and
trials of different length add up to the loss of the whole batch.
"""

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from spikeloom.errors import DataError, SettingError
from spikeloom.seeds import Purpose, Streams, generator
from spikeloom.training.plan import Plan


@dataclass(frozen=True)
class LossTerms:
    """What a loss gives for a batch, as sums, so that batches can be added.

    Args:
        total: Differentiable sum of the loss over all valid entries (bins, neurons, trials) of the batch.
        weight: The number it is to be divided by, mostly that of the valid entries.
        parts: Named summands for the history, also sums over the batch; the same names at every call.
    """

    total: Tensor
    weight: Tensor | float | int
    parts: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """One thing to train.

    Args:
        name: Letters, digits and underscores; names the checkpoints, so no two stages of a model share it.
        module: What is trained: its parameters that require a gradient.
        loss: From a batch (name -> tensor (trial, ...), on the module's device) and its random streams to the terms.
        data: Training trials, name -> tensor (trial, ...), on the CPU.
        validation: Other trials of the same kind, on which the best weights are chosen; None keeps the last weights.
        plan: Updates, batch, learning rate.
    """

    name: str
    module: nn.Module
    loss: Callable[[dict[str, Tensor], Streams], LossTerms]
    data: Mapping[str, Tensor]
    plan: Plan
    validation: Mapping[str, Tensor] | None = None


def sizes(stage: Stage, processes: int) -> tuple[int, int]:
    """Training trials of a stage, and trials per update: all of them if there are fewer than `plan.batch`.

    Raises:
        DataError: if there are no trials, or tensors disagree about how many.
        SettingError: if the trials of an update cannot be shared evenly by the processes.
    """
    groups = [data for data in (stage.data, stage.validation) if data is not None]
    counts = [{len(value) for value in data.values()} for data in groups]
    if any(len(found) != 1 or 0 in found for found in counts):
        raise DataError(
            f"All data of stage {stage.name!r} must hold the same trials, at least one.",
            f"They hold {counts[0]} to train on" + (f" and {counts[1]} to validate on." if len(counts) > 1 else "."),
            "Give trials that are not empty.",
        )
    trials = counts[0].pop()
    batch = batch_size(stage.plan, trials, processes)
    if batch < 1 or batch % processes or any(len(next(iter(data.values()))) < processes for data in groups):
        raise SettingError(
            "Each process must get the same number of trials of each update, and at least one for validation.",
            f"A batch of {batch} ({trials} trials) is shared by {processes} processes in stage {stage.name!r}.",
            "Choose a batch that is a multiple of the number of processes, or start fewer processes.",
        )
    return trials, batch


def batch_size(plan: Plan, n_trials: int, n_processes: int) -> int:
    """Return the trials of one update: the plan's batch, or all trials that the processes can share evenly."""
    return plan.batch if plan.batch <= n_trials else n_trials - n_trials % n_processes


def trials_of(update: int, *, n_trials: int, batch: int, seed: int) -> list[int]:
    """Trial numbers of one update, (batch,). The ragged end of an epoch is left out; batch <= trials."""
    epoch, place = divmod(update, n_trials // batch)
    return _order(seed, epoch, n_trials)[place * batch : (place + 1) * batch]


@functools.lru_cache(maxsize=2)
def _order(seed: int, epoch: int, n_trials: int) -> list[int]:
    return generator(seed, Purpose.ORDER, epoch).permutation(n_trials).tolist()


def means(sums: Mapping[str, float]) -> dict[str, float | None]:
    """Sums over trials divided by their weight; None where that is not finite, nothing without weight."""
    return {name: finite(value / sums["weight"]) for name, value in sums.items() if sums["weight"]}


def parts_of(mean: Mapping[str, float | None]) -> dict[str, float | None]:
    """The named summands of a loss alone."""
    return {name.removeprefix("part "): value for name, value in mean.items() if name.startswith("part ")}


def finite(value: float) -> float | None:
    """The number, or None where JSON has no word for it."""
    return value if math.isfinite(value) else None


def likely_cause(stage: Stage, rows: list[int], loss: float) -> str:
    """In words, what probably made the loss of these trials not finite."""
    for name, value in stage.data.items():
        values = value[torch.tensor(rows)]
        bad = [row for row, good in zip(rows, values.isfinite().reshape(len(rows), -1).all(1), strict=True) if not good]
        if bad:
            return f"the data {name!r} hold NaN or infinity, first in trial {bad[0]}"
    if any(not value.isfinite().all() for value in stage.module.parameters()):
        return "the weights themselves are not finite any more"
    if not math.isfinite(loss):
        return "data and weights are finite, so the loss overflows: too large a learning rate, or outliers in the data"
    return "the loss is finite but its gradient is not: a logarithm or root near zero, or too large a learning rate"
