"""Figures with matplotlib: one function per panel, each taking an `Axes`, and the report's figures as SVG and PDF.

The functions draw on existing axes and return nothing. None of them opens a window or keeps global state, so they can
be combined in any figure of a paper:

    fig, axes = plt.subplots(1, 2)
    figures.raster(axes[0], real)
    figures.population_counts(axes[1], real, fake)

`views.py` computes the content of each figure, for these files and for the page; this module draws it. matplotlib is an
extra (`pip install 'spikeloom[figures]'`) and is imported where it is needed.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikeloom.errors import missing_extra
from spikeloom.files import atomic_path
from spikeloom.report import views
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
    "pdf.fonttype": 42,
    "figure.dpi": 120,
}

PAPER = {
    "full": (2.0, 0.6, 0.75, 0.5, 0.85),
    "medium": (1.6, 0.6, 0.7, 0.5, 0.85),
    "compact": (1.5, 0.55, 0.4, 0.5, 0.45),
    "bare": (1.1, 0.1, 0.12, 0.1, 0.28),
}
"""Width of the axes, left margin, gap between columns, bottom margin, and gap between rows, in inches."""

DOTS = ((60, 8.0, 0.85), (400, 4.5, 0.6), (math.inf, 2.2, 0.35))
"""Largest number of dots, their size in points, and their opacity."""


def raster(axes: "Axes", trials: Trials, *, trial: int = 0) -> None:
    """Draw the spikes of one trial: time in seconds against neurons, the most active on top."""
    time = int(trials.lengths[trial])
    draw(axes, views.one_raster(trials, trial=trial, order=views.in_raster(trials, time)))


def psth(
    axes: "Axes", real: Trials, fake: Trials, *, neuron: int = 0, condition: str | None = None, value: object = None
) -> None:
    """Draw the mean rate of one neuron over the trials of one condition value, in spikes/s (Gaussian, sd 20 ms)."""
    draw(axes, views.one_psth(real, fake, neuron=neuron, condition=condition, value=value))


def population_counts(axes: "Axes", real: Trials, fake: Trials) -> None:
    """Draw the distribution of the number of spikes of all neurons in one bin."""
    draw(axes, views.population_counts(real, fake).charts[0])


def pairwise_correlations(axes: "Axes", real: Trials, fake: Trials) -> None:
    """Draw the correlation of each pair of neurons at 20 ms, recorded against generated."""
    draw(axes, views.from_metric("pairwise_correlation_r", real, fake))


def noise_correlations(axes: "Axes", real: Trials, fake: Trials, *, condition: str | None = None) -> None:
    """Draw the correlation of each pair's trial counts around their condition means, recorded against generated."""
    draw(axes, views.from_metric("noise_correlation_r", real, fake, condition=condition))


def interval_means(axes: "Axes", real: Trials, fake: Trials) -> None:
    """Draw the mean interval between spikes of each neuron in seconds, recorded against generated."""
    draw(axes, views.from_metric("isi_mean_r", real, fake))


def interval_variation(axes: "Axes", real: Trials, fake: Trials) -> None:
    """Draw the coefficient of variation of each neuron's intervals, recorded against generated."""
    draw(axes, views.from_metric("isi_cv_r", real, fake))


def fano_factors(axes: "Axes", real: Trials, fake: Trials, *, condition: str | None = None) -> None:
    """Draw the Fano factor of each neuron, recorded against generated."""
    draw(axes, views.from_metric("fano_median_ratio", real, fake, condition=condition))


def autocorrelogram(axes: "Axes", real: Trials, fake: Trials, *, neuron: int | None = None) -> None:
    """Draw the autocorrelation of one neuron or of the population count against the lag in seconds."""
    draw(axes, views.one_autocorrelogram(real, fake, neuron=neuron))


def trajectories(axes: "Axes", trials: Trials, *, condition: str | None = None, basis: Trials | None = None) -> None:
    """Draw condition means on the first two principal components of `basis`, or of the trials if it is absent."""
    draw(axes, views.trajectories(trials if basis is None else basis, trials, condition=condition).charts[1])


def spectrum(axes: "Axes", real: Trials, fake: Trials) -> None:
    """Draw the power spectrum of the population count against frequency in Hz."""
    draw(axes, views.spectra(real, fake).charts[0])


def draw(axes: "Axes", chart: Chart) -> None:
    """Draw one chart on the axes, in the colours for white paper."""
    low_x, high_x, low_y, high_y = chart.bounds()
    if chart.diagonal:
        axes.plot([low_x, high_x], [low_y, high_y], color=LIGHT["guide"], lw=0.8, ls=(0, (4, 3)), zorder=0)
        axes.set_aspect("equal")
    for one in chart.series:
        _ink(axes, one)
    if "x" in chart.log:
        axes.set_xscale("log")
    if "y" in chart.log:
        axes.set_yscale("log")
    axes.set(xlim=(low_x, high_x), ylim=(low_y, high_y), title=chart.title, xlabel=chart.x_label, ylabel=chart.y_label)
    if chart.names:
        axes.set_yticks(range(len(chart.names)), chart.names)
    if chart.size == "bare":
        axes.set(xticks=[], yticks=[], xlabel="", ylabel="")


def _ink(axes: "Axes", one: Series) -> None:
    color = LIGHT[one.role]
    if one.kind == "ticks":
        x = np.repeat(one.x, 3).astype(float)  # one path with gaps: a raster of 1,000 strokes stays small
        y = (np.asarray(one.y)[:, None] + np.array([-0.45, 0.45, np.nan])).ravel()
        axes.plot(x, y, color=color, lw=0.45)
    elif one.kind == "points":
        size, ink = next(look for most, *look in DOTS if len(one.x) <= most)
        axes.plot(one.x, one.y, ".", color=color, ms=size, alpha=ink, mew=0, label=one.word)
    elif one.kind == "steps":
        axes.step(one.x, one.y, where="post", color=color, lw=1.1, label=one.word)
    else:
        axes.plot(one.x, one.y, color=color, lw=1.1, ls=(0, (5, 3)) if one.kind == "dashes" else "-", label=one.word)


def save(figure: Figure, folder: Path) -> list[Path]:
    """Write one figure as `<key>.svg` and `<key>.pdf`, each atomically, and return the paths.

    Raises:
        SettingError: if matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure as Sheet
        from matplotlib.lines import Line2D
    except ImportError as error:
        raise missing_extra("Figures need", "matplotlib", "figures") from error
    first = figure.charts[0]
    columns = min(figure.columns, len(figure.charts))
    rows = math.ceil(len(figure.charts) / columns)
    inch, left, gap, low, between = PAPER[first.size]
    left, wide = (2.4, inch + 3.0) if first.names else (left, inch)
    high = wide if first.diagonal else wide / first.wide
    size = (left + columns * wide + (columns - 1) * gap + 0.3, low + rows * high + (rows - 1) * between + 0.6)
    paths = [folder / f"{figure.key}.{kind}" for kind in ("svg", "pdf")]
    with matplotlib.rc_context(STYLE):
        sheet = Sheet(figsize=size)
        FigureCanvasAgg(sheet)  # no window, no pyplot, no global figure list
        grid = sheet.subplots(rows, columns, squeeze=False)
        sheet.subplots_adjust(
            left=left / size[0],
            right=1 - 0.3 / size[0],
            bottom=low / size[1],
            top=1 - 0.6 / size[1],
            wspace=gap / wide,
            hspace=between / high,
        )
        for axes, chart in zip(grid.flat, figure.charts, strict=False):
            draw(axes, chart)
            if chart.size == "compact":  # labels on the outer axes only, and room for the titles
                axes.set_title(chart.title, fontsize=6.5)
                axes.label_outer()
        for axes in list(grid.flat)[len(figure.charts) :]:
            axes.axis("off")
        keys = [Line2D([], [], color=LIGHT[role], lw=2, label=word) for role, word in figure.legend]
        sheet.legend(handles=keys, loc="upper right", ncols=max(1, min(len(keys), 4)), frameon=False)
        dateless: list[dict[str, None]] = [{"Date": None}, {"CreationDate": None}]
        for path, metadata in zip(paths, dateless, strict=True):
            with atomic_path(path) as temporary:
                sheet.savefig(temporary, format=path.suffix[1:], metadata=metadata)
    return paths
