"""Training stages of a model, with losses as sums.

A loss is a sum and the number to divide it by, never a mean. Otherwise micro-batches, processes and trials of different
length would not add up to the loss of the full batch.
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
    """The loss of a batch as sums, so that batches can be added.

    Args:
        total: Differentiable sum of the loss over all valid entries (bins, neurons, trials) of the batch.
        weight: Number to divide the sum by, usually the number of valid entries.
        parts: Named summands for the history, also sums over the batch, with the same names at every call.
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
        loss: Function of a batch (name -> tensor (trial, ...), on the module's device) and its random streams that
            returns the loss terms.
        data: Training trials, name -> tensor (trial, ...), on the CPU.
        validation: Validation trials in the same form, on which the best weights are chosen. `None` keeps the last
            weights.
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
    """A stage without updates: statistics that are computed from trials. An interrupted one is computed again.

    Args:
        name: Unique name of the stage.
        parts: Functions that compute one part after another, name -> function.
        equal: Whether all parts take equally long, so that the first ones tell the time left.
    """

    name: str
    parts: Mapping[str, Callable[[], object]]
    equal: bool = False


def sizes(stage: Stage, processes: int) -> tuple[int, int]:
    """Return the number of training trials of a stage and of trials per update.

    An update uses all trials if there are fewer than `plan.batch`.

    Raises:
        DataError: There are no trials, or tensors have different numbers of trials.
        SettingError: The trials of an update cannot be divided evenly among the processes.
    """
    groups = [data for data in (stage.data, stage.validation) if data is not None]
    counts = [{len(value) for value in data.values()} for data in groups]
    if any(len(lengths) != 1 or 0 in lengths for lengths in counts):
        raise DataError(
            f"All data of stage {stage.name!r} must hold the same trials, at least one.",
            f"They hold {counts[0]} to train on" + (f" and {counts[1]} to validate on." if len(counts) > 1 else "."),
            "Check that no set of trials is empty.",
        )
    trials = counts[0].pop()
    batch = batch_size(stage.plan, trials, processes)
    if batch < 1 or batch % processes or any(len(next(iter(data.values()))) < processes for data in groups):
        raise SettingError(
            "Each process must get the same number of trials of each update, and at least one for validation.",
            f"Stage {stage.name!r} has batches of {batch} out of {trials} trials for {processes} processes.",
            "Choose a batch that is a multiple of the number of processes, or start fewer processes.",
        )
    return trials, batch


def batch_size(plan: Plan, n_trials: int, n_processes: int) -> int:
    """Return the number of trials of an update: the plan's batch, or all trials that can be divided evenly."""
    return plan.batch if plan.batch <= n_trials else n_trials - n_trials % n_processes


def trials_of(update: int, *, n_trials: int, batch: int, seed: int) -> list[int]:
    """Return the trial numbers of one update (batch,). Trials at the end of an epoch that fill no batch are skipped."""
    epoch, position = divmod(update, n_trials // batch)
    return _order(seed, epoch, n_trials)[position * batch : (position + 1) * batch]


@functools.lru_cache(maxsize=2)
def _order(seed: int, epoch: int, n_trials: int) -> list[int]:
    return generator(seed, Purpose.ORDER, epoch).permutation(n_trials).tolist()


def means(sums: Mapping[str, float]) -> dict[str, float | None]:
    """Return sums divided by their weight; None where the result is not finite, and an empty dict without weight."""
    return {name: finite(value / sums["weight"]) for name, value in sums.items() if sums["weight"]}


def parts_of(mean: Mapping[str, float | None]) -> dict[str, float | None]:
    """Return only the named summands of a loss."""
    return {name.removeprefix("part "): value for name, value in mean.items() if name.startswith("part ")}


def finite(value: float) -> float | None:
    """Return the number, or None if it is NaN or infinite, which JSON cannot store."""
    return value if math.isfinite(value) else None


def likely_cause(stage: Stage, rows: list[int], loss: float) -> str:
    """Describe the probable reason for a NaN or infinite loss of these trials."""
    for name, value in stage.data.items():
        values = value[torch.tensor(rows)]
        bad = [row for row, good in zip(rows, values.isfinite().reshape(len(rows), -1).all(1), strict=True) if not good]
        if bad:
            return f"the data {name!r} hold NaN or infinity, first in trial {bad[0]}"
    if any(not value.isfinite().all() for value in stage.module.parameters()):
        return "the weights contain NaN or infinity"
    if not math.isfinite(loss):
        return "data and weights are finite, so the loss overflows: too large a learning rate, or outliers in the data"
    return "the loss is finite but its gradient is not: a logarithm or root near zero, or too large a learning rate"
