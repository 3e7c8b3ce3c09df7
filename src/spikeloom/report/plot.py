"""Figures for notebooks: `sl.plot.compare(real, fake)` and related functions, one call for each figure.

Every function returns a new matplotlib figure. The functions of `spikeloom.report.figures` draw single panels on
existing axes.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from spikeloom.errors import DataError
from spikeloom.metrics.conditional import read_behavior
from spikeloom.metrics.disentanglement import Readout
from spikeloom.metrics.disentanglement import ends as decoded_ends
from spikeloom.metrics.pair import Pair
from spikeloom.report import figures
from spikeloom.report.chart import LIGHT
from spikeloom.shapes import Numbers
from spikeloom.trials import Trials
from spikeloom.trials import plot as panels
from spikeloom.trials.plot import plot as trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["compare", "decoded", "traversal", "trial"]

SHOWN = 2
"""Number of trials of each side whose spikes are drawn."""

THIN = 12
"""Largest number of thin lines, one for the decoded path of each generated trial of a requested path."""

PANELS = 3
"""Number of trials that get separate panels if the requested paths differ."""

AMOUNT = "traversal"
"""Condition of a traversal's trials that holds the requested change."""


def compare(real: Trials, fake: Trials) -> "Figure":
    """Draw real (blue) and generated trials (orange): spikes, population counts, pairwise correlations, intervals.

    Args:
        real: Recorded trials.
        fake: Generated trials of the same neurons and bin width.

    Raises:
        ShapeError: if neurons or bin widths differ.
        SettingError: if matplotlib is not installed.
    """
    fake = real.match(fake, name="the real trials", other_name="the generated trials")
    figure, _ = panels.figure(1, width=9.0, row_inches=(5.0,))
    figure.clear()  # the axes are replaced by a grid; the style of the figure remains
    grid = figure.add_gridspec(3, 6)  # rows 0 and 1: two rasters, 3 columns wide; row 2: three panels, 2 columns wide
    for row, (trials, role, side) in enumerate(((real, "real", "recorded"), (fake, "fake", "generated"))):
        for column in range(min(SHOWN, len(trials))):  # also the number of the trial
            axes = figure.add_subplot(grid[row, 3 * column : 3 * column + 3])
            panels.raster(axes, trials, trial=column, color=LIGHT[role])
            seconds = max(int(part.lengths[:SHOWN].max()) * part.bin_width for part in (real, fake))
            axes.set(title="", xlim=(0, seconds), xlabel="time (s)" if row else "")
            axes.set_ylabel(f"{side}\nneuron" if not column else "")
    population, pairs, intervals = (figure.add_subplot(grid[2, 2 * column : 2 * column + 2]) for column in range(3))
    figures.population_counts(population, real, fake)
    figures.pairwise_correlations(pairs, real, fake)
    figures.interval_variation(intervals, real, fake)
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def decoded(fake: Trials, name: str, *, reference: Trials, seed: int = 0) -> "Figure":
    """Draw requested behaviour (grey) and the behaviour decoded from generated spikes (orange).

    A linear decoder is fitted to recorded trials. A velocity, or another series in a unit per second, is summed over
    time to a path before it is drawn.

    Args:
        fake: Generated trials that were conditioned on the series.
        name: Name of the series.
        reference: Recorded trials with that series; the decoder is fitted to them.
        seed: Random seed of the decoder's cross-validation folds.

    Raises:
        DataError: if the series is absent on one side, or cannot be decoded.
        SettingError: if matplotlib is not installed.
    """
    for trials, side in ((fake, "generated"), (reference, "recorded")):
        if name not in trials.behavior:
            raise DataError(
                f"Both sides must have the series {name!r}.",
                f"The {side} trials have {', '.join(trials.behavior) or 'none'}.",
                "Sample with condition=NAME, and keep the series when binning.",
            )
    behavior = read_behavior(Pair(_only(reference, name), _only(fake, name), seed=seed))
    if isinstance(behavior, str):
        raise DataError("The series cannot be decoded.", f"The reason: {behavior}.", "Use more recorded trials.")
    requested, decoded_paths = behavior.path("fake", np.arange(len(fake)))
    unit = behavior.unit.removesuffix("/s")
    is_one_path = np.allclose(requested, requested[:1], equal_nan=True)
    # trials of each panel: all trials of one requested path together, or else one trial per panel
    groups = [slice(None)] if is_one_path else [slice(row, row + 1) for row in range(min(PANELS, len(fake)))]
    figure, all_axes = panels.figure(1, width=3.6 * len(groups) + 0.4, row_inches=(3.4,), columns=len(groups))
    for axes, rows in zip(all_axes, groups, strict=True):
        _draw(axes, requested[rows], decoded_paths[rows], behavior.width, unit)
        axes.set_title("" if is_one_path else f"trial {rows.start}", loc="left", fontsize="medium")
        axes.spines[["top", "right"]].set_visible(False)
    value = behavior.r_squared("fake")
    if value is not None:
        figure.suptitle(f"decoded from generated spikes, R² of {name} in single trials {value:.2f}", fontsize="medium")
    figure.legend(*all_axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    return figure


def traversal(moved: Trials, name: str, *, reference: Trials, smoothing: float | None = None) -> "Figure":
    """Draw the decoded behaviour of the trials of a traversal, in which a code is moved in steps along a direction.

    The left panel shows the mean path at each step. The right panel shows the end of the path against the requested
    change.

    Args:
        moved: Trials that `traverse` returned, with the requested change of each trial in the condition `traversal`.
        name: Behaviour series with at least two dimensions, such as "hand_position".
        reference: Recorded trials with that series; the decoder is fitted to them.
        smoothing: Standard deviation in seconds of the Gaussian that smooths the spikes before they are decoded. `None`
            decodes from rates if both sets of trials have them, and otherwise smooths spikes with 0.05 s.

    Raises:
        DataError: if `moved` is not a traversal.
        SettingError: if matplotlib is not installed.
    """
    if AMOUNT not in moved.conditions:
        raise DataError(
            "This figure needs trials that `traverse` returned.", f"These are trials of {moved.source!r}.", ""
        )
    amounts = np.asarray(moved.conditions[AMOUNT], np.float64)
    both_have_rates = moved.rates is not None and reference.rates is not None
    if smoothing is None and not both_have_rates:
        smoothing = 0.05
    paths = Readout.fit(reference, name, smoothing=smoothing).decode(moved)
    ends = decoded_ends(paths, moved.lengths)
    figure, axes = panels.figure(1, width=8.0, row_inches=(3.4,), columns=2)
    import matplotlib as mpl

    levels = np.unique(amounts)
    colors = mpl.colormaps["coolwarm"](np.linspace(0, 1, len(levels)))
    for amount, color in zip(levels, colors, strict=True):
        mean = np.nanmean(paths[amounts == amount], 0)
        axes[0].plot(mean[:, 0], mean[:, 1], color=color, label=f"{amount:+.3g}")
        axes[0].plot(*ends[amounts == amount, :2].mean(0), "o", color=color, ms=6)
    for dim, (axis_name, marker) in enumerate(zip("xy", "os", strict=True)):
        means = [ends[amounts == amount, dim].mean() for amount in levels]
        axes[1].plot(levels, means, f"{marker}-", color=("0.15", "0.6")[dim], label=axis_name)
    unit = reference.units.get(name, "")
    axes[0].set(xlabel=f"x ({unit})", ylabel=f"y ({unit})")
    axes[0].set_aspect("equal", adjustable="datalim")
    axes[0].locator_params(nbins=5)
    axes[0].set_title(f"mean {name}, dot: its end", loc="left", fontsize="medium")
    axes[1].set(xlabel="requested change", ylabel=f"end ({unit})")
    axes[1].set_title("end of the mean path", loc="left", fontsize="medium")
    axes[1].legend(frameon=False, fontsize="small")
    for panel in axes:
        panel.spines[["top", "right"]].set_visible(False)
    handles = axes[0].get_legend_handles_labels()
    figure.legend(*handles, title="requested change", loc="outside lower center", ncols=len(levels), frameon=False)
    return figure


def _only(trials: Trials, name: str) -> Trials:
    """Return the trials with this behaviour series only."""
    return replace(trials, behavior={name: trials.behavior[name]}, units={name: trials.units[name]})


def _draw(axes: "Axes", requested: Numbers, decoded_series: Numbers, width: float, unit: str) -> None:
    """Draw the requested and the decoded series of trials with the same request.

    Series of two or more dimensions are drawn as paths in the plane, others against time.

    Args:
        axes: Axes.
        requested: Requested series (trial, time, dim).
        decoded_series: Decoded series (trial, time, dim), NaN where it cannot be decoded.
        width: Width of a bin, s.
        unit: Unit of the series.
    """
    plane = decoded_series.shape[2] > 1
    time = (np.arange(decoded_series.shape[1]) + 0.5) * width

    def course(values: Numbers) -> tuple[Numbers, Numbers]:
        """Return the coordinates of the line of one trial (time, dim) along the first and the second axis."""
        return (values[:, 0], values[:, 1]) if plane else (time, values[:, 0])

    decodable = np.asarray(np.isfinite(decoded_series).all((0, 2)))  # bins that are decoded in all trials (time,)
    if len(decoded_series) > 1:
        for single in decoded_series[:THIN]:
            axes.plot(*course(single), color=LIGHT["fake"], lw=0.6, alpha=0.5)
    axes.plot(*course(requested[0]), color="0.5", lw=3, label="requested", zorder=2)
    mean = np.where(decodable[:, None], decoded_series.mean(0), np.nan)
    label = "decoded, mean" if len(decoded_series) > 1 else "decoded"
    axes.plot(*course(mean), color=LIGHT["fake"], lw=2, label=label, zorder=3)
    axes.set_xlabel((f"x ({unit})" if unit else "x") if plane else "time (s)")
    axes.set_ylabel((f"y ({unit})" if unit else "y") if plane else unit)
    if plane:
        axes.set_aspect("equal", adjustable="datalim")
        axes.locator_params(nbins=5)
