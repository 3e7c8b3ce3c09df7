"""Intervals against elephant and a plain loop."""

import elephant.statistics
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spikeloom.metrics import intervals
from spikeloom.metrics.interval_sums import interval_sums
from spikeloom.metrics.pair import Pair


def loop(counts, bin_width, spread):
    """Intervals of each neuron, pooled over trials, one by one."""
    out = []
    for neuron in range(counts.shape[2]):
        outcome = []
        for trial in counts[:, :, neuron]:
            times = [t for t, c in enumerate(trial) if c]
            if spread:
                times = [t + (j + 1) / (c + 1) for t, c in enumerate(trial) for j in range(c)]
            outcome += list(np.diff(times) * bin_width)
        out.append(np.array(outcome))
    return out


small = hnp.arrays(np.uint8, st.tuples(*(st.integers(1, top) for top in (4, 12, 5))), elements=st.integers(0, 3))


@settings(deadline=None, max_examples=50)
@given(small, st.booleans())
def test_sums_are_those_of_a_loop(counts, spread):
    number, mean, sd = interval_sums(counts, 0.01, spread=spread).pooled()
    for neuron, one in enumerate(loop(counts, 0.01, spread)):
        assert number[neuron] == len(one)
        if len(one):
            assert mean[neuron] == pytest.approx(one.mean())
            assert sd[neuron] == pytest.approx(one.std(), abs=1e-7)
        else:
            assert np.isnan(mean[neuron])


@settings(deadline=None, max_examples=20)
@given(small)
def test_weights_repeat_trials(counts):
    weight = np.arange(len(counts)) % 3
    again = interval_sums(np.repeat(counts, weight, axis=0), 0.01, spread=True).pooled()
    weighted = interval_sums(counts, 0.01, spread=True).pooled(weight.astype(float))
    for one, other in zip(again, weighted, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-7)


@pytest.mark.filterwarnings("ignore")
def test_cv_is_elephants(make):
    trials = make(ragged=True, trials=40)
    pair = Pair(trials, make(seed=5, trials=40))
    result = intervals.isi_cv_rmse(pair)
    pooled = loop(trials.counts, trials.bin_width, False)
    for neuron, value in zip(result.detail["neuron"], result.detail["real"], strict=True):
        assert len(pooled[neuron]) >= 50
        assert value == pytest.approx(elephant.statistics.cv(pooled[neuron]))


def test_clocks_and_coins_are_distinguished():
    clock, rng = np.zeros((20, 100, 4), np.uint8), np.random.default_rng(0)
    for neuron, period in enumerate((3, 4, 5, 6)):
        clock[:, ::period, neuron] = 1
    coins = (rng.random(clock.shape) < 1 / np.array([3, 4, 5, 6])).astype(np.uint8)
    from spikeloom.trials import Trials

    pair = Pair(Trials(clock, 0.005), Trials(coins, 0.005))
    cv = intervals.isi_cv_rmse(pair)
    np.testing.assert_allclose(cv.detail["real"], 0, atol=1e-6)
    # a coin's intervals are geometric: sd / mean = sqrt(1 - p), a little less where trials cut them off
    np.testing.assert_allclose(cv.detail["fake"], np.sqrt(1 - 1 / np.array([3, 4, 5, 6])), atol=0.06)
    assert intervals.isi_mean_r(pair).value > 0.98
    assert intervals.isi_cv_error(pair).value is None


def test_too_few_spikes_is_said(make):
    from spikeloom.trials import Trials

    empty = Trials(np.zeros((5, 10, 4), np.uint8), 0.005)
    for measure in (intervals.isi_mean_r, intervals.isi_cv_r, intervals.isi_cv_rmse, intervals.isi_cv_error):
        result = measure(Pair(empty, empty))
        assert result.value is None
        assert result.note
