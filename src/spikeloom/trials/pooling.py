"""Pool several sets of trials into one.

A condition or behaviour series is kept if all sets have it, with the same number of values, the same kind (text or
numbers) and the same unit. Rates, latents and codes are kept if all sets have them. A column of the neuron table is
kept if its values agree in all sets that have it. A `LeftOutWarning` names all fields that are left out. Start times
are always kept: they are NaN for the trials of sets without start times.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from spikeloom.errors import SpikeloomWarning
from spikeloom.shapes import Array, Fields
from spikeloom.trials.padding import check_padding

if TYPE_CHECKING:
    from spikeloom.trials.trials import Trials


SOURCE = "source"
"""Name of the condition that holds the set of each pooled trial. It is no condition of the experiment."""


class LeftOutWarning(SpikeloomWarning):
    """Pooled trials lack a field that only some sets have, or that the sets have in different forms."""


def pooled(parts: Sequence["Trials"], sources: Sequence[str] | None) -> Fields:
    """Return the fields of the trials of all parts, one part after the other.

    Args:
        parts: Trials of the same neurons, in the same order, and the same bin width.
        sources: Name of each part for the condition `source`. `None` adds no condition. Trials that already have the
            condition keep their values.

    Raises:
        DataError: if trial lengths differ so much that a large array would be mostly padding.

    Warns:
        LeftOutWarning: if a field of a part could not be kept.
    """
    lengths = np.concatenate([part.lengths for part in parts])
    check_padding(lengths, parts[0].n_neurons, parts[0].bin_width)
    n_bins = max(part.n_bins for part in parts)
    left_out = _LeftOut(len(parts))
    arrays: Fields = {"lengths": lengths}
    for name in ("counts", "rates", "latents"):
        arrays[name] = _padded([getattr(part, name) for part in parts], n_bins, left_out, name)
    arrays["codes"] = left_out.check([part.codes for part in parts], "codes", _join)
    if any(part.start_times is not None for part in parts):
        starts = [np.full(len(part), np.nan) if part.start_times is None else part.start_times for part in parts]
        arrays["start_times"] = np.concatenate(starts)
    tables = [dict(part.conditions) for part in parts]
    if sources is not None:
        for part, table, source in zip(parts, tables, sources, strict=True):
            table.setdefault(SOURCE, np.full(len(part), source))  # trials with this condition keep their values
    arrays["conditions"] = _shared(tables, left_out, "condition", _join)
    behavior = [dict(part.behavior) for part in parts]
    for name in parts[0].behavior:
        if len({part.units[name] for part in parts if name in part.units}) > 1:
            left_out.add("behaviour", name, "in different units")
            for table in behavior:
                table.pop(name, None)
    arrays["behavior"] = _shared(behavior, left_out, "behaviour", lambda values: _joined_in_time(values, n_bins))
    arrays["units"] = {name: parts[0].units[name] for name in arrays["behavior"]}
    conditioned = {part.conditioned_on for part in parts}
    arrays["conditioned_on"] = conditioned.pop() if len(conditioned) == 1 else None  # unknown if the parts differ
    arrays["source"] = ", ".join(dict.fromkeys(part.source for part in parts if part.source))
    arrays["neuron_table"] = _neuron_table([part.neuron_table for part in parts], left_out)
    left_out.warn()
    return arrays


class _LeftOut:
    """Collection of the fields that are left out, for one warning."""

    def __init__(self, n_parts: int) -> None:
        self.n_parts = n_parts
        self.fields: list[str] = []  # kind, name and reason of each field, as text

    def add(self, kind: str, name: str, why: str) -> None:
        """Add one field that is left out, and the reason."""
        self.fields.append(f"{kind} {name!r} ({why})" if name else f"{kind} ({why})")

    def check(
        self, values: Sequence[Array | None], kind: str, join: Callable[[Sequence[Array]], Array], name: str = ""
    ) -> Array | None:
        """Join the values of a field, or add the field to the collection if the sets do not have it in the same form.

        Args:
            values: Values of each set; None for a set without the field.
            kind: Kind of the field, such as "condition".
            join: Function that joins the values of all sets.
            name: Name of the field within its kind, if the kind has several.

        Returns:
            The joined values, or `None` if the field is left out or no set has it.
        """
        existing = [value for value in values if value is not None]
        if not existing:
            return None
        n_outer_axes = 1 if kind in ("condition", "codes") else 2  # (trial,) or (trial, time)
        if len(existing) < self.n_parts:
            self.add(kind, name, f"only in {len(existing)} of {self.n_parts} sets")
        elif len({value.shape[n_outer_axes:] for value in existing}) > 1:
            self.add(kind, name, "with different numbers of values")
        elif len({value.dtype.kind in "US" for value in existing}) > 1:
            self.add(kind, name, "text in some sets and numbers in others")
        else:
            joined: Array = join(existing)
            return joined
        return None

    def warn(self) -> None:
        """Give one warning that names all fields that were left out, if any."""
        if self.fields:
            message = f"Pooled trials keep what all {self.n_parts} sets have. Left out: {'; '.join(self.fields)}."
            warnings.warn(message, LeftOutWarning, stacklevel=4)


def _shared(
    tables: Sequence[Mapping[str, Array]], left_out: _LeftOut, kind: str, join: Callable[[Sequence[Array]], Array]
) -> dict[str, Array]:
    """Return the joined columns that all tables have in the same form; the others are left out.

    Args:
        tables: Columns of each set by name.
        left_out: Collection of the fields that are left out.
        kind: Kind of the columns, such as "condition".
        join: Function that joins the values of all sets.
    """
    names = dict.fromkeys(name for table in tables for name in table)
    joined = {name: left_out.check([table.get(name) for table in tables], kind, join, name) for name in names}
    return {name: value for name, value in joined.items() if value is not None}


def _neuron_table(tables: Sequence[Mapping[str, Array]], left_out: _LeftOut) -> dict[str, Array]:
    """Return the columns whose values are equal in all tables that have them; the others are left out."""
    columns: dict[str, Array] = {}
    for name in dict.fromkeys(name for table in tables for name in table):
        first, *others = [table[name] for table in tables if name in table]
        same = [first.shape == other.shape and _equal(first, other) for other in others]
        if all(same):
            columns[name] = first
        else:
            left_out.add("neuron column", name, "with different values")
    return columns


def _equal(first: Array, other: Array) -> bool:
    """Return True if two columns have equal values; NaN equals NaN."""
    floats = first.dtype.kind == other.dtype.kind == "f"  # only these can be compared with `equal_nan`
    return bool(np.array_equal(first, other, equal_nan=floats))


def _join(values: Sequence[Array]) -> Array:
    """Join arrays (trial, ...)."""
    return np.concatenate(values)


def _padded(values: Sequence[Array | None], n_bins: int, left_out: _LeftOut, name: str) -> Array | None:
    """Join a field (trial, time, ...) of all sets, padded to `n_bins` bins, unless it is left out.

    Args:
        values: Values of each set; None for a set without the field.
        n_bins: Number of bins of the result.
        left_out: Collection of the fields that are left out.
        name: Name of the field.
    """
    return left_out.check(values, name, lambda existing: _joined_in_time(existing, n_bins))


def _joined_in_time(values: Sequence[Array], n_bins: int) -> Array:
    """Join arrays (trial, time, ...), padded with zeros to `n_bins` bins."""
    shape = (sum(len(value) for value in values), n_bins, *values[0].shape[2:])
    joined = np.zeros(shape, np.result_type(*values))
    start = 0
    for value in values:
        joined[start : start + len(value), : value.shape[1]] = value
        start += len(value)
    return joined
