"""Read the columns of tables in NWB files: numbers, texts, times in seconds, and columns with several entries per row.

NWB stores a column with several entries per row (a ragged column) as one array with the entries of all rows in
succession. A second column, its index, holds for each row the number of entries up to the end of this row.
"""

import warnings

import h5py
import numpy as np

from spikeloom import objects
from spikeloom.data.hdf5 import text_list, text_of, values_of
from spikeloom.errors import CorruptFileError, DataError, SpikeloomWarning
from spikeloom.shapes import Array
from spikeloom.text import counted

NO_UNIT = ("n/a", "na", "none", "unknown", "unspecified")
"""Values of the attribute `unit` that mean no unit."""


class UnreadSeriesWarning(SpikeloomWarning):
    """A behaviour series or table of a file is damaged and was left out; the message names it and the reason."""


def plain_columns(table: h5py.Group) -> dict[str, Array]:
    """Read the columns with one number, text or vector per row. Ragged columns and references are left out."""
    names = text_list(table.attrs.get("colnames", []))
    columns: dict[str, Array] = {}
    for name in names:
        column = table.get(name)
        if not isinstance(column, h5py.Dataset) or "table" in column.attrs:  # references to rows of another table
            continue
        if f"{name}_index" in table:  # a ragged column
            if h5py.check_string_dtype(column.dtype) is not None and column.ndim == 1:
                columns |= _joined_texts(table, name)
            continue
        values = values_of(column)
        if name.endswith("_time") and values.dtype.kind in "iuf" and (scale := seconds_in(column)) != 1:
            values = objects.scaled(values.astype(np.float64), scale)
        if "elements" in column.attrs and values.dtype.kind in "iu":  # positions in a list of texts
            values = values_of(table.file[column.attrs["elements"]])[values]
        if values.dtype.kind in "iufbU" and 1 <= values.ndim <= 2:
            columns[name] = values
    return columns


def _joined_texts(table: h5py.Group, name: str) -> dict[str, Array]:
    """Read a column with several texts per row, such as the tags of epochs, and join each row with commas.

    A damaged column is left out with a warning; the result is then empty.
    """
    try:
        rows = ragged_rows(table, name)
    except CorruptFileError as error:
        warnings.warn(f"The column {name} was left out. {error}", UnreadSeriesWarning, stacklevel=3)
        return {}
    return {name: np.array([",".join(map(text_of, row)) for row in rows], np.str_)}


def ragged_rows(table: h5py.Group, name: str) -> list[Array]:
    """Return the entries of each row of a ragged column.

    Raises:
        CorruptFileError: if the index does not fit the entries.
    """
    if f"{name}_index" not in table:
        raise CorruptFileError(
            f"The column {name} needs the index {name}_index, which assigns its entries to units.",
            f"{table.file.filename} has none.",
            "Export the units again.",
        )
    n_entries = len(table[name])
    ends = np.asarray(table[f"{name}_index"][:], np.int64)
    falling_rows = np.flatnonzero(np.diff(ends, prepend=0) < 0)
    last = int(ends[-1]) if len(ends) else 0
    if falling_rows.size:
        row = int(falling_rows[0])
        fault = f"its index falls from {int(ends[row - 1]) if row else 0} to {int(ends[row])} at unit {row}"
    elif last > n_entries:
        fault = f"its index goes to {last}"
    elif last < n_entries:
        fault = f"its index ends at {last}"
    else:
        return np.split(np.asarray(table[name][:]), ends[:-1]) if len(ends) else []
    raise CorruptFileError(
        f"The index of {name} must rise and end at the number of entries.",
        f"In {table.file.filename} {name} has {counted(n_entries, 'entry', plural='entries')}, {fault}.",
        "The file is truncated or was written incorrectly: copy it again, or export its units again.",
    )


def seconds_in(times: h5py.Dataset) -> float:
    """Return the length of the time unit of a dataset in seconds: 1, unless its attribute `unit` names another unit.

    NWB times are seconds, but some programs write other units and add the attribute.

    Raises:
        DataError: if the attribute is not a unit of time.
    """
    unit = next((text_of(times.attrs[name]).strip() for name in ("unit", "units") if name in times.attrs), "")
    if not unit or unit.lower() in NO_UNIT:
        return 1.0
    scale = objects.TIME_UNITS.get(unit.lower())
    if scale is None:
        raise DataError(
            f"The times in {times.name} must be in seconds, or in another unit of time.",
            f"Their unit is {unit!r}.",
            "Convert them to seconds in the file.",
        )
    return scale
