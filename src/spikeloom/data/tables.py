"""Read trial tables of common types as columns by name, with times in seconds.

A table is a dict of columns, a pandas or polars DataFrame, a NumPy structured array, a list of dicts (one per row), a
pynapple `IntervalSet`, a neo `Epoch` or `Event`, a pynwb table, or an array of two times per row. Columns of dates,
differences of dates and quantities of time become seconds. Other quantities keep their numbers, and their unit is
returned separately. Missing values become NaN among numbers and "" among text.
"""

import warnings
from collections.abc import Mapping

import numpy as np

from spikeloom import clock, objects
from spikeloom.errors import DataError, ShapeError, SpikeloomWarning
from spikeloom.objects import Foreign
from spikeloom.shapes import Array

START = "start_time"
"""Column of NWB with the start of each trial."""

STOP = "stop_time"
"""Column of NWB with the end of each trial."""

ALIASES = {START: ("start", "t_start", "onset"), STOP: ("end", "stop", "end_time", "t_stop", "offset")}
"""Names that other libraries use for the columns start_time and stop_time of NWB."""


class UnreadColumnWarning(SpikeloomWarning):
    """A column of a table holds neither numbers nor text and was left out; the message names it and the reason."""


def read_table(table: object) -> tuple[dict[str, Array], dict[str, str]]:
    """Return the columns of a table by name, and the units of columns with a unit other than time.

    Columns such as start and end are also returned as start_time and stop_time.

    Raises:
        DataError: if the object is not a table, or one of its columns of times does not hold times.
        ShapeError: if an array does not have two times per row.

    Warns:
        UnreadColumnWarning: if a column was left out, because it holds neither numbers nor text.
    """
    columns = dict[str, Array]()
    units = dict[str, str]()
    for name, value in _raw_columns(table).items():
        try:
            columns[name], unit = read_column(name, value)
        except DataError as error:
            if name in (START, STOP) or objects.measured(value) is not None:
                raise
            # the second text of the error says what the column holds
            note = f"The column {name!r} was left out: {error.args[1][0].lower()}{error.args[1][1:]}"
            warnings.warn(note, UnreadColumnWarning, stacklevel=3)
            continue
        if unit:
            units[name] = unit
    return columns, units


def read_column(name: str, value: object) -> tuple[Array, str]:
    """Return one column as numbers or text, and its unit. Times of any kind become seconds, with the unit "".

    Args:
        name: Name of the column.
        value: The column, in any of the types that the module names.

    Raises:
        DataError: if it holds neither numbers nor text.
    """
    what = f"The column {name!r}"
    quantity = objects.measured(value)
    if quantity is None:
        first = _first(value)
        if first is not None and objects.measured(first) is not None:  # a list of single quantities
            quantity = _together(value, what)
        elif _is_time(value, first):
            return clock.seconds(value, what=what), ""
        elif name in (START, STOP):
            return clock.flat_seconds(value, what=what), ""
        else:
            return objects.column(value), ""
    if quantity.seconds is not None or name in (START, STOP):
        if quantity.seconds is None:
            raise DataError(f"{what} must hold times.", f"The unit is {quantity.unit}.", "Give seconds.")
        return objects.scaled(np.asarray(quantity.numbers, np.float64), quantity.seconds), ""
    return np.asarray(quantity.numbers), "" if quantity.unit == "dimensionless" else quantity.unit


def raw_times(table: object) -> dict[str, object]:
    """Return the columns start_time and stop_time unconverted, for a check of their clock."""
    raw = _raw_columns(table)
    return {name: raw[name] for name in (START, STOP) if name in raw}


def _raw_columns(table: object) -> dict[str, object]:
    """Return the columns unconverted. A column such as start or end is also returned as start_time or stop_time."""
    columns = _columns_of(table)
    for name, others in ALIASES.items():
        alias = next((other for other in others if other in columns), None)
        if name not in columns and alias is not None and _has_start_and_stop(columns):
            columns = {name: columns[alias], **columns}
    return columns


def _has_start_and_stop(columns: Mapping[str, object]) -> bool:
    """Return whether there are columns of the start and of the end of trials, under any of their names."""
    return all(any(alias in columns for alias in (name, *aliases)) for name, aliases in ALIASES.items())


def _columns_of(table: Foreign) -> dict[str, Foreign]:
    """Return the columns of a table of any type that the module names, unconverted."""
    if isinstance(table, Mapping):
        return {str(name): value for name, value in table.items()}
    if hasattr(table, "durations") and hasattr(table, "labels"):  # neo Epoch
        ends = {START: table.times, STOP: table.times + table.durations}
        return ends | _labels(table)
    if hasattr(table, "labels") and hasattr(table, "rescale"):  # neo Event
        return {"time": table.times, **_labels(table)}
    if hasattr(table, "to_dataframe"):  # pynwb
        table = table.to_dataframe()
    if hasattr(table, "columns") and hasattr(table, "__getitem__"):  # pandas, polars
        return {str(name): table[name] for name in table.columns}
    if hasattr(table, "start") and hasattr(table, "end") and not isinstance(table, np.ndarray):  # pynapple IntervalSet
        metadata = getattr(table, "metadata_columns", ())
        return {START: table.start, STOP: table.end, **{str(name): table[name] for name in metadata}}
    if isinstance(table, np.ndarray) and table.dtype.names:  # structured array
        return {name: table[name] for name in table.dtype.names}
    if isinstance(table, list | tuple) and table and all(isinstance(row, Mapping) for row in table):  # rows
        names = dict.fromkeys(str(name) for row in table for name in row)
        return {name: [row.get(name) for row in table] for name in names}
    if isinstance(table, list | tuple | np.ndarray) or hasattr(table, "rescale"):  # rows of two times
        rows = clock.intervals(table, what="The rows of a trial table")
        return {START: rows[:, 0], STOP: rows[:, 1]}
    raise DataError(
        "A trial table must be a dict of columns, a DataFrame, or rows of start and stop times.",
        f"It is {type(table).__name__}.",
        'Write, for instance, {"start_time": [0.0, 2.0], "stop_time": [1.5, 3.5]}.',
    )


def _labels(table: Foreign) -> dict[str, Foreign]:
    """Return the labels and annotations of a neo Epoch or Event as columns."""
    label = {"label": np.asarray(table.labels)} if len(table.labels) else {}
    return label | {str(name): value for name, value in getattr(table, "array_annotations", {}).items()}


def _first(value: Foreign) -> Foreign:
    """Return the first entry of a list or object array that is not missing. The result is None for other arrays."""
    if isinstance(value, str | bytes) or getattr(getattr(value, "dtype", None), "kind", "O") != "O":
        return None
    try:
        return next((entry for entry in value if not objects.missing(entry)), None)
    except TypeError as error:
        raise ShapeError(
            "A column must have one value per row.", f"It is {type(value).__name__}.", "Give a list of values."
        ) from error


def _is_time(value: object, first: object) -> bool:
    """Return whether a column holds dates, differences of dates, or pynapple's times.

    Args:
        value: Column of a table.
        first: First entry of a column of objects that is not missing, or None for other columns.
    """
    kind = getattr(getattr(value, "dtype", None), "kind", "O")
    is_numpy_time = kind in "mM"  # timedelta64 or datetime64
    is_pynapple = callable(getattr(value, "times", None)) and hasattr(value, "time_support")
    is_difference = hasattr(first, "total_seconds") or isinstance(first, np.timedelta64)
    is_date = first is not None and clock.dated([first])
    return is_numpy_time or is_pynapple or is_difference or is_date


def _together(value: Foreign, what: str) -> objects.Measured:
    """Join a list of single quantities into one quantity with many numbers. Missing entries become NaN."""
    present = [entry for entry in value if not objects.missing(entry)]
    first = objects.measured(present[0])
    assert first is not None  # the caller has checked that the first entry is a quantity
    if first.seconds is not None:
        return objects.Measured(clock.seconds(list(value), what=what), "s", 1.0)
    quantities = [objects.measured(entry) for entry in present]
    if any(quantity is None or quantity.unit != first.unit for quantity in quantities):
        raise DataError(f"{what} must have one unit.", "Its rows have different ones.", "Convert them to one.")
    numbers = np.full(len(value), np.nan)
    is_present = [not objects.missing(entry) for entry in value]
    numbers[is_present] = [float(quantity.numbers) for quantity in quantities if quantity is not None]
    return objects.Measured(numbers, first.unit, None)
