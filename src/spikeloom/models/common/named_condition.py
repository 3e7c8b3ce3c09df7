r"""One condition of a model: a column or behaviour series of trials, and the numbers that a network gets for it.

========== ============================ =================================================================
kind       values                       numbers
========== ============================ =================================================================
circular   angles (`spikeloom.angles`)  :math:`(\cos\theta, \sin\theta)`
category   text, or whole numbers       one per category: 1 for the category of the trial, else 0
continuous other numbers                :math:`(x - \mathrm{mean}) / \mathrm{sd}` over the training trials
========== ============================ =================================================================

The mean and sd of a series are computed over the valid bins of the training trials. The mean, the sd and the categories
are saved with the model. A value outside the range of the training trials is allowed, with a warning that names the
range.
"""

import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeloom import angles
from spikeloom.errors import ConditionError, SpikeloomWarning
from spikeloom.models.common.rows import Rows
from spikeloom.shapes import Array
from spikeloom.text import counted
from spikeloom.trials import Trials

MOST_CATEGORIES = 64
"""Largest number of categories. A column of whole numbers with more distinct values is continuous."""

RANGE_TOLERANCE = 1e-6
"""Largest distance from the training range without a warning."""

Category = str | bool | int | float
"""Value of a category."""

UNITLESS_ANGLE = re.compile(r"(?:^|_)(?:angle|direction|heading|orientation|azimuth|phase|theta)s?$", re.IGNORECASE)
"""Names that suggest an angle but do not contain its unit."""


class AngleUnitWarning(SpikeloomWarning):
    """A condition has the name of an angle but no unit, so it is treated as a number."""


class ConditionRangeWarning(SpikeloomWarning):
    """A condition is outside the range of the training trials, so the model extrapolates."""


@dataclass(frozen=True)
class NamedCondition:
    """One condition that a model is trained with.

    Args:
        name: Name of the column or behaviour series.
        kind: Kind of the condition; see the module.
        per_bin: True for a behaviour series, one value per bin; False for a column, one value per trial.
        size: Numbers per trial or bin before encoding; 1 for single values.
        unit: Unit of a series.
        period: Period of a circular condition in the unit of its values; 0 for other kinds.
        categories: Values of a category, in order.
        mean: Mean of each dimension over the training trials; empty unless continuous.
        sd: Standard deviation of each dimension over the training trials; empty unless continuous.
        low: Smallest training value of each dimension. For a circular condition, the start of the smallest arc that
            holds all training values.
        high: Largest training value of each dimension. For a circular condition, the end of this arc.
        origin: Smallest angle in the notation of the training trials: 0 if they have angles from 0 to 360 degrees,
            minus half a period if they have angles from -180 to 180 degrees. 0 for other kinds.
        values: Training values of a column, one per trial, from which `sample` draws; empty for a series.
    """

    name: str
    kind: Literal["circular", "category", "continuous"]
    per_bin: bool = False
    size: int = 1
    unit: str = ""
    period: float = 0.0
    categories: tuple[Category, ...] = ()
    mean: tuple[float, ...] = ()
    sd: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    origin: float = 0.0
    values: tuple[Category | list[float], ...] = ()

    @classmethod
    def fit(cls, trials: Trials, name: str) -> "NamedCondition":
        """Return the condition with this name, with a scale estimated from training trials.

        Raises:
            ConditionError: if there is no such column or series, or it holds NaN.
        """
        if name in trials.behavior:
            series = trials.behavior[name][trials.mask].astype(np.float64)
            return cls._of_numbers(name, series, unit=trials.units[name], per_bin=True)
        if name not in trials.conditions:
            raise ConditionError(
                f"The trials have no condition {name!r}.",
                f"They have the columns {sorted(trials.conditions)} and the series {sorted(trials.behavior)}.",
                "Keep it when binning, with --condition NAME or --behavior NAME.",
            )
        column = trials.conditions[name]
        if column.dtype.kind == "U" and (column == "").any():
            raise ConditionError(
                f"{name} must have a value in every trial.",
                f"It is missing in {counted(int((column == '').sum()), 'trial', of=len(column))}.",
                f"Select trials with `spikeloom select --where \"{name} != ''\"`, or choose another condition.",
            )
        values = tuple(column.tolist())
        distinct = np.unique(column)
        unit = trials.units.get(name, "")
        is_text_or_bool = column.dtype.kind in "SUOb"  # bytes, text, objects, bool
        few_whole_numbers = column.dtype.kind in "iu" and len(distinct) <= MOST_CATEGORIES
        is_angle = angles.period_of(name, unit) is not None  # whole degrees are angles, not categories
        if is_text_or_bool or (few_whole_numbers and not is_angle):
            return cls(name, "category", categories=tuple(distinct.tolist()), values=values)
        return cls._of_numbers(name, column.reshape(len(column), -1).astype(np.float64), unit=unit, values=values)

    @classmethod
    def _of_numbers(
        cls,
        name: str,
        rows: NDArray[np.float64],
        *,
        unit: str = "",
        per_bin: bool = False,
        values: tuple[Category | list[float], ...] = (),
    ) -> "NamedCondition":
        """Return the condition of numbers (row, dim): circular if they are angles, continuous otherwise."""
        finite = np.isfinite(rows).all(-1)
        if not finite.all():
            raise ConditionError(
                f"{name} must be a finite number in every valid bin and trial.",
                f"{int((~finite).sum())} of {len(rows)} are not.",
                "Drop those trials with select, or choose another condition.",
            )
        period = angles.period_of(name, unit, rows if per_bin else None)
        size = rows.shape[1]
        if period is not None:
            arcs = [angles.smallest_arc(column, period) for column in rows.T]
            return cls(
                name,
                "circular",
                per_bin,
                size,
                unit,
                period,
                low=tuple(low for low, _ in arcs),
                high=tuple(high for _, high in arcs),
                origin=angles.lowest(rows, period),
                values=values,
            )
        if UNITLESS_ANGLE.search(name) and not unit:
            warnings.warn(
                f"{name} is read as a number and not as an angle, because it has no unit. Call it {name}_deg or "
                f"{name}_rad if it is an angle.",
                AngleUnitWarning,
                stacklevel=5,
            )
        sd = rows.std(0)
        return cls(
            name,
            "continuous",
            per_bin,
            size,
            unit,
            mean=tuple(rows.mean(0).tolist()),
            sd=tuple(np.where(sd > 0, sd, 1.0).tolist()),
            low=tuple(rows.min(0).tolist()),
            high=tuple(rows.max(0).tolist()),
            values=values,
        )

    @property
    def width(self) -> int:
        """Numbers per trial or bin after encoding."""
        return {"circular": 2 * self.size, "category": len(self.categories)}.get(self.kind, self.size)

    def encode(self, values: ArrayLike) -> np.ndarray:
        """Encode values as the numbers that a network takes; see the table at the top of the module.

        Args:
            values: Values of a column, (trial,) or (trial, dim), or of a series (trial, time, dim).

        Raises:
            ConditionError: if the shape is wrong, a value is not finite, or a category is unknown.
        """
        if self.kind == "category":
            return self._one_hot(np.asarray(values))
        numbers = self._numbers(values)
        axes = 3 if self.per_bin else 2
        if numbers.ndim == axes - 1:  # single numbers: add the axis of dimensions
            numbers = numbers[..., None]
        finite = np.isfinite(numbers).all()
        if numbers.ndim != axes or numbers.shape[-1] != self.size or not finite:
            raise ConditionError(
                f"{self.name} must be {counted(self.size, 'finite number')} per {'bin' if self.per_bin else 'trial'}.",
                f"It had shape {np.shape(values)}" + ("." if finite else " and NaN or infinity."),
                "Give one row per trial" + (" and bin." if self.per_bin else "."),
            )
        if self.kind == "circular":
            return angles.cosine_sine(numbers, self.period).astype(np.float32)
        return ((numbers - np.array(self.mean)) / np.array(self.sd)).astype(np.float32)

    def at_bins(self, times: Array, path: Array, *, bin_width: float, n_bins: int) -> np.ndarray:
        """Interpolate a path linearly, and return its values at the centres of bins (bin, dim).

        Between two angles the interpolation follows the shorter arc.

        Args:
            times: Increasing times of the points of the path (point,), s. The first bin begins at the first time.
            path: Values at these times (point, dim), in the unit of training.
            bin_width: Width of a bin, s.
            n_bins: Number of bins. Bins after the last time get the last value.
        """
        centres = np.asarray((np.arange(n_bins) + 0.5) * bin_width, np.float64)
        seconds = np.asarray(times - times[0], np.float64)
        if self.kind == "circular":
            columns = [angles.interpolate(centres, seconds, column, self.period, low=self.origin) for column in path.T]
        else:
            columns = [np.interp(centres, seconds, column) for column in path.T]
        return np.stack(columns, 1)

    def of_trials(self, value: ArrayLike | Iterable[ArrayLike] | None, like: Trials | None, rows: Rows) -> np.ndarray:
        """Return this condition's value of each trial: (trial,) or (trial, dim); for a series, (trial, time, dim).

        Args:
            value: One value for all trials, one for each trial of the sample, or None to take the values from `like` or
                from the training trials.
            like: Trials to take values from, or None.
            rows: The trials of the sample whose values are returned.

        Raises:
            ConditionError: if there is no value, or the value does not fit the trials.
        """
        if value is None and like is not None:
            source = like.behavior if self.per_bin else like.conditions
            if self.name in source:
                return np.asarray(source[self.name])[rows.numbers]
        if value is None:
            if self.per_bin or like is not None:
                raise ConditionError(
                    f"{self.name} needs values.",
                    "`condition` has only its name" + (", and the trials of `like` do not have it." if like else "."),
                    "Pass condition={name: values}, or like=trials that have it.",
                )
            training = np.array(self.values)  # a column: each trial gets the value of a random training trial
            return training[(rows.uniform * len(training)).astype(int)]
        array = self._as_written_in_training(np.asarray(value))
        n_axes = (2 if self.size > 1 else 1) + self.per_bin  # axes of an array with one value for each trial
        if array.ndim < n_axes or (self.per_bin and array.ndim == 2):
            array = np.broadcast_to(array, (rows.n_trials, *array.shape))  # the same value for all trials
        if len(array) != rows.n_trials or (self.per_bin and array.shape[1] < rows.longest):
            raise ConditionError(
                f"{self.name} must have one value for each of {rows.n_trials} trials"
                + (f" and {rows.longest} bins." if self.per_bin else "."),
                f"It has shape {array.shape}.",
                "Give a single value for all trials, or one for each trial (and bin).",
            )
        return array[rows.numbers]

    def _as_written_in_training(self, values: Array) -> Array:
        """Return angles in the notation of the training trials (10 degrees for 370), and other values unchanged."""
        if self.kind != "circular" or values.dtype.kind not in "fiu":
            return values
        numbers = values.astype(np.float64)
        outside = (numbers < self.origin) | (numbers > self.origin + self.period)
        wrapped = angles.wrap(numbers, self.period, low=self.origin)
        return np.where(outside, wrapped, numbers) if outside.any() else values

    def _one_hot(self, values: Array) -> np.ndarray:
        """Return an array (trial, category) that is 1 for the category of the trial and 0 for the others."""
        categories = np.array(self.categories)
        if categories.dtype.kind in "fiu" and values.dtype.kind not in "fiub":  # text for numbers, such as "3"
            values = self._numbers(values)
        hot = values[:, None] == categories
        if not hot.any(1).all():
            unknown = values[~hot.any(1)].tolist()[0]
            raise ConditionError(
                f"{self.name} must be one of {list(self.categories)}.", f"It was {unknown!r}.", "Choose one of these."
            )
        return hot.astype(np.float32)

    def _numbers(self, values: ArrayLike) -> np.ndarray:
        """Return values as numbers. Raise a ConditionError if a value is not a number."""
        try:
            return np.asarray(values, np.float64)
        except (ValueError, TypeError) as error:
            raise ConditionError(
                f"{self.name} must be a number.", f"It was {values!r}.", "Write it like 45 or 0.3."
            ) from error

    def note_range(self, values: ArrayLike, lengths: Array | None = None) -> bool:
        """Warn if a value lies outside the range of the training trials. Return whether there is such a value.

        Args:
            values: Values as `encode` takes them.
            lengths: Valid bins of each trial of a series (trial, time, dim). `None` reads all bins.
        """
        numbers = np.asarray(values)
        if self.kind == "category" or numbers.dtype.kind not in "fiu" or not numbers.size:
            return False
        if self.per_bin and lengths is not None and numbers.ndim > 1:
            numbers = numbers[np.arange(numbers.shape[1]) < np.asarray(lengths, np.int64)[:, None]]
        if numbers.size % self.size or not np.isfinite(numbers).all():
            return False  # `encode` raises an error for such values
        text = self._outside(numbers.astype(np.float64).reshape(-1, self.size))
        if text:
            warnings.warn(text, ConditionRangeWarning, stacklevel=4)
        return bool(text)

    def _outside(self, rows: NDArray[np.float64]) -> str:
        """Return the text of the warning if a value (row, dim) lies outside the training range, else an empty text."""
        if self.kind == "circular":
            return self._outside_arc(rows)
        below = rows < np.array(self.low) - RANGE_TOLERANCE
        above = rows > np.array(self.high) + RANGE_TOLERANCE
        if not (below | above).any():
            return ""
        span = ", ".join(f"{low:.4g} to {high:.4g}" for low, high in zip(self.low, self.high, strict=True))
        return (
            f"{self.name} reaches from {rows.min():.4g} to {rows.max():.4g}; in training it was {span}"
            f"{' ' + self.unit if self.unit else ''}. The model extrapolates."
        )

    def _outside_arc(self, rows: NDArray[np.float64]) -> str:
        """Return the text of the warning if an angle lies outside the arc of the training angles, else an empty text.

        An arc of more than half a circle gives no warning.
        """
        for column, low, high in zip(rows.T, self.low, self.high, strict=True):
            from_low = angles.wrap(column - low, self.period)  # 0 at the start of the arc, high - low at its end
            after_end = from_low > high - low + RANGE_TOLERANCE
            # An angle that is less than the start by a rounding error wraps to almost a period. It is not outside.
            outside = after_end & (from_low < self.period - RANGE_TOLERANCE)
            if high - low < self.period / 2 and outside.any():
                begin, end = angles.wrap([low, high], self.period, low=self.origin)
                return (
                    f"{self.name} has angles such as {column[outside][0]:.4g}; in training they were from {begin:.4g} "
                    f"to {end:.4g}{' ' + self.unit if self.unit else ''}. The model extrapolates."
                )
        return ""
