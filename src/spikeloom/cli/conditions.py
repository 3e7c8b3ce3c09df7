"""Conditions as words of the command line: NAME, NAME=VALUE, NAME=path.csv."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikeloom.errors import ConditionError, FileError

if TYPE_CHECKING:
    from spikeloom.models.common.base import Model


def read_conditions(words: list[str], model: "Model", bins: int | None) -> dict[str, Any]:
    """Name -> value, None where only the name was given.

    A CSV file is a path drawn over time: its first column is `time` (s), the others are the dimensions in the unit that
    the model was trained with (named by the header as `x (m/s)`, checked where the header says it). It is resampled
    linearly at the centres of the bins.

    Raises:
        ConditionError: if a value or a file's columns are not what the model's variable needs.
    """
    facts = model.facts
    assert facts is not None
    told: dict[str, Any] = {}
    for word in words:
        name, given, value = word.partition("=")
        variable = next((known for known in facts.variables.each if known.name == name), None)
        if not given or variable is None:  # an unknown name is refused by the model, which lists its own
            told[name] = None
        elif variable.kind == "sequence":
            told[name] = _drawn_path(Path(value), variable.size, variable.unit, facts.bin_width, bins)
        elif variable.kind == "category":
            told[name] = _category(value, variable.categories)
        else:
            told[name] = _numbers(name, value, variable.size)
    return told


def _category(value: str, categories: tuple[Any, ...]) -> Any:
    return next((known for known in categories if str(known) == value), value)


def _numbers(name: str, value: str, size: int) -> Any:
    try:
        numbers = [float(part) for part in value.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != size:
        raise ConditionError(
            f"{name} must be {size} number(s), with commas between them.", f"It was {value!r}.", f"Write {name}=45."
        )
    return numbers[0] if size == 1 else numbers


def _drawn_path(path: Path, size: int, unit: str, bin_width: float, bins: int | None) -> np.ndarray:
    try:
        rows = [row for row in csv.reader(path.read_text().splitlines()) if row]
        table = np.array(rows[1:], float)
    except OSError as error:
        raise FileError("The path must be a CSV file.", f"{path}: {error.strerror}.", "Check its name.") from error
    except ValueError as error:
        raise ConditionError("A drawn path must hold numbers.", f"{path}: {error}.", "Check the rows.") from error
    header = [column.strip() for column in rows[0]] if rows else []
    if header[:1] != ["time"] or len(header) != size + 1 or table.ndim != 2 or table.shape[1] != size + 1:
        raise ConditionError(
            f"A drawn path must have the columns time (s) and {size} more.",
            f"{path} has the columns {header} and {len(table)} rows.",
            "Write a header such as time,x,y.",
        )
    if len(table) < 2:
        raise ConditionError(
            "A drawn path must have at least two points.", f"{path} has {len(table)}.", "Draw where it goes, too."
        )
    if not np.isfinite(table).all():
        raise ConditionError(
            "A drawn path must hold finite numbers.",
            f"Row {int(np.flatnonzero(~np.isfinite(table).all(1))[0]) + 1} of {path} has NaN or infinity.",
            "Leave such rows out; the path is resampled anyway.",
        )
    if not (np.diff(table[:, 0]) > 0).all():
        raise ConditionError(
            "The times of a drawn path must be rising.",
            f"Row {int(np.flatnonzero(np.diff(table[:, 0]) <= 0)[0]) + 2} of {path} is not later than the one before.",
            "Sort the rows by time and leave out doubles.",
        )
    said = {column.partition("(")[2].rstrip(")") for column in header[1:] if "(" in column}
    if said - {unit}:
        raise ConditionError(
            f"The path must be in {unit or 'the unit of training'}.", f"{path} says {sorted(said)}.", "Convert it."
        )
    return _at_bins(path, table, bin_width, bins)


def _at_bins(path: Path, table: np.ndarray, bin_width: float, bins: int | None) -> np.ndarray:
    """The drawn values (bin, dim) at the centres of the bins, on straight lines between the points."""
    time = table[:, 0] - table[0, 0]
    whole = max(1, round(time[-1] / bin_width))
    if bins is not None and bins > whole:  # the last value must not be held in silence
        raise ConditionError(
            f"The path must last as long as the trials, {bins} bins of {bin_width:g} s.",
            f"{path} lasts {time[-1]:g} s, {whole} bins.",
            f"Leave --bins out, or write --bins {whole}.",
        )
    centres = (np.arange(whole if bins is None else bins) + 0.5) * bin_width
    return np.stack([np.interp(centres, time, column) for column in table[:, 1:].T], 1)
