"""What a figure shows, apart from the hand that draws it.

A `Chart` is one set of axes: series of points, lines, steps or spike ticks, each with a role. A `Figure` is a grid of
charts with a title and a caption. Two hands draw the same figure: `figures.py` with matplotlib (SVG and PDF files) and
`svg.py` as inline SVG with hover values (the page). A role, not a colour, says what a series means, so that each hand
can choose colours for its paper: light, dark, or print. Hues are those of Okabe and Ito (2008); the blue of
the recorded side is darker (lighter on a dark screen), so that the two sides stay apart for colour-blind readers and on
a grey printer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Role = Literal["real", "fake", "guide", "c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7"]
"""Recorded, generated, a guide line, or one of eight conditions."""

Kind = Literal["line", "dashes", "steps", "points", "ticks"]
"""How a series is drawn; ticks are spikes, one short upright stroke at (x, row)."""

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
"""How the two sides are called in legends and hover values."""


@dataclass(frozen=True, eq=False)
class Series:
    """One set of marks.

    Args:
        kind: How it is drawn.
        role: What it means.
        x: Values along the first axis (point,), in the unit the chart's label names.
        y: Values along the second axis (point,); NaN breaks a line.
        name: Word for legend and hover; the role's own word if empty.
        labels: One word per point for the hover, such as "neuron 12".
    """

    kind: Kind
    role: Role
    x: NDArray[np.number]
    y: NDArray[np.number]
    name: str = ""
    labels: Sequence[str] = ()

    @property
    def word(self) -> str:
        """What legend and hover call it."""
        return self.name or NAMES.get(self.role, "")


Size = Literal["full", "medium", "compact", "bare"]
"""How much stands around the axes; see `Chart`."""


@dataclass(frozen=True, eq=False)
class Chart:
    """One set of axes.

    Args:
        title: Words above the axes.
        series: What is drawn, back to front.
        x_label: Name and unit of the first axis.
        y_label: Name and unit of the second axis.
        diagonal: True for a scatter of two equal quantities: same limits on both axes and the line of equality.
        log: Which axes are logarithmic.
        limits: (x low, x high, y low, y high); the data's own where None.
        rows: Names of 0, 1, 2, ... on the second axis: neurons of a raster (for the hover), or lines of a dot plot.
        wide: Width over height of the axes.
        size: "full" or "medium" with labels on both axes, "compact" with tick numbers only, "bare" with neither.
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
        """Names of lines, to be written on the second axis; a raster has too many rows to name."""
        return () if any(one.kind == "ticks" for one in self.series) else self.rows

    def bounds(self) -> tuple[float, float, float, float]:
        """Limits of both axes: those given, or the finite data with 4 % room; never empty."""
        if self.limits is not None:
            return self.limits
        drawn = [one for one in self.series if one.role != "guide"] or self.series
        spans = [
            _span(np.concatenate([[], *[np.asarray(getattr(one, axis), float) for one in drawn]]), axis in self.log)
            for axis in "xy"
        ]
        if self.diagonal:
            low, high = min(spans[0][0], spans[1][0]), max(spans[0][1], spans[1][1])
            return low, high, low, high
        (left, right), (bottom, top) = spans
        return left, right, bottom, top


@dataclass(frozen=True, eq=False)
class Figure:
    """Several charts under one title.

    Args:
        key: Short word for file names and tests.
        title: What it shows.
        caption: How to read it, one or two sentences.
        charts: The axes, in reading order.
        columns: How many stand beside each other on a wide page.
        tab: Which part of the page it belongs to.
        legend: Roles and their words.
    """

    key: str
    title: str
    caption: str
    charts: tuple[Chart, ...]
    columns: int = 3
    tab: str = "Activity"
    legend: tuple[tuple[Role, str], ...] = (("real", "recorded"), ("fake", "generated"))


def ticks(low: float, high: float, *, count: int = 5, log: bool = False) -> list[float]:
    """Round numbers inside [low, high]: steps of 1, 2 or 5 times a power of ten, or whole decades."""
    if log:
        first, last = int(np.ceil(np.log10(low) - 1e-9)), int(np.floor(np.log10(high) + 1e-9))
        decades = [10.0**power for power in range(first, last + 1)]
        if len(decades) >= 3:
            return decades[:: max(1, len(decades) // count)]
        return [m * 10.0**p for p in range(first - 1, last + 1) for m in (1, 2, 5) if low <= m * 10.0**p <= high]
    rough = (high - low) / count
    power = 10.0 ** np.floor(np.log10(rough))
    step = power * next(m for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first = np.ceil(low / step - 1e-9)
    return [float(k * step) + 0.0 for k in np.arange(first, np.floor(high / step + 1e-9) + 1)]


def _span(values: NDArray[np.float64], log: bool) -> tuple[float, float]:
    """Lowest and highest finite value with a little room; (0, 1) where there is nothing to show."""
    good = values[np.isfinite(values) & ((values > 0) if log else True)]
    if not good.size:
        return (1.0, 10.0) if log else (0.0, 1.0)
    low, high = float(good.min()), float(good.max())
    if log:
        return (low / 1.1, high * 1.1)
    room = 0.04 * (high - low) or max(abs(high), 1.0) * 0.1
    return (low if low == 0 else low - room, high + room)
