"""Series of a recording at the bins of trials, read in parts, and whether a series is an angle.

A long series is read for a few trials at a time, so memory is bounded whatever its length.
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
"""Values of a series that are read at a time."""

LOOKED_AT = 100_000
"""Samples of a long series that are looked at to describe it."""

PARTS = 50
"""Parts of a long series that these samples are taken from."""

WITHOUT_UNIT = {"", "unknown", "unspecified", "n/a", "a.u.", "none"}
ANGULAR = re.compile(r"\b(angles?|heading|head[ _-]?direction|azimuth|orientation|yaw)\b")
"""Words in the name or description of an angle."""
DERIVED = re.compile(r"velocity|speed|acceleration|rate\b|per second|/ ?s\b|cos|sin|index|number|label")
"""Words that say that a quantity is derived from an angle and does not wrap around."""


def glance(series: Series | StoredSeries) -> Array:
    """Values (event, dim) of a series, or of fifty parts of it if it is long."""
    if series.n_samples <= LOOKED_AT:
        return series.values
    size = LOOKED_AT // PARTS
    starts = np.linspace(0, series.n_samples - size, PARTS).astype(np.int64)
    return np.concatenate([series.part(int(start), int(start) + size).values for start in starts])


def is_whole_glance(series: Series | StoredSeries) -> bool:
    """Whether `glance` looks at every sample."""
    return series.n_samples <= LOOKED_AT


def angle_unit(name: str, series: Series | StoredSeries, *, chosen: bool = False) -> str:
    """Unit of a series, "deg" or "rad" where it has none but is an angle by its name, description or by choice.

    Args:
        name: Name of the series.
        series: The series.
        chosen: Whether the user says that it is an angle.
    """
    unit = series.unit.strip()
    if angles.period_of(name, unit) is not None:
        return unit
    if not chosen:
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " ").lower()
        text = f"{words}. {series.description.lower()}"
        if unit.lower() not in WITHOUT_UNIT or not ANGULAR.search(text) or DERIVED.search(text):
            return unit
    return unit_of_angles(glance(series))


def unit_of_angles(values: Array) -> str:
    """Unit of angles that state none: "rad" if all of them lie within a turn in radians, else "deg"."""
    values = values.astype(np.float64)
    largest = float(np.abs(values[np.isfinite(values)]).max(initial=0.0))
    return "rad" if largest <= 2 * np.pi * (1 + 1e-6) else "deg"


def sample(
    name: str, series: Series | StoredSeries, layout: Layout, *, lag: float, unit: str
) -> Float[np.ndarray, "trial time dim"]:
    """A series at the bins of all trials, read in parts; see `binning.resample`.

    Args:
        name: Name of the series.
        series: The series.
        layout: The bins.
        lag: Seconds by which the series is read later than the spikes.
        unit: Unit of the values, which says whether they are angles.
    """
    period = angles.period_of(name, unit)
    if period is not None:
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
    """Trials that are sampled together, and the samples that they need."""
    trials = np.flatnonzero(layout.lengths > 0)
    if not trials.size:
        return
    trials = trials[np.argsort(layout.spans[trials, 0], kind="stable")]
    width = (layout.edges[trials, 1] - layout.edges[trials, 0]).max() * layout.ticks.length
    margin = 3 * max(step, float(width))
    first = (series.index(layout.spans[trials, 0] + lag - margin) - 1).clip(0)
    last = (series.index(layout.spans[trials, 1] + lag + margin) + 1).clip(max=series.n_samples)
    most = max(MOST // series.n_dims, 1)
    begin = 0
    for place in range(1, len(trials) + 1):
        if place == len(trials) or max(last[begin : place + 1].max() - first[begin], 0) > most:
            low, high = int(first[begin]), int(last[begin:place].max())
            yield trials[begin:place], low, max(low, high)
            begin = place
