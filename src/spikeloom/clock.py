"""Convert times of any kind, with or without a unit, to seconds as float64. The package reads all times with it.

| input | is read as |
|---|---|
| numbers of any size and byte order, of NumPy, torch or pandas | seconds |
| quantities (quantities, neo, pint, astropy, Brian, xarray's attribute `units`) | converted; other units are refused |
| `timedelta`, `timedelta64`, pandas `Timedelta` and `TimedeltaIndex` | converted |
| `datetime`, `datetime64`, pandas `Timestamp` and `DatetimeIndex` | seconds since 1970; without a time zone, in UTC |
| pynapple `Ts`, `Tsd` | their times, which are seconds |
| None, NaN, NaT, `pandas.NA`, masked | NaN, which marks a missing time |
| text, booleans, complex numbers | refused |

If the unit is a fraction of a second, the numbers are divided, not multiplied: 300 ms become exactly the float 0.3.
"""

import datetime
import decimal
import numbers
from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from spikeloom.errors import DataError, SettingError, ShapeError, SpikeloomError
from spikeloom.objects import Foreign, measured, missing, plain, scaled
from spikeloom.shapes import Array

PLAIN = {int, float, np.float64, np.float32, np.int64, np.int32}
"""Types of numbers. A list of these is converted at once, and a list with other entries one by one."""

BOUNDS = (("start", "end"), ("start_time", "stop_time"), ("start", "stop"), ("start_time", "end_time"))
"""Names under which tables hold the two ends of intervals."""


def seconds(times: Foreign, *, what: str, error: type[SpikeloomError] = DataError) -> NDArray[np.float64]:
    """Convert times to seconds, in an array of the same shape; missing times are NaN.

    Args:
        times: Times of any kind in the table at the top of the module, or a list of such values.
        what: Name of the times for messages, such as "Spike times of neuron 3".
        error: Class of the error to raise.

    Raises:
        DataError: or `error`, if the values are not times: text, booleans, or numbers with another unit.
    """
    quantity = measured(times)
    if quantity is not None:
        if quantity.seconds is None:
            raise error(
                f"{what} must be in seconds or in another unit of time.",
                f"The unit is {quantity.unit}.",
                "Give times in seconds, or with a unit of time such as ms.",
            )
        return scaled(_numbers(quantity.numbers, what, error), quantity.seconds)
    if callable(getattr(times, "times", None)) and hasattr(times, "time_support"):  # pynapple keeps seconds
        return np.asarray(times.times(), np.float64)
    if hasattr(times, "__next__"):  # an iterator
        times = list(times)
    if isinstance(times, list | tuple) and not set(map(type, times)) <= PLAIN:
        return _stacked([_single(entry, what, error) for entry in times], what)
    if isinstance(times, Mapping):
        raise _refusal(what, "a mapping", error)
    return _numbers(plain(times), what, error)


def flat_seconds(times: object, *, what: str) -> Float[np.ndarray, " event"]:
    """Convert the times of events to seconds, on one axis; columns (n, 1) and rows (1, n) are flattened.

    Args:
        times: Times of any kind in the table at the top of the module.
        what: Name of the times for messages.

    Raises:
        ShapeError: if there are several axes.
        DataError: if the values are not times.
    """
    array = seconds(times, what=what)
    if array.ndim == 1:
        return array
    if array.ndim > 2 or (array.ndim == 2 and min(array.shape) > 1):
        raise ShapeError(
            f"{what} must have one axis.", f"The shape is {array.shape}.", "Give one array of times per neuron."
        )
    return array.ravel()


def duration(value: object, *, what: str) -> float:
    """Convert a number, quantity or timedelta to one number of seconds.

    Args:
        value: The duration.
        what: Name of the duration for messages, such as "A bin width".

    Raises:
        SettingError: if the value is anything else.
    """
    array = seconds(value, what=what, error=SettingError)
    if array.size != 1 or dated(value):  # a date is no duration
        raise SettingError(
            f"{what} must be one number of seconds.",
            f"It was {value!r}.",
            "Give a number such as 0.005, or a quantity or timedelta.",
        )
    return float(array.reshape(()))


def window(value: Foreign, *, what: str = "A window") -> tuple[float, float]:
    """Convert a pair (start, stop), relative to an event, to two numbers of seconds.

    Args:
        value: The pair, with two numbers, quantities or timedeltas.
        what: Name of the pair for messages.

    Raises:
        SettingError: if the value is anything else, such as a pair of dates.
    """
    try:
        ends = list(value)
    except TypeError:
        ends = [value]
    if isinstance(value, str) or len(ends) != 2:
        raise SettingError(
            f"{what} must be two numbers of seconds, from and to.", f"It was {value!r}.", "Write, e.g., (-0.2, 0.5)."
        )
    start, stop = (duration(end, what=f"Each end of {what[0].lower()}{what[1:]}") for end in ends)
    return start, stop


def intervals(value: object, *, what: str) -> Float[np.ndarray, "interval 2"]:
    """Convert intervals to an array (interval, 2) in seconds.

    Args:
        value: Rows of two times, one pair, a table with start and end, a neo `Epoch`, or a pynapple `IntervalSet`.
        what: Name of the intervals for messages.

    Raises:
        ShapeError: if there are not two times per interval.
        DataError: if an interval ends before it begins, or the values are not times.
    """
    if hasattr(value, "durations") and hasattr(value, "rescale"):  # neo Epoch
        start = seconds(value, what=what)
        rows = np.stack([start, start + seconds(value.durations, what=what)], 1)
    elif (bounds := _bounds(value)) is not None:
        rows = np.stack([flat_seconds(bound, what=what) for bound in bounds], 1)
    else:
        rows = seconds(value, what=what)
    if rows.shape == (2,):  # one interval
        rows = rows[None]
    if not rows.size:  # no interval, of any shape
        rows = rows.reshape(0, 2)
    if rows.ndim != 2 or rows.shape[1] != 2:
        raise ShapeError(
            f"{what} must be intervals of two times.",
            f"The shape is {rows.shape}.",
            "Give rows such as [(0, 60), (75, 120)].",
        )
    bad = ~(rows[:, 0] <= rows[:, 1])  # also intervals with NaN
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"{what} must end after they begin.",
            f"Interval {first} goes from {rows[first, 0]:g} to {rows[first, 1]:g} s.",
            "Give each as (start, end).",
        )
    return rows


def dated(value: Foreign) -> bool:
    """Return whether times are calendar dates instead of seconds from the start of a session."""
    if isinstance(value, str | bytes | Mapping) or measured(value) is not None or hasattr(value, "detach"):
        return False  # tensors of torch hold numbers only
    if isinstance(value, datetime.date | np.datetime64):
        return True
    # The kind of a dtype is "M" for dates and "O" for objects. A list has no dtype, and is treated like objects.
    kind = getattr(getattr(value, "dtype", None), "kind", "O" if isinstance(value, Iterable) else "")
    if kind != "O":
        return bool(kind == "M")
    first = next((entry for entry in value if not missing(entry)), None)
    contains_itself = first is value  # some objects of other libraries yield themselves: avoid an endless recursion
    return first is not None and not contains_itself and dated(first)


def check_one_clock(sources: Mapping[str, object]) -> None:
    """Raise a DataError if some of the named times are dates while others are seconds."""
    dates = [name for name, times in sources.items() if dated(times)]
    numbers = [name for name in sources if name not in dates]
    if dates and numbers:
        raise DataError(
            "All times of a recording must be on one clock.",
            f"{' and '.join(dates)} are dates, {' and '.join(numbers)} are seconds.",
            "Subtract the date at which the session began from the dates, or give dates for all.",
        )


def _bounds(value: Foreign) -> tuple[object, object] | None:
    """Return the starts and ends of intervals in a table or a pynapple IntervalSet, or None for anything else."""
    for start, stop in BOUNDS:
        if isinstance(value, Mapping) or hasattr(value, "columns"):
            if start in value and stop in value:
                return value[start], value[stop]
        elif hasattr(value, start) and hasattr(value, stop):
            ends = getattr(value, start), getattr(value, stop)
            if not callable(ends[0]):  # other objects have methods such as `start`
                return ends
    return None


def _numbers(array: Array, what: str, error: type[SpikeloomError]) -> NDArray[np.float64]:
    """Convert a plain array to seconds. Numbers are seconds already; dates and differences of dates are converted."""
    kind = array.dtype.kind
    if kind in "iuf":  # whole numbers and floats
        return array.astype(np.float64)
    if kind in "mM":  # differences of dates, and dates
        return _of_datetime64(array, what, error)
    if kind == "O":  # objects
        flat = [_single(entry, what, error) for entry in array.ravel()]
        return _stacked(flat, what).reshape(array.shape) if flat else np.zeros(array.shape)
    if kind in "USbc":  # text, bytes, booleans and complex numbers
        shown = f", such as {array.ravel()[0].item()!r}" if array.size else ""
        raise _refusal(what, {"b": "true or false", "c": "complex numbers"}.get(kind, "text") + shown, error)
    raise _refusal(what, str(array.dtype), error)


def _refusal(what: str, kind: str, error: type[SpikeloomError]) -> SpikeloomError:
    """Return the error for values that are no times.

    Args:
        what: Name of the times for messages.
        kind: Kind of the values, such as "text".
        error: Class of the error.
    """
    remedy = "Convert text with np.asarray(times, float)." if kind.startswith("text") else "Write, e.g., [0.1, 1.5]."
    return error(f"{what} must be numbers of seconds.", f"They are {kind}.", remedy)


def _of_datetime64(array: Array, what: str, error: type[SpikeloomError]) -> NDArray[np.float64]:
    """Convert NumPy's dates and differences of dates to seconds, as exactly as float64 can.

    Args:
        array: Array of datetime64 or timedelta64.
        what: Name of the times for messages.
        error: Class of the error to raise.
    """
    unit, _ = np.datetime_data(np.dtype(array.dtype.str))
    is_difference = array.dtype.kind == "m"
    if unit == "generic" or (is_difference and unit in ("Y", "M")):  # years and months have no fixed length
        raise error(
            f"{what} must have a unit of time.", f"They are {array.dtype}.", "Give them as timedelta64[ms] or similar."
        )
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9, "ps": 10**12, "fs": 10**15, "as": 10**18}.get(unit)
    if per_second is None:  # minutes to weeks, and dates by day, month or year
        unit = "s"
        per_second = 1
    array = array.astype(f"{array.dtype.kind}8[{unit}]")  # also steps of several units, such as [25us], to one unit
    # whole seconds and their remainder are separate, because a float64 cannot resolve nanoseconds at 1.7e18 ns
    whole_seconds, remainder = np.divmod(array.astype(np.int64), per_second)
    return np.where(np.isnat(array), np.nan, whole_seconds + remainder / per_second)


def _single(value: object, what: str, error: type[SpikeloomError]) -> object:
    """Convert one entry of a list or object array to seconds. `_refusal` explains the arguments `what` and `error`."""
    if missing(value):
        return np.nan
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, datetime.datetime):
        epoch = datetime.datetime(1970, 1, 1, tzinfo=None if value.tzinfo is None else datetime.UTC)
        return (value - epoch).total_seconds()
    if isinstance(value, numbers.Real | decimal.Decimal) and not isinstance(value, bool | np.timedelta64):
        return float(value)
    # `seconds` converts lists, arrays and quantities, and refuses text and booleans with a reason
    if isinstance(value, list | tuple | bool | str | bytes) or hasattr(value, "__array__") or measured(value):
        return seconds(value, what=what, error=error)
    raise _refusal(what, f"objects of type {type(value).__name__}", error)


def _stacked(parts: list[object], what: str) -> NDArray[np.float64]:
    """Return converted entries as one array. Raise a ShapeError if they are lists of different length."""
    arrays = [np.asarray(part, np.float64) for part in parts]
    if len({array.shape for array in arrays}) > 1:
        if all(array.size == 1 for array in arrays):  # single times, some of them in an array or list
            return np.array([float(array.reshape(())) for array in arrays])
        raise ShapeError(
            f"{what} must be one list of times.",
            f"It is a list of lists with {', '.join(str(array.size) for array in arrays[:5])} entries.",
            "Give one list of times per neuron.",
        )
    return np.array(arrays, np.float64)
