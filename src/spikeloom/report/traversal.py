"""Figures of codes and of traversals: how behaviour and neurons change when a code moves along one variable.

A code is the vector that a model assigns to a complete trial. In a traversal, codes are moved in steps such that one
variable of behaviour changes by a requested amount, and a trial is generated from each moved code. The steps are called
points. `traverse` of a model returns the trials of all points, with three conditions: `traversal` (the requested
change, in the variable's unit), `traversal_trial` (number of the original trial) and `traversal_along` (name of the
variable). Behaviour is decoded from generated activity by a linear decoder, which is fitted to recorded trials.
"""

import re
from collections.abc import Sequence
from html import escape
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from spikeloom.errors import ConditionError, DataError
from spikeloom.metrics.arrays import smooth
from spikeloom.metrics.disentanglement import Directions, Readout, ends, variables
from spikeloom.report.chart import Chart, Figure, Role, Series
from spikeloom.report.page import document, figure_html
from spikeloom.trials import Trials

COLORS: tuple[Role, ...] = get_args(Role)[3:]  # without "real", "fake" and "guide"
"""Roles of the points of a traversal and of groups of trials. The role decides the colour."""

NEURONS_SHOWN = 9
"""Number of neurons whose mean rates are drawn."""

GROUPS_SHOWN = len(COLORS)
"""Largest number of groups of trials with different colours."""

SMOOTHED = 0.03
"""Standard deviation (s) of the Gaussian that smooths spikes for mean rates, if the trials have no rates."""


_AXES: tuple[tuple[Literal["line"], Role, str], ...] = (("line", "real", "x"), ("line", "fake", "y"))
"""Kind, role and label of the line for each of the two dimensions of the end point."""


def traversal_figures(
    traversal: Trials, real: Trials, *, series: str | None = None, smoothing: float | None = 0.05
) -> tuple[Figure, ...]:
    """Return the figures of a traversal: decoded behaviour, and mean rates of neurons.

    The first one is left out if there is no behaviour series of two or more dimensions.

    Args:
        traversal: Trials that `GNOCCHI.traverse` returned.
        real: Recorded (training) trials; the decoder is fitted to them.
        series: Behaviour series to decode. `None` takes one with "pos" in its name, or else the first.
        smoothing: Standard deviation (s) of the Gaussian that smooths the spikes. `None` decodes from rates.

    Raises:
        DataError: if the trials do not come from `traverse`.
        ConditionError: if the series is unknown.
    """
    if not {"traversal", "traversal_trial", "traversal_along"} <= set(traversal.conditions) or not len(traversal):
        raise DataError(
            "Figures of a traversal need trials that `traverse` returned.",
            f"These are trials of {traversal.source!r}.",
            "",
        )
    name = series
    if series is None:
        positions = [other for other in real.behavior if "pos" in other]
        name = next(iter([*positions, *real.behavior]), None)
    if name is not None and name not in real.behavior:
        raise ConditionError(f"The series must be one of {sorted(real.behavior)}.", f"It was {name!r}.", "")
    neurons = _neuron_figure(traversal)
    if name is None or real.behavior[name].shape[2] < 2:
        return (neurons,)
    decoded = Readout.fit(real, name, smoothing=smoothing).decode(traversal)
    return (_behavior_figure(traversal, decoded, name, real.units[name]), neurons)


def traversal_page(
    traversal: Trials, real: Trials, *, series: str | None = None, smoothing: float | None = 0.05
) -> str:
    """Return the figures of a traversal as one self-contained HTML page; arguments as in `traversal_figures`."""
    along = str(traversal.conditions["traversal_along"][0]) if "traversal_along" in traversal.conditions else ""
    body = "".join(
        figure_html(figure) for figure in traversal_figures(traversal, real, series=series, smoothing=smoothing)
    )
    head = f"<header><h1>A traversal along {escape(along)}</h1></header>"
    return document(f"traversal along {along}", f"{head}<main>{body}</main><footer>Made by spikeloom.</footer>")


def code_figure(
    encoded: Trials, names: tuple[str, str], groups: NDArray[np.generic], *, reference: Trials | None = None
) -> Figure:
    """Draw two variables decoded from the codes of trials, one colour per group.

    Args:
        encoded: Trials with codes.
        names: The two variables; see `metrics.disentanglement.variable`.
        groups: Group of each trial, such as its target (trial,); the first eight groups have different colours.
        reference: Trials with codes on which the directions are fitted; `encoded` if absent.
    """
    directions = Directions.of(encoded if reference is None else reference, names)
    decoded = directions.predict(np.asarray(encoded.codes))
    true = variables(encoded, names)
    trial_dots = []
    mean_dots = []
    group_names = np.unique(groups)
    for number, group in enumerate(group_names):
        rows = groups == group
        role = COLORS[number % GROUPS_SHOWN]
        trial_dots.append(Series("points", role, decoded[rows, 0], decoded[rows, 1], str(group)))
        mean = true[rows].mean(0, keepdims=True)
        mean_dots.append(Series("points", "guide", mean[:, 0], mean[:, 1], f"{group}, true"))
    x_label, y_label = (f"{name}, decoded from the code" for name in names)
    chart = Chart("", (*trial_dots, *mean_dots), x_label, y_label, wide=1.0)
    legend: tuple[tuple[Role, str], ...] = (("guide", "true mean"),)
    if len(group_names) <= GROUPS_SHOWN:  # more groups share colours, so a legend would mislead
        legend = (*((dots.role, dots.name) for dots in trial_dots), *legend)
    caption = "Each dot is a trial at the values decoded from its code; grey dots are the true means of the groups."
    return Figure("codes", "Codes by target", caption, (chart,), columns=1, tab="Codes", legend=legend)


def weight_figure(weights: Sequence[float], cosines: Sequence[float], errors: Sequence[float], *, unit: str) -> Figure:
    """Draw the results of models that were trained with different weights of the discrepancy.

    The discrepancy is the term of GNOCCHI's loss that makes the dimensions of the codes independent.

    Args:
        weights: Weights of the discrepancy, one for each trained model.
        cosines: Mean absolute cosine between the directions of targets in the codes, at each weight.
        errors: Error of the decoded targets of held-out trials, at each weight.
        unit: Unit of the errors.
    """
    x = np.asarray(cosines, float)
    y = np.asarray(errors, float)
    labels = [f"{weight:g}" for weight in weights]
    dots = tuple(
        Series("points", COLORS[k % len(COLORS)], x[k : k + 1], y[k : k + 1], label) for k, label in enumerate(labels)
    )
    line = Series("line", "guide", x, y, "in order of the weight")
    chart = Chart("", (line, *dots), "mean |cosine| of target directions", f"error of held-out targets ({unit})")
    legend = tuple((COLORS[k % len(COLORS)], label) for k, label in enumerate(labels))
    caption = "Both axes are better near 0. A weight of 0 is an autoencoder of the same size without the discrepancy."
    return Figure(
        "mmd-weight",
        "Effect of the discrepancy weight",
        caption,
        (chart,),
        columns=1,
        tab="Codes",
        legend=legend,
    )


def _behavior_figure(traversal: Trials, decoded: NDArray[np.float64], name: str, unit: str) -> Figure:
    """Draw the decoded behaviour of a traversal: mean paths, end points, and requested and decoded change.

    Args:
        traversal: Trials of the traversal.
        decoded: Decoded behaviour (trial, time, dim).
        name: Name of the behaviour series.
        unit: Unit of the series.
    """
    amounts = _amounts(traversal)
    along = str(traversal.conditions["traversal_along"][0])
    end_points = ends(decoded, traversal.lengths)[:, :2]
    roles = _roles(len(amounts))
    shortest = int(traversal.lengths.min())
    rows_of = [traversal.conditions["traversal"] == amount for amount in amounts]  # mask of the trials of each point
    paths = []
    dots = []
    for amount, rows, role in zip(amounts, rows_of, roles, strict=True):
        label = f"{amount:+.3g}"
        mean = decoded[rows, :shortest, :2].mean(0)
        paths.append(Series("line", role, mean[:, 0], mean[:, 1], label))
        dots.append(Series("points", role, end_points[rows, 0], end_points[rows, 1], label))
    changes = _changes(traversal, end_points)
    change_lines = []
    for dim, (kind, role, label) in enumerate(_AXES):
        mean_changes = np.array([changes[rows, dim].mean() for rows in rows_of])
        change_lines.append(Series(kind, role, amounts, mean_changes, label))
    requested = Series("dashes", "guide", amounts, amounts, "as requested")
    drawn = (requested, *change_lines)
    x_label, y_label = (f"{axis} of {name} ({unit})" for axis in "xy")
    charts = (
        Chart("Mean path", tuple(paths), x_label, y_label, wide=1.0, limits=_square(paths)),
        Chart("End points", tuple(dots), x_label, y_label, wide=1.0, limits=_square(dots)),
        Chart(
            "Change of the end point",
            drawn,
            f"requested change of {along}",
            f"mean change ({unit})",
            limits=_around_zero(amounts, drawn),
            wide=1.0,
        ),
    )
    legend: list[tuple[Role, str]] = [(role, f"{amount:+.3g}") for amount, role in zip(amounts, roles, strict=True)]
    caption = (
        f"{name} at each point of the traversal along {along}, decoded from generated activity by a decoder fitted to "
        f"recorded trials. Right: x of the end point blue, y orange; dashed: the requested change of {along}."
    )
    return Figure(
        _key("traversal-behavior", along),
        f"Behaviour along {along}",
        caption,
        charts,
        columns=3,
        tab="Traversal",
        legend=tuple(legend),
    )


def _around_zero(amounts: NDArray[np.float64], drawn: Sequence[Series]) -> tuple[float, float, float, float]:
    """Return limits of a chart with (0, 0) in its centre that hold all lines.

    Args:
        amounts: Requested changes, the coordinates of the lines along the first axis.
        drawn: The lines.
    """
    # 1.06 leaves a margin, and 1 is for lines at 0
    x = 1.06 * float(np.abs(amounts).max(initial=0)) or 1.0
    largest = max(float(np.nanmax(np.abs(np.asarray(series.y, float)), initial=0)) for series in drawn)
    y = 1.06 * largest or 1.0
    return -x, x, -y, y


def _changes(traversal: Trials, end_points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the change of the end point of each trial of a traversal (trial, 2).

    The change is computed from the end point of the same original trial at the requested change nearest to 0.

    Args:
        traversal: Trials of the traversal.
        end_points: End point of each trial (trial, 2).
    """
    amount = np.asarray(traversal.conditions["traversal"], float)
    trial = traversal.conditions["traversal_trial"]
    nearest_zero = _amounts(traversal)[np.abs(_amounts(traversal)).argmin()]
    unmoved = amount == nearest_zero
    reference = dict(zip(trial[unmoved].tolist(), end_points[unmoved], strict=True))
    return end_points - np.stack([reference[number] for number in trial.tolist()])


def _neuron_figure(traversal: Trials) -> Figure:
    """Draw the mean rates, at each point of the traversal, of the neurons whose rates change most."""
    amounts = _amounts(traversal)
    along = str(traversal.conditions["traversal_along"][0])
    shortest = int(traversal.lengths.min())
    activity = traversal.rates
    if activity is None:
        activity = smooth(traversal.counts, sd=SMOOTHED / traversal.bin_width, mask=traversal.mask)
    rates_hz = np.asarray(activity, np.float64)[:, :shortest] / traversal.bin_width
    # mean rates at each point (point, time, neuron)
    means = np.stack([rates_hz[traversal.conditions["traversal"] == amount].mean(0) for amount in amounts])
    change = means.std(0).mean(0)  # sd over the points, mean over time (neuron,)
    shown = np.argsort(-change)[:NEURONS_SHOWN]
    seconds = (np.arange(shortest) + 0.5) * traversal.bin_width
    roles = _roles(len(amounts))
    labels = [f"{amount:+.3g}" for amount in amounts]
    charts = []
    for neuron in shown:
        lines = tuple(
            Series("line", role, seconds, mean[:, neuron], label)
            for mean, role, label in zip(means, roles, labels, strict=True)
        )
        charts.append(Chart(f"neuron {neuron}", lines, "time (s)", "rate (spikes/s)", size="medium"))
    legend: tuple[tuple[Role, str], ...] = tuple(zip(roles, labels, strict=True))
    caption = (
        f"Mean rate (spikes/s) against time (s) at each point of the traversal along {along}: neurons that change most."
    )
    return Figure(
        _key("traversal-units", along),
        f"Neurons along {along}",
        caption,
        tuple(charts),
        columns=3,
        tab="Traversal",
        legend=legend,
    )


def _square(series: Sequence[Series]) -> tuple[float, float, float, float]:
    """Return limits that hold all marks and are equally wide on both axes. Paths then keep their shape."""
    x = np.concatenate([drawn.x for drawn in series])
    y = np.concatenate([drawn.y for drawn in series])
    half_width = 0.54 * max(np.ptp(x), np.ptp(y), 1e-9)  # half the range of the marks and a margin, in any case above 0
    centre_x = float(x.min() + x.max()) / 2
    centre_y = float(y.min() + y.max()) / 2
    return centre_x - half_width, centre_x + half_width, centre_y - half_width, centre_y + half_width


def _key(word: str, along: str) -> str:
    """Return the key of a figure. In the name of the variable, characters that are no letters or digits become "-"."""
    return f"{word}-{re.sub(r'[^0-9a-zA-Z_]+', '-', along)}"


def _amounts(traversal: Trials) -> NDArray[np.float64]:
    """Return the requested changes in ascending order, one per point."""
    return np.unique(np.asarray(traversal.conditions["traversal"], np.float64))


def _roles(n_points: int) -> list[Role]:
    """Return the role of each point of a traversal, spread evenly over all colours."""
    if n_points == 1:
        return [COLORS[0]]
    return [COLORS[int(index)] for index in np.linspace(0, len(COLORS) - 1, n_points).round()]
