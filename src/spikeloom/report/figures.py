"""Figures with matplotlib: one function per panel, each taking an `Axes`, and the report's figures as SVG and PDF.

The functions draw on existing axes and return nothing. None of them opens a window or keeps global state, so they can
be combined in any figure of a paper:

    fig, axes = plt.subplots(1, 2)
    figures.raster(axes[0], real)
    figures.population_counts(axes[1], real, fake)

`views.py`, `rasters.py` and `scatters.py` compute the content of each figure, for these files and for the page; this
module draws it. matplotlib is an extra (`pip install 'spikeloom[figures]'`) and is imported where it is needed.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikeloom.errors import missing_extra
from spikeloom.files import atomic_path
from spikeloom.report import rasters, scatters, views
from spikeloom.report.chart import LIGHT, Chart, Figure, Series
from spikeloom.trials import Trials

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLE: dict[Any, Any] = {  # the types of matplotlib list the names of all its settings
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "svg.fonttype": "none",  # text stays text, so that a journal's fonts can replace it
    "svg.hashsalt": "spikeloom",  # equal figures give equal files
    "pdf.fonttype": 42,  # TrueType fonts, so that text can be edited
    "figure.dpi": 120,
}

PAPER = {
    "full": (2.0, 0.6, 0.75, 0.5, 0.85),
    "medium": (1.6, 0.6, 0.7, 0.5, 0.85),
    "compact": (1.5, 0.55, 0.4, 0.5, 0.45),
    "bare": (1.1, 0.1, 0.12, 0.1, 0.28),
}
"""Lengths on paper for each size of a chart, in inches: width of the axes, left margin, gap between columns, bottom
margin, and gap between rows."""

DOTS = ((60, 8.0, 0.85), (400, 4.5, 0.6), (math.inf, 2.2, 0.35))
"""Look of dots: up to the first number of dots, their size in points and their opacity."""


def raster(axes: "Axes", trials: Trials, *, trial: int = 0) -> None:
    """Draw the spikes of one trial: time in seconds against neurons, the most active on top."""
    time = int(trials.lengths[trial])
    draw(axes, rasters.one_raster(trials, trial=trial, order=rasters.in_raster(trials, time)))


def psth(
    axes: "Axes", real: Trials, fake: Trials, *, neuron: int = 0, condition: str | None = None, value: object = None
) -> None:
    """Draw the mean rate of one neuron over the trials of one condition value, in spikes/s (Gaussian, sd 20 ms)."""
    draw(axes, views.one_psth(real, fake, neuron=neuron, condition=condition, value=value))


def population_counts(axes: "Axes", real: Trials, fake: Trials) -> None:
    """Draw the distribution of the number of spikes of all neurons in one bin."""
    draw(axes, views.population_counts(real, fake).charts[0])  # the second chart has a logarithmic axis


def pairwise_correlations(axes: "Axes", real: Trials, fake: Trials) -> None:
    """Draw the correlation of each pair of neurons at 20 ms, recorded against generated."""
    draw(axes, scatters.from_metric("pairwise_correlation_r", real, fake))


def noise_correlations(axes: "Axes", real: Trials, fake: Trials, *, condition: str | None = None) -> None:
    """Draw the correlation of each pair's trial counts around their condition means, recorded against generated."""
    draw(axes, scatters.from_metric("noise_correlation_r", real, fake, condition=condition))


def interval_means(axes: "Axes", real: Trials, fake: Trials) -> None:
    """Draw the mean interval between spikes of each neuron in seconds, recorded against generated."""
    draw(axes, scatters.from_metric("isi_mean_r", real, fake))


def interval_variation(axes: "Axes", real: Trials, fake: Trials) -> None:
    """Draw the coefficient of variation of each neuron's intervals, recorded against generated."""
    draw(axes, scatters.from_metric("isi_cv_r", real, fake))


def fano_factors(axes: "Axes", real: Trials, fake: Trials, *, condition: str | None = None) -> None:
    """Draw the Fano factor of each neuron, recorded against generated."""
    draw(axes, scatters.from_metric("fano_median_ratio", real, fake, condition=condition))


def autocorrelogram(axes: "Axes", real: Trials, fake: Trials, *, neuron: int | None = None) -> None:
    """Draw the autocorrelation of one neuron or of the population count against the lag in seconds."""
    draw(axes, views.one_autocorrelogram(real, fake, neuron=neuron))


def trajectories(axes: "Axes", trials: Trials, *, condition: str | None = None, basis: Trials | None = None) -> None:
    """Draw condition means on the first two principal components of `basis`. `None` takes those of the trials."""
    figure = views.trajectories(trials if basis is None else basis, trials, condition=condition)
    draw(axes, figure.charts[1])  # the first chart shows `basis`


def spectrum(axes: "Axes", real: Trials, fake: Trials) -> None:
    """Draw the power spectrum of the population count against frequency in Hz."""
    draw(axes, views.spectra(real, fake).charts[0])


def draw(axes: "Axes", chart: Chart) -> None:
    """Draw one chart on the axes, in the colours for white paper."""
    low_x, high_x, low_y, high_y = chart.bounds()
    if chart.diagonal:
        axes.plot([low_x, high_x], [low_y, high_y], color=LIGHT["guide"], lw=0.8, ls=(0, (4, 3)), zorder=0)
        axes.set_aspect("equal")
    for series in chart.series:
        _draw_series(axes, series)
    if "x" in chart.log:
        axes.set_xscale("log")
    if "y" in chart.log:
        axes.set_yscale("log")
    axes.set(xlim=(low_x, high_x), ylim=(low_y, high_y), title=chart.title, xlabel=chart.x_label, ylabel=chart.y_label)
    if chart.names:
        axes.set_yticks(range(len(chart.names)), chart.names)
    if chart.size == "bare":
        axes.set(xticks=[], yticks=[], xlabel="", ylabel="")


def _draw_series(axes: "Axes", series: Series) -> None:
    """Draw one series on the axes."""
    color = LIGHT[series.role]
    if series.kind == "ticks":
        # All spikes are one line with gaps (NaN). This keeps the file of a raster of 1,000 spikes small.
        x = np.repeat(series.x, 3).astype(float)
        y = (np.asarray(series.y)[:, None] + np.array([-0.45, 0.45, np.nan])).ravel()
        axes.plot(x, y, color=color, lw=0.45)
    elif series.kind == "points":
        size, opacity = next(look for most, *look in DOTS if len(series.x) <= most)
        axes.plot(series.x, series.y, ".", color=color, ms=size, alpha=opacity, mew=0, label=series.word)
    elif series.kind == "steps":
        axes.step(series.x, series.y, where="post", color=color, lw=1.1, label=series.word)
    else:
        style = (0, (5, 3)) if series.kind == "dashes" else "-"
        axes.plot(series.x, series.y, color=color, lw=1.1, ls=style, label=series.word)


def save(figure: Figure, folder: Path) -> list[Path]:
    """Write one figure as `<key>.svg` and `<key>.pdf`, each atomically, and return the paths.

    Raises:
        SettingError: if matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure as Paper
        from matplotlib.lines import Line2D
    except ImportError as error:
        raise missing_extra("Figures need", "matplotlib", "figures") from error
    first = figure.charts[0]
    columns = min(figure.columns, len(figure.charts))
    rows = math.ceil(len(figure.charts) / columns)
    width, left, column_gap, bottom, row_gap = PAPER[first.size]
    right = 0.3  # margins in inches
    top = 0.6
    if first.names:  # a dot plot, with room for the names of its rows
        left = 2.4
        width += 3.0
    height = width if first.diagonal else width / first.wide
    paper_width = left + columns * width + (columns - 1) * column_gap + right
    paper_height = bottom + rows * height + (rows - 1) * row_gap + top
    paths = [folder / f"{figure.key}.{kind}" for kind in ("svg", "pdf")]
    with matplotlib.rc_context(STYLE):
        paper = Paper(figsize=(paper_width, paper_height))
        FigureCanvasAgg(paper)  # draws without pyplot, its windows and its list of figures
        grid = paper.subplots(rows, columns, squeeze=False)
        paper.subplots_adjust(
            left=left / paper_width,
            right=1 - right / paper_width,
            bottom=bottom / paper_height,
            top=1 - top / paper_height,
            wspace=column_gap / width,
            hspace=row_gap / height,
        )
        for axes, chart in zip(grid.flat, figure.charts, strict=False):
            draw(axes, chart)
            if chart.size == "compact":  # labels on the outer axes only, and room for the titles
                axes.set_title(chart.title, fontsize=6.5)
                axes.label_outer()
        for axes in list(grid.flat)[len(figure.charts) :]:
            axes.axis("off")
        keys = [Line2D([], [], color=LIGHT[role], lw=2, label=word) for role, word in figure.legend]
        paper.legend(handles=keys, loc="upper right", ncols=max(1, min(len(keys), 4)), frameon=False)
        # without a date, equal figures give equal files
        no_date: list[dict[str, None]] = [{"Date": None}, {"CreationDate": None}]
        for path, metadata in zip(paths, no_date, strict=True):
            with atomic_path(path) as temporary:
                paper.savefig(temporary, format=path.suffix[1:], metadata=metadata)
    return paths
