"""Training stages of a model, the losses of their batches, and the order of their trials.

The loss of a batch is stored as a sum and the number by which it is divided, never as a mean. Sums over parts of a
batch add up to the sum over the batch, even if the parts have different numbers of valid entries. This does not hold
for means.
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
    """The loss of a batch, or of a part of it, as sums that can be added.

    Args:
        total: Differentiable sum of the loss over all valid entries (bins, neurons, trials) of the batch.
        weight: Number by which the sum is divided, usually the number of valid entries.
        parts: Summands of the loss by name, for the history. They are sums over the batch, too, and every call of a
            loss returns the same names.
    """

    total: Tensor
    weight: Tensor | float | int
    parts: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """One training stage: a module, a loss, data and a plan.

    Args:
        name: Unique name of the stage (letters, digits, underscores), used in the names of checkpoints.
        module: Module to train. All parameters that require a gradient are trained.
        loss: Function that returns the loss terms of a batch. Its arguments are the batch (name -> tensor (trial, ...),
            on the module's device) and one random stream per trial.
        data: Training trials, name -> tensor (trial, ...), on the CPU.
        validation: Validation trials in the same form. The final weights are the weights with the lowest loss on these
            trials. With `None` they are the weights after the last update.
        plan: Number of updates, batch size, learning rate.
    """

    name: str
    module: nn.Module
    loss: Callable[[dict[str, Tensor], Streams], LossTerms]
    data: Mapping[str, Tensor]
    plan: Plan
    validation: Mapping[str, Tensor] | None = None


@dataclass(frozen=True)
class Calculation:
    """A stage without updates, in which statistics are computed from trials. If it is interrupted, it begins again.

    Args:
        name: Unique name of the stage.
        parts: Functions that are called one after another, name -> function.
        equal: True if all parts take equally long. The time left is then estimated from the finished parts.
    """

    name: str
    parts: Mapping[str, Callable[[], object]]
    equal: bool = False


def sizes(stage: Stage, processes: int) -> tuple[int, int]:
    """Return the number of training trials of a stage, and the number of trials per update.

    Args:
        stage: The stage.
        processes: Number of processes that share the trials of an update.

    Raises:
        DataError: if there are no trials, or tensors have different numbers of trials.
        SettingError: if the trials of an update cannot be divided evenly among the processes.
    """
    groups = [data for data in (stage.data, stage.validation) if data is not None]
    counts = [{len(value) for value in data.values()} for data in groups]  # numbers of trials of the tensors of a group
    if any(len(numbers) != 1 or 0 in numbers for numbers in counts):
        raise DataError(
            f"All data of stage {stage.name!r} must hold the same trials, at least one.",
            f"They hold {counts[0]} to train on" + (f" and {counts[1]} to validate on." if len(counts) > 1 else "."),
            "Check that no set of trials is empty.",
        )
    n_trials = counts[0].pop()
    batch = batch_size(stage.plan, n_trials, processes)
    divides_evenly = batch >= 1 and batch % processes == 0
    has_empty_process = any(len(next(iter(data.values()))) < processes for data in groups)
    if not divides_evenly or has_empty_process:
        raise SettingError(
            "Each process must get the same number of trials of each update, and at least one for validation.",
            f"Stage {stage.name!r} has batches of {batch} out of {n_trials} trials for {processes} processes.",
            "Choose a batch that is a multiple of the number of processes, or start fewer processes.",
        )
    return n_trials, batch


def batch_size(plan: Plan, n_trials: int, n_processes: int) -> int:
    """Return the number of trials of an update.

    It is `plan.batch`. If there are fewer trials, it is the largest number that can be divided evenly among the
    processes.
    """
    return plan.batch if plan.batch <= n_trials else n_trials - n_trials % n_processes


def trials_of(update: int, *, n_trials: int, batch: int, seed: int) -> list[int]:
    """Return the indices of the trials of an update.

    In each epoch all trials are divided into batches in a random order. The last trials of this order are skipped if
    they do not fill a batch.

    Args:
        update: Number of the update, counted from 0.
        n_trials: Number of training trials.
        batch: Number of trials per update.
        seed: Random seed of the order.
    """
    epoch, position = divmod(update, n_trials // batch)  # position of the batch in its epoch
    return _order(seed, epoch, n_trials)[position * batch : (position + 1) * batch]


@functools.lru_cache(maxsize=2)
def _order(seed: int, epoch: int, n_trials: int) -> list[int]:
    """Return the random order of the trials in an epoch."""
    return generator(seed, Purpose.ORDER, epoch).permutation(n_trials).tolist()


def means(sums: Mapping[str, float]) -> dict[str, float | None]:
    """Return the sums of a loss and its parts divided by the entry "weight".

    A mean that is not finite is None. If the weight is 0, the dictionary is empty. See `LossTerms` for the weight.
    """
    return {name: finite(value / sums["weight"]) for name, value in sums.items() if sums["weight"]}


def parts_of(mean: Mapping[str, float | None]) -> dict[str, float | None]:
    """Return the summands of a loss, whose names begin with "part ", under their own names."""
    return {name.removeprefix("part "): value for name, value in mean.items() if name.startswith("part ")}


def finite(value: float) -> float | None:
    """Return the number, or None if it is NaN or infinite, which JSON cannot store."""
    return value if math.isfinite(value) else None


def likely_cause(stage: Stage, rows: list[int], loss: float) -> str:
    """Describe the probable reason why an update had a loss or gradient that is not finite.

    Args:
        stage: Stage that is trained.
        rows: Numbers of the trials of the update.
        loss: Loss of these trials.
    """
    for name, value in stage.data.items():
        finite_trials = value[torch.tensor(rows)].isfinite().reshape(len(rows), -1).all(1)
        bad_rows = [row for row, is_finite in zip(rows, finite_trials, strict=True) if not is_finite]
        if bad_rows:
            return f"the data {name!r} hold NaN or infinity, first in trial {bad_rows[0]}"
    if any(not value.isfinite().all() for value in stage.module.parameters()):
        return "the weights contain NaN or infinity"
    if not math.isfinite(loss):
        return (
            "data and weights are finite, so the loss overflows: the learning rate or values of the data are too large"
        )
    return (
        "the loss is finite but its gradient is not: a logarithm or root near zero, or the learning rate is too large"
    )
