r"""Angles: which quantities are angles, and how they are averaged, compared and interpolated on the circle.

A quantity is an angle when its unit says so. The unit of a series comes from the file or the caller
(`units={"heading": "deg"}`). A column of the trial table, and a series without unit, say it by the end of their name
(`angle_deg`, `phase_rad`, `heading (degrees)`).

================================== ================
unit, or last word of the name     period
================================== ================
deg, degree, degrees, °            360
rad, radian, radians               :math:`2\pi`
================================== ================

Any other unit is a number: "deg/s" is a speed, and "degrees of visual angle" or "dva" a position on a screen. A series
whose values span more than one and a half periods counts turns (the position of a wheel); it is a number, too.

Means are directions of the mean unit vector, differences take the short way round, and straight lines between two
angles follow the shorter arc.
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
"""Units of an angle, and the period in that unit."""

MOST_PERIODS = 1.5
"""A series that spans more periods than this counts turns and is no angle."""

Angles = NDArray[np.float64]


def period_of(name: str, unit: str = "", values: ArrayLike | None = None) -> float | None:
    """Return the period of a quantity in its own unit, or None if it is not an angle.

    Args:
        name: Name of the column or series. Its last word says the unit where `unit` is empty.
        unit: Unit of the quantity; an empty text or "unknown" if it has none.
        values: Values of a series. If they span more than `MOST_PERIODS` periods, the series counts turns.
    """
    word = unit.strip().lower()
    if word in ("", "unknown", "unspecified", "n/a", "a.u."):
        words = re.findall(r"[^\W_]+|°", name.lower())
        if len(words) < 2 and "°" not in words:
            return None  # a column that is only called "rad" says nothing
        word = words[-1]
    period = PERIODS.get(word)
    if period is None or values is None:
        return period
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    return None if known.size and np.ptp(known) > MOST_PERIODS * period else period


def wrap(angles: ArrayLike, period: float, *, low: float = 0.0) -> Angles:
    """Return the same angles in [low, low + period)."""
    turned = np.mod(np.asarray(angles, np.float64) - low, period)
    return np.asarray(
        np.where(turned >= period, 0.0, turned) + low
    )  # mod of a tiny negative number rounds up to the period


def lowest(angles: ArrayLike, period: float) -> float:
    """Return where these angles begin: minus half a period if any is negative, else 0. Pass it to `wrap` as `low`."""
    known = np.asarray(angles, np.float64)
    return -period / 2 if (known[np.isfinite(known)] < 0).any() else 0.0


def difference(first: ArrayLike, second: ArrayLike, period: float) -> Angles:
    """Return `first - second` on the shorter way round, in [-period / 2, period / 2)."""
    return wrap(np.asarray(first, np.float64) - np.asarray(second, np.float64), period, low=-period / 2)


def smallest_arc(angles: ArrayLike, period: float) -> tuple[float, float]:
    """Return begin and end of the smallest arc that holds all angles, begin in [0, period), end >= begin."""
    turned = np.unique(wrap(np.ravel(angles), period))
    gaps = np.diff(turned, append=turned[0] + period)
    widest = int(gaps.argmax())
    begin = float(turned[(widest + 1) % len(turned)])
    return begin, begin + period - float(gaps[widest])


def cosine_sine(angles: ArrayLike, period: float) -> Angles:
    """Return cosines of all angles, then sines, joined along the last axis (..., 2 dim)."""
    turn = 2 * np.pi / period * np.asarray(angles, np.float64)
    return np.concatenate((np.cos(turn), np.sin(turn)), -1)


def circular_mean(angles: ArrayLike, period: float, *, axis: int = 0, low: float = 0.0) -> Angles:
    """Return the direction of the mean unit vector along an axis, in [low, low + period); NaN of no angle or of NaN.

    Angles that cancel each other exactly have no mean direction; the result is then arbitrary.
    """
    vectors = np.exp(2j * np.pi / period * np.asarray(angles, np.float64))
    if not vectors.shape[axis]:
        return np.full(np.delete(vectors.shape, axis), np.nan)
    return wrap(np.angle(vectors.mean(axis)) * period / (2 * np.pi), period, low=low)


def interpolate(at: Angles, times: Angles, angles: ArrayLike, period: float, *, low: float = 0.0) -> Angles:
    """Return angles at other times, on the shorter arc between neighbours, in [low, low + period).

    Args:
        at: Times to interpolate at; before the first and after the last time the end values are held.
        times: Rising times (event,).
        angles: Angles at these times (event,).
        period: Period of the angles.
        low: Smallest angle that is returned.
    """
    turned = np.unwrap(np.asarray(angles, np.float64), period=period)
    return wrap(np.interp(at, times, turned), period, low=low)
