"""Read a behaviour series from common objects: times in seconds, values, and their unit.

A series is a pair `(times, values)`, a triple `(times, values, unit)`, a dict with these keys, a pynapple `Tsd` or
`TsdFrame`, a neo `AnalogSignal` or `IrregularlySampledSignal`, a pandas Series or DataFrame whose index holds the
times, an xarray DataArray with the times as coordinate, or a pynwb `TimeSeries`.
"""

from collections.abc import Mapping

import numpy as np

from spikeloom import clock, objects
from spikeloom.data.series import Series
from spikeloom.errors import DataError
from spikeloom.objects import Foreign

TIMES = ("times", "timestamps", "time", "t")
"""Keys of a dict under which the times may be."""

VALUES = ("values", "data")
"""Keys of a dict under which the values may be."""


def read_series(name: str, value: object) -> object:
    """Convert a behaviour series of any kind listed at the top of the module. A `Series` is returned unchanged.

    Raises:
        DataError: if the object is not a series, its values are not numbers, or its times are not times.
        ShapeError: if there is not one time per sample.
    """
    if hasattr(type(value), "countlike"):  # `Series` or `StoredSeries`
        return value
    times, values, unit = parts_of(name, value)
    quantity = objects.measured(values)
    if quantity is not None:
        values = quantity.numbers
        unit = unit or quantity.unit
    array = objects.column(values)
    if array.dtype.kind not in "iufb":
        raise DataError(
            f"Behaviour {name!r} must hold numbers.",
            f"Its values are text, such as {array.ravel()[0]!r}.",
            "Give numbers; text that stays the same during a trial belongs in the trial table.",
        )
    return Series(
        clock.flat_seconds(times, what=f"The times of {name!r}"), array, "" if unit == "dimensionless" else unit
    )


def parts_of(name: str, value: Foreign) -> tuple[Foreign, Foreign, str]:
    """Return times, values and unit of a series, unconverted.

    Raises:
        DataError: if the object is not a series.
    """
    if isinstance(value, Mapping):
        times_key = next((key for key in TIMES if key in value), None)
        values_key = next((key for key in VALUES if key in value), None)
        if times_key is not None and values_key is not None:
            return value[times_key], value[values_key], str(value.get("unit", ""))
    elif isinstance(value, list | tuple) and len(value) in (2, 3) and np.ndim(value[0]) > 0:  # no list of numbers
        return value[0], value[1], str(value[2]) if len(value) == 3 else ""
    elif hasattr(value, "get_timestamps") and hasattr(value, "get_data_in_units"):  # pynwb
        return value.get_timestamps(), value.get_data_in_units(), value.unit or ""
    elif hasattr(value, "rescale") and hasattr(value, "times"):  # neo
        return value.times, value.magnitude, value.dimensionality.string
    elif callable(getattr(value, "times", None)) and hasattr(value, "values"):  # pynapple
        return value.times(), np.asarray(value.values), ""
    elif hasattr(value, "index") and not callable(value.index) and hasattr(value, "to_numpy"):  # pandas
        return _index(name, value), value.to_numpy(), ""
    elif hasattr(value, "dims") and hasattr(value, "coords") and value.dims and value.dims[0] in value.coords:  # xarray
        return value.coords[value.dims[0]], value, ""
    raise DataError(
        f"Behaviour {name!r} needs a time for every sample.",
        f"It is {type(value).__name__}.",
        "Give (times, values) with times in seconds, such as (np.arange(len(x)) / 1000, x) for 1 kHz.",
    )


def _index(name: str, value: Foreign) -> Foreign:
    """Return the index of a pandas object as times. Row numbers are refused."""
    index = value.index
    if hasattr(index, "step") and index.start == 0 and index.step == 1:  # RangeIndex
        raise DataError(
            f"The index of behaviour {name!r} must hold times.",
            f"It numbers the rows, 0 to {len(index) - 1}.",
            'Set it with value.set_index("time"), or give (times, values).',
        )
    return index
