"""Move the code of a trial such that a variable, for example the x at the end of a movement, takes a requested value.

Some models encode each trial as a code, a vector from which the trial is generated. A linear regression from the codes
of the training trials to a variable gives the direction in which a code must be moved to change this variable.
"""

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
"""Largest number of variables. The page shows one slider for each."""


@dataclass(frozen=True, eq=False)
class CodeVariables:
    """Codes of training trials, and for each variable the direction that changes it.

    Args:
        model: A model with codes.
        directions: Direction of each variable in the space of codes.
        codes: Codes of training trials (trial, code).
        values: Values of the variables in these trials (trial, variable).
        rows: Index of each encoded trial among the training trials.
        typical: Median distance from a training code to the nearest other training code, in standard deviations.
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
        whitened = _whitened(model, codes)
        # The smallest distance is 0, from the code to itself, so the second smallest is used. 300 codes are enough for
        # a median.
        typical = np.median([np.sort(np.linalg.norm(whitened - code, axis=1))[1] for code in whitened[:300]])
        return cls(model, directions, codes, values, rows, float(typical))

    def moved(self, requested: Mapping[str, float], trial: int | None) -> NDArray[np.float64]:
        """Move a code so that its variables have the requested values, and return it (code,).

        Args:
            requested: Name of a variable -> its value. Variables that are not named keep their values.
            trial: Training trial whose code is moved; None moves the mean code of the training trials.

        Raises:
            ConditionError: if a variable or the trial does not exist.
        """
        unknown = sorted(set(requested) - set(self.directions.names))
        if unknown:
            raise ConditionError(
                f"The variables of this model are {list(self.directions.names)}.", f"The request names {unknown}.", ""
            )
        code = self.codes.mean(0) if trial is None else self.codes[self._index(trial)]
        present = self.directions.predict(code[None])[0]  # value of each variable before the move
        change = [
            requested.get(name, value) - value for name, value in zip(self.directions.names, present, strict=True)
        ]
        return np.asarray(self.directions.move(code[None], np.array([change]))[0], np.float64)

    def values_of(self, code: NDArray[np.float64]) -> dict[str, float]:
        """Return the value of each variable, as the regression predicts it from a code."""
        predicted = self.directions.predict(code[None])[0]
        return {name: float(value) for name, value in zip(self.directions.names, predicted, strict=True)}

    def recorded_values(self, trial: int) -> dict[str, float]:
        """Return the recorded value of each variable in a training trial."""
        row = self.values[self._index(trial)]
        return {name: float(value) for name, value in zip(self.directions.names, row, strict=True)}

    def nearest(self, code: NDArray[np.float64]) -> float:
        """Return the distance from the nearest training code, in standard deviations of the training codes."""
        whitened = _whitened(self.model, np.concatenate([self.codes, code[None]]))
        return float(np.linalg.norm(whitened[:-1] - whitened[-1], axis=1).min())

    def _index(self, trial: int) -> int:
        """Return the row of `codes` of a training trial, or of the nearest one if that trial was not encoded."""
        if not 0 <= trial <= self.rows[-1]:
            raise ConditionError(
                f"A trial to start from must be a number from 0 to {self.rows[-1]}.", f"It was {trial}.", ""
            )
        return int(np.abs(self.rows - trial).argmin())


def variable_names(trials: Trials) -> list[str]:
    """Return the names of at most six variables of the training trials along which a code can be moved.

    These are the conditions with one number per trial. If there are none, they are the x and y at the end of a movement
    in the plane. A variable is left out if the variables before it determine it by a linear relation. Angles are left
    out too, because no straight line in the code space leads from 359 to 0 degrees.
    """
    names = [
        name
        for name, values in trials.conditions.items()
        if values.ndim == 1 and values.dtype.kind == "f" and period_of(name, trials.units.get(name, "")) is None
    ]
    if not names:  # NAME.K is dimension K of a series at the end of the movement
        names = [f"{name}.{k}" for name, series in trials.behavior.items() if series.shape[2] == 2 for k in range(2)]
    chosen: list[str] = []
    for name in names:
        try:
            columns = variables(trials, [*chosen, name])
        except ConditionError:  # not a finite number in every trial
            continue
        centred = columns - columns.mean(0)
        scaled = centred / np.where(centred.std(0) > 0, centred.std(0), 1)
        # singular values grow with the root of the number of trials; below a thousandth of it they count as 0
        if np.linalg.matrix_rank(scaled, tol=1e-3 * np.sqrt(len(scaled))) == len(chosen) + 1:
            chosen.append(name)
    return chosen[:MOST_VARIABLES]


def _whitened(model: Coded, codes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Transform codes so that the training codes have mean 0 and covariance I; see `CodeSpace.whiten`."""
    return np.asarray(model.space.whiten(torch.tensor(codes)).numpy(), np.float64)
