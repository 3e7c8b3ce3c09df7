"""Conditions as words of the command line: NAME, NAME=VALUE, NAME=path.csv."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikeloom.errors import ConditionError, FileError

if TYPE_CHECKING:
    from spikeloom.models.base import Model


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
        rows = list(csv.reader(path.read_text().splitlines()))
        table = np.array(rows[1:], float)
    except OSError as error:
        raise FileError("The path must be a CSV file.", f"{path}: {error.strerror}.", "Check its name.") from error
    except ValueError as error:
        raise ConditionError("A drawn path must hold numbers.", f"{path}: {error}.", "Check the rows.") from error
    header = [column.strip() for column in rows[0]] if rows else []
    good = table.ndim == 2 and table.shape[1] == size + 1 and len(table) > 1 and header[:1] == ["time"]
    if not good or not np.isfinite(table).all() or not (np.diff(table[:, 0]) > 0).all():
        raise ConditionError(
            f"A drawn path must have the columns time (s, rising) and {size} more, and at least two rows of numbers.",
            f"{path} has the columns {header} and {len(table)} rows.",
            "Write a header such as time,x,y.",
        )
    said = {column.partition("(")[2].rstrip(")") for column in header[1:] if "(" in column}
    if said - {unit}:
        raise ConditionError(
            f"The path must be in {unit or 'the unit of training'}.", f"{path} says {sorted(said)}.", "Convert it."
        )
    time = table[:, 0] - table[0, 0]
    count = max(1, round((time[-1]) / bin_width)) if bins is None else bins
    centres = (np.arange(count) + 0.5) * bin_width
    return np.stack([np.interp(centres, time, column) for column in table[:, 1:].T], 1)
