"""Tables of a report or a comparison for a terminal, with the library rich."""

from rich.table import Table
from rich.text import Text

from spikeloom.report.findings import Findings
from spikeloom.report.rows import Row
from spikeloom.report.standings import Standings
from spikeloom.report.words import number, percent, short, spread


def panel_table(report: Findings) -> Table:
    """Return the panel as a table: value, noise floor, baselines, ideal and distance closed of each metric."""
    table = Table(title="Generated against recorded trials", title_justify="left", pad_edge=False)
    table.add_column("metric")
    for name in ("generated", "noise floor", *report.baseline_names, "ideal", "closed"):
        table.add_column(Text(name), justify="right")
    table.add_column("note", style="dim")
    for row in report.in_order:
        baselines = [number(row.baselines.get(name)) for name in report.baseline_names]
        title = f"{row.metric.title} ({row.metric.unit})" if row.metric.unit else row.metric.title
        cells = [spread(row.value, row.sd), spread(row.floor, row.floor_sd), *baselines, number(row.metric.ideal)]
        is_green = row.closed is not None and row.at_floor
        closed = Text(closed_words(row), style="green" if is_green else "")
        table.add_row(*[Text(cell) for cell in (title, *cells)], closed, Text(short(row.note)))
    return table


def protocol_table(report: Findings) -> Table:
    """Return the results of the published LDNS protocol as a table."""
    table = Table(title="LDNS protocol, as published", title_justify="left", pad_edge=False)
    table.add_column("measure")
    names = list(dict.fromkeys(name for row in report.protocol for name in row.baselines))
    for name in ("generated", *names):
        table.add_column(name, justify="right")
    for row in report.protocol:
        title = f"{row.title} ({row.unit})" if row.unit else row.title
        table.add_row(title, spread(row.value, row.sd), *[number(row.baselines.get(name)) for name in names])
    return table


def closed_words(row: Row) -> str:
    """Return the distance closed as text, or the reason why it is missing."""
    if row.closed is not None:
        return percent(row.closed)
    if row.value is None or row.metric.group == "memorisation":
        return ""
    if row.at_floor:
        return "at floor, as is the baseline"
    return "baseline at floor" if row.baseline is not None else ""


def comparison_table(standings: Standings) -> Table:
    """Return a table of several models, one metric per line."""
    table = Table(title="Models against recorded trials", title_justify="left", pad_edge=False)
    for name in ("metric", *standings.names, "noise floor", "baseline", *standings.baselines, "winner"):
        table.add_column(Text(name), justify="left" if name in ("metric", "winner") else "right")
    for metric in standings.metrics:
        rows = [standings.rows[name][metric.name] for name in standings.names]
        verdict = standings.verdicts[metric.name]
        cells = [metric.title, *[spread(row.value, row.sd) for row in rows]]
        cells.append(spread(rows[0].floor, rows[0].floor_sd))
        cells += [spread(value, None) for value in standings.baseline_values(metric)]
        table.add_row(*[Text(cell) for cell in cells], Text(verdict.winner or f"none: {verdict.reason}"))
    return table
