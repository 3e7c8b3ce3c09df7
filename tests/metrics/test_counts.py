"""Count metrics against scipy, elephant and closed forms."""

import elephant.statistics
import numpy as np
import ot
import pytest
from scipy import stats

from spikeloom.metrics import counts
from spikeloom.metrics.pair import Pair
from spikeloom.trials import Trials


def test_divergences_are_scipys(make):
    real, fake = make(seed=1, ragged=True), make(seed=2, gain=0.9)
    pair = Pair(real, fake)
    p, q = counts.histograms(pair)
    assert p.sum() == pytest.approx(1)
    assert q.sum() == pytest.approx(1)
    p, q = (p + 1e-6) / (p + 1e-6).sum(), (q + 1e-6) / (q + 1e-6).sum()
    assert counts.population_count_kl(pair).value == pytest.approx(stats.entropy(p, q))
    assert counts.population_count_kl_reverse(pair).value == pytest.approx(stats.entropy(q, p))
    middle = (p + q) / 2
    js = (stats.entropy(p, middle) + stats.entropy(q, middle)) / 2
    assert counts.population_count_js(pair).value == pytest.approx(js)
    samples = [side.counts.sum(2)[side.mask] for side in (real, fake)]
    w1 = counts.population_count_w1(pair).value
    assert w1 == pytest.approx(stats.wasserstein_distance(*samples))
    assert w1 == pytest.approx(ot.wasserstein_1d(*(s.astype(float) for s in samples)))


def test_disjoint_histograms_stay_finite_and_bounded():
    real, fake = (Trials(np.full((5, 4, 2), value), 0.01) for value in (0, 3))
    pair = Pair(real, fake)
    assert 10 < counts.population_count_kl(pair).value < 20
    assert counts.population_count_js(pair).value == pytest.approx(np.log(2), abs=1e-4)
    assert counts.population_count_w1(pair).value == pytest.approx(6)


@pytest.mark.filterwarnings("ignore")
def test_fano_factor_is_elephants(make):
    trials = make(trials=12, conditions=False, time=30)
    outcome = counts.fano(trials.counts.sum(1).astype(float), np.zeros(12, int), 1)
    y = trials.counts.sum(1)
    for neuron in range(trials.n_neurons):
        # elephant divides by n; the panel by n - 1
        trains = [list(np.arange(count)) for count in y[:, neuron]]
        assert outcome[neuron] == pytest.approx(elephant.statistics.fanofactor(trains) * 12 / 11)


def test_fano_factor_of_known_trials():
    y = np.array([[2.0, 0, 1], [4, 0, 0], [6, 0, 0], [1, 0, 0], [3, 0, 0]])
    labels = np.array([0, 0, 0, 1, 1])
    outcome = counts.fano(y, labels, 2)
    assert outcome[0] == pytest.approx((4 / 4 + 2 / 2) / 2)
    assert np.isnan(outcome[1])  # silent
    assert outcome[2] == pytest.approx((1 / 3) / (1 / 3))  # the second condition has too few spikes
    assert np.isnan(counts.fano(y[:1], labels[:1], 2)).all()


def test_fano_of_poisson_trials_is_one():
    rng = np.random.default_rng(0)
    a, b = (Trials(rng.poisson(0.1, (400, 50, 20)), 0.005) for _ in range(2))
    result = counts.fano_median_ratio(Pair(a, b))
    # sd of one Fano factor: sqrt(2 / trials) = 0.07, of the median of 20 about 0.02
    assert result.detail["real_median"] == pytest.approx(1, abs=0.08)
    assert result.value == pytest.approx(1, abs=0.1)
    assert len(result.detail["time"]) == len(result.detail["real_over_time"]) == 4


def test_mean_rates(make):
    trials = make(ragged=True)
    twice = Trials(trials.counts * 2, trials.bin_width, lengths=trials.lengths)
    pair = Pair(trials, twice)
    assert counts.mean_rate_r(pair).value == pytest.approx(1)
    assert counts.mean_rate_log_r(pair).value == pytest.approx(1)
    assert counts.mean_rate_rmse(pair).value == pytest.approx(np.sqrt(np.mean(trials.mean_rates_hz() ** 2)))
