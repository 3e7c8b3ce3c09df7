"""Identity of neurons, by which two sets of trials are matched neuron by neuron.

Neurons are identified by their names, if the column `name` of the neuron table has unique names. Otherwise they are
identified by the unit ids in the column `id`, and without these by their position. Two sets of trials, or trials and a
model, are compared by the first of these that both have. If they hold the same neurons in different orders, one set is
reordered, with a `NeuronOrderWarning`. If the neurons differ, an error is raised.
"""

import re
import warnings
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from spikeloom.errors import ShapeError, SpikeloomWarning
from spikeloom.shapes import Array

COLUMNS = ("name", "id")
"""Columns of the neuron table that identify a neuron; the first one that both sets have is used."""

MOST_NAMED = 5
"""Largest number of neurons that a message names."""


class NeuronOrderWarning(SpikeloomWarning):
    """Two sets hold the same neurons in different orders, and one was reordered like the other."""


def identity(neuron_table: Mapping[str, Array]) -> tuple[str, ...] | None:
    """Return the unique names of the neurons, else their unique ids, else None."""
    return next((labels for column in COLUMNS if (labels := _labels(neuron_table, column)) is not None), None)


def order_like(
    neuron_table: Mapping[str, Array],
    like: Mapping[str, Array],
    *,
    name: str = "these trials",
    like_name: str = "the others",
) -> NDArray[np.int64] | None:
    """Return the position in a neuron table of each neuron of another table, `like`.

    Args:
        neuron_table: Neuron table of the set to reorder.
        like: Neuron table with the required order.
        name: Name of the first set in messages.
        like_name: Name of the second set in messages.

    Returns:
        The position of each neuron of `like` in the first table (neuron,). `None` if the order is the same, or if the
        neurons of one set have neither names nor ids.

    Raises:
        ShapeError: if both sets identify their neurons and do not hold the same ones. The message names examples.
    """
    for column in COLUMNS:
        names = _labels(neuron_table, column)
        required = _labels(like, column)
        if names is None or required is None:
            continue
        if names == required:
            return None
        if set(names) != set(required):
            differences = []
            if surplus := _listed(set(names) - set(required)):
                differences.append(f"only {name} have ({surplus})")
            if missing := _listed(set(required) - set(names)):
                differences.append(f"only {like_name} have ({missing})")
            raise ShapeError(
                f"Both sides must hold the same neurons, compared by the column {column}.",
                f"There are neurons that {' and neurons that '.join(differences)}.",
                "Choose the neurons that both have with `spikeloom select --units`, or bin both from the same units.",
            )
        positions = {label: position for position, label in enumerate(names)}
        return np.array([positions[label] for label in required], np.int64)
    return None


def natural_order(neuron_table: Mapping[str, Array]) -> NDArray[np.int64] | None:
    """Return the positions of the neurons in the order of their names or ids; numbers are ordered by size.

    Returns `None` if they are sorted already, or if there are neither names nor ids.
    """
    names = identity(neuron_table)
    if names is None:
        return None
    order = np.array(sorted(range(len(names)), key=lambda position: _sortable(names[position])), np.int64)
    return None if (np.diff(order) == 1).all() else order


def note_order(name: str, like_name: str) -> None:
    """Warn that the neurons of one set were brought into the order of another set."""
    message = f"Neurons have different orders in {name} and in {like_name}: they were matched one by one."
    warnings.warn(message, NeuronOrderWarning, stacklevel=3)


def _labels(neuron_table: Mapping[str, Array], column: str) -> tuple[str, ...] | None:
    """Return the values of a column as text, if they identify the neurons.

    Returns `None` if there is no such column, if values are missing or occur twice, or if a neuron has several values.
    """
    values = np.asarray(neuron_table[column]) if column in neuron_table else None
    if values is None or values.ndim != 1:
        return None
    if values.dtype.kind == "f":
        if not all(value.is_integer() for value in values.tolist()):  # `is_integer` is False for NaN, too
            return None
        values = values.astype(np.int64)
    labels = tuple(str(value) for value in values.tolist())
    return labels if len(set(labels)) == len(labels) and "" not in labels else None


def _sortable(name: str) -> list[object]:
    """Return a sort key that puts "unit2" before "unit10": text at even positions, integers at odd ones."""
    return [int(part) if position % 2 else part for position, part in enumerate(re.split(r"([0-9]+)", name))]


def _listed(names: set[str]) -> str:
    """Return the first names as text, and the number of the others."""
    ordered = sorted(names, key=_sortable)
    others = f" and {len(ordered) - MOST_NAMED} more" if len(ordered) > MOST_NAMED else ""
    return ", ".join(ordered[:MOST_NAMED]) + others
