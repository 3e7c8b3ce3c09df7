r"""The neurons that a model reproduces worst, as a figure.

Three statistics x are compared: mean rate, Fano factor, and CV of the intervals between spikes (ISI). The error of
neuron n in one of them is :math:`e_n = |\log(x_n^{fake} / x_n^{real})|`. It is divided by the median error over
neurons, so that the three statistics have the same weight. Neurons are ordered by the sum of their three errors. If a
statistic of a neuron is missing in recorded or generated trials, its error is set to the median, 1.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from spikeloom.metrics.panel import Result
from spikeloom.report.chart import Chart, Figure
from spikeloom.report.views import neuron_word, one_autocorrelogram, one_psth
from spikeloom.trials import Trials

JUDGED = {"mean_rate_r": "rate in spikes/s", "fano_median_ratio": "Fano", "isi_cv_r": "ISI CV"}
"""Metrics whose arrays hold a recorded and a generated value of each neuron, with the name for the caption."""

SHOWN = 4
"""Number of neurons in the figure."""


def values_of(results: Mapping[str, Result], n_neurons: int) -> dict[str, NDArray[np.float64]]:
    """Return the values of each neuron by metric.

    Args:
        results: Results of the panel.
        n_neurons: Number of neurons.

    Returns:
        Recorded and generated value of each neuron (neuron, 2), by name of the metric; NaN if it has none.
    """
    values = {}
    for name in JUDGED:
        detail = results[name].detail if name in results else {}
        if "neuron" in detail:
            table = np.full((n_neurons, 2), np.nan)
            table[detail["neuron"].astype(int)] = np.stack([detail["real"], detail["fake"]], 1)
            values[name] = table
    return values


def errors(values: Mapping[str, NDArray[np.float64]], n_neurons: int) -> NDArray[np.float64]:
    """Return the sum of the errors of each neuron (neuron,); see the module.

    Args:
        values: Name of the metric -> recorded and generated value of each neuron (neuron, 2), from `values_of`.
        n_neurons: Number of neurons.
    """
    total = np.zeros(n_neurons)
    for table in values.values():
        with np.errstate(divide="ignore", invalid="ignore"):
            error = np.abs(np.log(table[:, 1] / table[:, 0]))
        error[~np.isfinite(error)] = np.nan
        median = np.nanmedian(error) if np.isfinite(error).any() else np.nan
        if median > 0:  # not if the statistic is missing or without error in most neurons
            total += np.nan_to_num(error / median, nan=1.0)
    return total


def worst_neurons(
    real: Trials, fake: Trials, results: Mapping[str, Result], *, aligned: bool = True, n_neurons: int = SHOWN
) -> Figure | None:
    """Draw mean rates and autocorrelations of the neurons with the largest errors.

    Returns `None` if the results have no values of single neurons.

    Args:
        real: Recorded trials.
        fake: Generated trials.
        results: Results of the panel, with the values of each neuron.
        aligned: False for windows of a continuous recording, which have no common time course.
        n_neurons: Number of neurons to show.
    """
    values = values_of(results, real.n_neurons)
    if not values:
        return None
    chosen = np.argsort(-errors(values, real.n_neurons), kind="stable")[:n_neurons].tolist()
    psths: list[Chart] = []
    if aligned:
        psths = [one_psth(real, fake, neuron=neuron, condition=None) for neuron in chosen]
    charts = [*psths, *[one_autocorrelogram(real, fake, neuron=neuron) for neuron in chosen]]
    listed = "; ".join(f"{neuron_word(real, neuron)}: {_values_as_text(values, neuron)}" for neuron in chosen)
    caption = (
        "The neurons with the largest errors of mean rate, Fano factor and ISI CV together, the worst first. Recorded "
        f"/ generated values are: {listed}."
    )
    return Figure("worst_neurons", "Worst neurons", caption, tuple(charts), columns=len(chosen), tab="Neurons")


def _values_as_text(values: Mapping[str, NDArray[np.float64]], neuron: int) -> str:
    """Return the recorded and generated values of one neuron as text, such as "Fano 2.9 / 1.7"."""
    parts = []
    for name, table in values.items():
        if np.isfinite(table[neuron]).all():
            recorded, generated = table[neuron].tolist()
            parts.append(f"{JUDGED[name]} {recorded:.3g} / {generated:.3g}")
    return ", ".join(parts)
