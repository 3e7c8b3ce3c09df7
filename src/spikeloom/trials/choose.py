"""Choose rows of a table by a small expression: `COLUMN OP VALUE`, such as `quality == good` or `depth < 800`.

A row is a neuron, with the columns of the neuron table, or a trial, with its conditions as columns. Trials also have
the column `start_time`, in seconds on the recording's clock, if it is available. The operators are ==, !=, <, <=, > and
>=. A single = means ==. The operators == and != take one or several values, separated by commas: `area == CA1,CA3`
holds if the area is CA1 or CA3, and may be written `area in CA1,CA3`. Put a value in quotation marks if it contains a
comma, or spaces at its ends. An expression is never evaluated as code.

Angles (`spikeloom.angles`) are equal if they differ by whole turns: `angle_deg == 350` holds for -10. The operators <,
<=, > and >= compare angles as they are written in the column.
"""

import difflib
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spikeloom import angles
from spikeloom.errors import DataError, SettingError, SpikeloomWarning
from spikeloom.shapes import Array

if TYPE_CHECKING:
    from spikeloom.trials.trials import Trials

START_TIME = "start_time"
"""Column that stands for the trials' start times."""

RULE = re.compile(
    r"\s*(?P<column>[^=!<>]+?)\s*(?P<comparison>==|!=|<=|>=|=|<|>|(?<=\s)in(?=\s))\s*(?P<values>.*?)\s*", re.DOTALL
)
"""An expression: column, comparison and values."""

VALUE = re.compile(r"""\s*(?:'(?P<single>[^']*)'|"(?P<double>[^"]*)"|(?P<plain>[^,]*?))\s*(?:,|$)""", re.DOTALL)
"""One value of an expression, with or without quotation marks, and the comma after it."""

ORDER: Mapping[str, np.ufunc] = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
"""Comparisons of order, with the functions that compute them."""

UNITS = re.compile(r"(?P<first>\d+)-(?P<last>\d+)")
"""A range of unit ids, such as 5-9."""

MOST_LISTED = 8
"""Largest number of values of a column that a message lists."""


class ChoiceWarning(SpikeloomWarning):
    """A value that an expression names does not occur in its column."""


@dataclass(frozen=True)
class Rule:
    """One comparison of a column with values.

    Args:
        column: Name of the column.
        comparison: One of ==, !=, <, <=, >, >=.
        values: Values as text; a single one for <, <=, > and >=.
    """

    column: str
    comparison: str
    values: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "Rule":
        """Read a rule from text such as "brain_area == MOs,MOp".

        Raises:
            SettingError: if it is not COLUMN OP VALUE, or has several values for <, <=, > or >=.
        """
        parts = RULE.fullmatch(text)
        values = _values(parts["values"]) if parts else ()
        # an empty text is a value only in quotation marks
        if parts is None or not values or ("" in values and "''" not in text and '""' not in text):
            raise SettingError(
                "An expression must be COLUMN OP VALUE, with one of ==, !=, <, <=, >, >=.",
                f"It was {text!r}.",
                "Write for instance 'quality == good', 'area != CA1,CA3' or 'depth < 800'.",
            )
        comparison = "==" if parts["comparison"] in ("=", "in") else parts["comparison"]
        if comparison in ORDER and len(values) > 1:
            raise SettingError(f"{comparison} takes one value.", f"{text!r} names {len(values)}.", "Give one number.")
        return cls(parts["column"], comparison, values)


def _values(text: str) -> tuple[str, ...]:
    """Divide a text at its commas into values, and remove quotation marks. The result is empty if it cannot be read."""
    values: list[str] = []
    position = 0
    while position < len(text) or text[position - 1 : position] == ",":  # after the last comma comes a value, too
        match = VALUE.match(text, position)
        if match is None:
            return ()
        values.append(next((value for value in match.groups() if value is not None), ""))
        if match.end() == position:  # an empty value at the end, behind a comma
            break
        position = match.end()
    return tuple(values)


def rows_where(
    table: Mapping[str, Array],
    rules: Sequence[str],
    n_rows: int,
    *,
    noun: str = "neuron",
    units: Mapping[str, str] | None = None,
) -> NDArray[np.bool_]:
    """Return a mask of the rows for which every rule holds.

    Missing values (NaN) satisfy only `!=` and `== nan`.

    Args:
        table: Columns by name, one value per row.
        rules: Expressions such as "quality == good"; all must hold.
        n_rows: Number of rows of the table.
        noun: The kind of a row, for messages: "neuron" or "trial".
        units: Units of columns, name -> text such as "deg". The unit of an angle may also be the end of its name, as
            in "angle_deg".

    Returns:
        Mask of the rows (row,), with at least one True.

    Raises:
        SettingError: if a rule cannot be read, names an unknown column, or compares text with < or with a number.
        DataError: if no row is left.

    Warns:
        ChoiceWarning: if a named value occurs in no row.
    """
    keep = np.ones(n_rows, bool)
    for text in rules:
        rule = Rule.parse(text)
        if rule.column not in table:
            raise SettingError(
                f"There is no {noun} column {rule.column!r}.",
                f"The columns are {', '.join(sorted(table))}." if table else "There are no columns.",
                _close(rule.column, list(table)) or "Name one of them. `spikeloom inspect` shows what they hold.",
            )
        keep &= _holds(rule, np.asarray(table[rule.column]), noun, (units or {}).get(rule.column, ""))
        if not keep.any():
            raise DataError(
                f"No {noun} is left after {text!r}.",
                f"{rule.column} holds {_listed(table[rule.column])}.",
                "Loosen the expression.",
            )
    return keep


def _holds(rule: Rule, column: Array, noun: str, unit: str) -> NDArray[np.bool_]:
    """Return a mask of the rows for which a rule holds (row,); see `rows_where` for `noun` and the unit.

    Args:
        rule: The rule.
        column: Column that the rule names (row,).
        noun: The kind of a row, "neuron" or "trial".
        unit: Unit of the column, "" if it has none.
    """
    if column.ndim != 1:
        raise SettingError(
            f"An expression needs a column with one value per {noun}.",
            f"{rule.column!r} has shape {column.shape}.",
            "Choose by another column.",
        )
    if rule.comparison in ORDER:
        if column.dtype.kind not in "uif":
            raise SettingError(
                f"{rule.comparison} compares numbers.",
                f"{rule.column!r} holds {'text' if column.dtype.kind in 'US' else 'True and False'}.",
                f"Write '{rule.column} == {column[0] if len(column) else 'VALUE'}'.",
            )
        with np.errstate(invalid="ignore"):
            return np.asarray(ORDER[rule.comparison](column, _number(rule, rule.values[0])))
    masks = [_equal(rule, column, value, unit) for value in rule.values]
    for value, mask in zip(rule.values, masks, strict=True):
        # If == has a single value and it occurs nowhere, no row is left, and the caller raises an error.
        if not mask.any() and (len(masks) > 1 or rule.comparison == "!="):
            message = f"No {noun} has {rule.column} {value!r}. The column holds {_listed(column)}."
            warnings.warn(message, ChoiceWarning, stacklevel=3)
    equals_any = np.any(masks, axis=0)
    return ~equals_any if rule.comparison == "!=" else equals_any


def _equal(rule: Rule, column: Array, value: str, unit: str) -> NDArray[np.bool_]:
    """Return a mask of the rows that equal one value.

    Floats are compared with the precision of their type, and angles up to whole turns.

    Args:
        rule: Rule with the value, for messages.
        column: Column of the table (row,).
        value: Value as text.
        unit: Unit of the column, "" if it has none.
    """
    if column.dtype.kind == "U":
        return np.asarray(column == value)
    if column.dtype.kind == "b":
        truth_of = {"true": True, "1": True, "false": False, "0": False}
        if value.lower() not in truth_of:
            raise SettingError(f"{rule.column!r} holds True and False.", f"The value was {value!r}.", "Write true.")
        return np.asarray(column == truth_of[value.lower()])
    number = _number(rule, value)
    precision = 1e-6 if column.dtype.itemsize < 8 else 1e-9  # single precision has about seven digits
    period = angles.period_of(rule.column, unit)
    if period is not None and math.isfinite(number):
        return np.asarray(np.abs(angles.difference(column, number, period)) <= precision * period)
    if column.dtype.kind in "ui":
        return np.asarray(column == number)
    return np.isclose(column, number, rtol=precision, atol=1e-12, equal_nan=True)


def _number(rule: Rule, value: str) -> int | float:
    """Return a value of a rule as a number, or raise a SettingError that names its column."""
    try:
        return int(value)  # exact, also for large whole numbers
    except ValueError:
        pass
    try:
        return float(value)
    except ValueError:
        raise SettingError(
            f"{rule.column!r} holds numbers.",
            f"The value was {value!r}.",
            f"Write '{rule.column} {rule.comparison} 1'.",
        ) from None


def trials_where(trials: "Trials", rules: Sequence[str]) -> NDArray[np.bool_]:
    """Return a mask of the trials for which every rule holds; see `rows_where`.

    Rules are about conditions, or about `start_time` if start times are known. If there is a condition called
    `start_time`, rules are about this condition.
    """
    columns = dict(trials.conditions)
    if trials.start_times is not None:
        columns.setdefault(START_TIME, np.asarray(trials.start_times, float))
    return rows_where(columns, rules, len(trials), noun="trial", units=trials.units)


def rows_of_units(table: Mapping[str, Array], units: str, n_neurons: int) -> NDArray[np.bool_]:
    """Return a mask of the neurons that a list such as "3,5-9" or "a1,b7" names.

    Entries are compared with the columns `id` and `name` of the neuron table. If it has neither, they are positions,
    counted from 0. A range such as 5-9 includes both ends.

    Args:
        table: Neuron table.
        units: List of entries, separated by commas.
        n_neurons: Number of neurons.

    Raises:
        SettingError: if an entry names no neuron.
    """
    arrays = {f"{name}s": np.asarray(table[name]) for name in ("id", "name") if name in table}
    if not arrays:
        arrays = {"positions": np.arange(n_neurons)}
    columns = {kind: [str(value) for value in array.tolist()] for kind, array in arrays.items()}
    keep = np.zeros(n_neurons, bool)
    for entry in (part.strip() for part in units.split(",")):
        for column in columns.values():
            chosen = _is_in_entry(column, entry)
            if chosen.any():
                keep |= chosen
                break
        else:
            kind, column = next(iter(columns.items()))
            raise SettingError(
                f"No neuron is called {entry!r}.",
                f"The {kind} are {_listed(np.array(column))}.",
                "Write for instance --units 3,5-9.",
            )
    return keep


def _is_in_entry(values: list[str], entry: str) -> NDArray[np.bool_]:
    """Return a mask of the values that equal an entry, or else of the values in a range such as "5-9"."""
    equal = np.array([value == entry for value in values], bool)
    bounds = UNITS.fullmatch(entry)
    if equal.any() or bounds is None:
        return equal
    low = int(bounds["first"])
    high = int(bounds["last"])
    return np.array([value.isdigit() and low <= int(value) <= high for value in values], bool)


def _listed(column: Array) -> str:
    """Return a text with the first distinct values of a column, or the range of a column with many numbers."""
    column = np.asarray(column)
    values = list(dict.fromkeys(column.tolist())) if column.ndim == 1 else []
    if len(values) > MOST_LISTED and column.dtype.kind in "uif" and np.isfinite(column).any():
        return f"numbers from {np.nanmin(column):g} to {np.nanmax(column):g}"
    listed = ", ".join(str(value) for value in values[:MOST_LISTED])
    return listed + (f" and {len(values) - MOST_LISTED} more" if len(values) > MOST_LISTED else "")


def _close(word: str, names: Sequence[str]) -> str:
    """Return a question that suggests the most similar name, or "" if none is similar."""
    close = difflib.get_close_matches(word, names, n=1)
    return f"Did you mean {close[0]}?" if close else ""
