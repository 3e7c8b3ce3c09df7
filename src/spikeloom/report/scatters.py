"""Content of the report's scatter plots: recorded against generated values of a metric, one dot per neuron or pair.

The dots are the arrays from which the metrics are computed (`Result.detail`), so figures and tables always agree.
`figures.py` and `svg.py` draw the figures.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from spikeloom.metrics.panel import METRICS, Result, measure
from spikeloom.metrics.statistics import WIDE
from spikeloom.report.chart import Chart, Figure, Role, Series
from spikeloom.report.views import neuron_word
from spikeloom.trials import Trials

SCATTERS: dict[str, tuple[str, str]] = {
    "isi_mean_r": ("Mean interval", "s"),
    "isi_cv_r": ("Variation of intervals (CV)", ""),
    "fano_median_ratio": ("Fano factor", ""),
    "mean_rate_r": ("Mean rate", "spikes/s"),
    "pairwise_correlation_r": ("Pairwise correlation", ""),
    "noise_correlation_r": ("Noise correlation", ""),
}
"""Metrics that have a scatter plot of recorded against generated values: title and unit."""

MOST_POINTS = 5000
"""Largest number of points of a scatter plot. Of more points, only every second one, or every third one, is drawn."""


def scatter(name: str, result: Result, trials: Trials) -> Chart | None:
    """Return a scatter plot of recorded and generated values of a metric, one point per neuron or pair of neurons.

    Returns `None` if the result has no such values.

    Args:
        name: Name of the metric.
        result: Its result.
        trials: Trials with the names of the neurons.
    """
    if "real" not in result.detail or "fake" not in result.detail:
        return None
    title, unit = SCATTERS[name]
    if name == "pairwise_correlation_r":
        title += f", {1000 * trials.bin_width * max(1, round(WIDE / trials.bin_width)):g} ms"
    real, fake = (np.asarray(result.detail[side], float).ravel() for side in ("real", "fake"))
    if "pair" in result.detail:
        neurons = np.asarray(result.detail["pair"])
    else:
        neurons = np.asarray(result.detail.get("neuron", np.arange(len(real))))
    step = max(1, math.ceil(len(real) / MOST_POINTS))
    keep = np.isfinite(real) & np.isfinite(fake) & (np.arange(len(real)) % step == 0)
    labels = [neuron_word(trials, *np.atleast_1d(row).tolist()) for row in neurons[keep]]
    unit_in_brackets = f" ({unit})" if unit else ""
    series = (Series("points", "c3", real[keep], fake[keep], labels=labels),)
    return Chart(title, series, "recorded" + unit_in_brackets, "generated" + unit_in_brackets, diagonal=True)


def from_metric(name: str, real: Trials, fake: Trials, *, condition: str | None = None) -> Chart:
    """Compute one metric and return its scatter plot.

    If the metric has no value, the chart is empty and its title gives the reason.
    """
    metrics = [metric for metric in METRICS if metric.name == name]
    result = measure(real, fake, condition=condition, metrics=metrics)[name]
    return scatter(name, result, real) or Chart(f"{SCATTERS[name][0]}: {result.note}", ())


def scatters(results: Mapping[str, Result], trials: Trials) -> list[Figure]:
    """Return one figure for neurons and one for pairs of neurons, from the results of the panel."""

    def gather(names: Sequence[str]) -> tuple[Chart, ...]:
        """Return the scatter plots of the metrics that have values."""
        charts = [scatter(name, results[name], trials) for name in names if name in results]
        return tuple(chart for chart in charts if chart is not None)

    neurons = gather(["mean_rate_r", "fano_median_ratio", "isi_mean_r", "isi_cv_r"])
    pairs = gather(["pairwise_correlation_r", "noise_correlation_r"])
    legend: tuple[tuple[Role, str], ...] = ()
    figures = []
    if neurons:
        caption = "Each dot is one neuron. On the dashed line, both sides agree."
        neurons = tuple(replace(chart, size="medium") for chart in neurons)
        figures.append(Figure("neurons", "Neuron by neuron", caption, neurons, columns=4, tab="Neurons", legend=legend))
    if pairs:
        caption = "Each dot is one pair of neurons. In a cloud flatter than the dashed line, correlations are too weak."
        figures.append(Figure("pairs", "Correlations", caption, pairs, columns=2, tab="Population", legend=legend))
    return figures
