"""Figure of one trial: spikes, firing rates (if available) and each behaviour series, on one time axis.

The functions draw on the axes that are passed to them, so they fit into any figure. matplotlib is an extra
(`pip install 'spikeloom[figures]'`) and is imported when a figure is made.
"""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from spikeloom.angles import period_of
from spikeloom.errors import DataError, missing_extra
from spikeloom.text import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from spikeloom.trials.trials import Trials

MOST_NAMES = 8
"""Largest number of dimensions of a behaviour series for which a legend is drawn."""


def figure(
    rows: int, *, width: float = 7.0, row_inches: tuple[float, ...] | None = None, columns: int = 1
) -> "tuple[Figure, list[Axes]]":
    """Make a new figure and its axes, row by row; axes of a column share their horizontal axis.

    Args:
        rows: Number of rows of axes.
        width: Width of the figure in inches.
        row_inches: Height of each row in inches; 1.6 by default.
        columns: Number of columns of axes.

    Raises:
        SettingError: if matplotlib is not installed.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise missing_extra("Figures need", "matplotlib", "figures") from error
    heights = row_inches or (1.6,) * rows
    size = (width, sum(heights) + 0.5)  # with half an inch for the title and the label of the time axis
    new_figure, axes = plt.subplots(
        rows, columns, sharex="col", squeeze=False, figsize=size, layout="constrained", height_ratios=heights
    )
    return new_figure, list(axes.ravel())


def times(trials: "Trials", trial: int) -> Float[np.ndarray, " time"]:
    """Return the centre of each valid bin of a trial, in seconds from the start of the trial.

    Raises:
        DataError: if there is no such trial.
    """
    if not -len(trials) <= trial < len(trials):
        raise DataError(
            f"These are {counted(len(trials), 'trial')}, numbered from 0.",
            f"Trial {trial} was requested.",
            "Choose a smaller number." if len(trials) else "",
        )
    return (np.arange(int(trials.lengths[trial])) + 0.5) * trials.bin_width


def raster(axes: "Axes", trials: "Trials", *, trial: int = 0, color: str = "0.15") -> None:
    """Draw the spikes of one trial, one row per neuron. Several spikes in a bin are spread evenly inside it."""
    time = times(trials, trial)
    counts = np.asarray(trials.counts[trial, : len(time)]).astype(np.int64)
    bins, neuron = np.nonzero(counts)  # of each entry that holds spikes
    n_spikes = counts[bins, neuron]
    # number of each spike within its bin: bins with 2 and 1 spikes give 0, 1, 0
    rank = np.arange(int(n_spikes.sum())) - np.repeat(np.cumsum(n_spikes) - n_spikes, n_spikes)
    fraction = (rank + 1) / (np.repeat(n_spikes, n_spikes) + 1)  # position of each spike within its bin, from 0 to 1
    spike_times = (np.repeat(bins, n_spikes) + fraction) * trials.bin_width
    axes.eventplot(
        [spike_times[np.repeat(neuron, n_spikes) == row] for row in range(counts.shape[1])],
        colors=color,
        linelengths=0.85,
        linewidths=0.7,
    )
    axes.set(ylim=(-0.7, counts.shape[1] - 0.3), ylabel="neuron")


def rates(axes: "Axes", trials: "Trials", *, trial: int = 0) -> None:
    """Draw the firing rates of one trial as an image, in spikes/s.

    Raises:
        DataError: if the trials have no rates.
    """
    if trials.rates is None:
        raise DataError("These trials have no rates.", "There are only counts.", "Encode them with a model first.")
    time = times(trials, trial)
    image = np.asarray(trials.rates[trial, : len(time)], np.float64).T / trials.bin_width
    extent = (0.0, len(time) * trials.bin_width, -0.5, image.shape[0] - 0.5)  # left, right, bottom, top
    drawn = axes.imshow(image, aspect="auto", origin="lower", extent=extent, interpolation="nearest", cmap="viridis")
    bar = axes.figure.colorbar(drawn, ax=axes, pad=0.01)
    bar.set_label("rate (spikes/s)")
    axes.set_ylabel("neuron")


def series(axes: "Axes", trials: "Trials", name: str, *, trial: int = 0) -> None:
    """Draw one behaviour series of one trial, one line per dimension. The line of an angle breaks where it wraps.

    Raises:
        DataError: if the trials have no such series.
    """
    if name not in trials.behavior:
        raise DataError(
            f"The behaviour series are {', '.join(trials.behavior) or 'none'}.",
            f"{name!r} was requested.",
            "Keep a series with --behavior when binning.",
        )
    time = times(trials, trial)
    values = np.asarray(trials.behavior[name][trial, : len(time)], np.float64)
    unit = trials.units.get(name, "")
    period = period_of(name, unit, values)
    for dim in range(values.shape[1]):
        line = (time, values[:, dim]) if period is None else unwrapped_pieces(time, values[:, dim], period)
        axes.plot(*line, lw=1.2, label=f"dimension {dim}")
    axes.set_ylabel(f"{name}\n({unit})" if unit not in ("", "1") else name)  # "1" stands for a number without unit
    if 1 < values.shape[1] <= MOST_NAMES:
        style = {"frameon": False, "fontsize": "small", "handlelength": 1.2, "columnspacing": 1.0, "borderaxespad": 0.0}
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, **style)


def unwrapped_pieces(
    time: Float[np.ndarray, " time"], angles: Float[np.ndarray, " time"], period: float
) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]]:
    """Return times and angles for a line that breaks where the angle wraps from one end of its range to the other.

    A NaN is inserted between two neighbours whose angles differ by more than half a period.

    Args:
        time: Times.
        angles: Angle at each time.
        period: One turn, in the unit of the angles.
    """
    after_wrap = np.flatnonzero(np.abs(np.diff(angles)) > period / 2) + 1
    return np.insert(time, after_wrap, time[after_wrap]), np.insert(angles, after_wrap, np.nan)


def plot(trials: "Trials", *, trial: int = 0) -> "Figure":
    """Draw a raster of one trial, with firing rates (if available) and behaviour below, on one time axis.

    Args:
        trials: The trials.
        trial: Number of the trial, from 0.

    Returns:
        A matplotlib figure.

    Raises:
        DataError: if there is no such trial.
        SettingError: if matplotlib is not installed.
    """
    times(trials, trial)  # raises the error if there is no such trial
    has_rates = trials.rates is not None
    names = list(trials.behavior)
    heights = (2.4, *((1.8,) if has_rates else ()), *(1.3 for _ in names))  # raster, rates, series; inches
    trial_figure, all_axes = figure(len(heights), row_inches=heights)
    raster(all_axes[0], trials, trial=trial)
    if has_rates:
        rates(all_axes[1], trials, trial=trial)
    for axes, name in zip(all_axes[1 + has_rates :], names, strict=True):
        series(axes, trials, name, trial=trial)
    for axes in all_axes:
        axes.spines[["top", "right"]].set_visible(False)
    trial_figure.align_ylabels()
    length = int(trials.lengths[trial]) * trials.bin_width
    all_axes[-1].set(xlabel="time (s)", xlim=(0, length))
    labels = [f"{key} {_short(value[trial])}" for key, value in trials.conditions.items() if value.ndim == 1]
    title = f"trial {trial}" + (f": {', '.join(labels[:4])}" if labels else "")
    all_axes[0].set_title(title, loc="left", fontsize="medium")
    return trial_figure


def _short(value: np.generic) -> str:
    """Return the value of a condition as text, with four digits if it is a float."""
    return f"{value:.4g}" if isinstance(value, np.floating) else str(value)
