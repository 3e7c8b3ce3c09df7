"""Labels of trials: joint labels of several conditions, and angles reduced to one turn."""

from collections.abc import Mapping

import numpy as np

from spikeloom import angles
from spikeloom.errors import ConditionError
from spikeloom.shapes import Array

DECIMALS = 6
"""Number of decimals to which numbers are rounded before they are compared. Single precision has about seven digits."""


def joint_label(columns: Mapping[str, Array]) -> Array:
    """Return one text label per trial, such as "0.5,0". Two trials have the same label if all their columns are equal.

    Args:
        columns: Conditions by name, one value per trial (trial,), numbers or text.

    Returns:
        The values of each trial with commas between them (trial,); "" where a value is NaN or empty text.

    Raises:
        ConditionError: if there is no column, or one has several values per trial.
    """
    if not columns:
        raise ConditionError("A joint label needs at least one condition.", "None was named.", "")
    for name, values in columns.items():
        if np.ndim(values) != 1:
            raise ConditionError(
                "A label needs conditions with one value per trial.",
                f"{name!r} has shape {np.shape(values)}.",
                "Name another condition.",
            )
    texts = np.array([_texts(np.asarray(values)) for values in columns.values()]).T  # (trial, column)
    return np.array(["" if "" in row else ",".join(row) for row in texts.tolist()], str)


def on_one_turn(name: str, values: Array, unit: str = "") -> Array:
    """Return the values of a condition with angles reduced to one turn: -10 and 350 degrees both become 350.

    Angles are recognised by the unit of the condition or else by its name, as `spikeloom.angles` describes, and rounded
    to six decimals. Whole numbers from 0 to one turn, and conditions that are not angles, stay unchanged.
    """
    period = angles.period_of(name, unit)
    if period is None or values.dtype.kind not in "iuf":
        return values
    numbers = values.astype(np.float64)
    if values.dtype.kind in "iu" and not ((numbers < 0) | (numbers >= period)).any():
        return values
    turned = np.round(angles.wrap(numbers, period), DECIMALS)
    return np.where(turned >= np.round(period, DECIMALS), 0.0, turned)  # rounding up to a full turn gives 0


def _texts(values: Array) -> list[str]:
    """Return each value as text. Equal numbers of any type give equal text; a missing value gives ""."""
    if values.dtype.kind != "f":
        return [str(value) for value in values.tolist()]
    rounded = np.round(values.astype(float), DECIMALS) + 0.0  # -0.0 becomes 0.0
    return ["" if np.isnan(value) else f"{value:.15g}" for value in rounded.tolist()]
