"""`Chart` and `Figure`: the content of a figure, independent of the program that draws it.

A `Chart` is one set of axes with series of points, lines, steps or spikes. A `Figure` is a grid of charts with a title
and a caption. Two modules draw the same figure: `figures.py` with matplotlib, for SVG and PDF files, and `svg.py` as
SVG inside the page, with values that appear under the pointer. A series has a role, such as "real", instead of a
colour. Each of the two modules chooses colours for its medium: light screen, dark screen or print. Hues are those of
Okabe and Ito (2008). The blue of the recorded side is darker (lighter on a dark screen), so that colour-blind readers
and readers of grey prints can distinguish the two sides.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Role = Literal["real", "fake", "guide", "c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7"]
"""Meaning of a series: recorded, generated, a guide line, or one of eight conditions."""

Kind = Literal["line", "dashes", "steps", "points", "ticks"]
"""Kind of mark; "ticks" are spikes, drawn as short vertical strokes at (x, row)."""

LIGHT: dict[str, str] = {
    "real": "#00568C",
    "fake": "#D55E00",
    "guide": "#8a8a8a",
    "c0": "#000000",
    "c1": "#E69F00",
    "c2": "#56B4E9",
    "c3": "#009E73",
    "c4": "#B8A800",
    "c5": "#0072B2",
    "c6": "#D55E00",
    "c7": "#CC79A7",
}
"""Colours on white paper."""

DARK: dict[str, str] = LIGHT | {
    "real": "#8CCBF2",
    "fake": "#EA8B2A",
    "guide": "#8b949e",
    "c0": "#e6e6e6",
    "c3": "#2fc79b",
    "c4": "#F0E442",
    "c5": "#4b9fd5",
    "c6": "#f07c2e",
}
"""Colours on a dark screen."""

NAMES = {"real": "recorded", "fake": "generated"}
"""Names of the two sides in legends and hover values."""


@dataclass(frozen=True, eq=False)
class Series:
    """One set of marks.

    Args:
        kind: Kind of mark.
        role: Meaning of the series, which decides its colour.
        x: Values along the first axis (point,), in the unit that the label of the axis names.
        y: Values along the second axis (point,). NaN breaks a line.
        name: Label in the legend and under the pointer. If it is empty, the label of the role is used.
        labels: One label per point, such as "neuron 12", for the text under the pointer.
    """

    kind: Kind
    role: Role
    x: NDArray[np.number]
    y: NDArray[np.number]
    name: str = ""
    labels: Sequence[str] = ()

    @property
    def word(self) -> str:
        """Label of the series in the legend and under the pointer."""
        return self.name or NAMES.get(self.role, "")


Size = Literal["full", "medium", "compact", "bare"]
"""Amount of labels around the axes; see `Chart`."""


@dataclass(frozen=True, eq=False)
class Chart:
    """One set of axes.

    Args:
        title: Title above the axes.
        series: Series to draw, back to front.
        x_label: Name and unit of the first axis.
        y_label: Name and unit of the second axis.
        diagonal: True if both axes show the same quantity. The axes then have equal limits and a line of equality.
        log: Axes that are logarithmic.
        limits: Limits of the axes (x low, x high, y low, y high). `None` takes them from the data.
        rows: Names of the rows 0, 1, 2, ... of the second axis: the neurons of a raster, or the lines of a dot plot.
        wide: Width of the axes divided by their height.
        size: Amount of labels. "full" and "medium" have labels on both axes, "compact" has only numbers at the ticks,
            "bare" has neither.
    """

    title: str
    series: tuple[Series, ...]
    x_label: str = ""
    y_label: str = ""
    diagonal: bool = False
    log: Literal["", "x", "y", "xy"] = ""
    limits: tuple[float, float, float, float] | None = None
    rows: Sequence[str] = ()
    wide: float = 1.35
    size: Size = "full"

    @property
    def names(self) -> Sequence[str]:
        """Row names that are written on the second axis. A raster has none, because it has too many rows."""
        return () if any(series.kind == "ticks" for series in self.series) else self.rows

    def bounds(self) -> tuple[float, float, float, float]:
        """Return the limits of the axes (x low, x high, y low, y high).

        The limits are `limits`, or else the range of the finite data with a small margin. Guide lines do not count.
        """
        if self.limits is not None:
            return self.limits
        drawn = [series for series in self.series if series.role != "guide"] or self.series
        all_x = np.concatenate([[], *[np.asarray(series.x, float) for series in drawn]])
        all_y = np.concatenate([[], *[np.asarray(series.y, float) for series in drawn]])
        left, right = _span(all_x, "x" in self.log)
        bottom, top = _span(all_y, "y" in self.log)
        if self.diagonal:
            low = min(left, bottom)
            high = max(right, top)
            return low, high, low, high
        return left, right, bottom, top


@dataclass(frozen=True, eq=False)
class Figure:
    """Several charts under one title.

    Args:
        key: Short name of the figure, for file names and the page.
        title: Title of the figure.
        caption: One or two sentences that explain how to read the figure.
        charts: Charts in reading order.
        columns: Number of charts in one row of a wide page.
        tab: Tab of the page that holds the figure.
        legend: Roles and their labels.
    """

    key: str
    title: str
    caption: str
    charts: tuple[Chart, ...]
    columns: int = 3
    tab: str = "Activity"
    legend: tuple[tuple[Role, str], ...] = (("real", "recorded"), ("fake", "generated"))


def ticks(low: float, high: float, *, count: int = 5, log: bool = False) -> list[float]:
    """Return round numbers inside [low, high] for the ticks of an axis.

    Args:
        low: Lower end of the axis.
        high: Upper end of the axis.
        count: Approximate number of ticks.
        log: True for a logarithmic axis. Its ticks are powers of ten. If there are fewer than three, also 2 and 5 times
            these powers. The ticks of a linear axis are multiples of 1, 2 or 5 times a power of ten.
    """
    # the small numbers below are tolerances for rounding errors
    if log:
        first = int(np.ceil(np.log10(low) - 1e-9))
        last = int(np.floor(np.log10(high) + 1e-9))
        decades = [10.0**power for power in range(first, last + 1)]
        if len(decades) >= 3:
            return decades[:: max(1, len(decades) // count)]
        values = [factor * 10.0**power for power in range(first - 1, last + 1) for factor in (1, 2, 5)]
        return [value for value in values if low <= value <= high]
    smallest_step = (high - low) / count
    power = 10.0 ** np.floor(np.log10(smallest_step))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= smallest_step * 0.999)
    first = np.ceil(low / step - 1e-9)
    last = np.floor(high / step + 1e-9)
    return [float(k * step) + 0.0 for k in np.arange(first, last + 1)]  # adding 0.0 turns -0.0 into 0.0


def _span(values: NDArray[np.float64], log: bool) -> tuple[float, float]:
    """Return the range of the finite values with a small margin, or a default range if there are none.

    On a logarithmic axis, only values above 0 count.
    """
    drawable = values[np.isfinite(values) & ((values > 0) if log else True)]
    if not drawable.size:
        return (1.0, 10.0) if log else (0.0, 1.0)
    low = float(drawable.min())
    high = float(drawable.max())
    if log:
        return (low / 1.1, high * 1.1)
    margin = 0.04 * (high - low) or max(abs(high), 1.0) * 0.1  # the second term is for equal values
    return (low if low == 0 else low - margin, high + margin)  # an axis that begins at 0 stays there
