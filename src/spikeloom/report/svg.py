"""Draw a chart as SVG text for the page, in a few kilobytes and without a library.

All marks of a series are one path, so a scatter plot of 5,000 pairs or a raster of 1,000 spikes is a single element. A
point is a line of length zero with round ends, and a spike is a vertical line. Colours are CSS variables (`--real`,
`--fake`, ...), so the same drawing serves light screens, dark screens and print.

The script `page.js` shows the value under the pointer. It finds the values in the attribute `data-hover`, which holds
them as JSON, with the scale of each axis as (offset, factor, 1 if logarithmic).
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
"""Width, margins (left, right, top, bottom) and size of the title of each size of a chart, in pixels of the drawing."""


class Scale:
    """Map from data to pixels along one axis.

    On a linear axis, pixel = offset + factor * value. On a logarithmic axis, pixel = offset + factor * log10(value).

    Args:
        low: Value at the beginning of the axis.
        high: Value at its end.
        start: Pixel at the beginning.
        stop: Pixel at the end.
        log: True for a logarithmic axis.
    """

    def __init__(self, low: float, high: float, start: float, stop: float, *, log: bool) -> None:
        first = math.log10(low) if log else low
        last = math.log10(high) if log else high
        self.log = log
        self.factor = (stop - start) / (last - first)
        self.offset = start - self.factor * first

    def __call__(self, values: ArrayLike) -> NDArray[np.float64]:
        """Return the pixels of the values; NaN where a logarithm does not exist."""
        array = np.asarray(values, float)
        if self.log:
            array = np.log10(np.where(array > 0, array, np.nan))
        return self.offset + self.factor * array

    @property
    def coefficients(self) -> list[float]:
        """The scale as numbers for the page's script: offset, factor, 1 if logarithmic."""
        return [round(self.offset, 3), _short(self.factor), int(self.log)]


def draw(chart: Chart) -> str:
    """Return the chart as one `<svg>` element, with `data-hover` for the page's script; all text is escaped."""
    width, (left, right, top, bottom), title_size = SIZES[chart.size]
    if chart.names:  # a dot plot, with room for the names of its rows
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
    parts += [_marks(series, across, up, box) for series in chart.series]
    position = f'x="{left}" y="{top - 0.5 * title_size:.0f}" font-size="{title_size}"'
    parts.append(f'<text class="title" {position}>{escape(chart.title)}</text>')
    hover = escape(json.dumps(_hover(chart, across, up, box), separators=(",", ":"), allow_nan=False), quote=True)
    head = f'class="chart {chart.size}" viewBox="0 0 {width} {height:.0f}" role="img"'
    label = escape(chart.title, quote=True)
    return f'<svg {head} aria-label="{label}" data-hover="{hover}">{"".join(parts)}</svg>'


def _axes(chart: Chart, across: Scale, up: Scale, box: tuple[float, float, float, float]) -> list[str]:
    """Return grid lines, numbers at the ticks, and labels of the axes as elements of SVG.

    Args:
        chart: The chart.
        across: Scale of the horizontal axis.
        up: Scale of the vertical axis.
        box: Left, top, right and bottom side of the axes, in pixels.
    """
    left, top, right, bottom = box
    low_x, high_x, low_y, high_y = chart.bounds()
    parts = []
    count = 4 if chart.size == "compact" else 5
    # text and pixel of each row of a dot plot
    names = list(zip(map(escape, chart.names), up(list(range(len(chart.names)))).tolist(), strict=True))
    # The numbers below are distances of lines and texts from the axes, in pixels.
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
    """Return the text and the pixel of each tick of an axis.

    Args:
        low: Smallest value of the axis.
        high: Largest value of the axis.
        scale: Scale of the axis.
        count: Approximate number of ticks.
    """
    values = ticks(low, high, count=count, log=scale.log)
    labels = [f"{value:.4g}".replace("-", "\u2212") for value in values]
    return list(zip(labels, scale(values).tolist(), strict=True))


def _marks(series: Series, across: Scale, up: Scale, box: tuple[float, float, float, float]) -> str:
    """Return a series as one path of SVG. Points and spikes outside the axes are left out; lines are clipped.

    Args:
        series: The series.
        across: Scale of the horizontal axis.
        up: Scale of the vertical axis.
        box: Left, top, right and bottom side of the axes, in pixels.
    """
    x = across(series.x)
    y = up(series.y)
    left, top, right, bottom = box
    if series.kind in ("points", "ticks"):
        in_width = np.isfinite(x) & (x >= left - 1) & (x <= right + 1)
        in_height = np.isfinite(y) & (y >= top - 1) & (y <= bottom + 1)
        inside = in_width & in_height
        x = x[inside]
        y = y[inside]
        if series.kind == "points":
            stroke = "h0"  # length zero: only the round ends are seen
        else:
            stroke = f"v{max(0.7, 0.9 * abs(up.factor)):.2g}"  # its height is 0.9 rows of the raster
            y = y - 0.45 * abs(up.factor)
        path = "".join(f"M{pixel_x:.1f} {pixel_y:.1f}{stroke}" for pixel_x, pixel_y in zip(x, y, strict=True))
        # a further class of the style sheet, which makes many dots small
        dense = " many" if series.kind == "points" and len(x) > 400 else ""
        return f'<path class="{series.kind}{dense} {series.role}" d="{path}"/>'
    y = np.clip(y, top, bottom)
    if series.kind == "steps":  # a horizontal line from each value to the next
        x = np.repeat(x, 2)[1:]
        y = np.repeat(y, 2)[:-1]
    drawable = np.isfinite(x) & np.isfinite(y)
    # "M" begins a line, "L" continues it; NaN interrupts it
    path = "".join(
        f"{'L' if k and drawable[k - 1] else 'M'}{pixel_x:.1f} {pixel_y:.1f}"
        for k, (pixel_x, pixel_y) in enumerate(zip(x, y, strict=True))
        if drawable[k]
    )
    dashes = ' stroke-dasharray="5 3"' if series.kind == "dashes" else ""
    return f'<path class="line {series.role}" d="{path}"{dashes}/>'


def _hover(chart: Chart, across: Scale, up: Scale, box: tuple[float, float, float, float]) -> dict[str, object]:
    """Return the data with which the script `page.js` finds the value under the pointer; the script explains them.

    Args:
        chart: The chart.
        across: Scale of the horizontal axis.
        up: Scale of the vertical axis.
        box: Left, top, right and bottom side of the axes, in pixels.
    """
    data: dict[str, object] = {
        "ax": across.coefficients,
        "ay": up.coefficients,
        "box": [round(value, 1) for value in box],
        "xl": chart.x_label,
        "yl": chart.y_label,
    }
    kinds = {series.kind for series in chart.series}
    if "ticks" in kinds:
        return data | {"kind": "raster", "rows": list(chart.rows)}
    data["kind"] = "points" if "points" in kinds else "lines"
    data["s"] = [
        {"n": series.word, "r": series.role, "x": _list(series.x), "y": _list(series.y), "l": list(series.labels)}
        for series in chart.series
        if series.role != "guide"
    ]
    return data


def _list(values: ArrayLike) -> list[float | None]:
    """Return numbers with at most four digits, and None for values that are not finite."""
    return [_short(float(value)) if math.isfinite(value) else None for value in np.asarray(values).tolist()]


def _short(value: float) -> float:
    """Return the number with four digits."""
    return float(f"{value:.4g}")
