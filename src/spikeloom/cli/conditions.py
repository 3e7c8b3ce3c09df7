"""Read conditions from the command line: NAME, NAME=VALUE or NAME=path.csv."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spikeloom.errors import ConditionError, FileError, SettingError
from spikeloom.text import counted

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from spikeloom.models.common.base import Model
    from spikeloom.models.common.named_condition import NamedCondition


def requested_conditions(
    options: list[str] | None, model: "Model", n_bins: int | None, *, unconditional: bool
) -> "dict[str, ArrayLike | None] | None":
    """Return the argument `condition` of `Model.sample`, from the options `--condition` and `--unconditional`.

    Args:
        options: Values of the option `--condition`; None if it was not used.
        model: A trained model.
        n_bins: Number of bins of every trial. `None` takes the duration of a path.
        unconditional: Whether `--unconditional` was used.

    Raises:
        SettingError: if both options were used.
        ConditionError: as in `read_conditions`.
        FileError: as in `read_conditions`.
    """
    if options is None:
        return {} if unconditional else None
    if unconditional:
        raise SettingError(
            "--unconditional samples without conditions.",
            f"It came with --condition {options[0]}.",
            "Remove one of the two options.",
        )
    return read_conditions(options, model, n_bins)


def read_conditions(options: list[str], model: "Model", n_bins: int | None) -> "dict[str, ArrayLike | None]":
    """Return the value of each condition in `--condition` by name. The value is None if only the name was written.

    A CSV file holds a path over time. Its first column is `time` (s); the others are the dimensions of the path, in the
    unit of the training trials. A header may name a unit, as in `x (m/s)`, which is checked. The path is resampled at
    the centres of the bins.

    Args:
        options: Values of the option, such as "angle_deg=45".
        model: A trained model.
        n_bins: Number of bins of every trial. `None` takes the duration of the path.

    Raises:
        ConditionError: if a value or the content of a file does not fit the condition of the model, or a path is
            shorter than `n_bins`.
        FileError: if a file cannot be read.
    """
    trained = {condition.name: condition for condition in model.facts.conditions.each}
    values: dict[str, ArrayLike | None] = {}
    for option in options:
        name, equals, value = option.partition("=")
        condition = trained.get(name)
        if not equals or condition is None:  # the model refuses an unknown name, and lists the names of its conditions
            values[name] = None
        elif condition.per_bin:
            values[name] = _drawn_path(Path(value), condition, model.facts.bin_width, n_bins)
        else:
            values[name] = read_value(condition, value)
    return values


def read_value(condition: "NamedCondition", text: str) -> "ArrayLike":
    """Return the category, the number or the numbers of a condition that a text holds.

    Raises:
        ConditionError: if the text does not hold the numbers of the condition.
    """
    if condition.kind == "category":  # the model refuses a text that is no category
        return next((category for category in condition.categories if str(category) == text), text)
    return _numbers(condition.name, text, condition.size)


def _numbers(name: str, value: str, size: int) -> float | list[float]:
    """Return the number of a condition, or its numbers separated by commas."""
    try:
        numbers = [float(part) for part in value.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != size:
        raise ConditionError(
            f"{name} must be {counted(size, 'number')}" + (", separated by commas." if size > 1 else "."),
            f"It was {value!r}.",
            f"Write {name}={','.join(['45'] * size)}.",
        )
    return numbers[0] if size == 1 else numbers


def _drawn_path(path: Path, condition: "NamedCondition", bin_width: float, n_bins: int | None) -> np.ndarray:
    """Return the path of a CSV file at the centres of the bins (bin, dim).

    Args:
        path: The CSV file.
        condition: Condition of the model that the path is for.
        bin_width: Width of a bin of the model, s.
        n_bins: Number of bins of the trials. `None` takes the duration of the path.
    """
    try:
        rows = [row for row in csv.reader(path.read_text().splitlines()) if row]
        table = np.array(rows[1:], float)
    except OSError as error:
        raise FileError(
            f"The path {path} cannot be read: {error.strerror}.", "", "Write NAME=PATH with an existing CSV file."
        ) from error
    except ValueError as error:
        raise ConditionError("A path file must hold numbers below its header.", f"{path}: {error}.", "") from error
    columns = [column.strip() for column in rows[0]] if rows else []
    _check_columns(path, columns, table, condition)
    _check_rows(path, table)
    time = table[:, 0]  # s
    n_path_bins = max(1, round((time[-1] - time[0]) / bin_width))
    if n_bins is not None and n_bins > n_path_bins:
        raise ConditionError(
            f"The path must have the duration of the trials, {n_bins} bins of {bin_width:g} s.",
            f"{path} lasts {time[-1] - time[0]:g} s, {counted(n_path_bins, 'bin')}.",
            f"Leave --bins out, or write --bins {n_path_bins}.",
        )
    return condition.at_bins(time, table[:, 1:], bin_width=bin_width, n_bins=n_path_bins if n_bins is None else n_bins)


def _check_columns(path: Path, columns: list[str], table: np.ndarray, condition: "NamedCondition") -> None:
    """Raise a ConditionError unless the file has a column of times and one for each dimension, in the right unit.

    Args:
        path: The CSV file, for messages.
        columns: Names in the header of the file.
        table: Numbers of the file (row, column).
        condition: Condition of the model that the path is for.
    """
    size = condition.size
    unit = condition.unit
    if columns[:1] != ["time"] or len(columns) != size + 1 or table.ndim != 2 or table.shape[1] != size + 1:
        raise ConditionError(
            f"A path file must have the column time (s) and {counted(size, 'more column')}.",
            f"{path} has the columns {columns} and {counted(len(table), 'row')}.",
            "Write a header such as time,x,y.",
        )
    units = {column.partition("(")[2].rstrip(")") for column in columns[1:] if "(" in column}  # m/s of "x (m/s)"
    if units - {unit}:
        raise ConditionError(
            f"The path must be in {unit or 'the unit of training'}.", f"{path} is in {sorted(units)}.", ""
        )


def _check_rows(path: Path, table: np.ndarray) -> None:
    """Raise a ConditionError unless there are at least two rows of finite numbers, at increasing times.

    Messages count the rows below the header from 1.

    Args:
        path: The CSV file, for messages.
        table: Numbers of the file (row, column); the first column holds times.
    """
    if len(table) < 2:
        raise ConditionError("A path must have at least two points.", f"{path} has {len(table)}.", "Add its end point.")
    finite = np.isfinite(table).all(1)
    if not finite.all():
        raise ConditionError(
            "A path must hold finite numbers.",
            f"Row {int(np.flatnonzero(~finite)[0]) + 1} of {path} has NaN or infinity.",
            "Remove such rows; the path is interpolated between the others.",
        )
    increasing = np.diff(table[:, 0]) > 0
    if not increasing.all():
        raise ConditionError(
            "The times of a path must increase.",
            f"Row {int(np.flatnonzero(~increasing)[0]) + 2} of {path} is not later than the previous row.",
            "Sort the rows by time and remove duplicates.",
        )
