"""The Kalman filter: recovery of a known system, equality with the textbook form, optimality."""

import numpy as np
import pytest

from spikeloom.errors import ConditionError, DataError
from spikeloom.metrics.kalman import KalmanFilter
from spikeloom.trials import Trials

A = np.array([[0.9, 0.1], [-0.1, 0.9]])
W = np.array([[0.04, 0.01], [0.01, 0.02]])
WIDTH = 0.05


def recorded(trials: int = 60, time: int = 100, neurons: int = 12, *, seed: int = 0) -> tuple[Trials, np.ndarray]:
    """Trials of a linear Gaussian system with large counts, and its tuning (neuron, dim)."""
    rng = np.random.default_rng(seed)
    tuning = np.random.default_rng(7).normal(size=(neurons, 2)) * 4
    velocity = np.zeros((trials, time, 2))
    for t in range(1, time):
        velocity[:, t] = velocity[:, t - 1] @ A.T + rng.multivariate_normal([0, 0], W, trials)
    counts = np.round(50 + velocity @ tuning.T + rng.normal(size=(trials, time, neurons))).astype(np.int64)
    return Trials(counts, WIDTH, behavior={"hand_vel": velocity}, units={"hand_vel": "m/s"}), tuning


def test_a_known_system_is_recovered():
    trials, tuning = recorded()
    model = KalmanFilter.fit(trials, velocity="hand_vel")
    np.testing.assert_allclose(model.transition, A, atol=0.02)
    np.testing.assert_allclose(model.drift, W, atol=0.002)
    np.testing.assert_allclose(model.tuning, tuning, atol=0.1)
    np.testing.assert_allclose(model.baseline, 50, atol=0.1)
    np.testing.assert_allclose(np.diag(model.noise), 1 + 1 / 12, rtol=0.08)  # rounding to counts adds 1/12


def test_one_neuron_suffices():
    trials, tuning = recorded(neurons=1)
    model = KalmanFilter.fit(trials, velocity="hand_vel")
    assert model.noise.shape == (1, 1)
    np.testing.assert_allclose(model.tuning, tuning, atol=0.1)


def test_it_is_the_textbook_filter():
    trials, _ = recorded()
    model = KalmanFilter.fit(trials, velocity="hand_vel")
    decoder = model.start(np.array([[1.0, 2.0]]))
    mean, covariance, position = np.zeros(2), np.zeros((2, 2)), np.array([1.0, 2.0])
    for counts in trials.counts[0]:
        before, spread = model.transition @ mean, model.transition @ covariance @ model.transition.T + model.drift
        gain = spread @ model.tuning.T @ np.linalg.inv(model.tuning @ spread @ model.tuning.T + model.noise)
        mean = before + gain @ (counts - model.baseline - model.tuning @ before)
        covariance = (np.eye(2) - gain @ model.tuning) @ spread
        position = position + WIDTH * mean
        np.testing.assert_allclose(decoder.step(counts[None])[0], mean, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(decoder.position[0], position, rtol=1e-8)


def test_it_decodes_new_trials_better_than_a_regression_on_the_bin():
    train, _ = recorded(neurons=3)
    test, _ = recorded(neurons=3, seed=1)
    model = KalmanFilter.fit(train, velocity="hand_vel")
    decoder = model.start(np.zeros((len(test), 2)))
    decoded = np.stack([decoder.step(test.counts[:, t]) for t in range(test.n_bins)], 1)
    real = test.behavior["hand_vel"]
    inputs = np.concatenate([train.counts[train.mask], np.ones((train.mask.sum(), 1))], 1)
    weights = np.linalg.lstsq(inputs, train.behavior["hand_vel"][train.mask], rcond=None)[0]
    single = np.concatenate([test.counts, np.ones((*test.counts.shape[:2], 1))], 2) @ weights
    assert ((decoded - real) ** 2).mean() < 0.9 * ((single - real) ** 2).mean()


def test_a_trial_does_not_depend_on_others():
    trials, _ = recorded()
    model = KalmanFilter.fit(trials, velocity="hand_vel")
    together, alone = model.start(np.zeros((4, 2))), model.start(np.zeros((1, 2)))
    for t in range(5):
        both = together.step(trials.counts[:4, t])
        np.testing.assert_allclose(both[2], alone.step(trials.counts[2:3, t])[0])


def test_faults_are_named():
    trials, _ = recorded()
    with pytest.raises(ConditionError, match="no series 'cursor'"):
        KalmanFilter.fit(trials, velocity="cursor")
    with pytest.raises(DataError, match="needs 24 bins"):
        KalmanFilter.fit(recorded(1, 10)[0], velocity="hand_vel")
