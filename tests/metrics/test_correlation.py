"""Correlations against NumPy, elephant, a bootstrap and closed forms."""

import elephant.conversion
import elephant.spike_train_correlation
import numpy as np
import pytest

from spikeloom.metrics import correlation
from spikeloom.metrics.pair import Pair
from spikeloom.trials import Trials


def wide_bins(trials, factor=4):
    """Wide counts of all trials, one after the other, by a loop."""
    rows = []
    for counts, length in zip(trials.counts, trials.lengths, strict=True):
        full = length // factor
        rows.append(counts[: full * factor].reshape(full, factor, -1).sum(1))
    return np.concatenate(rows)


@pytest.mark.parametrize("ragged", [False, True])
def test_pairwise_correlation_is_numpys(make, ragged):
    real, fake = make(seed=1, ragged=ragged), make(seed=2, ragged=ragged)
    result = correlation.pairwise_correlation_r(Pair(real, fake))
    i, j = result.detail["pair"].T
    for trials, side in ((real, "real"), (fake, "fake")):
        np.testing.assert_allclose(result.detail[side], np.corrcoef(wide_bins(trials).T)[i, j], atol=1e-9)
    x, y = result.detail["real"], result.detail["fake"]
    assert result.value == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert correlation.pairwise_correlation_slope(Pair(real, fake)).value == pytest.approx(np.polyfit(x, y, 1)[0])


@pytest.mark.filterwarnings("ignore")
def test_pairwise_correlation_is_elephants():
    import neo
    import quantities as pq

    rng = np.random.default_rng(3)
    counts = rng.poisson(0.3 * rng.gamma(2, 0.5, (1, 200, 1)), (1, 200, 5))
    trials = Trials(counts, 0.02)
    trains = []
    for neuron in range(5):
        times = np.repeat(np.arange(200) * 0.02 + 0.01, counts[0, :, neuron])
        trains.append(neo.SpikeTrain(times * pq.s, t_start=0 * pq.s, t_stop=4 * pq.s))
    binned = elephant.conversion.BinnedSpikeTrain(trains, bin_size=20 * pq.ms)
    oracle = elephant.spike_train_correlation.correlation_coefficient(binned)
    np.testing.assert_allclose(Pair(trials, trials).real.correlation, oracle, atol=1e-9)


def test_noise_correlation_is_that_of_residuals(make):
    real, fake = make(seed=1), make(seed=2)
    result = correlation.noise_correlation_r(Pair(real, fake))
    y = real.counts.sum(1).astype(float)
    for angle in range(4):
        y[angle::4] -= y[angle::4].mean(0)
    i, j = result.detail["pair"].T
    np.testing.assert_allclose(result.detail["real"], np.corrcoef(y.T)[i, j], atol=1e-6)
    assert correlation.noise_correlation_abs_ratio(Pair(real, real)).value == pytest.approx(1)
    assert correlation.noise_correlation_mean_difference(Pair(real, real)).value == pytest.approx(0)


def test_a_shared_gain_is_seen_and_its_absence_too(make):
    real, same, none = make(trials=400, seed=1), make(trials=400, seed=2), make(trials=400, seed=3, gain=0.0)
    assert correlation.noise_correlation_r(Pair(real, same)).value > 0.8
    assert correlation.noise_correlation_mean_difference(Pair(real, none)).value < -0.2
    # without latents the size of correlations is sqrt(2 / (pi trials))
    flat = correlation.noise_correlation_abs_ratio(Pair(real, none)).detail["fake"]
    assert np.abs(flat).mean() == pytest.approx(np.sqrt(2 / (np.pi * 396)), rel=0.3)


def test_unlabelled_trials_get_the_condition_their_spikes_tell(make):
    real = make(trials=200, seed=1)
    fake = make(trials=200, seed=2)
    bare = Trials(fake.counts, fake.bin_width)
    with_labels, without = (correlation.noise_correlation_r(Pair(real, side)) for side in (fake, bare))
    assert "decoded" in without.note
    # tuning is strong here, so nearly all decoded labels are right
    assert without.value == pytest.approx(with_labels.value, abs=0.1)


def test_sampling_variance_is_the_bootstraps(make):
    trials = make(trials=60, neurons=6, seed=4)
    statistics = Pair(trials, trials).real
    wide = statistics.wide
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(800):
        rows = wide[rng.integers(60, size=60)].reshape(-1, 6)
        draws.append(np.corrcoef(rows.T)[np.triu_indices(6, 1)])
    outcome = statistics.correlation_variance(np.arange(6))
    # 800 resamples give a variance to sqrt(2 / 800) = 5 %; the first-order limit is low by about 1 / trials
    assert outcome == pytest.approx(np.var(draws, axis=0).mean(), rel=0.15)


def test_noise_corrected_rmse_is_zero_for_two_halves_and_right_for_a_known_shift(make):
    a, b, flat = make(trials=300, seed=1), make(trials=300, seed=2), make(trials=300, seed=3, gain=0.0)
    same, other = (correlation.pairwise_correlation_rmse(Pair(a, side)) for side in (b, flat))
    plain = float(np.sqrt(np.mean((same.detail["real"] - same.detail["fake"]) ** 2)))
    assert same.value < 0.6 * plain
    assert other.value > 3 * same.value


def test_few_trials_or_neurons_are_said(make):
    few = make(trials=4)
    for measure in (correlation.noise_correlation_r, correlation.pairwise_correlation_rmse):
        result = measure(Pair(few, few))
        assert result.value is None
        assert "10" in result.note
    two = make().select_neurons([0, 1])
    result = correlation.pairwise_correlation_r(Pair(two, two))
    assert result.value is None
    assert "too few pairs" in result.note
