"""A chart as inline SVG: no library, no network, a few kilobytes.

All marks of a series are one path, so that a scatter of 5,000 pairs or a raster of 1,000 spikes is a single element:
a point is a stroke of length zero with round ends, a spike an upright stroke. Colours are CSS variables (`--real`,
`--fake`, ...), so light, dark and print share the drawing. The hover values are stored as JSON in the
attribute `data-hover`, with the scale of each axis as (offset, factor, logarithmic); `page.js` finds the nearest value.
"""

import json
import math
from html import escape

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeloom.report.chart import Chart, Series, ticks

SIZES = {
    "full": (360, (58, 10, 26, 40), 13),
    "medium": (270, (54, 8, 24, 38), 12.5),
    "compact": (230, (30, 8, 20, 20), 11),
    "bare": (150, (3, 3, 16, 3), 10),
}
"""Width, margins (left, right, top, bottom) and size of the title, in pixels of the drawing."""


class Scale:
    """Map from data to pixels along one axis: pixel = offset + factor * value, or * log10(value) on a log axis."""

    def __init__(self, low: float, high: float, start: float, stop: float, *, log: bool) -> None:
        a, b = (math.log10(low), math.log10(high)) if log else (low, high)
        self.log = log
        self.factor = (stop - start) / (b - a)
        self.offset = start - self.factor * a

    def __call__(self, values: ArrayLike) -> NDArray[np.float64]:
        """Return the pixels of the values; NaN where a logarithm does not exist."""
        array = np.asarray(values, float)
        if self.log:
            array = np.log10(np.where(array > 0, array, np.nan))
        return self.offset + self.factor * array

    @property
    def words(self) -> list[float]:
        """(offset, factor, 1 if logarithmic), for the page's script."""
        return [round(self.offset, 3), _short(self.factor), int(self.log)]


def draw(chart: Chart) -> str:
    """Return the chart as one `<svg>` element, with `data-hover` for the page's script; all text is escaped."""
    width, (left, right, top, bottom), size = SIZES[chart.size]
    if chart.names:  # a dot plot: leave a margin for the names
        width = 560
        left = 210
    inner = width - left - right
    height = top + bottom + (inner if chart.diagonal else inner / chart.wide)
    low_x, high_x, low_y, high_y = chart.bounds()
    across = Scale(low_x, high_x, left, width - right, log="x" in chart.log)
    up = Scale(low_y, high_y, height - bottom, top, log="y" in chart.log)
    box = (left, top, width - right, height - bottom)
    parts = [f'<rect class="paper" x="{left}" y="{top}" width="{inner}" height="{height - top - bottom:.1f}"/>']
    if chart.size != "bare":
        parts += _axes(chart, across, up, box)
    if chart.diagonal:
        parts.append(
            f'<path class="line guide" d="M{left} {height - bottom:.1f}L{width - right} {top}" stroke-dasharray="4 3"/>'
        )
    parts += [_marks(one, across, up, box) for one in chart.series]
    title = f'<text class="title" x="{left}" y="{top - 0.5 * size:.0f}" font-size="{size}">{escape(chart.title)}</text>'
    parts.append(title)
    hover = escape(json.dumps(_hover(chart, across, up, box), separators=(",", ":"), allow_nan=False), quote=True)
    head = f'class="chart {chart.size}" viewBox="0 0 {width} {height:.0f}" role="img"'
    title = escape(chart.title, quote=True)
    return f'<svg {head} aria-label="{title}" data-hover="{hover}">{"".join(parts)}</svg>'


def _axes(chart: Chart, across: Scale, up: Scale, box: tuple[float, float, float, float]) -> list[str]:
    """Return grid, tick labels and axis labels."""
    left, top, right, bottom = box
    low_x, high_x, low_y, high_y = chart.bounds()
    parts = []
    count = 4 if chart.size == "compact" else 5
    names = list(zip(map(escape, chart.names), up(list(range(len(chart.names)))).tolist(), strict=True))
    for value, y in names or _places(low_y, high_y, up, count):
        parts.append(f'<path class="grid" d="M{left} {y:.1f}H{right}"/>')
        parts.append(f'<text class="tick" x="{left - 5}" y="{y + 3.5:.1f}" text-anchor="end">{value}</text>')
    for value, x in _places(low_x, high_x, across, count):
        parts.append(f'<path class="grid" d="M{x:.1f} {bottom:.1f}v4"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 15:.1f}" text-anchor="middle">{value}</text>')
    parts.append(f'<path class="axis" d="M{left} {top}V{bottom:.1f}H{right}"/>')
    if chart.size in ("full", "medium"):
        center = (left + right) / 2
        middle = (top + bottom) / 2
        at_x = f'x="{center:.0f}" y="{bottom + 32:.1f}" text-anchor="middle"'
        at_y = f'x="12" y="{middle:.0f}" text-anchor="middle" transform="rotate(-90 12 {middle:.0f})"'
        parts.append(f'<text class="label" {at_x}>{escape(chart.x_label)}</text>')
        parts.append(f'<text class="label" {at_y}>{escape(chart.y_label)}</text>')
    return parts


def _places(low: float, high: float, scale: Scale, count: int) -> list[tuple[str, float]]:
    """Return tick labels and their pixels."""
    values = ticks(low, high, count=count, log=scale.log)
    words = [f"{value:.4g}".replace("-", "\u2212") for value in values]
    return list(zip(words, scale(values).tolist(), strict=True))


def _marks(one: Series, across: Scale, up: Scale, box: tuple[float, float, float, float]) -> str:
    """Return a series as one path, without the marks outside the axes."""
    x = across(one.x)
    y = up(one.y)
    left, top, right, bottom = box
    inside = np.isfinite(x) & np.isfinite(y) & (x >= left - 1) & (x <= right + 1) & (y >= top - 1) & (y <= bottom + 1)
    if one.kind in ("points", "ticks"):
        x = x[inside]
        y = y[inside]
        tail = "h0" if one.kind == "points" else f"v{max(0.7, 0.9 * abs(up.factor)):.2g}"
        y = y if one.kind == "points" else y - 0.45 * abs(up.factor)
        path = "".join(f"M{a:.1f} {b:.1f}{tail}" for a, b in zip(x, y, strict=True))
        dense = " many" if one.kind == "points" and len(x) > 400 else ""
        return f'<path class="{one.kind}{dense} {one.role}" d="{path}"/>'
    y = np.clip(y, top, bottom)
    if one.kind == "steps":  # each value holds until the next
        x = np.repeat(x, 2)[1:]
        y = np.repeat(y, 2)[:-1]
    good = np.isfinite(x) & np.isfinite(y)
    path = "".join(
        f"{'L' if k and good[k - 1] else 'M'}{a:.1f} {b:.1f}"
        for k, (a, b) in enumerate(zip(x, y, strict=True))
        if good[k]
    )
    dashes = ' stroke-dasharray="5 3"' if one.kind == "dashes" else ""
    return f'<path class="line {one.role}" d="{path}"{dashes}/>'


def _hover(chart: Chart, across: Scale, up: Scale, box: tuple[float, float, float, float]) -> dict[str, object]:
    """Return the data with which the script finds the value under the pointer."""
    words: dict[str, object] = {
        "ax": across.words,
        "ay": up.words,
        "box": [round(value, 1) for value in box],
        "xl": chart.x_label,
        "yl": chart.y_label,
    }
    kinds = {one.kind for one in chart.series}
    if "ticks" in kinds:
        return words | {"kind": "raster", "rows": list(chart.rows)}
    words["kind"] = "points" if "points" in kinds else "lines"
    words["s"] = [
        {"n": one.word, "r": one.role, "x": _list(one.x), "y": _list(one.y), "l": list(one.labels)}
        for one in chart.series
        if one.role != "guide"
    ]
    return words


def _list(values: ArrayLike) -> list[float | None]:
    """Return numbers with at most four digits, and None for values that are not finite."""
    return [_short(float(value)) if math.isfinite(value) else None for value in np.asarray(values).tolist()]


def _short(value: float) -> float:
    return float(f"{value:.4g}")
