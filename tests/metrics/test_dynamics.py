"""PSTHs, correlograms and spectra against loops and scipy."""

import elephant.spike_train_correlation
import numpy as np
import pytest
from scipy import signal

from spikeloom.metrics import dynamics
from spikeloom.metrics.correlograms import correlograms
from spikeloom.metrics.pair import Pair
from spikeloom.trials import Trials


def centred(trials):
    """Each trial's counts minus their mean over its valid bins, as a list."""
    return [c[:n] - c[:n].mean(0) for c, n in zip(trials.counts.astype(float), trials.lengths, strict=True)]


def lagged(x, y, lag):
    """Return the sum of x_t y_{t + lag} over common bins, and their number."""
    start, stop = max(0, -lag), min(len(x), len(y) - lag)
    return (float(x[start:stop] @ y[start + lag : stop + lag]), stop - start) if stop > start else (0.0, 0)


@pytest.mark.parametrize("ragged", [False, True])
def test_correlograms_are_those_of_a_loop(make, ragged):
    trials = make(trials=5, time=12, neurons=4, ragged=ragged)
    pairs = np.array([[0, 1], [2, 3], [3, 1]])
    auto, cross = correlograms(trials, pairs=pairs, lags=4)
    x = centred(trials)
    variance = np.array([sum(lagged(k[:, n], k[:, n], 0)[0] for k in x) / trials.n_valid_bins for n in range(4)])
    for neuron in range(4):
        for lag in range(5):
            total, bins = np.sum([lagged(k[:, neuron], k[:, neuron], lag) for k in x], axis=0)
            assert auto[lag, neuron] == pytest.approx(total / bins / variance[neuron], abs=1e-5)
    for position, (i, j) in enumerate(pairs):
        for lag in range(-4, 5):
            same = np.sum([lagged(k[:, i], k[:, j], lag) for k in x], axis=0)
            other = np.sum(
                [lagged(a[:, i], b[:, j], lag) for m, a in enumerate(x) for n, b in enumerate(x) if m != n], 0
            )
            expected = (same[0] / same[1] - other[0] / other[1]) / np.sqrt(variance[i] * variance[j])
            assert cross[lag + 4, position] == pytest.approx(expected, abs=1e-5)


def test_correlograms_do_not_depend_on_blocks(make, monkeypatch):
    trials = make(trials=9, time=20, neurons=4, ragged=True)
    pairs = np.array([[0, 1]])
    full = correlograms(trials, pairs=pairs, lags=6)
    monkeypatch.setattr("spikeloom.metrics.correlograms.BLOCK", 1)
    for one, other in zip(full, correlograms(trials, pairs=pairs, lags=6), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_raw_coincidences_are_elephants():
    """One trial: the biased sums behind a correlogram are elephant's cross-correlation histogram."""
    import neo
    import quantities as pq
    from elephant.conversion import BinnedSpikeTrain

    counts = np.random.default_rng(0).poisson(0.4, (60, 2))
    trains = [
        neo.SpikeTrain(np.repeat(np.arange(60) + 0.5, counts[:, n]) * 10 * pq.ms, t_start=0 * pq.ms, t_stop=600 * pq.ms)
        for n in range(2)
    ]
    binned = [BinnedSpikeTrain(train, bin_size=10 * pq.ms) for train in trains]
    oracle, lags = elephant.spike_train_correlation.cross_correlation_histogram(*binned, window=[-5, 5])
    mine = [lagged(counts[:, 0].astype(float), counts[:, 1].astype(float), int(lag))[0] for lag in lags]
    np.testing.assert_allclose(oracle.magnitude.ravel(), mine)


def test_a_delay_and_a_refractory_time_are_found():
    rng = np.random.default_rng(0)
    first = rng.random((40, 200)) < 0.1
    first[:, 1:] &= ~first[:, :-1]  # never in two bins in a row
    second = np.roll(first, 3, axis=1)
    trials = Trials(np.stack([first, second], 2).astype(np.uint8), 0.005)
    auto, cross = correlograms(trials, pairs=np.array([[0, 1]]), lags=5)
    assert cross[:, 0].argmax() - 5 == 3
    assert auto[1, 0] < -0.05  # -p / (1 - p) in the limit
    poisson = Trials((rng.random((40, 200, 2)) < 0.09).astype(np.uint8), 0.005)
    result = dynamics.refractory_rmse(Pair(trials, poisson))
    assert result.value > dynamics.autocorrelation_rmse(Pair(trials, poisson)).value


def test_spectrum_is_scipys_welch(make):
    trials = make(trials=6, time=64)
    population = trials.counts.sum(2)
    frequency, power = dynamics.population_spectrum(population, trials.lengths, segment=32, bin_width=0.005)
    oracle_frequency, oracle = signal.welch(population, 200, nperseg=32, noverlap=16, axis=1)
    np.testing.assert_allclose(frequency, oracle_frequency)
    np.testing.assert_allclose(power, oracle.mean(0), rtol=1e-9)


def test_spectral_distance_of_a_known_factor(make):
    trials = make()
    twice = Trials(2 * trials.counts, trials.bin_width)
    assert dynamics.spectral_distance_db(Pair(trials, twice)).value == pytest.approx(10 * np.log10(4))
    short = Trials(trials.counts[:, :5], trials.bin_width)
    assert "8 bins" in dynamics.spectral_distance_db(Pair(short, short)).note


def test_psth_is_the_smoothed_mean(make):
    from scipy.ndimage import gaussian_filter1d

    trials = make(trials=40, time=50)
    outcome = Pair(trials, trials).real.psth
    for angle in range(4):
        mean = trials.counts[angle::4].mean(0) / 0.005
        weight = gaussian_filter1d(np.ones(50), 4, mode="constant")
        expected = gaussian_filter1d(mean, 4, axis=0, mode="constant") / weight[:, None]
        np.testing.assert_allclose(outcome[angle], expected, rtol=1e-4)


def test_swapped_conditions_spoil_psths(make):
    real = make(trials=400, seed=1)
    swapped = Trials(real.counts, 0.005, conditions={"angle_deg": (real.conditions["angle_deg"] + 90) % 360})
    fair = dynamics.psth_neuron_r(Pair(real, make(trials=400, seed=2))).value
    assert fair > 0.8
    assert dynamics.psth_neuron_r(Pair(real, swapped)).value < fair - 0.3
