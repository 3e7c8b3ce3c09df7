"""Convert arrays of other libraries to plain NumPy arrays, and keep their units and missing values.

Objects of pandas, torch, SciPy, quantities, pint, astropy, pynapple and neo are recognised by their attributes, so
these libraries are not imported. `measured` returns the numbers and their unit. `plain` replaces masked or missing
entries by NaN among numbers and by None among text.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, SupportsFloat

import numpy as np
from numpy.typing import NDArray

from spikeloom.errors import DataError
from spikeloom.shapes import Array

Foreign = Any  # recognised by its attributes, because the types of other libraries are not imported
"""Object of another library."""

TIME_UNITS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("us", "µs", "μs", "usec", "microsecond", "microseconds"), 1e-6),
    **dict.fromkeys(("ns", "nsec", "nanosecond", "nanoseconds"), 1e-9),
    **dict.fromkeys(("min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600.0),
}
"""Seconds in one unit of time, for libraries that write units as text."""


class Measured(NamedTuple):
    """Numbers, their unit as text, and the seconds in one unit (None unless it is a unit of time)."""

    numbers: Array
    unit: str
    seconds: float | None


def measured(value: Foreign) -> Measured | None:
    """Return numbers and unit of a quantity, or None if the value has no unit.

    Quantities of quantities, neo, pint, astropy, Brian and xarray are recognised.

    Raises:
        DataError: if the value has a unit that is stored in another way.
    """
    if hasattr(value, "rescale") and hasattr(value, "magnitude"):  # quantities, neo
        unit = value.dimensionality.string
        return Measured(np.asarray(value.magnitude), unit, _seconds_in(lambda: value.units.rescale("s").magnitude))
    if hasattr(value, "to") and hasattr(value, "magnitude") and hasattr(value, "dimensionality"):  # pint
        in_seconds = _seconds_in(lambda: type(value)(1.0, value.units).to("s").magnitude)
        return Measured(np.asarray(value.magnitude), str(value.units), in_seconds)
    if hasattr(value, "to_value") and hasattr(value, "unit"):  # astropy
        return Measured(np.asarray(value.value), str(value.unit), _seconds_in(lambda: value.unit.to("s")))
    if hasattr(value, "in_unit") and hasattr(value, "dim"):  # Brian, which keeps numbers in base units
        unit = str(value.dim)
        return Measured(np.asarray(value), unit, 1.0 if unit in ("s", "second") else None)
    attributes = getattr(value, "attrs", None)
    if hasattr(value, "dims") and isinstance(attributes, Mapping) and attributes.get("units"):  # xarray
        unit = str(attributes["units"])
        return Measured(np.asarray(value), unit, TIME_UNITS.get(unit.strip()))
    if isinstance(value, np.ndarray) and (hasattr(value, "units") or hasattr(value, "unit")):  # of another library
        raise DataError(
            f"The units of {type(value).__module__}.{type(value).__name__} are not known to spikeloom.",
            f"Its unit is {getattr(value, 'units', getattr(value, 'unit', ''))}.",
            "Convert times to plain numbers of seconds.",
        )
    return None


def _seconds_in(convert: Callable[[], SupportsFloat]) -> float | None:
    """Return the seconds in one unit, which `convert` computes, or None if its library refuses the conversion."""
    try:
        return float(convert())
    except (ValueError, TypeError):  # what quantities, pint and astropy raise for units of another kind
        return None


def scaled(numbers: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    """Multiply numbers by a factor.

    No float is exactly 1/1000. So if 1 / factor is a whole number, the numbers are divided by this whole number, which
    avoids the rounding error of the factor.
    """
    inverse = 1 / factor
    if factor < 1 and math.isclose(inverse, round(inverse), rel_tol=1e-12):
        return np.asarray(numbers / round(inverse))
    return np.asarray(numbers * factor)


def missing(value: object) -> bool:
    """Return whether a value is None, NaN, NaT, pandas.NA or masked."""
    if value is None or value is np.ma.masked or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, np.datetime64 | np.timedelta64):
        return bool(np.isnat(value))
    return isinstance(value, float | np.floating) and bool(np.isnan(value))


def plain(value: Foreign) -> Array:
    """Convert a torch tensor, SciPy sparse matrix, pandas or xarray object, or list to a NumPy array.

    Masked entries become NaN among numbers, NaT among times, and None otherwise. Units must have been split off.
    """
    if isinstance(value, np.ndarray) and not isinstance(value, np.ma.MaskedArray):
        return np.asarray(value)
    if isinstance(value, np.ma.MaskedArray):
        return _unmasked(value)
    if hasattr(value, "detach") and hasattr(value, "numpy"):  # torch, on any device, with or without gradient
        value = value.detach().cpu().resolve_conj()  # torch conjugates lazily, and NumPy cannot read that
        value = value.to_dense() if value.is_sparse else value
        in_numpy = hasattr(np, str(value.dtype).removeprefix("torch."))  # False for bfloat16
        return np.asarray(value if in_numpy else value.double())
    if hasattr(value, "todense") and hasattr(value, "toarray"):  # scipy.sparse
        return np.asarray(value.toarray())
    if isinstance(value, list | tuple) and any(isinstance(entry, np.ma.MaskedArray) for entry in value):
        value = [plain(entry) for entry in value]
    if hasattr(value, "__next__"):  # an iterator
        value = list(value)
    try:
        return np.asarray(value)
    except ValueError:  # rows of different length
        return object_array(value)


def object_array(values: Iterable[object]) -> NDArray[np.object_]:
    """Return an object array with one axis, for entries of any kind such as arrays of different length."""
    listed = list(values)
    array = np.empty(len(listed), object)
    array[:] = listed
    return array


def _unmasked(value: "np.ma.MaskedArray") -> Array:
    """Return a masked array as a plain one, with NaN, NaT or None for masked entries."""
    data = np.array(value.data)
    mask = np.ma.getmaskarray(value)
    if not mask.any():
        return data
    kind = data.dtype.kind
    if kind in "iub":  # whole numbers and booleans have no NaN
        data = data.astype(np.float64)
    elif kind not in "fcmM":  # text has no missing value; floats, complex numbers and times have one
        data = data.astype(object)
    replacement: object = np.nan if kind in "iubfc" else None
    if kind == "m":
        replacement = np.timedelta64("NaT")
    if kind == "M":
        replacement = np.datetime64("NaT")
    data[mask] = replacement
    return data


NO_VALUE = ("nan", "NaN", "<NA>", "NaT")
"""Text that other libraries write for a missing value."""


def column(value: Foreign) -> Array:
    """Return one value per row as numbers or text. Missing values become NaN among numbers and "" among text.

    Rows that are vectors of one length become an array (row, dim). Units must have been split off.

    Raises:
        DataError: if rows are neither numbers nor text, or vectors of different length.
    """
    is_plain = isinstance(value, np.ndarray) and not isinstance(value, np.ma.MaskedArray)
    if is_plain and value.dtype.kind in "iufb":  # numbers or booleans
        return np.asarray(value)
    if isinstance(value, list | tuple) or hasattr(value, "__next__"):  # NumPy would turn None among text into "None"
        rows = list(value)
        array = (
            object_array(rows)
            if any(isinstance(entry, str | bytes) or missing(entry) for entry in rows)
            else plain(rows)
        )
    else:
        array = plain(value)
    if array.dtype.kind == "O":
        array = _of_objects(array)
    if array.dtype.kind == "S":  # bytes
        array = np.char.decode(array.astype(np.bytes_), "utf-8")
    if array.dtype.kind == "U":  # text
        array = np.where(np.isin(array, NO_VALUE), "", array)
    if array.dtype.kind not in "iufbU":
        raise DataError("A column must hold numbers or text.", f"It holds {array.dtype}.", "")
    return array


def _of_objects(array: Array) -> Array:
    """Convert an object array to text if any entry is text, else to numbers or rows of numbers."""
    entries = [plain(entry).tolist() if hasattr(entry, "__array__") else entry for entry in array.ravel()]
    is_missing = [missing(entry) for entry in entries]
    present = [entry for entry, absent in zip(entries, is_missing, strict=True) if not absent]
    if any(isinstance(entry, str | bytes) for entry in present):
        text = [entry.decode("utf-8") if isinstance(entry, bytes) else entry for entry in entries]
        filled = ["" if absent else str(entry) for entry, absent in zip(text, is_missing, strict=True)]
        return np.array(filled, str).reshape(array.shape)
    if not all(isinstance(entry, int | float | list | np.number) for entry in present):
        wrong = next(entry for entry in present if not isinstance(entry, int | float | list | np.number))
        raise DataError("A column must hold numbers or text.", f"It holds {type(wrong).__name__}, {wrong!r:.60}.", "")
    filled_numbers = [np.nan if absent else entry for entry, absent in zip(entries, is_missing, strict=True)]
    try:
        out = np.asarray(filled_numbers)
    except ValueError as error:
        raise DataError(
            "The rows of a column must be single values, or vectors of one length.",
            "Their lengths differ.",
            "Leave the column out, or make it one value per row.",
        ) from error
    return out.reshape(*array.shape, *out.shape[1:])  # rows that are vectors add an axis
