"""A `Report` as one self-contained HTML page that opens from a mail attachment.

The page contains its styles, its figures as SVG, and a small script for the tabs and for values under the pointer. It
makes no network requests, and its content security policy forbids them. The policy allows only the script of this page,
by its hash. All text is escaped, so a neuron or condition named `<script>` cannot run. Without scripts, as in some mail
previews, and on paper, the contents of all tabs are shown below each other. A tab consists of cards, which are boxes
with a title.
"""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from html import escape
from importlib.resources import files
from typing import get_args

from spikeloom.report import svg
from spikeloom.report.chart import DARK, LIGHT, NAMES, Chart, Figure, Role
from spikeloom.report.findings import Findings
from spikeloom.report.rows import LEARNED, ProtocolRow, Row
from spikeloom.report.words import number, percent, short, small, spread

LOOKS = ("Activity", "Neurons", "Population", "Conditions", "Codes", "Traversal")
"""Tabs that hold only figures."""

TABS = ("Numbers", *LOOKS, "Memorisation", "LDNS protocol", "About")


def page(report: Findings, figures: Sequence[Figure]) -> str:
    """Return the page of a report as HTML text.

    Args:
        report: Findings of the report.
        figures: Figures of the report.
    """
    body = f"""<header><h1>Generated against recorded spikes</h1>
<p class="summary">{escape(report.summary)}</p>
<div class="facts">{_facts_line(report)}</div></header>
<main>{_tabs(_tab_contents(report, figures))}</main>
<footer>Made by spikeloom. Recorded: blue. Generated: orange. Point at a figure to see its values.</footer>"""
    return document("spikeloom report", body)


def document(title: str, body: str) -> str:
    """Return a complete HTML page with styles, script and content security policy.

    Args:
        title: Title of the page; it is escaped.
        body: Content of the page as HTML.
    """
    script = _text("page.js")
    style = _style()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="spikeloom">
<meta name="referrer" content="no-referrer">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<style>{style}</style></head>
<body>{body}
<div id="tip" role="status" hidden></div>
<script>{script}</script></body></html>
"""


def figure_html(figure: Figure) -> str:
    """Return a figure as HTML: title, caption, legend and charts."""
    entries = "".join(
        f'<span><i style="background:var(--{role})"></i>{escape(word)}</span>' for role, word in figure.legend
    )
    legend = f'<div class="legend">{entries}</div>' if entries else ""
    if figure.key == "rasters":
        charts = _rasters(figure)
    elif figure.columns == 1:
        charts = _grid(figure.charts, figure.columns, " one")
    else:
        is_small = figure.charts[0].size in ("compact", "bare")
        charts = _grid(figure.charts, figure.columns, " small" if is_small else "")
    head = f"<h2>{escape(figure.title)}</h2><figcaption>{escape(figure.caption)}</figcaption>{legend}"
    side = " side" if figure.columns == 2 else ""  # the text stands beside the charts
    return f'<figure class="card{side}" id="figure-{figure.key}"><div>{head}</div>{charts}</figure>'


# --- parts ---------------------------------------------------------------------------------------------------------


def _tab_contents(report: Findings, figures: Sequence[Figure]) -> dict[str, str]:
    """Return the content of each tab as HTML, name -> content; tabs without content are left out."""
    contents = {
        "Numbers": _glance(figures) + _panel_table(report),
        "Memorisation": _verdict(report),
        "LDNS protocol": _protocol(report),
        "About": _about(report),
    }
    for figure in figures:
        contents[figure.tab] = contents.get(figure.tab, "") + figure_html(figure)
    return {tab: contents[tab] for tab in TABS if contents.get(tab)}


def _glance(figures: Sequence[Figure]) -> str:
    """Return the card "At a glance" as HTML, or "" if there are no figures.

    It shows one recorded and one generated trial, population counts and pairwise correlations.
    """
    charts_of = {figure.key: figure.charts for figure in figures}
    charts = []
    for role, title in (("real", "recorded"), ("fake", "generated")):
        rasters = [chart for chart in charts_of.get("rasters", ()) if chart.series[0].role == role]
        charts += [replace(chart, title=title, wide=1.35, size="medium") for chart in rasters[:1]]
    charts += [chart for key in ("population_counts", "pairs") for chart in charts_of.get(key, ())[:1]]
    if not charts:
        return ""
    note = (
        "One recorded and one generated trial, the number of spikes of all neurons in one bin, and the correlation of "
        "each pair of neurons."
    )
    keys = "".join(f'<span><i style="background:var(--{role})"></i>{NAMES[role]}</span>' for role in NAMES)
    return (
        f'<div class="card" id="glance"><h2>At a glance</h2><p class="soft">{note}</p>'
        f'<div class="legend">{keys}</div>{_grid(charts, 4, " small")}</div>'
    )


def _tabs(contents: dict[str, str]) -> str:
    """Return the buttons of the tabs and their contents as HTML."""
    buttons = []
    parts = []
    for index, (name, content) in enumerate(contents.items()):
        button = f'type="button" role="tab" id="tab-{index}" aria-controls="panel-{index}" aria-selected="false"'
        buttons.append(f"<button {button}>{escape(name)}</button>")
        parts.append(f'<section role="tabpanel" id="panel-{index}" aria-labelledby="tab-{index}">{content}</section>')
    return f'<div role="tablist" hidden>{"".join(buttons)}</div>{"".join(parts)}'


def _facts_line(report: Findings) -> str:
    """Return the sources of recorded, generated and training trials as HTML."""
    shown = [(name, report.facts[name]) for name in ("real", "fake", "reference") if report.facts.get(name)]
    return "".join(f"<span><b>{escape(name)}</b> {escape(text)}</span>" for name, text in shown)


def _verdict(report: Findings) -> str:
    """Return the verdict on memorisation as HTML, with the closest pairs."""
    memorisation = report.memorisation
    if isinstance(memorisation, str):
        reason = escape(memorisation)
        return f'<div class="card verdict unclear" id="memorisation"><h2>Memorisation</h2><p>{reason}</p></div>'
    closest = zip(memorisation.closest, memorisation.closest_distance, memorisation.closest_to_held_out, strict=True)
    rows = [
        (f"trial {fake}", f"trial {train}", number(float(to_training)), number(float(to_held_out)))
        for (fake, train), to_training, to_held_out in closest
    ]
    head = ("generated", "closest training trial", "distance", "distance to the closest held-out trial")
    level = {"clean": "good", "suspicious": "unclear", "swapped": "unclear", "copies": "found"}[memorisation.level]
    verdict = escape(memorisation.verdict)
    return (
        f'<div class="card verdict {level}" id="memorisation"><h2>Memorisation</h2><p>{verdict}</p>'
        f"<h3>Closest pairs</h3>{plain_table(head, rows)}</div>"
    )


def _panel_table(report: Findings) -> str:
    """Return the table of all metrics as HTML."""
    number_columns = ["generated", "noise floor", *report.baseline_names, "ideal"]
    number_heads = "".join(f"<th class=n>{escape(name)}</th>" for name in number_columns)
    columns = f"<th>metric</th>{number_heads}<th>distance closed</th>"
    rows = [_panel_row(report, row) for row in report.in_order]
    note = (
        "The most important metrics come first, then the others, sorted by distance closed (smallest first). The "
        "<b>noise floor</b> compares one half of the recorded trials with the other half. Both comparisons use the "
        "same number of trials. No generator can be shown to be better than the noise floor. <b>Distance closed</b> is "
        "0 % for independent Poisson spikes with the right mean rates (shown as “none”) and 100 % at the noise floor "
        "(“all”). Green bars mark values within two standard deviations of the floor."
    )
    if LEARNED in report.baseline_names:
        note += (
            f" <b>{LEARNED.capitalize()}</b> are recorded trials, but their mean rates have the sampling "
            "error that rates learned from the training trials have. More training trials make it smaller."
        )
    return (
        f'<div class="card" id="panel"><h2>Every metric beside its noise floor</h2><p class="soft">{note}</p>'
        f'<div class="scroll"><table class="stack"><thead><tr>{columns}</tr></thead><tbody>{"".join(rows)}</tbody>'
        "</table></div></div>"
    )


def _panel_row(report: Findings, row: Row) -> str:
    """Return one metric as a row of the table in HTML."""
    unit = f" ({escape(row.metric.unit)})" if row.metric.unit else ""
    note = f"[{short(row.note)}]" if row.note else ""
    explanation = " ".join(part for part in (row.metric.why, note) if part)
    cells = [f'<td class="metric">{escape(row.metric.title)}{unit}<small>{escape(explanation)}</small></td>']
    numbers = [("generated", row.value, row.sd), ("noise floor", row.floor, row.floor_sd)]
    numbers += [(name, row.baselines.get(name), None) for name in report.baseline_names]
    numbers += [("ideal", row.metric.ideal, None)]
    for label, value, sd in numbers:
        cells.append(f'<td class="n" data-label="{escape(label, quote=True)}"><span>{_spread(value, sd)}</span></td>')
    return f'<tr id="row-{escape(row.metric.name, quote=True)}">{"".join(cells)}{_closed(row)}</tr>'


def _closed(row: Row) -> str:
    """Return the cell with the distance closed as HTML: text and a bar, or the reason why the distance is missing."""
    if row.closed is None:
        if row.value is None:
            reason = "not computed, see the reason"
        elif row.metric.group == "memorisation":
            reason = "as for real trials; see Memorisation" if row.at_floor else "see Memorisation"
        elif row.at_floor is None:
            reason = "no noise floor to compare with"
        else:
            reason = "at the floor, as are Poisson spikes" if row.at_floor else "Poisson spikes reach the floor"
        return f'<td class="closed soft" data-label="closed">{reason}</td>'
    width = 100 * min(max(row.closed, 0.0), 1.0)
    color = " good" if row.at_floor else ""
    text = percent(row.closed) + (", at the floor" if row.at_floor else "")
    bar = f'<div class="bar{color}" role="img" aria-label="{width:.0f} %"><i style="width:{width:.1f}%"></i></div>'
    return f'<td class="closed" data-label="closed">{text}{bar}</td>'


def _protocol(report: Findings) -> str:
    """Return the card with the published LDNS protocol as HTML, or "" if it was not computed."""
    if not report.protocol:
        return ""
    names = list(dict.fromkeys(name for row in report.protocol for name in row.baselines))
    rows = [_protocol_cells(row, names) for row in report.protocol]
    return (
        '<div class="card" id="protocol"><h2>The LDNS protocol, exactly as published</h2>'
        f'<p class="soft">{escape(report.protocol_note)}</p>{plain_table(["measure", "generated", *names], rows)}</div>'
    )


def _protocol_cells(row: ProtocolRow, names: Sequence[str]) -> list[str]:
    """Return one measure of the protocol as text: title, value, and the baselines with these names."""
    title = f"{row.title} ({row.unit})" if row.unit else row.title
    value = spread(row.value, row.sd)
    return [title, value, *[number(row.baselines.get(name)) for name in names]]


def _about(report: Findings) -> str:
    """Return the cards with costs and facts about the comparison as HTML."""
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in report.facts.items())
    cost = plain_table(["", ""], report.cost.items())
    card = f'<div class="card" id="cost"><h2>Cost</h2>{cost}</div>' if report.cost else ""
    return f'{card}<div class="card" id="about"><h2>What was compared</h2><dl>{items}</dl></div>'


def plain_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a plain HTML table: the first column holds text, the others numbers.

    Args:
        head: Titles of the columns.
        rows: Cells of each row.
    """

    def cells(tag: str, texts: Sequence[str]) -> str:
        """Return the cells of one row as HTML."""
        classes = ("", *[' class="n"'] * (len(texts) - 1))
        return "".join(f"<{tag}{kind}>{escape(text)}</{tag}>" for kind, text in zip(classes, texts, strict=True))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    top = f"<thead><tr>{cells('th', head)}</tr></thead>"
    return f'<div class="scroll"><table class="plain">{top}<tbody>{body}</tbody></table></div>'


def _rasters(figure: Figure) -> str:
    """Return the rasters as HTML: recorded trials on the left, generated trials on the right."""
    sides = []
    for role, title in (("real", "Recorded"), ("fake", "Generated")):
        charts = [chart for chart in figure.charts if chart.series[0].role == role]
        sides.append(f"<div><h3>{title}</h3>{_grid(charts, 4, ' thumb')}</div>")
    return f'<div class="pair">{"".join(sides)}</div>'


def _grid(charts: Iterable[Chart], columns: int, style: str) -> str:
    """Return charts as an HTML grid with a number of columns. `style` is "" or a space and a further CSS class."""
    drawn = "".join(svg.draw(chart) for chart in charts)
    return f'<div class="charts{style}" style="--columns:{columns}">{drawn}</div>'


def _spread(value: float | None, sd: float | None) -> str:
    """Return value and standard deviation as HTML, or the value alone if there is no standard deviation."""
    if value is None or sd is None:
        return number(value)
    return f'{number(value, sd)} <span class="pm">± {small(value, sd)}</span>'


def _style() -> str:
    """Return the style sheet with the colours of the roles inserted."""
    light = "".join(f"--{role}:{color};" for role, color in LIGHT.items())
    dark = "".join(f"--{role}:{color};" for role, color in DARK.items())
    roles = "".join(f".chart .{role}{{stroke:var(--{role})}}" for role in get_args(Role))
    return _text("page.css").replace("/*LIGHT*/", light).replace("/*DARK*/", dark).replace("/*ROLES*/", roles)


def _text(name: str) -> str:
    """Return the text of a file of this package."""
    return files("spikeloom.report").joinpath(name).read_text("utf-8")
