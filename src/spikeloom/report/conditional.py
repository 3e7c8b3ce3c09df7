"""Figures of conditional samples: the requested condition beside the condition decoded from the spikes.

The spikes of recorded and of generated trials are decoded by the same decoder, which is fitted to recorded training
trials. So the recorded trials show the accuracy that decoding can reach. The functions return `Figure` objects, which
other modules draw.
"""

import math

import numpy as np
from numpy.typing import NDArray

from spikeloom.errors import DataError
from spikeloom.metrics.conditional import BehaviorReading, DirectionReading, read_behavior
from spikeloom.metrics.decoding import r_squared
from spikeloom.metrics.pair import Pair
from spikeloom.report.chart import Chart, Figure, Role, Series
from spikeloom.report.rasters import in_raster, one_raster
from spikeloom.shapes import Numbers
from spikeloom.text import counted
from spikeloom.trials import Trials

SIDES: tuple[tuple[str, Role], ...] = (("real", "real"), ("fake", "fake"))
"""Each side of a `DirectionReading` or a `BehaviorReading`, and its role in a figure."""

SHOWN = 3
"""Number of trials whose time courses are drawn."""

MOST_POINTS = 1500
"""Largest number of points of one side of a scatter plot."""


def conditional_figures(directions: DirectionReading | str, behavior: BehaviorReading | str) -> tuple[Figure, ...]:
    """Return the figures of the decoded direction and of the decoded behaviour series.

    A text in place of a reading is the reason why nothing could be decoded. Then the figure is left out.
    """
    figures = () if isinstance(directions, str) else (of_directions(directions),)
    return figures if isinstance(behavior, str) else (*figures, of_behavior(behavior))


def of_directions(directions: DirectionReading) -> Figure:
    """Draw requested and decoded directions: every trial, and error, bias and accuracy of each direction."""
    degrees = f"{directions.name}, degrees"
    values = directions.values
    points = []
    errors: dict[str, list[float]] = {}
    biases: dict[str, list[float]] = {}
    correct: dict[str, list[float]] = {}
    for side, role in SIDES:
        requested = directions.requested[side] % 360
        error = (directions.read[side] - requested + 180) % 360 - 180  # within half a turn
        decoded = requested + error  # may leave 0 to 360 degrees, so that it is next to the requested direction
        keep = _thinned(len(requested))
        offset = 2.5 if side == "fake" else -2.5  # degrees; dots of the two sides do not cover each other
        points.append(Series("points", role, requested[keep] + offset, decoded[keep]))
        rows_of_values = [directions.of(side, value) for value in values]  # trials of each direction
        errors[side] = [_mean(directions.error(side)[rows]) for rows in rows_of_values]
        bias_and_sd = [directions.bias(side, value) for value in values]
        biases[side] = [np.nan if pair is None else pair[0] for pair in bias_and_sd]
        if directions.classified:
            correct[side] = [_mean(directions.classified[side][rows]) for rows in rows_of_values]
    charts = [
        Chart("Requested and decoded", tuple(points), f"requested ({degrees})", "decoded (degrees)", diagonal=True)
    ]
    statistics = [("Mean error", "degrees", errors), ("Bias", "degrees", biases)]
    if directions.classified:
        statistics.append(("Decoded correctly", "fraction of trials", correct))
    for title, unit, by_side in statistics:
        series = [
            Series(kind, role, values, np.array(by_side[side], float))
            for side, role in SIDES
            for kind in ("line", "points")
        ]
        charts.append(Chart(title, tuple(series), degrees, unit))
    mean_errors = [
        f"{float(np.mean(directions.error(side))):.3g}° {label}"
        for side, label in (("fake", "generated"), ("real", "recorded"))
    ]
    caption = (
        f"A decoder fitted to recorded training trials decodes the direction: mean error {', '.join(mean_errors)}. "
        "Generated and recorded trials should have the same error. A smaller error of generated trials is a fault, too."
    )
    return Figure(
        "requested_direction", "Requested and decoded directions", caption, tuple(charts), columns=2, tab="Conditions"
    )


def _thinned(n_points: int) -> NDArray[np.bool_]:
    """Return True for the points of a scatter plot that are drawn: at most `MOST_POINTS`, evenly spaced."""
    step = max(1, math.ceil(n_points / MOST_POINTS))
    return np.arange(n_points) % step == 0


def _mean(values: Numbers) -> float:
    """Return the mean, or NaN if there are no values."""
    return float(np.mean(values)) if len(values) else float("nan")


def of_behavior(behavior: BehaviorReading) -> Figure:
    """Draw the requested and the decoded behaviour series: all bins, a few time courses, and their paths."""
    unit = f" ({behavior.unit})" if behavior.unit else ""
    scores = []  # R² of recorded and of generated trials, as text
    points = []
    for side, role in SIDES:
        decodable = np.isfinite(behavior.read[side])
        requested = behavior.requested[side][decodable]
        decoded = behavior.read[side][decodable]
        keep = _thinned(len(requested))
        points.append(Series("points", role, requested[keep], decoded[keep]))
        value = behavior.r_squared(side)
        scores.append("unknown" if value is None else f"{value:.3g}")
    charts = [Chart("Requested and decoded", tuple(points), f"requested{unit}", f"decoded{unit}", diagonal=True)]
    trials = np.unique(np.linspace(0, len(behavior.read["fake"]) - 1, SHOWN).astype(int))
    for dim in range(min(2, behavior.read["fake"].shape[2])):
        charts.append(_course(behavior, "fake", int(trials[0]), dim, f"{behavior.name}, dimension {dim + 1}"))
    charts += _paths(behavior, trials)
    caption = (
        f"{behavior.name}, decoded by a decoder fitted to recorded training trials. R² between requested and decoded "
        f"values: {scores[1]} for generated trials, {scores[0]} for recorded trials. Dashed: requested."
    )
    return Figure(
        "requested_behaviour",
        f"{behavior.name}, requested and decoded",
        caption,
        tuple(charts),
        columns=3,
        tab="Conditions",
    )


def _course(behavior: BehaviorReading, side: str, trial: int, dim: int, title: str) -> Chart:
    """Draw one dimension of the requested and the decoded series of one trial against time.

    Args:
        behavior: Requested and decoded series.
        side: "real" or "fake".
        trial: Number of the trial.
        dim: Dimension of the series.
        title: Title of the chart.
    """
    time = (np.arange(behavior.read[side].shape[1]) + 0.5) * behavior.width
    role: Role = "fake" if side == "fake" else "real"
    decoded = behavior.read[side][trial, :, dim]
    requested = np.where(np.isfinite(decoded), behavior.requested[side][trial, :, dim], np.nan)
    series = (
        Series("dashes", "c0", time, requested, name="requested"),
        Series("line", role, time, decoded, name="decoded"),
    )
    return Chart(title, series, "time (s)", behavior.unit or "value")


def _paths(behavior: BehaviorReading, trials: NDArray[np.int64]) -> list[Chart]:
    """Draw the paths of a few generated trials in the plane; nothing for series of one dimension."""
    if behavior.read["fake"].shape[2] < 2:
        return []
    requested, decoded = behavior.path("fake", trials)
    return [
        _plane(requested[row], decoded[row][None], f"trial {trial}", behavior.unit.removesuffix("/s"))
        for row, trial in enumerate(trials.tolist())
    ]


def _plane(requested: NDArray[np.float64], decoded: NDArray[np.float64], title: str, unit: str) -> Chart:
    """Draw one requested path in the plane and its decoded paths, on axes of equal length.

    Args:
        requested: Requested path (time, dim).
        decoded: Decoded paths (path, time, dim).
        title: Title of the chart.
        unit: Unit of the positions.
    """
    all_paths = np.concatenate([requested[None, :, :2], decoded[:, :, :2]])
    low = np.nanmin(all_paths, (0, 1))
    high = np.nanmax(all_paths, (0, 1))
    middle = (low + high) / 2
    half_width = 0.54 * float((high - low).max()) or 1.0  # half the range of the paths and a margin
    lines = [Series("line", "fake", path[:, 0], path[:, 1], name="decoded") for path in decoded]
    lines.append(Series("dashes", "c0", requested[:, 0], requested[:, 1], name="requested"))
    left, bottom = (middle - half_width).tolist()
    right, top = (middle + half_width).tolist()
    label = f" ({unit})" if unit else ""
    return Chart(title, tuple(lines), f"x{label}", f"y{label}", limits=(left, right, bottom, top), wide=1.0)


def drawn_figure(
    real: Trials, drawn: Trials, *, reference: Trials | None = None, name: str = "", seed: int = 0
) -> Figure:
    """Draw generated trials of one requested path: the course of each dimension, the decoded path, and a raster.

    Args:
        real: Recorded trials that have a behaviour series of the same name, with their own movements.
        drawn: Generated trials, all conditioned on one path.
        reference: Training trials, to which the decoder is fitted.
        name: Name of the path, for the title.
        seed: Random seed of the decoder's cross-validation folds.

    Raises:
        DataError: if the series cannot be decoded; the message gives the reason.
    """
    behavior = read_behavior(Pair(real, drawn, reference=reference, seed=seed))
    if isinstance(behavior, str):
        raise DataError(
            "A drawn path needs generated trials with a series as condition, and recorded trials with this series.",
            f"{behavior}.",
            "Sample them with --condition NAME=path.csv.",
        )
    title = f"Drawn: {name}" if name else "Drawn by hand"
    charts = []
    rows = np.arange(len(drawn))
    requested, decoded = behavior.path("fake", rows)
    mean = behavior.read["fake"].mean(0)  # mean decoded series (time, dim); NaN in bins without decoded behaviour
    time = (np.arange(len(mean)) + 0.5) * behavior.width
    for dim in range(min(2, mean.shape[1])):
        requested_course = np.where(np.isfinite(mean[:, dim]), behavior.requested["fake"][0, :, dim], np.nan)
        series = (
            Series("dashes", "c0", time, requested_course, name="requested"),
            Series("line", "c1", time, behavior.read["fake"][0, :, dim], name="one trial"),
            Series("line", "fake", time, mean[:, dim], name="mean"),
        )
        charts.append(Chart(f"{behavior.name}, dimension {dim + 1}", series, "time (s)", behavior.unit or "value"))
    if mean.shape[1] > 1:
        unit = behavior.unit.removesuffix("/s")
        charts.append(_plane(requested[0], decoded.mean(0)[None], f"mean of {counted(len(drawn), 'trial')}", unit))
        charts.append(_plane(requested[0], decoded[:1], "one trial", unit))
    order = in_raster(real, drawn.n_bins, drawn)  # neurons of the raster, lowest mean rate first
    charts.append(one_raster(drawn, trial=0, order=order, role="fake", title="spikes of one trial", size="full"))
    decodable = np.isfinite(mean).all(1)
    mean_r_squared = r_squared(behavior.requested["fake"][0][decodable], mean[decodable])
    values = (behavior.r_squared("fake"), mean_r_squared, behavior.r_squared("real"))
    single, of_mean, recorded = ("unknown" if value is None else f"{value:.3g}" for value in values)
    caption = (
        f"Dashed: requested. {behavior.name} is decoded by a decoder fitted to recorded trials: R² {single} for "
        f"single trials, {of_mean} for their mean, {recorded} for recorded trials, with their own movements."
    )
    key = "drawn_" + "".join(letter if letter.isalnum() else "_" for letter in name or "path")
    return Figure(
        key,
        title,
        caption,
        tuple(charts),
        columns=3,
        tab="Conditions",
        legend=(("fake", "generated"), ("c0", "requested")),
    )
