"""Figures of codes and of traversals: how behaviour and neurons change when a code moves along one variable.

`traverse` of a model with codes returns the trials of one point after the other, with the conditions `traversal`
(requested change, in the variable's unit), `traversal_trial` and `traversal_along`. A linear decoder fitted to
recorded trials decodes behaviour from generated activity.
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

COLORS: tuple[Role, ...] = get_args(Role)[3:]
"""Roles of points along a traversal and of groups."""

UNITS_SHOWN = 9
GROUPS_SHOWN = len(COLORS)
SMOOTHED = 0.03
"""Standard deviation (s) of the Gaussian that smooths spikes for the responses, if the trials have no rates."""


def traversal_figures(
    traversal: Trials, real: Trials, *, series: str | None = None, smoothing: float | None = 0.05
) -> tuple[Figure, ...]:
    """Return the figures of a traversal: decoded behaviour, if there is a series to decode, and neuron responses.

    Args:
        traversal: Trials that `GNOCCHI.traverse` returned.
        real: Recorded (training) trials; the decoder is fitted to them.
        series: Behaviour series to decode; `None` takes one with "pos" in its name, or else the first.
        smoothing: Standard deviation (s) of the Gaussian that smooths the spikes; `None` decodes from rates.

    Raises:
        DataError: if the trials are no traversal.
        ConditionError: if the series is unknown.
    """
    if not {"traversal", "traversal_trial", "traversal_along"} <= set(traversal.conditions) or not len(traversal):
        raise DataError(
            "Figures of a traversal need trials that `traverse` returned.",
            f"These are trials of {traversal.source!r}.",
            "",
        )
    name = (
        next((n for n in (*[n for n in real.behavior if "pos" in n], *real.behavior)), None)
        if series is None
        else series
    )
    if name is not None and name not in real.behavior:
        raise ConditionError(f"The series must be one of {sorted(real.behavior)}.", f"It was {name!r}.", "")
    units = _unit_figure(traversal)
    if name is None or real.behavior[name].shape[2] < 2:
        return (units,)
    decoded = Readout.fit(real, name, smoothing=smoothing).decode(traversal)
    return (_behavior_figure(traversal, decoded, name, real.units[name]), units)


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
    read = directions.predict(np.asarray(encoded.codes))
    true = variables(encoded, names)
    marks = []
    dots = []
    group_names = np.unique(groups)
    for number, group in enumerate(group_names):
        rows = groups == group
        role = COLORS[number % GROUPS_SHOWN]
        marks.append(Series("points", role, read[rows, 0], read[rows, 1], str(group)))
        middle = true[rows].mean(0, keepdims=True)
        dots.append(Series("points", "guide", middle[:, 0], middle[:, 1], f"{group}, true"))
    x_label, y_label = (f"{name}, decoded from the code" for name in names)
    chart = Chart("", (*marks, *dots), x_label, y_label, wide=1.0)
    keys: tuple[tuple[Role, str], ...] = tuple((one.role, one.name) for one in marks[:GROUPS_SHOWN])
    legend = (*keys, ("guide", "true mean")) if len(group_names) <= GROUPS_SHOWN else (("guide", "true mean"),)
    caption = "Each dot is a trial at the values decoded from its code; grey dots are the true means of the groups."
    return Figure("codes", "Codes by target", caption, (chart,), columns=1, tab="Codes", legend=legend)


def weight_figure(weights: Sequence[float], cosines: Sequence[float], errors: Sequence[float], *, unit: str) -> Figure:
    """Draw the trade-off of the discrepancy weight: orthogonality of directions against error of held-out targets.

    Args:
        weights: Weights of the discrepancy.
        cosines: Mean absolute cosine at each weight.
        errors: Held-out error at each weight.
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
    """Draw mean decoded paths, end points, and achieved against requested changes."""
    amounts = _amounts(traversal)
    along = str(traversal.conditions["traversal_along"][0])
    last = ends(decoded, traversal.lengths)[:, :2]
    roles = _roles(len(amounts))
    shortest = int(traversal.lengths.min())
    paths = []
    dots = []
    for amount, role in zip(amounts, roles, strict=True):
        rows = traversal.conditions["traversal"] == amount
        word = f"{amount:+.3g}"
        mean = decoded[rows, :shortest, :2].mean(0)
        paths.append(Series("line", role, mean[:, 0], mean[:, 1], word))
        dots.append(Series("points", role, last[rows, 0], last[rows, 1], word))
    changed = _changes(traversal, last)
    shares = [
        Series(
            kind,
            role,
            amounts,
            np.array([changed[traversal.conditions["traversal"] == a, k].mean() for a in amounts]),
            word,
        )
        for k, (kind, role, word) in enumerate(_AXES)
    ]
    requested = Series("dashes", "guide", amounts, amounts, "as requested")
    x_label, y_label = (f"{axis} of {name} ({unit})" for axis in "xy")
    charts = (
        Chart("Mean path", tuple(paths), x_label, y_label, wide=1.0, limits=_square(paths)),
        Chart("End points", tuple(dots), x_label, y_label, wide=1.0, limits=_square(dots)),
        Chart(
            "Change of the end point",
            (requested, *shares),
            f"requested change of {along}",
            f"mean change ({unit})",
            limits=_around_zero(amounts, [requested, *shares]),
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


_AXES: tuple[tuple[Literal["line"], Role, str], ...] = (("line", "real", "x"), ("line", "fake", "y"))


def _around_zero(amounts: NDArray[np.float64], drawn: Sequence[Series]) -> tuple[float, float, float, float]:
    """Return limits that hold every line, including the requested change."""
    x = 1.06 * float(np.abs(amounts).max(initial=0)) or 1.0
    y = 1.06 * max(float(np.nanmax(np.abs(np.asarray(one.y, float)), initial=0)) for one in drawn) or 1.0
    return -x, x, -y, y


def _changes(traversal: Trials, last: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each end point minus the end point of the same trial at the smallest requested change."""
    amount = np.asarray(traversal.conditions["traversal"], float)
    trial = traversal.conditions["traversal_trial"]
    middle = amount == _amounts(traversal)[np.abs(_amounts(traversal)).argmin()]
    home = dict(zip(trial[middle].tolist(), last[middle], strict=True))
    return last - np.stack([home[number] for number in trial.tolist()])


def _unit_figure(traversal: Trials) -> Figure:
    """Draw the mean response, at each point of the traversal, of the neurons that change most."""
    amounts = _amounts(traversal)
    along = str(traversal.conditions["traversal_along"][0])
    shortest = int(traversal.lengths.min())
    rates = traversal.rates
    activity = (
        smooth(traversal.counts, sd=SMOOTHED / traversal.bin_width, mask=traversal.mask) if rates is None else rates
    )
    hz = np.asarray(activity, np.float64)[:, :shortest] / traversal.bin_width
    means = np.stack([hz[traversal.conditions["traversal"] == amount].mean(0) for amount in amounts])
    shown = np.argsort(-means.std(0).mean(0))[:UNITS_SHOWN]
    seconds = (np.arange(shortest) + 0.5) * traversal.bin_width
    roles = _roles(len(amounts))
    charts = tuple(
        Chart(
            f"neuron {neuron}",
            tuple(
                Series("line", role, seconds, mean[:, neuron], f"{amount:+.3g}")
                for mean, role, amount in zip(means, roles, amounts, strict=True)
            ),
            "time (s)",
            "rate (spikes/s)",
            size="medium",
        )
        for neuron in shown
    )
    legend: tuple[tuple[Role, str], ...] = tuple((r, f"{a:+.3g}") for r, a in zip(roles, amounts, strict=True))
    caption = (
        f"Mean rate (spikes/s) against time (s) at each point of the traversal along {along}: neurons that change most."
    )
    return Figure(
        _key("traversal-units", along),
        f"Neurons along {along}",
        caption,
        charts,
        columns=3,
        tab="Traversal",
        legend=legend,
    )


def _square(series: Sequence[Series]) -> tuple[float, float, float, float]:
    """Return limits that hold all marks and are equally wide on both axes, so that paths keep their shape."""
    x, y = (np.concatenate([getattr(one, axis) for one in series]) for axis in "xy")
    half = 0.54 * max(np.ptp(x), np.ptp(y), 1e-9)
    across, up = (float(values.min() + values.max()) / 2 for values in (x, y))
    return across - half, across + half, up - half, up + half


def _key(word: str, along: str) -> str:
    """Return a key for file names and the page, with only letters and digits of the variable."""
    return f"{word}-{re.sub(r'[^0-9a-zA-Z_]+', '-', along)}"


def _amounts(traversal: Trials) -> NDArray[np.float64]:
    """Return the requested changes in ascending order, one per point."""
    return np.unique(np.asarray(traversal.conditions["traversal"], np.float64))


def _roles(points: int) -> list[Role]:
    """Return a colour for each point."""
    return [COLORS[int(k)] for k in np.linspace(0, len(COLORS) - 1, points).round()] if points > 1 else [COLORS[0]]
