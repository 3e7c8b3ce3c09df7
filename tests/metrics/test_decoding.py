"""Decoders against scikit-learn, and their results for trials that do or do not follow their condition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeloom.metrics import decoding
from spikeloom.metrics.classifier import Classifier
from spikeloom.metrics.pair import Pair
from spikeloom.metrics.shrinkage import ledoit_wolf
from spikeloom.trials import Trials


@pytest.mark.parametrize("rows", [8, 30, 500])
def test_shrinkage_is_scikit_learns(rows):
    from sklearn.covariance import ledoit_wolf as oracle

    x = np.random.default_rng(0).standard_normal((rows, 12)) @ np.diag(np.arange(1.0, 13))
    x -= x.mean(0)
    shrink, level = ledoit_wolf(x, x.T @ x / len(x))
    covariance, expected = oracle(x, assume_centered=True)
    assert shrink == pytest.approx(expected)
    mine = (1 - shrink) * x.T @ x / len(x) + shrink * level * np.eye(12)
    np.testing.assert_allclose(mine, covariance)


def test_classifier_is_scikit_learns_discriminant():
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 4000)
    x = rng.standard_normal((4000, 5)) @ rng.standard_normal((5, 5)) + 1.5 * rng.standard_normal((3, 5))[labels]
    oracle = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(x, labels)
    mine = Classifier.fit(x, labels, 3).classify(x)
    # it shrinks each class by itself, we shrink all together: with 1300 trials a class neither is
    assert np.mean(mine == oracle.predict(x)) > 0.99


def test_a_class_without_trials_is_never_answered():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((40, 3))
    assert set(Classifier.fit(x, np.repeat([0, 2], 20), 4).classify(x)) <= {0, 2}


def test_ridge_is_scikit_learns():
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(3)
    x = rng.standard_normal((200, 6)) + 2
    y = x @ rng.standard_normal((6, 2)) + 3 + rng.standard_normal((200, 2))
    outcome = decoding.Ridge.fit(x, y, np.arange(200) % 5)
    centred = x - x.mean(0)
    scale = np.trace(centred.T @ centred) / 6
    fits = [Ridge(alpha=penalty * scale).fit(x, y).predict(x) for penalty in decoding.PENALTIES]
    assert min(np.abs(outcome.predict(x) - fit).max() for fit in fits) < 1e-6
    assert decoding.r_squared(y, outcome.predict(x)) > 0.5


@settings(deadline=None, max_examples=50)
@given(st.floats(-720, 720), st.floats(-720, 720))
def test_circular_error_is_the_angle_between_unit_vectors(requested, decoded):
    a, b = np.exp(1j * np.radians([requested, decoded]))
    outcome = float(decoding.circular_error_deg(np.array([requested]), np.array([decoded]))[0])
    assert 0 <= outcome <= 180
    assert np.cos(np.radians(outcome)) == pytest.approx((a * b.conjugate()).real, abs=1e-6)


def test_trials_that_follow_their_condition_are_read_and_others_are_not(make):
    train, test, good = make(trials=200, seed=1), make(trials=200, seed=2), make(trials=200, seed=3)
    bad = Trials(good.counts, 0.005, conditions={"angle_deg": np.roll(good.conditions["angle_deg"], 1)})
    pair = Pair(test, good, reference=train)
    assert decoding.condition_accuracy(pair).value == pytest.approx(1, abs=0.05)
    assert decoding.condition_angle_error(pair).value == pytest.approx(0, abs=5)
    assert decoding.condition_spread(pair).value < 0.05
    wrong = Pair(test, bad, reference=train)
    assert decoding.condition_accuracy(wrong).value < 0.1
    assert decoding.condition_angle_error(wrong).value == pytest.approx(90, abs=10)


def test_forgotten_conditions_show_as_spread(make):
    train, test = make(trials=200, seed=1), make(trials=200, seed=2)
    two = test.select(np.isin(test.conditions["angle_deg"], (0, 90)))
    result = decoding.condition_spread(Pair(test, Trials(two.counts, 0.005), reference=train))
    assert result.value == pytest.approx(0.5, abs=0.06)
    assert decoding.condition_accuracy(Pair(test, Trials(two.counts, 0.005), reference=train)).value is None


@pytest.mark.parametrize("ragged", [False, True])
def test_behaviour_is_read_back(make, ragged):
    train, test, fake = (make(trials=150, neurons=20, seed=seed, ragged=ragged) for seed in (1, 2, 3))
    result = decoding.decode_back(Pair(test, fake, reference=train))
    assert result.detail["r2"][0] > 0.3
    assert result.value == pytest.approx(1, abs=0.15)
    assert "hand_vel" in result.note
    mixed = Trials(fake.counts[::-1], 0.005, lengths=fake.lengths[::-1], behavior=dict(fake.behavior))
    assert decoding.decode_back(Pair(test, mixed, reference=train)).value < 0.5
    alone = decoding.decode_back(Pair(test, fake))
    assert alone.value == pytest.approx(1, abs=0.2)


def test_behaviour_with_gaps_is_read_where_it_is_known(make):
    train, test, fake = (make(trials=100, neurons=20, seed=seed) for seed in (1, 2, 3))
    series = np.array(fake.behavior["hand_vel"])
    series[::2, :30] = np.nan
    gaps = Trials(fake.counts, 0.005, behavior={"hand_vel": series})
    assert decoding.decode_back(Pair(test, gaps, reference=train)).value == pytest.approx(1, abs=0.3)


def test_many_neurons_are_reduced_before_the_regression(make, monkeypatch):
    monkeypatch.setattr(decoding, "MOST_INPUTS", 8)
    train, test, fake = (make(trials=150, neurons=20, seed=seed) for seed in (1, 2, 3))
    assert decoding.decode_back(Pair(test, fake, reference=train)).detail["r2"][0] > 0.2


def test_nothing_to_read_is_said(make):
    bare = Trials(make().counts, 0.005)
    for measure in (decoding.condition_accuracy, decoding.condition_spread, decoding.decode_back):
        result = measure(Pair(bare, bare))
        assert result.value is None
        assert result.note


def test_trials_shorter_than_a_wide_bin_have_no_behaviour_to_read():
    short = Trials(np.ones((1, 1, 1), int), 0.001, behavior={"hand": np.zeros((1, 1, 1))}, units={"hand": "m"})
    outcome = decoding.decode_back(Pair(short, short))
    assert outcome.value is None
    assert outcome.note
