"""The page about the contents of codes: which behavioural variables they hold, with angles and a figure.

A code is the vector that a model assigns to a complete trial. A code holds a variable if a linear map of the code
predicts the variable better than chance. The direction of a variable is the direction in which codes change when the
variable changes.
"""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from spikeloom.metrics.contents import PLANES, Content, Contents
from spikeloom.report.chart import Chart, Figure, Role, Series
from spikeloom.report.page import document, figure_html, plain_table
from spikeloom.shapes import Numbers

FIFTHS: tuple[Role, ...] = ("c5", "c2", "c3", "c1", "c6")
"""Colours of the fifths of a variable, from the lowest to the highest, or of the first five values of a text."""

MOST_DRAWN = 12
"""Largest number of variables in the figure."""

MOST_ANGLES = 10
"""Largest number of variables in the table of angles."""


def contents_page(all_contents: Contents, agreement: Mapping[str, Numbers] | None = None) -> str:
    """Return the page as HTML text.

    Args:
        all_contents: Contents of the codes of one model.
        agreement: Canonical correlations between the codes of two models, by the names of the pair.
    """
    summary = f"Codes hold {len(all_contents.held)} of {len(all_contents.each)} variables of the trials."
    body = "".join(
        (
            _table(all_contents),
            figure_html(code_space_figure(all_contents)) if all_contents.held else "",
            _angles(all_contents),
            _agreement(agreement or {}),
        )
    )
    head = f'<header><h1>Contents of codes</h1><p class="summary">{escape(summary)}</p></header>'
    return document("contents of codes", f"{head}<main>{body}</main><footer>Made by spikeloom.</footer>")


def contents_rows(all_contents: Contents) -> list[tuple[str, ...]]:
    """Return name, R^2, chance level, SNR and "held" of each variable as text, best first."""
    return [
        (
            content.name,
            f"{content.r2:.2f}",
            f"{content.chance:.2f}",
            f"{content.snr:.2g}",
            "yes" if content.is_held else "no",
        )
        for content in all_contents.each
    ]


def code_space_figure(all_contents: Contents) -> Figure:
    """Draw the codes in one chart for each held variable, in the plane that shows the variable best.

    Colours are fifths of the trials, sorted by the value of the variable.
    """
    charts = tuple(_chart(all_contents, content) for content in all_contents.held[:MOST_DRAWN])
    legend: tuple[tuple[Role, str], ...] = tuple(
        zip(FIFTHS, ("lowest fifth", "second", "third", "fourth", "highest fifth"), strict=True)
    )
    caption = (
        "Each dot is the code of a trial. The axes are the orthogonal directions of code space along which codes "
        f"change most with behaviour. Of the {PLANES} planes of such axes, each variable is drawn in the best one. "
        "Colours are the fifths of the variable. For a condition of text they are its first five values."
    )
    return Figure("code-space", "Code space", caption, charts, columns=3, tab="Codes", legend=legend)


def _chart(all_contents: Contents, content: Content) -> Chart:
    """Draw the codes of all trials in one plane, coloured by the fifths of a variable."""
    plane = all_contents.plane(content)
    x = all_contents.coordinates[:, 2 * plane]
    y = all_contents.coordinates[:, min(2 * plane + 1, all_contents.coordinates.shape[1] - 1)]
    group = _fifths(content)
    marks = tuple(Series("points", role, x[group == k], y[group == k]) for k, role in enumerate(FIFTHS))
    labels = (f"direction {2 * plane + 1}", f"direction {2 * plane + 2}")
    return Chart(f"{content.name} (R² {content.r2:.2f})", marks, *labels, wide=1.0, size="medium")


def _fifths(content: Content) -> Numbers:
    """Return the fifth of the variable in which each trial lies, 0 to 4; for text the number of its value."""
    values = np.asarray(content.values)
    if content.direction is None:  # a text
        return values
    edges = np.quantile(values, np.arange(1, len(FIFTHS)) / len(FIFTHS))
    return np.searchsorted(edges, values, side="right")


def _table(all_contents: Contents) -> str:
    """Return the card with one row per variable as HTML."""
    head = ("variable", "R²", "chance", "SNR", "held")
    explanation = (
        "R² is the fraction of a variable's variance that a linear map of the code explains in trials to which it was "
        "not fitted. The chance level is the largest R² of several repetitions with codes exchanged between trials. "
        "SNR is the explained variance divided by the residual variance. The last column says whether R² exceeds both "
        "the chance level and 0.05. A series has three variables per dimension: its last bin, its mean over the first "
        "bins (start), and its mean over the trial."
    )
    return _card("contents", "Variables in the code", explanation, plain_table(head, contents_rows(all_contents)))


def _angles(all_contents: Contents) -> str:
    """Return the card with the angles between directions as HTML, or "" with fewer than two variables."""
    names, angles = all_contents.angles()
    names = names[:MOST_ANGLES]
    angles = angles[:MOST_ANGLES, :MOST_ANGLES]
    if len(names) < 2:
        return ""
    rows = [(name, *(f"{angle:.0f}°" for angle in row)) for name, row in zip(names, angles, strict=True)]
    explanation = (
        "A direction is the change of the code with one variable. 90 degrees: the code separates the two variables. "
        "0 degrees: the code does not separate them, or they always change together in these trials."
    )
    return _card("angles", "Angles between directions", explanation, plain_table(("", *names), rows))


def _agreement(agreement: Mapping[str, Numbers]) -> str:
    """Return the card with canonical correlations as HTML, or "" if there is only one model."""
    if not agreement:
        return ""
    rows = [(pair, *agreement_cells(values)) for pair, values in agreement.items()]
    explanation = (
        "Canonical correlations between the codes of two models for the same trials, in trials to which the pairs of "
        "directions were not fitted. A value of 1 means that a linear map of one code gives the other code."
    )
    return _card("agreement", "Stability of codes", explanation, plain_table(AGREEMENT, rows))


AGREEMENT = ("models", "mean", "first", "median", "last")
"""Heading of the table of canonical correlations."""


def agreement_cells(correlations: Sequence[float] | Numbers) -> tuple[str, ...]:
    """Return the mean, the first, the median and the last correlation as text. The first one is the largest."""
    values = np.asarray(correlations, np.float64)
    return tuple(f"{value:.2f}" for value in (values.mean(), values[0], np.median(values), values[-1]))


def _card(key: str, title: str, explanation: str, content: str) -> str:
    """Return a section of the page as HTML: title, explanation and content.

    Args:
        key: Id of the section.
        title: Title of the section.
        explanation: Text below the title.
        content: Content of the section as HTML.
    """
    note = f'<p class="soft">{escape(explanation)}</p>'
    return f'<div class="card" id="{key}"><h2>{escape(title)}</h2>{note}{content}</div>'
