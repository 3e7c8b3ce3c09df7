r"""Condition variables: columns and behaviour series of trials as the numbers a network is told, with their scales.

========== ============================ =================================================================
kind       of                           numbers
========== ============================ =================================================================
circular   angles (`_deg`, `_rad`)      :math:`(\cos\theta, \sin\theta)`
category   text, or whole numbers       one of K, 0/1 each
continuous other columns                :math:`(x - \mathrm{mean}) / \mathrm{sd}` over the training trials
sequence   behaviour series             the same, per bin, over the training trials' valid bins
========== ============================ =================================================================

Columns make up a condition's vector, series its sequence. Scales and categories are measured on the training trials and
kept with the model; a value outside the training range is allowed with a warning that says the range.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from spikeloom.errors import ConditionError, SpikeloomWarning
from spikeloom.nn.condition import Condition
from spikeloom.shapes import Array
from spikeloom.trials import Trials

PERIODS = {"_deg": 360.0, "_rad": 2 * math.pi}
"""Endings of names that mean an angle, and the period."""

MOST_CATEGORIES = 64
"""Whole-number columns with more distinct values are continuous."""


class ConditionRangeWarning(SpikeloomWarning):
    """A condition outside the range of the training trials: the model extrapolates."""


@dataclass(frozen=True)
class Variable:
    """One variable that a model can be told.

    Args:
        name: Of the column or series.
        kind: See the module.
        size: Numbers per trial (or per bin) before encoding: 1 for a column of single values.
        period: Of a circular variable, in its own unit.
        categories: Of a category, in order.
        mean: Of a continuous variable or sequence, one per dimension.
        sd: Likewise.
        low: Smallest training value of each dimension.
        high: Largest.
        unit: Of a sequence.
        values: Training values of a column, one per trial, to draw from; empty for a sequence.
    """

    name: str
    kind: Literal["circular", "category", "continuous", "sequence"]
    size: int = 1
    period: float = 0.0
    categories: tuple[Any, ...] = ()
    mean: tuple[float, ...] = ()
    sd: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    unit: str = ""
    values: tuple[Any, ...] = ()

    @classmethod
    def of(cls, trials: Trials, name: str) -> "Variable":
        """Measure the variable of that name on training trials.

        Raises:
            ConditionError: if there is no such column or series, or it holds NaN; lists what there is.
        """
        if name in trials.behavior:
            return cls(name, "sequence", unit=trials.units[name], **_scale(name, trials.behavior[name][trials.mask]))
        if name not in trials.conditions:
            raise ConditionError(
                f"A model can be told the columns {sorted(trials.conditions)} and series {sorted(trials.behavior)}.",
                f"It was to be told {name!r}.",
                "Keep it when binning, with --condition NAME or --behavior NAME.",
            )
        values = trials.conditions[name]
        distinct = np.unique(values)
        ending = next((ending for ending in PERIODS if name.endswith(ending)), None)
        whole = values.dtype.kind in "iu" and ending is None  # 30, 70, ... degrees are angles, not names
        if values.dtype.kind in "SUOb" or (whole and len(distinct) <= MOST_CATEGORIES):
            return cls(name, "category", categories=tuple(distinct.tolist()), values=tuple(values.tolist()))
        scale = _scale(name, values.reshape(len(values), -1))
        if ending is not None:
            return cls(name, "circular", period=PERIODS[ending], values=tuple(values.tolist()), size=scale["size"])
        return cls(name, "continuous", values=tuple(values.tolist()), **scale)

    @property
    def width(self) -> int:
        """Numbers per trial (or per bin) that the network is told."""
        return {"circular": 2 * self.size, "category": len(self.categories)}.get(self.kind, self.size)

    def encode(self, values: Array) -> np.ndarray:
        """Values (trial,) or (trial, dim), for a sequence (trial, time, dim), as the numbers a network is told.

        Raises:
            ConditionError: if the shape is wrong, a value is not finite, or a category is unknown.
        """
        if self.kind == "category":
            known = np.array(self.categories)
            values = np.asarray(values)
            if known.dtype.kind in "fiu" and values.dtype.kind not in "fiub":
                values = self._numbers(values)
            hot = values[:, None] == known
            if not hot.any(1).all():
                unknown = np.asarray(values)[~hot.any(1)].tolist()[0]
                raise ConditionError(
                    f"{self.name} must be one of {list(self.categories)}.",
                    f"It was {unknown!r}.",
                    "Choose one of these.",
                )
            return hot.astype(np.float32)
        numbers = self._numbers(values)
        axes = 3 if self.kind == "sequence" else 2
        numbers = numbers[..., None] if numbers.ndim == axes - 1 else numbers
        if numbers.ndim != axes or numbers.shape[-1] != self.size or not np.isfinite(numbers).all():
            raise ConditionError(
                f"{self.name} must be {self.size} finite number(s) per {'bin' if axes == 3 else 'trial'}.",
                f"It had shape {np.shape(values)}" + ("." if np.isfinite(numbers).all() else " and NaN or infinity."),
                "Give one row per trial" + (" and bin." if axes == 3 else "."),
            )
        if self.kind == "circular":
            angle = 2 * np.pi / self.period * numbers
            return np.concatenate((np.cos(angle), np.sin(angle)), -1).astype(np.float32)
        self._warn(numbers)
        return ((numbers - np.array(self.mean)) / np.array(self.sd)).astype(np.float32)

    def _numbers(self, values: Array) -> np.ndarray:
        try:
            return np.asarray(values, np.float64)
        except (ValueError, TypeError) as error:
            raise ConditionError(
                f"{self.name} must be a number.", f"It was {values!r}.", "Write it like 45 or 0.3."
            ) from error

    def _warn(self, numbers: np.ndarray) -> None:
        flat = numbers.reshape(-1, self.size)
        if (flat < np.array(self.low) - 1e-6).any() or (flat > np.array(self.high) + 1e-6).any():
            span = ", ".join(f"{low:.4g} to {high:.4g}" for low, high in zip(self.low, self.high, strict=True))
            warnings.warn(
                f"{self.name} reaches from {flat.min():.4g} to {flat.max():.4g}; in training it was {span}"
                f"{' ' + self.unit if self.unit else ''}. The model extrapolates.",
                ConditionRangeWarning,
                stacklevel=4,
            )


@dataclass(frozen=True)
class Variables:
    """All variables that a model can be told, in the order of its settings."""

    each: tuple[Variable, ...] = ()

    @classmethod
    def of(cls, trials: Trials, names: Sequence[str]) -> "Variables":
        """Measure the named variables on training trials."""
        return cls(tuple(Variable.of(trials, name) for name in names))

    @property
    def vector(self) -> int:
        """Size of a condition's vector."""
        return sum(variable.width for variable in self.each if variable.kind != "sequence")

    @property
    def sequence(self) -> int:
        """Size of a condition's sequence, per bin."""
        return sum(variable.width for variable in self.each if variable.kind == "sequence")

    def encode(self, values: Mapping[str, Array]) -> Condition:
        """Condition of a batch from a value of every variable.

        Raises:
            ConditionError: if a variable has no value or a wrong one.
        """
        missing = [variable.name for variable in self.each if variable.name not in values]
        if missing or not self.each:
            known = [variable.name for variable in self.each] or "nothing: it was fitted without conditions"
            raise ConditionError(
                f"This model is told {known}, all of it or none.",
                f"There is no value for {missing}." if missing else f"It was told {sorted(values)}.",
                "Give each of them, or leave the condition out.",
            )
        parts: dict[bool, list[np.ndarray]] = {True: [], False: []}
        for variable in self.each:
            parts[variable.kind == "sequence"].append(variable.encode(values[variable.name]))
        join = lambda arrays: torch.from_numpy(np.concatenate(arrays, -1)) if arrays else None  # noqa: E731
        return Condition(vector=join(parts[False]), sequence=join(parts[True]))


def _scale(name: str, rows: np.ndarray) -> dict[str, Any]:
    rows = rows.astype(np.float64)
    if not np.isfinite(rows).all():
        raise ConditionError(
            f"{name} must be a finite number in every valid bin and trial.",
            f"{int((~np.isfinite(rows)).any(-1).sum())} of {len(rows)} are not.",
            "Drop those trials with select, or choose another condition.",
        )
    sd = rows.std(0)
    plain = lambda x: tuple(x.tolist())  # noqa: E731
    return dict(
        size=rows.shape[1],
        mean=plain(rows.mean(0)),
        sd=plain(np.where(sd > 0, sd, 1.0)),
        low=plain(rows.min(0)),
        high=plain(rows.max(0)),
    )
