"""Distances against POT, scikit-learn and closed forms."""

import numpy as np
import ot
import pytest

from spikeloom.metrics import distance
from spikeloom.metrics.features import participation_ratio
from spikeloom.metrics.pair import Pair


def test_sliced_wasserstein_is_pots():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((50, 7)), 2 * rng.standard_normal((50, 7)) + 1
    directions = rng.standard_normal((7, 30))
    directions /= np.linalg.norm(directions, axis=0)
    oracle = ot.sliced_wasserstein_distance(x, y, projections=directions)
    assert distance.sliced_wasserstein_distance(x, y, directions=directions) == pytest.approx(oracle)
    assert distance.sliced_wasserstein_distance(x, x[::-1], directions=directions) == 0


def test_mmd_is_its_definition():
    rng = np.random.default_rng(1)
    points = rng.standard_normal((15, 3))
    first = np.arange(15) < 6
    squares = ((points[:, None] - points[None]) ** 2).sum(2)
    median = np.median(squares[np.triu_indices(15, 1)])
    k = np.mean([s * median / (s * median + squares) for s in distance.SCALES], axis=0)
    off = ~np.eye(15, dtype=bool)
    inside = k[np.outer(first, first) & off].mean() + k[np.outer(~first, ~first) & off].mean()
    expected = inside - 2 * k[first][:, ~first].mean()
    outcome = distance.unbiased_mmd(distance.kernel(points), first[:, None])
    assert outcome[0] == pytest.approx(expected, abs=1e-5)


def test_mmd_has_mean_zero_and_a_fair_p_value(make):
    values, levels = [], []
    for seed in range(6):
        result = distance.mmd(Pair(make(seed=2 * seed, trials=60), make(seed=2 * seed + 1, trials=60), seed=seed))
        values.append(result.value)
        levels.append(float(result.detail["p"]))
    assert abs(np.mean(values)) < 0.01
    assert max(levels) > 0.2
    shifted = distance.mmd(Pair(make(seed=0), make(seed=1, gain=1.5)))
    assert shifted.detail["p"] < 0.05


def test_participation_ratio_of_known_spectra():
    assert participation_ratio(np.eye(7)) == pytest.approx(7)
    assert participation_ratio(np.diag([1.0, 0, 0])) == pytest.approx(1)
    assert participation_ratio(np.diag([2.0, 1.0])) == pytest.approx(9 / 5)


def test_classifiers_guess_on_equal_sets_and_see_a_missing_gain(make):
    real, same, none = make(trials=300, seed=1), make(trials=300, seed=2), make(trials=300, seed=3, gain=0.0)
    each = (distance.c2st_rbf, distance.c2st_logistic, distance.c2st_network, distance.c2st_population)
    for measure in each:
        # sd of the accuracy of guessing on 600 trials is 0.02; folds share trials, so allow four of them
        assert measure(Pair(real, same)).value == pytest.approx(0.5, abs=0.08)
    assert distance.c2st_population(Pair(real, none)).value > 0.6


def test_dimensionality_falls_with_a_shared_gain(make):
    real, none = make(trials=200, seed=1, gain=0.8), make(trials=200, seed=2, gain=0.0)
    assert distance.participation_ratio_ratio(Pair(real, none)).value > 1.1
    assert distance.subspace_captured(Pair(real, real)).value == pytest.approx(1)


def test_equal_size_whatever_comes(make):
    pair = Pair(make(trials=80, seed=1, ragged=True), make(trials=30, seed=2))
    real, fake = pair.features.trajectories
    assert len(real) == len(fake) <= 30
    assert "in each set" in distance.sliced_wasserstein(pair).note
    assert "a classifier needs" in distance.c2st_rbf(pair).note


def test_no_scikit_learn_is_said(make, monkeypatch):
    import builtins

    true_import = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("sklearn"):
            raise ImportError(name)
        return true_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    result = distance.c2st_rbf(Pair(make(seed=1), make(seed=2)))
    assert result.value is None
    assert "spikeloom[decoders]" in result.note
