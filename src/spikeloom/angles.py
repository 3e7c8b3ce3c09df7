r"""Angles: recognise them, and average, compare and interpolate them on the circle.

A quantity is an angle if it has a unit of angle. The unit of a series comes from the file or the caller
(`units={"heading": "deg"}`). A column of the trial table or a series without a unit may have the unit at the end of its
name (`angle_deg`, `phase_rad`, `heading (degrees)`).

================================== ================
unit, or last word of the name     period
================================== ================
deg, degree, degrees, °            360
rad, radian, radians               :math:`2\pi`
================================== ================

A quantity in any other unit is a number: "deg/s" is a speed, and "degrees of visual angle" or "dva" a position on a
screen. A series whose values span more than one and a half periods counts turns (the position of a wheel), and is also
a number.

Means are directions of the mean unit vector. Differences and straight lines between two angles follow the shorter arc.
"""

import math
import re

import numpy as np
from numpy.typing import ArrayLike, NDArray

PERIODS = {
    "deg": 360.0,
    "degree": 360.0,
    "degrees": 360.0,
    "°": 360.0,
    "rad": 2 * math.pi,
    "radian": 2 * math.pi,
    "radians": 2 * math.pi,
}
"""Maps each unit of angle to the period in that unit."""

MOST_PERIODS = 1.5
"""A series that spans more periods than this counts turns and is no angle."""

Angles = NDArray[np.float64]
"""Array of angles of any shape."""


def period_of(name: str, unit: str = "", values: ArrayLike | None = None) -> float | None:
    """Return the period of a quantity in its own unit, or None if it is not an angle.

    Args:
        name: Name of the column or series. If `unit` is empty, its last word may be the unit.
        unit: Unit of the quantity; an empty text or "unknown" if it has none.
        values: Values of a series. If they span more than `MOST_PERIODS` periods, the series counts turns.
    """
    word = unit.strip().lower()
    if word in ("", "unknown", "unspecified", "n/a", "a.u."):
        parts = re.findall(r"[^\W_]+|°", name.lower())  # runs of letters and digits, and degree signs
        if len(parts) < 2 and "°" not in parts:
            return None  # a name that is only "rad" may mean anything
        word = parts[-1]
    period = PERIODS.get(word)
    if period is None or values is None:
        return period
    finite = np.asarray(values, np.float64)
    finite = finite[np.isfinite(finite)]
    return None if finite.size and np.ptp(finite) > MOST_PERIODS * period else period


def wrap(angles: ArrayLike, period: float, *, low: float = 0.0) -> Angles:
    """Return the same angles in [low, low + period).

    Args:
        angles: Angles, of any shape.
        period: One turn, in the unit of the angles.
        low: Smallest angle that is returned.
    """
    from_low = np.mod(np.asarray(angles, np.float64) - low, period)
    from_low = np.where(from_low >= period, 0.0, from_low)  # mod of a tiny negative number rounds up to the period
    return np.asarray(from_low + low)


def lowest(angles: ArrayLike, period: float) -> float:
    """Return the argument `low` of `wrap` that keeps the range of these angles.

    If any angle is negative, the angles are taken to be in [-period / 2, period / 2), else in [0, period).
    """
    finite = np.asarray(angles, np.float64)
    return -period / 2 if (finite[np.isfinite(finite)] < 0).any() else 0.0


def difference(first: ArrayLike, second: ArrayLike, period: float) -> Angles:
    """Return `first - second` along the shorter arc, in [-period / 2, period / 2)."""
    return wrap(np.asarray(first, np.float64) - np.asarray(second, np.float64), period, low=-period / 2)


def smallest_arc(angles: ArrayLike, period: float) -> tuple[float, float]:
    """Return begin and end of the smallest arc that contains all angles, with begin in [0, period) and end >= begin."""
    distinct = np.unique(wrap(np.ravel(angles), period))
    gaps = np.diff(distinct, append=distinct[0] + period)  # from each angle to the next one, around the circle
    widest = int(gaps.argmax())  # the arc is the circle without this gap, so it begins at the next angle
    begin = float(distinct[(widest + 1) % len(distinct)])
    return begin, begin + period - float(gaps[widest])


def cosine_sine(angles: ArrayLike, period: float) -> Angles:
    """Return cosines and sines of vectors of angles (..., dim): all cosines, then all sines (..., 2 dim)."""
    radians = 2 * np.pi / period * np.asarray(angles, np.float64)
    return np.concatenate((np.cos(radians), np.sin(radians)), -1)


def circular_mean(angles: ArrayLike, period: float, *, axis: int = 0, low: float = 0.0) -> Angles:
    """Return the direction of the mean unit vector along an axis, in [low, low + period).

    The result is NaN if there is no angle or if an angle is NaN. If the angles cancel exactly, there is no mean
    direction, and the result is arbitrary.

    Args:
        angles: Angles, of any shape.
        period: One turn, in the unit of the angles.
        axis: Axis over which the mean is taken.
        low: Smallest angle that is returned.
    """
    vectors = np.exp(2j * np.pi / period * np.asarray(angles, np.float64))
    if not vectors.shape[axis]:  # NumPy would warn of the mean of an empty axis
        return np.full(np.delete(vectors.shape, axis), np.nan)
    return wrap(np.angle(vectors.mean(axis)) * period / (2 * np.pi), period, low=low)


def interpolate(
    at: NDArray[np.float64], times: NDArray[np.float64], angles: ArrayLike, period: float, *, low: float = 0.0
) -> Angles:
    """Return angles at other times, on the shorter arc between neighbours, in [low, low + period).

    Args:
        at: Times to interpolate at, s. Before the first and after the last time, the end values are used.
        times: Increasing times (time,), s.
        angles: Angles at these times (time,).
        period: One turn, in the unit of the angles.
        low: Smallest angle that is returned.
    """
    # neighbours differ by at most half a period, so the straight lines between them follow the shorter arc
    unwrapped = np.unwrap(np.asarray(angles, np.float64), period=period)
    return wrap(np.interp(at, times, unwrapped), period, low=low)
