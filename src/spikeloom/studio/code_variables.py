"""Variables of the training trials that can be moved in the code space of a model."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from spikeloom.angles import period_of
from spikeloom.errors import ConditionError
from spikeloom.metrics.disentanglement import Directions, variables
from spikeloom.models.common.coded import Coded
from spikeloom.trials import Trials

MOST_TRIALS = 1000
"""Largest number of training trials that are encoded."""

MOST_VARIABLES = 6
"""Largest number of variables, and so of sliders on the page."""


@dataclass(frozen=True, eq=False)
class CodeVariables:
    """Codes of training trials, and the directions along which variables change.

    Args:
        model: A model with codes.
        directions: Directions of the variables.
        codes: Codes of training trials (trial, code).
        values: Values of the variables in these trials (trial, variable).
        rows: Index of each of these trials among the training trials.
        typical: Median distance of a training code from the nearest other one, in standard deviations.
    """

    model: Coded
    directions: Directions
    codes: NDArray[np.float64]
    values: NDArray[np.float64]
    rows: NDArray[np.int64]
    typical: float

    @classmethod
    def of(cls, model: Coded, trials: Trials, names: list[str]) -> "CodeVariables":
        """Encode training trials and find the directions of the variables."""
        rows = np.linspace(0, len(trials) - 1, min(MOST_TRIALS, len(trials))).astype(np.int64)
        encoded = model.encode(trials.select(rows), progress=False)
        codes = np.asarray(encoded.codes, np.float64)
        values = variables(encoded, names)
        directions = Directions.fit(codes, values, names)
        white = _white(model, codes)
        typical = np.median([np.sort(np.linalg.norm(white - code, axis=1))[1] for code in white[:300]])
        return cls(model, directions, codes, values, rows, float(typical))

    def moved(self, wanted: Mapping[str, float], trial: int | None) -> NDArray[np.float64]:
        """Return a code (code,) whose variables have these values.

        Args:
            wanted: Name -> value. Other variables keep their values.
            trial: Training trial whose code is moved; None moves the mean code of the training trials.

        Raises:
            ConditionError: if a variable or the trial does not exist.
        """
        unknown = sorted(set(wanted) - set(self.directions.names))
        if unknown:
            raise ConditionError(
                f"The variables of this model are {list(self.directions.names)}.", f"The request names {unknown}.", ""
            )
        code = self.codes.mean(0) if trial is None else self.codes[self._index(trial)]
        present = self.directions.predict(code[None])[0]
        change = [wanted.get(name, now) - now for name, now in zip(self.directions.names, present, strict=True)]
        return np.asarray(self.directions.move(code[None], np.array([change]))[0], np.float64)

    def values_of(self, code: NDArray[np.float64]) -> dict[str, float]:
        """Return the value of each variable that the directions predict for a code."""
        predicted = self.directions.predict(code[None])[0]
        return {name: float(value) for name, value in zip(self.directions.names, predicted, strict=True)}

    def recorded_values(self, trial: int) -> dict[str, float]:
        """Return the recorded value of each variable in a training trial."""
        row = self.values[self._index(trial)]
        return {name: float(value) for name, value in zip(self.directions.names, row, strict=True)}

    def nearest(self, code: NDArray[np.float64]) -> float:
        """Return the distance from the nearest training code, in standard deviations of the training codes."""
        white = _white(self.model, np.concatenate([self.codes, code[None]]))
        return float(np.linalg.norm(white[:-1] - white[-1], axis=1).min())

    def _index(self, trial: int) -> int:
        if not 0 <= trial <= self.rows[-1]:
            raise ConditionError(
                f"A trial to start from must be a number from 0 to {self.rows[-1]}.", f"It was {trial}.", ""
            )
        return int(np.abs(self.rows - trial).argmin())


def variable_names(trials: Trials) -> list[str]:
    """Return variables of single numbers that vary independently: conditions, or else the end of a planar movement.

    Angles are left out, because a code cannot be moved along them from 359 to 0 degrees.
    """
    names = [
        name
        for name, values in trials.conditions.items()
        if values.ndim == 1 and values.dtype.kind == "f" and period_of(name, trials.units.get(name, "")) is None
    ]
    if not names:
        names = [f"{name}.{k}" for name, series in trials.behavior.items() if series.shape[2] == 2 for k in range(2)]
    chosen: list[str] = []
    for name in names:
        try:
            columns = variables(trials, [*chosen, name])
        except ConditionError:  # not a finite number in every trial
            continue
        centred = columns - columns.mean(0)
        scaled = centred / np.where(centred.std(0) > 0, centred.std(0), 1)
        if np.linalg.matrix_rank(scaled, tol=1e-3 * np.sqrt(len(scaled))) == len(chosen) + 1:
            chosen.append(name)
    return chosen[:MOST_VARIABLES]


def _white(model: Coded, codes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return codes scaled to covariance I over the training trials."""
    return np.asarray(model.space.whiten(torch.tensor(codes)).numpy(), np.float64)
