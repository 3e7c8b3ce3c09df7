"""Figures of codes and of traversals in code space: what moving one variable changed, in behaviour and in neurons.

`traverse` of a model with codes returns trials point after point, with the conditions `traversal` (requested change, in
the variable's unit), `traversal_trial` and `traversal_along`. Behaviour is read from generated activity by a linear
decoder that was fitted to recorded trials.
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
"""Sd of the Gaussian for responses drawn from spikes, where there are no rates, s."""


def traversal_figures(
    traversal: Trials, real: Trials, *, series: str | None = None, smoothing: float | None = 0.05
) -> tuple[Figure, ...]:
    """What a traversal changed: decoded behaviour (where there is a series to decode) and unit responses.

    Args:
        traversal: As `GNOCCHI.traverse` gives it.
        real: Recorded trials on which the decoder is fitted, the training trials.
        series: Behaviour to decode; one with "pos" in its name, else any, if absent.
        smoothing: Of the spikes that the decoder reads, s; None: it reads rates.

    Raises:
        DataError: if the trials are no traversal.
        ConditionError: if the series is unknown.
    """
    if not {"traversal", "traversal_trial", "traversal_along"} <= set(traversal.conditions) or not len(traversal):
        raise DataError(
            "Figures of a traversal need trials that `traverse` returned.",
            f"These are trials of {traversal.source!r}.",
            "Use traverse first.",
        )
    name = (
        next((n for n in (*[n for n in real.behavior if "pos" in n], *real.behavior)), None)
        if series is None
        else series
    )
    if name is not None and name not in real.behavior:
        raise ConditionError(f"The series must be one of {sorted(real.behavior)}.", f"It was {name!r}.", "Choose one.")
    units = _unit_figure(traversal)
    if name is None or real.behavior[name].shape[2] < 2:
        return (units,)
    decoded = Readout.fit(real, name, smoothing=smoothing).decode(traversal)
    return (_behavior_figure(traversal, decoded, name, real.units[name]), units)


def traversal_page(
    traversal: Trials, real: Trials, *, series: str | None = None, smoothing: float | None = 0.05
) -> str:
    """The figures of a traversal as one self-contained HTML text; arguments as in `traversal_figures`."""
    along = str(traversal.conditions["traversal_along"][0]) if "traversal_along" in traversal.conditions else ""
    body = "".join(
        figure_html(figure) for figure in traversal_figures(traversal, real, series=series, smoothing=smoothing)
    )
    head = f"<header><h1>A traversal along {escape(along)}</h1></header>"
    return document(f"traversal along {along}", f"{head}<main>{body}</main><footer>Made by spikeloom.</footer>")


def code_figure(
    encoded: Trials, names: tuple[str, str], groups: NDArray[np.generic], *, reference: Trials | None = None
) -> Figure:
    """Where codes put trials: two variables as read from the codes, one colour per group.

    Args:
        encoded: Trials with codes.
        names: The two variables; see `metrics.disentanglement.variable`.
        groups: Group of each trial, such as its target (trial,); the first eight values have colours of their own.
        reference: Trials with codes on which the directions are measured; `encoded` if absent.
    """
    directions = Directions.of(encoded if reference is None else reference, names)
    read, true = directions.predict(np.asarray(encoded.codes)), variables(encoded, names)
    marks, dots, found = [], [], np.unique(groups)
    for number, group in enumerate(found):
        rows, role = groups == group, COLORS[number % GROUPS_SHOWN]
        marks.append(Series("points", role, read[rows, 0], read[rows, 1], str(group)))
        middle = true[rows].mean(0, keepdims=True)
        dots.append(Series("points", "guide", middle[:, 0], middle[:, 1], f"{group}, true"))
    x_label, y_label = (f"{name}, read from the code" for name in names)
    chart = Chart("", (*marks, *dots), x_label, y_label, wide=1.0)
    keys: tuple[tuple[Role, str], ...] = tuple((one.role, one.name) for one in marks[:GROUPS_SHOWN])
    legend = (*keys, ("guide", "true mean")) if len(found) <= GROUPS_SHOWN else (("guide", "true mean"),)
    caption = "Each dot is a trial, placed where its code says it went; grey dots are where it should be."
    return Figure("codes", "Codes by target", caption, (chart,), columns=1, tab="Codes", legend=legend)


def weight_figure(weights: Sequence[float], cosines: Sequence[float], errors: Sequence[float], *, unit: str) -> Figure:
    """Trade-off of the weight of the discrepancy: orthogonality of directions against error of held-out targets.

    Args:
        weights: Weights tried.
        cosines: Mean absolute cosine of each.
        errors: Held-out error of each.
        unit: Of the errors.
    """
    x, y = np.asarray(cosines, float), np.asarray(errors, float)
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
        "What the weight of the discrepancy buys",
        caption,
        (chart,),
        columns=1,
        tab="Codes",
        legend=legend,
    )


def _behavior_figure(traversal: Trials, decoded: NDArray[np.float64], name: str, unit: str) -> Figure:
    """Mean decoded paths, end points, and achieved against asked changes."""
    amounts, along = _amounts(traversal), str(traversal.conditions["traversal_along"][0])
    last, roles = ends(decoded, traversal.lengths)[:, :2], _roles(len(amounts))
    shortest = int(traversal.lengths.min())
    paths, dots = [], []
    for amount, role in zip(amounts, roles, strict=True):
        rows, word = traversal.conditions["traversal"] == amount, f"{amount:+.3g}"
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
    asked = Series("dashes", "guide", amounts, amounts, "as asked")
    x_label, y_label = (f"{axis} of {name} ({unit})" for axis in "xy")
    charts = (
        Chart("Mean path", tuple(paths), x_label, y_label, wide=1.0, limits=_square(paths)),
        Chart("End points", tuple(dots), x_label, y_label, wide=1.0, limits=_square(dots)),
        Chart(
            "Change of the end point",
            (asked, *shares),
            f"asked change of {along}",
            f"mean change ({unit})",
            limits=_around_zero(amounts, [asked, *shares]),
            wide=1.0,
        ),
    )
    legend: list[tuple[Role, str]] = [(role, f"{amount:+.3g}") for amount, role in zip(amounts, roles, strict=True)]
    caption = (
        f"{name} decoded from generated activity by a decoder of recorded activity, at each point of the traversal "
        f"along {along}. Right: x of the end point blue, y orange; the dashed line is what was asked of {along}."
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
    """Limits that show every line whole, what was asked for included."""
    x = 1.06 * float(np.abs(amounts).max(initial=0)) or 1.0
    y = 1.06 * max(float(np.nanmax(np.abs(np.asarray(one.y, float)), initial=0)) for one in drawn) or 1.0
    return -x, x, -y, y


def _changes(traversal: Trials, last: NDArray[np.float64]) -> NDArray[np.float64]:
    """End points less that of the same trial where the least was asked for."""
    amount, trial = np.asarray(traversal.conditions["traversal"], float), traversal.conditions["traversal_trial"]
    middle = amount == _amounts(traversal)[np.abs(_amounts(traversal)).argmin()]
    home = dict(zip(trial[middle].tolist(), last[middle], strict=True))
    return last - np.stack([home[number] for number in trial.tolist()])


def _unit_figure(traversal: Trials) -> Figure:
    """Mean response at each point of the neurons that change most along the traversal."""
    amounts, along = _amounts(traversal), str(traversal.conditions["traversal_along"][0])
    shortest = int(traversal.lengths.min())
    given = traversal.rates
    activity = (
        smooth(traversal.counts, sd=SMOOTHED / traversal.bin_width, mask=traversal.mask) if given is None else given
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
        f"Mean rate (spikes/s) against time (s) at each point of the traversal along {along}; neurons that change most."
    )
    return Figure(
        _key("traversal-units", along),
        f"Units along {along}",
        caption,
        charts,
        columns=3,
        tab="Traversal",
        legend=legend,
    )


def _square(series: Sequence[Series]) -> tuple[float, float, float, float]:
    """Limits that hold all marks and are equally wide on both axes, so that paths keep their shape."""
    x, y = (np.concatenate([getattr(one, axis) for one in series]) for axis in "xy")
    half = 0.54 * max(np.ptp(x), np.ptp(y), 1e-9)
    across, up = (float(values.min() + values.max()) / 2 for values in (x, y))
    return across - half, across + half, up - half, up + half


def _key(word: str, along: str) -> str:
    """Word for file names and the page: letters and digits of the variable only."""
    return f"{word}-{re.sub(r'[^0-9a-zA-Z_]+', '-', along)}"


def _amounts(traversal: Trials) -> NDArray[np.float64]:
    """Changes asked for, rising, one per point."""
    return np.unique(np.asarray(traversal.conditions["traversal"], np.float64))


def _roles(points: int) -> list[Role]:
    """A colour for each point."""
    return [COLORS[int(k)] for k in np.linspace(0, len(COLORS) - 1, points).round()] if points > 1 else [COLORS[0]]
