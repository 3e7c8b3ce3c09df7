"""Divide the recorded trials by the value of a condition, so that generated trials can be compared with them.

A condition with one value per trial is divided into levels. The levels are the categories or the distinct values. If
there are more than 16 distinct values, the levels are the centres of a few groups of neighbouring values.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spikeloom.errors import ConditionError
from spikeloom.metrics.arrays import smooth
from spikeloom.metrics.counts import fano
from spikeloom.models.common.named_condition import Category, NamedCondition
from spikeloom.shapes import Numbers
from spikeloom.studio.results import numbers
from spikeloom.trials import Trials

MOST_LEVELS = 16
"""Largest number of distinct values each of which is a level. More values are divided into groups."""

GROUPS = {"circular": 8, "continuous": 5}
"""Maps a kind of condition, angles or other numbers, to the number of groups."""

SMOOTHING = 0.02
"""Standard deviation of the Gaussian that smooths a PSTH, s."""

WORDS: dict[str, Literal["angle", "category", "number"]] = {
    "circular": "angle",
    "category": "category",
    "continuous": "number",
}
"""Maps a kind of condition to the word for it on the page."""


@dataclass(frozen=True, eq=False)
class Column:
    """A condition of one value per trial, divided into levels.

    Args:
        condition: The condition of the model.
        levels: Value of each level.
        members: For each training trial (trial,), the index of its level, or -1 for an unknown category.
    """

    condition: NamedCondition
    levels: tuple[Category, ...]
    members: NDArray[np.int64]

    @classmethod
    def of(cls, trials: Trials, condition: NamedCondition) -> "Column":
        """Find the levels of a condition, and assign each training trial to the level that is nearest to its value.

        A category is a level even if no trial has it. Levels of numbers are kept only if a trial is assigned to them.

        Raises:
            ConditionError: if the trials do not have the condition.
        """
        values = trials.condition(condition.name)
        if condition.kind == "category":
            categories: tuple[Category, ...] = condition.categories
            indices = [categories.index(value) if value in categories else -1 for value in values.tolist()]
            return cls(condition, categories, np.array(indices))
        column = np.asarray(values, np.float64).reshape(len(trials), -1)[:, 0]
        unassigned = cls(condition, tuple(_levels(condition, column)), np.zeros(len(trials), np.int64))
        nearest = np.array([unassigned.nearest(value) for value in column])
        with_trials, members = np.unique(nearest, return_inverse=True)  # the levels that have trials, numbered anew
        return cls(condition, tuple(unassigned.levels[level] for level in with_trials), members)

    def nearest(self, value: Category) -> int:
        """Return the index of the level that is nearest to a value.

        The distance between angles is the shorter way around the circle.

        Raises:
            ConditionError: if a category is unknown, or the value is not a number.
        """
        if self.condition.kind == "category":
            if value not in self.levels:
                raise ConditionError(
                    f"{self.condition.name} must be one of {list(self.levels)}.", f"It was {value!r}.", ""
                )
            return self.levels.index(value)
        if isinstance(value, str):
            raise ConditionError(f"{self.condition.name} must be a number.", f"It was {value!r}.", "")
        distance = np.abs(np.array(self.levels, np.float64) - value)
        if self.condition.kind == "circular":
            distance = distance % self.condition.period
            distance = np.minimum(distance, self.condition.period - distance)
        return int(distance.argmin())

    def rows(self, level: int) -> NDArray[np.int64]:
        """Return the indices of the training trials of a level."""
        return np.flatnonzero(self.members == level)


def _levels(condition: NamedCondition, values: NDArray[np.float64]) -> list[float]:
    """Return the distinct values of a condition, or the centres of a few groups if there are many."""
    distinct = np.unique(np.round(values, 9))
    if len(distinct) <= MOST_LEVELS:
        return [float(value) for value in distinct]
    groups = GROUPS[condition.kind]
    if condition.kind == "circular":
        return [condition.origin + k * condition.period / groups for k in range(groups)]
    middles = np.quantile(values, (np.arange(groups) + 0.5) / groups)  # medians of groups with equal numbers of trials
    return [float(value) for value in np.unique(middles)]


def fano_factors(trials: Trials, bins: int | None = None) -> list[object]:
    """Return the Fano factor of each neuron: variance over trials of its spike count, divided by the mean.

    The result is None for a neuron with too few spikes, and for all neurons if there are fewer than two trials.

    Args:
        trials: The trials.
        bins: Spikes are counted in this number of bins from the start of each trial. `None` counts in all bins.
    """
    counts = trials.counts[:, :bins].sum(1, dtype=np.float64)
    one_group = np.zeros(len(trials), np.int64)  # all trials have the same label
    return numbers(fano(counts, one_group, 1), 4)


def psth(trials: Trials) -> Numbers:
    """Return the mean rate of each neuron over trials, smoothed with 20 ms, in spikes/s (neuron, bin).

    Bins that no trial reaches are NaN.
    """
    smoothed = smooth(np.asarray(trials.counts), sd=SMOOTHING / trials.bin_width, mask=trials.mask)
    n_trials = trials.mask.sum(0)
    mean = smoothed.sum(0, dtype=np.float64) / np.where(n_trials > 0, n_trials, np.nan)[:, None]
    return mean.T / trials.bin_width
