"""The figure of the worst neurons shows those whose statistics were changed, with their values."""

import numpy as np
import pytest

from spikeloom.metrics.panel import METRICS, measure
from spikeloom.report.drawings import figures_of
from spikeloom.report.findings import Shown
from spikeloom.report.neurons import JUDGED, errors, values_of, worst_neurons
from spikeloom.trials import Trials

N_NEURONS = 6


def trials(seed: int, *, busy: int | None = None) -> Trials:
    """Poisson trials; `busy` is a neuron with three times the rate."""
    rates = np.full(N_NEURONS, 0.2)
    if busy is not None:
        rates[busy] *= 3
    counts = np.random.default_rng(seed).poisson(rates, (60, 50, N_NEURONS))
    return Trials(counts, 0.01, conditions={"side": np.arange(60) % 2})


def results(real: Trials, fake: Trials):
    return measure(real, fake, metrics=[metric for metric in METRICS if metric.name in JUDGED])


@pytest.mark.parametrize("busy", [0, 4])
def test_the_changed_neuron_is_the_worst(busy: int) -> None:
    real, fake = trials(0), trials(1, busy=busy)
    values = values_of(results(real, fake), N_NEURONS)
    assert set(values) == set(JUDGED)
    assert errors(values, N_NEURONS).argmax() == busy
    figure = worst_neurons(real, fake, results(real, fake), n_neurons=2)
    assert figure is not None
    assert len(figure.charts) == 4
    words = figure.caption.split(f"neuron {busy}: rate in spikes/s ")[1].split(", ")[0]
    assert [float(word) for word in words.split(" / ")] == pytest.approx([20, 60], rel=0.1)  # 0.2 spikes in 10 ms
    assert figure.charts[0].title == f"neuron {busy}"


def test_a_silent_neuron_counts_like_any_other() -> None:
    """A neuron without spikes on one side has no ratio: its missing errors count as the median error."""
    real, loud = trials(0), trials(1, busy=2)
    fake = Trials(loud.counts * (np.arange(N_NEURONS) != 5), 0.01)
    values = values_of(results(real, fake), N_NEURONS)
    total = errors(values, N_NEURONS)
    assert np.isfinite(total).all()
    assert total[5] == pytest.approx(len(JUDGED))


def test_without_arrays_there_is_no_figure() -> None:
    assert worst_neurons(trials(0), trials(1), {}) is None


@pytest.mark.parametrize("aligned", [True, False])
def test_the_report_shows_it(aligned: bool) -> None:
    real, fake = trials(0), trials(1, busy=2)
    shown = Shown(real, fake, "side", results(real, fake), "none", "none", aligned=aligned)
    figure = next(one for one in figures_of(shown) if one.key == "worst_neurons")
    assert len(figure.charts) == (8 if aligned else 4)


def test_fano_errors_by_kind_of_neuron() -> None:
    """The error of neurons below and above a Fano factor of 1 is that of these neurons only."""
    rng = np.random.default_rng(3)
    gain = np.where(np.arange(N_NEURONS) < 3, 0.0, 1.0)
    bursts = rng.gamma(1.0, 1.0, (400, 1, 1)) ** gain
    regular = rng.binomial(1, 0.8, (400, 20, N_NEURONS))  # variance 0.2 of the mean
    counts = np.where(gain > 0, rng.poisson(np.broadcast_to(bursts, (400, 20, N_NEURONS))), regular)
    real = Trials(counts, 0.01)
    fake = Trials(rng.poisson(1.0, (400, 20, N_NEURONS)), 0.01)
    names = ("fano_rmse", "fano_rmse_below", "fano_rmse_above")
    result = measure(real, fake, metrics=[metric for metric in METRICS if metric.name in names])
    assert result["fano_rmse_below"].value == pytest.approx(0.8, abs=0.1)
    assert result["fano_rmse_above"].value == pytest.approx(20, rel=0.25)
    below, above = result["fano_rmse_below"].detail["neuron"], result["fano_rmse_above"].detail["neuron"]
    assert below.tolist() == [0, 1, 2]
    assert above.tolist() == [3, 4, 5]
    both = (result["fano_rmse_below"].value ** 2 + result["fano_rmse_above"].value ** 2) / 2
    assert result["fano_rmse"].value ** 2 == pytest.approx(both)
