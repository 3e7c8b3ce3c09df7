"""`Comparison`: several models beside each other, as a table, a figure and one self-contained HTML page."""

from dataclasses import dataclass
from html import escape
from os import PathLike
from pathlib import Path

import numpy as np
from rich.table import Table

from spikeloom import html
from spikeloom.files import atomic_write, ensure_folder, write_json
from spikeloom.report import figures
from spikeloom.report.chart import Chart, Figure, Role, Series
from spikeloom.report.page import document, figure_html, plain_table
from spikeloom.report.screen import comparison_table
from spikeloom.report.standings import Standings
from spikeloom.report.words import number, percent, spread

ROLES: tuple[Role, ...] = ("c5", "c6", "c3", "c7", "c1", "c2", "c4", "c0")
"""Colours of the models, in their order."""


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Standings):
    """Several models beside each other; `comparison.save("folder")` writes table, page and figure."""

    @property
    def figure(self) -> Figure:
        """Distance closed by each model: 0 at the Poisson baseline, 1 at the noise floor."""
        return comparison_figure(self)

    def __repr__(self) -> str:
        return f"{self.summary} Models: {', '.join(self.names)}. comparison.table() shows every metric."

    def _repr_html_(self) -> str:
        """Return the page in a frame for notebooks."""
        return html.frame(self.to_html())

    def to_html(self) -> str:
        """Return the comparison as one self-contained HTML page."""
        return page(self)

    def table(self) -> Table:
        """Return the comparison as a table for a terminal."""
        return comparison_table(self)

    def save(self, folder: str | PathLike[str]) -> Path:
        """Write compare.json, compare.csv, compare.html and figures/comparison.svg and .pdf, and return the folder."""
        target = ensure_folder(folder)
        atomic_write(target / "compare.csv", self.to_csv().encode())
        atomic_write(target / "compare.html", self.to_html().encode())
        figures.save(self.figure, ensure_folder(target / "figures"))
        write_json(target / "compare.json", self.to_dict())
        return target


def comparison_figure(standings: Standings) -> Figure:
    """Draw the distance closed by each model, one line per metric and one dot per model."""
    first_model = standings.rows[standings.names[0]]
    shown = [metric for metric in standings.metrics if first_model[metric.name].discriminates]
    shown = shown[::-1]  # row 0 is the lowest row, and the first metric is drawn on top
    n_models = len(standings.names)
    step = min(0.16, 0.8 / n_models)  # vertical distance between the dots of two models
    series = []
    for index, name in enumerate(standings.names):
        distances = [standings.rows[name][metric.name].closed for metric in shown]
        x = np.array([np.nan if closed is None else np.clip(closed, -0.25, 1.25) for closed in distances], float)
        y = np.arange(len(shown)) + step * (index - (n_models - 1) / 2)  # the dots of the models lie around the line
        texts = [percent(closed) or "not computed" for closed in distances]
        labels = [f"{metric.title}: {text}" for metric, text in zip(shown, texts, strict=True)]
        series.append(Series("points", ROLES[index % len(ROLES)], x, y, name=name, labels=labels))
    height = np.array([-0.6, len(shown) - 0.4])  # lower and upper end of the axes, in rows
    lines = [Series("dashes", "guide", np.full(2, at), height) for at in (0.0, 1.0)]  # at the baseline and at the floor
    chart = Chart(
        "0: independent Poisson spikes, 1: noise floor",
        (*lines, *series),
        x_label="distance closed",
        limits=(-0.3, 1.3, -0.6, len(shown) - 0.4),
        rows=[metric.title for metric in shown],
        wide=22.0 / max(len(shown), 8),  # rows have the same height in every figure of 8 or more metrics
    )
    legend = tuple((ROLES[index % len(ROLES)], name) for index, name in enumerate(standings.names))
    caption = (
        "Values below -0.25 and above 1.25 are drawn at these limits. "
        "Metrics on which independent Poisson spikes also reach the noise floor are left out."
    )
    return Figure("comparison", "Distance closed by each model", caption, (chart,), columns=1, legend=legend)


def page(standings: Standings) -> str:
    """Return the comparison as HTML text: figure, table of metrics, costs and facts."""
    names = standings.names
    columns = ["metric", "noise floor", *names, "baseline", *standings.baselines, "winner"]
    classes = ["", *[' class="n"'] * (len(columns) - 2), ""]
    top = "".join(f"<th{kind}>{escape(column)}</th>" for kind, column in zip(classes, columns, strict=True))
    rows = []
    for metric in standings.metrics:
        model_rows = [standings.rows[name][metric.name] for name in names]
        verdict = standings.verdicts[metric.name]
        floor = spread(model_rows[0].floor, model_rows[0].floor_sd)
        values = [
            spread(row.value, row.sd) + _sampling(standings.models[name].sample_sd[metric.name])
            for name, row in zip(names, model_rows, strict=True)
        ]
        baselines = [number(value) for value in standings.baseline_values(metric)]
        cells = "".join(
            f'<td class="n" data-label="{escape(column, quote=True)}">{escape(text)}</td>'
            for column, text in zip(columns[1:-1], (floor, *values, *baselines), strict=True)
        )
        unit = f" ({escape(metric.unit)})" if metric.unit else ""
        winner = f"<b>{escape(verdict.winner)}</b>" if verdict.winner else f"no winner: {escape(verdict.reason)}"
        rows.append(
            f'<tr><td class="metric">{escape(metric.title)}{unit}<small>{escape(metric.why)}</small></td>{cells}'
            f'<td class="soft won" data-label="winner">{winner}</td></tr>'
        )
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in standings.facts.items())
    body = f"""<header><h1>Models compared</h1><p class="summary">{escape(standings.summary)}</p></header>
<main>{figure_html(comparison_figure(standings))}
<div class="card"><h2>Every metric</h2><p class="soft">± is the standard deviation over runs with
different training seeds; in brackets, the standard deviation over samples of one run.</p>
<div class="scroll"><table class="stack"><thead><tr>{top}</tr></thead>
<tbody>{"".join(rows)}</tbody></table></div></div>
{_costs(standings)}<div class="card"><h2>What was compared</h2><dl>{facts}</dl></div></main>
<footer>Made by spikeloom. All models were compared with the same recorded trials, in equal numbers.</footer>"""
    return document("spikeloom comparison", body)


def _sampling(sd: float | None) -> str:
    """Return the standard deviation over samples of one run in brackets, with one digit; "" if it is unknown."""
    return "" if sd is None else f" ({number(float(f'{sd:.1g}'))})"


def _costs(standings: Standings) -> str:
    """Return a table of costs, one column per model; an empty text if no cost was recorded."""
    costs = list(dict.fromkeys(cost for model in standings.models.values() for cost in model.cost))
    rows = [(cost, *(model.cost.get(cost, "–") for model in standings.models.values())) for cost in costs]
    table = plain_table(["", *standings.names], rows)
    return f'<div class="card" id="cost"><h2>Cost</h2>{table}</div>' if costs else ""
