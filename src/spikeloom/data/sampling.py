"""Sample the behaviour series of a recording at the bins of trials, and recognise series that are angles.

A long series is read for a few trials at a time, which limits the memory.
"""

import re
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from spikeloom import angles
from spikeloom.data import binning
from spikeloom.data.layout import Layout
from spikeloom.data.series import Series, StoredSeries
from spikeloom.shapes import Array

MOST = 2_000_000
"""Largest number of values of a series that are read at a time."""

LOOKED_AT = 100_000
"""Largest number of samples that are read to recognise an angle. Of a longer series, only parts are read."""

PARTS = 50
"""Number of parts that are read of a long series."""

WITHOUT_UNIT = {"", "unknown", "unspecified", "n/a", "a.u.", "none"}
"""Texts that files give as the unit of a series without unit."""

ANGULAR = re.compile(r"\b(angles?|heading|head[ _-]?direction|azimuth|orientation|yaw)\b")
"""Words in the name or description of an angle."""

DERIVED = re.compile(r"velocity|speed|acceleration|rate\b|per second|/ ?s\b|cos|sin|index|number|label")
"""Words that mark a quantity that is derived from an angle and does not wrap around."""


def glance(series: Series | StoredSeries) -> Array:
    """Return the values (event, dim) of a series, or of fifty parts of it if it is long."""
    if series.n_samples <= LOOKED_AT:
        return series.values
    size = LOOKED_AT // PARTS
    starts = np.linspace(0, series.n_samples - size, PARTS).astype(np.int64)
    return np.concatenate([series.part(int(start), int(start) + size).values for start in starts])


def is_whole_glance(series: Series | StoredSeries) -> bool:
    """Return whether `glance` reads every sample."""
    return series.n_samples <= LOOKED_AT


def angle_unit(name: str, series: Series | StoredSeries, *, chosen: bool = False) -> str:
    """Return the unit of a series. For an angle without a unit, the result is "deg" or "rad", guessed from its values.

    Args:
        name: Name of the series.
        series: The series.
        chosen: Treat the series as an angle even if neither its name nor its description names one.
    """
    unit = series.unit.strip()
    if angles.period_of(name, unit) is not None:
        return unit
    if not chosen:
        spaced_name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " ").lower()  # "headAngle": "head angle"
        text = f"{spaced_name}. {series.description.lower()}"
        if unit.lower() not in WITHOUT_UNIT or not ANGULAR.search(text) or DERIVED.search(text):
            return unit
    return unit_of_angles(glance(series))


def unit_of_angles(values: Array) -> str:
    """Return the likely unit of angles: "rad" if all of them lie within one turn in radians, else "deg"."""
    values = values.astype(np.float64)
    largest = float(np.abs(values[np.isfinite(values)]).max(initial=0.0))
    return "rad" if largest <= 2 * np.pi * (1 + 1e-6) else "deg"


def sample(
    name: str, series: Series | StoredSeries, layout: Layout, *, lag: float, unit: str
) -> Float[np.ndarray, "trial time dim"]:
    """Sample a series at the bins of all trials, reading it in parts; see `binning.resample`.

    Args:
        name: Name of the series.
        series: The series.
        layout: The bins.
        lag: Seconds by which the series is read later than the spikes.
        unit: Unit of the values. With a unit of angles, values are averaged on the circle.
    """
    period = angles.period_of(name, unit)
    if period is not None:  # an angle, unless its values show that it counts turns
        period = angles.period_of(name, unit, glance(series))
    step = series.step
    out = np.zeros((len(layout.lengths), layout.edges.shape[1] - 1, series.n_dims))
    for trials, first, last in _portions(series, layout, lag, step):
        part = series.part(first, last)
        out[trials] = binning.resample(
            part.times,
            part.values.astype(np.float64),
            layout.edges[trials],
            layout.lengths[trials],
            ticks=layout.ticks,
            lag=lag,
            step=step,
            period=period or 0.0,
        )
    return out


def _portions(
    series: Series | StoredSeries, layout: Layout, lag: float, step: float
) -> Iterator[tuple[NDArray[np.int64], int, int]]:
    """Yield groups of trials whose samples are read together, in the order of time.

    A group needs at most `MOST` values of the series, unless a single trial needs more.

    Yields:
        Trials of the group (trial,), the first sample that they need, and the sample after the last one.
    """
    trials = np.flatnonzero(layout.lengths > 0)
    if not trials.size:
        return
    trials = trials[np.argsort(layout.spans[trials, 0], kind="stable")]
    bin_width = (layout.edges[trials, 1] - layout.edges[trials, 0]).max() * layout.ticks.length
    margin = 3 * max(step, float(bin_width))  # interpolation reads samples just outside a trial
    # first sample that each trial needs, and the sample after its last one
    first = (series.index(layout.spans[trials, 0] + lag - margin) - 1).clip(0)
    last = (series.index(layout.spans[trials, 1] + lag + margin) + 1).clip(max=series.n_samples)
    most_samples = max(MOST // series.n_dims, 1)
    begin = 0
    for position in range(1, len(trials) + 1):
        # end the group if there is no further trial, or if the group would need too many samples with it
        if position == len(trials) or max(last[begin : position + 1].max() - first[begin], 0) > most_samples:
            low = int(first[begin])
            high = int(last[begin:position].max())
            yield trials[begin:position], low, max(low, high)
            begin = position
