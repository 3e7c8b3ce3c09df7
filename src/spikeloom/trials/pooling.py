"""Pool several sets of trials into the fields of one.

The result keeps every condition and behaviour series that all sets have with the same number of values, the same kind
(text or numbers) and the same unit. Rates, latents and codes are kept if all sets have them, and neuron columns unless
two sets disagree. A `LeftOutWarning` names everything that is left out. Start times are kept; they are NaN for the
trials of sets without start times.
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
"""Condition with the name of the set that each pooled trial comes from. It is not an experimental condition."""


class LeftOutWarning(SpikeloomWarning):
    """Pooled trials lack a field that only some sets have, or that the sets have in different forms."""


class PieceLengthWarning(SpikeloomWarning):
    """Trials were cut into pieces of a whole number of bins, which are shorter or longer than requested."""


def pooled(parts: Sequence["Trials"], sources: Sequence[str] | None) -> Fields:
    """Return the fields of the trials of all parts, one part after the other.

    Args:
        parts: Trials of the same neurons, in the same order, and the same bin width.
        sources: Name of each part for the condition `source`. `None` adds no condition. Trials that already have the
            condition keep their values.

    Raises:
        DataError: if the parts are so unequal in length that a large array would be mostly padding.

    Warns:
        LeftOutWarning: if a field of a part could not be kept.
    """
    lengths = np.concatenate([part.lengths for part in parts])
    check_padding(lengths, parts[0].n_neurons, parts[0].bin_width)
    time = max(part.n_bins for part in parts)
    left_out = _LeftOut(len(parts))
    arrays: Fields = {"lengths": lengths}
    for name in ("counts", "rates", "latents"):
        arrays[name] = _padded([getattr(part, name) for part in parts], time, left_out, name)
    arrays["codes"] = left_out.check([part.codes for part in parts], "codes", _join)
    if any(part.start_times is not None for part in parts):
        starts = [np.full(len(part), np.nan) if part.start_times is None else part.start_times for part in parts]
        arrays["start_times"] = np.concatenate(starts)
    tables = [dict(part.conditions) for part in parts]
    if sources is not None:
        for part, table, source in zip(parts, tables, sources, strict=True):
            table.setdefault(SOURCE, np.full(len(part), source))
    arrays["conditions"] = _shared(tables, left_out, "condition", _join)
    behavior = [dict(part.behavior) for part in parts]
    for name in parts[0].behavior:
        if len({part.units[name] for part in parts if name in part.units}) > 1:
            left_out.add("behaviour", name, "in different units")
            for table in behavior:
                table.pop(name, None)
    arrays["behavior"] = _shared(behavior, left_out, "behaviour", lambda values: _joined_in_time(values, time))
    arrays["units"] = {name: parts[0].units[name] for name in arrays["behavior"]}
    conditioned = {part.conditioned_on for part in parts}
    arrays["conditioned_on"] = conditioned.pop() if len(conditioned) == 1 else None
    arrays["source"] = ", ".join(dict.fromkeys(part.source for part in parts if part.source))
    arrays["neuron_table"] = _neuron_table([part.neuron_table for part in parts], left_out)
    left_out.warn()
    return arrays


class _LeftOut:
    """Collect the fields that are left out, for one warning."""

    def __init__(self, n_parts: int) -> None:
        self.n_parts = n_parts
        self.words: list[str] = []

    def add(self, kind: str, name: str, why: str) -> None:
        """Add one field that is left out, and the reason."""
        self.words.append(f"{kind} {name!r} ({why})" if name else f"{kind} ({why})")

    def check(
        self, values: Sequence[Array | None], kind: str, join: Callable[[Sequence[Array]], Array], name: str = ""
    ) -> Array | None:
        """Return the joined values, or None and a note if a part lacks them or has them in another form."""
        there = [value for value in values if value is not None]
        if not there:
            return None
        if len(there) < self.n_parts:
            self.add(kind, name, f"only in {len(there)} of {self.n_parts} sets")
        elif len({value.shape[1:] if kind in ("condition", "codes") else value.shape[2:] for value in there}) > 1:
            self.add(kind, name, "with different numbers of values")
        elif len({value.dtype.kind in "US" for value in there}) > 1:
            self.add(kind, name, "text in some sets and numbers in others")
        else:
            joined: Array = join(there)
            return joined
        return None

    def warn(self) -> None:
        """Give one warning that names all fields that were left out, if any."""
        if self.words:
            message = f"Pooled trials keep what all {self.n_parts} sets have. Left out: {'; '.join(self.words)}."
            warnings.warn(message, LeftOutWarning, stacklevel=4)


def _shared(
    tables: Sequence[Mapping[str, Array]], left_out: _LeftOut, kind: str, join: Callable[[Sequence[Array]], Array]
) -> dict[str, Array]:
    """Join the columns that all tables have in the same form."""
    names = dict.fromkeys(name for table in tables for name in table)
    joined = {name: left_out.check([table.get(name) for table in tables], kind, join, name) for name in names}
    return {name: value for name, value in joined.items() if value is not None}


def _neuron_table(tables: Sequence[Mapping[str, Array]], left_out: _LeftOut) -> dict[str, Array]:
    """Return the columns that do not differ between tables."""
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
    numbers = first.dtype.kind == other.dtype.kind == "f"
    return bool(np.array_equal(first, other, equal_nan=numbers))


def _join(values: Sequence[Array]) -> Array:
    return np.concatenate(values)


def _padded(values: Sequence[Array | None], time: int, left_out: _LeftOut, name: str) -> Array | None:
    return left_out.check(values, name, lambda there: _joined_in_time(there, time))


def _joined_in_time(values: Sequence[Array], time: int) -> Array:
    """Join arrays (trial, time, ...), padded with zeros to `time` bins. Every array is copied once."""
    shape = (sum(len(value) for value in values), time, *values[0].shape[2:])
    joined = np.zeros(shape, np.result_type(*values))
    start = 0
    for value in values:
        joined[start : start + len(value), : value.shape[1]] = value
        start += len(value)
    return joined
