"""Figures of conditional samples: what was asked for beside what a decoder of real spikes reads.

Both sides go through the same decoder, fitted to the recorded training trials, so the recorded side shows how well one
can read at all. Nothing is drawn here; see `views.py`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeloom.errors import DataError
from spikeloom.metrics.conditional import BehaviorReading, DirectionReading, read_behavior
from spikeloom.metrics.decoding import r_squared
from spikeloom.metrics.pair import Pair
from spikeloom.report.chart import Chart, Figure, Role, Series
from spikeloom.report.views import in_raster, one_raster
from spikeloom.trials import Trials

SIDES: tuple[tuple[str, Role], ...] = (("real", "real"), ("fake", "fake"))

SHOWN = 4
"""Trials whose courses are drawn."""

MOST_POINTS = 1500
"""Points of one side of a scatter plot."""


def conditional_figures(directions: DirectionReading | str, behavior: BehaviorReading | str) -> tuple[Figure, ...]:
    """Figures of what was read back: a direction, a behaviour series, both, or nothing."""
    figures = () if isinstance(directions, str) else (of_directions(directions),)
    return figures if isinstance(behavior, str) else (*figures, of_behavior(behavior))


def of_directions(found: DirectionReading) -> Figure:
    """Directions asked and read: each trial, and for each direction the error, the bias and the share read right."""
    degrees, charts = f"{found.name}, degrees", []
    cloud = []
    for side, role in SIDES:
        asked = found.asked[side] % 360
        turned = asked + (found.read[side] - asked + 180) % 360 - 180  # beside the line of equality, not across it
        keep = np.arange(len(asked)) % max(1, -(-len(asked) // MOST_POINTS)) == 0
        apart = 2.5 if side == "fake" else -2.5
        cloud.append(Series("points", role, asked[keep] + apart, turned[keep]))
    charts.append(Chart("Asked and read", tuple(cloud), f"asked ({degrees})", "read (degrees)", diagonal=True))
    values = found.values
    means = {side: [_mean(found.error(side)[found.of(side, value)]) for value in values] for side, _ in SIDES}
    biases = {side: [found.bias(side, value) for value in values] for side, _ in SIDES}
    rows: list[tuple[str, str, dict[str, Any]]] = [
        ("Mean error", "degrees", means),
        ("Bias", "degrees", {side: [np.nan if b is None else b[0] for b in each] for side, each in biases.items()}),
    ]
    if found.classified:
        right = {side: [_mean(found.classified[side][found.of(side, value)]) for value in values] for side, _ in SIDES}
        rows.append(("Share read right", "share of trials", right))
    for title, unit, by_side in rows:
        series = [
            Series(kind, role, values, np.array(by_side[side], float))
            for side, role in SIDES
            for kind in ("line", "points")
        ]
        charts.append(Chart(title, tuple(series), degrees, unit))
    words = [
        f"{float(np.mean(found.error(side))):.3g}° {word}"
        for side, word in (("fake", "generated"), ("real", "recorded"))
    ]
    caption = (
        f"A decoder fitted to recorded training trials reads the direction: mean error {words[0]}, {words[1]}. "
        "Generated trials should be read as well as recorded ones, not better."
    )
    return Figure("asked_direction", "Directions asked and read", caption, tuple(charts), columns=2, tab="Conditions")


def _mean(values: NDArray[Any]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def of_behavior(found: BehaviorReading) -> Figure:
    """A behaviour series asked and read: all bins, the course of a few trials, and their paths."""
    unit, charts, words = f" ({found.unit})" if found.unit else "", [], []
    cloud = []
    for side, role in SIDES:
        good = np.isfinite(found.read[side])
        asked, read = found.asked[side][good], found.read[side][good]
        keep = np.arange(len(asked)) % max(1, -(-len(asked) // MOST_POINTS)) == 0
        cloud.append(Series("points", role, asked[keep], read[keep]))
        value = found.r_squared(side)
        words.append("unknown" if value is None else f"{value:.3g}")
    charts.append(Chart("Asked and read", tuple(cloud), f"asked{unit}", f"read{unit}", diagonal=True))
    trials = np.unique(np.linspace(0, len(found.read["fake"]) - 1, SHOWN).astype(int))
    for dim in range(min(2, found.read["fake"].shape[2])):
        charts.append(_course(found, "fake", int(trials[0]), dim, f"{found.name}, dimension {dim + 1}"))
    charts += _paths(found, trials)
    caption = (
        f"{found.name} read by a decoder fitted to recorded training trials: R² {words[1]} of generated trials "
        f"against what was asked for, {words[0]} of recorded ones. Dashed: asked for."
    )
    return Figure(
        "asked_behaviour", f"{found.name} asked and read", caption, tuple(charts), columns=3, tab="Conditions"
    )


def _course(found: BehaviorReading, side: str, trial: int, dim: int, title: str) -> Chart:
    time = (np.arange(found.read[side].shape[1]) + 0.5) * found.width
    role: Role = "fake" if side == "fake" else "real"
    asked = np.where(np.isfinite(found.read[side][trial, :, dim]), found.asked[side][trial, :, dim], np.nan)
    series = (
        Series("dashes", "c0", time, asked, name="asked"),
        Series("line", role, time, found.read[side][trial, :, dim], name="read"),
    )
    return Chart(title, series, "time (s)", found.unit or "value")


def _paths(found: BehaviorReading, trials: NDArray[np.int64]) -> list[Chart]:
    """Paths of some generated trials in the plane; none for series of one dimension."""
    if found.read["fake"].shape[2] < 2:
        return []
    asked, read = found.path("fake", trials)
    return [
        _plane(asked[row], read[row][None], f"trial {trial}", found.unit.removesuffix("/s"))
        for row, trial in enumerate(trials.tolist())
    ]


def _plane(asked: NDArray[np.float64], read: NDArray[np.float64], title: str, unit: str) -> Chart:
    """One path in the plane, and what is read of it, on axes of equal length."""
    both = np.concatenate([asked[None, :, :2], read[:, :, :2]])
    low, high = np.nanmin(both, (0, 1)), np.nanmax(both, (0, 1))
    middle, reach = (low + high) / 2, 0.54 * float((high - low).max()) or 1.0
    lines = [Series("line", "fake", path[:, 0], path[:, 1], name="read") for path in read]
    lines.append(Series("dashes", "c0", asked[:, 0], asked[:, 1], name="asked"))
    (left, bottom), (right, top) = (middle - reach).tolist(), (middle + reach).tolist()
    label = f" ({unit})" if unit else ""
    return Chart(title, tuple(lines), f"x{label}", f"y{label}", limits=(left, right, bottom, top), wide=1.0)


def drawn_figure(
    real: Trials, drawn: Trials, *, reference: Trials | None = None, name: str = "", seed: int = 0
) -> Figure:
    """Generated trials of one path drawn by hand: a raster, the course of each dimension, and the path that is read.

    Args:
        real: Recorded trials with the same behaviour series.
        drawn: Generated trials that were all asked for the same series.
        reference: Training trials, to which the decoder is fitted.
        name: What was drawn.
        seed: Of the decoder's folds.

    Raises:
        DataError: if the series cannot be read; says why.
    """
    found = read_behavior(Pair(real, drawn, reference=reference, seed=seed))
    if isinstance(found, str):
        raise DataError(
            "A drawn path needs trials with its series.", f"{found}.", "Sample them with --condition NAME=path.csv."
        )
    title = f"Drawn: {name}" if name else "Drawn by hand"
    charts = []
    rows = np.arange(len(drawn))
    asked, read = found.path("fake", rows)
    mean = found.read["fake"].mean(0)
    time = (np.arange(len(mean)) + 0.5) * found.width
    for dim in range(min(2, mean.shape[1])):
        wanted = np.where(np.isfinite(mean[:, dim]), found.asked["fake"][0, :, dim], np.nan)
        series = (
            Series("dashes", "c0", time, wanted, name="asked"),
            Series("line", "c1", time, found.read["fake"][0, :, dim], name="one trial"),
            Series("line", "fake", time, mean[:, dim], name="mean"),
        )
        charts.append(Chart(f"{found.name}, dimension {dim + 1}", series, "time (s)", found.unit or "value"))
    if mean.shape[1] > 1:
        unit = found.unit.removesuffix("/s")
        charts.append(_plane(asked[0], read.mean(0)[None], f"mean of {len(drawn)} trials", unit))
        charts.append(_plane(asked[0], read[:1], "one trial", unit))
    order = in_raster(real, drawn.n_bins, drawn)
    charts.append(one_raster(drawn, trial=0, order=order, role="fake", title="spikes of one trial", size="full"))
    value, good = found.r_squared("fake"), np.isfinite(mean).all(1)
    average = r_squared(found.asked["fake"][0][good], mean[good])
    words = ["unknown" if x is None else f"{x:.3g}" for x in (value, average, found.r_squared("real"))]
    caption = (
        f"Dashed: asked for. {found.name} read by a decoder of recorded spikes: R² {words[0]} of single trials, "
        f"{words[1]} of their mean; {words[2]} of recorded trials and their own movement."
    )
    key = "drawn_" + "".join(letter if letter.isalnum() else "_" for letter in name or "path")
    return Figure(
        key,
        title,
        caption,
        tuple(charts),
        columns=3,
        tab="Conditions",
        legend=(("fake", "generated"), ("c0", "asked for")),
    )
