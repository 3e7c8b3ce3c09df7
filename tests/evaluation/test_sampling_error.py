"""Recorded trials whose mean rates have the sampling error of training trials."""

from dataclasses import replace

import numpy as np
import pytest

from spikeloom.evaluation import sampling_error
from spikeloom.evaluation.sampling_error import with_sampling_error
from spikeloom.trials import Trials

MEAN = 0.5
"""Expected count of every neuron in every bin."""


def poisson(trials: int, *, seed: int, n_bins: int = 20, n_neurons: int = 40) -> Trials:
    directions = np.arange(trials) % 2
    counts = np.random.default_rng(seed).poisson(MEAN, (trials, n_bins, n_neurons))
    return Trials(counts, 0.01, conditions={"direction": directions})


@pytest.mark.parametrize(("n_trials", "expected"), [(None, 100), (25, 25)])
def test_rates_of_each_piece_and_condition_have_the_variance_of_a_mean(n_trials, expected):
    recorded, training = poisson(2000, seed=1), poisson(200, seed=2)  # 100 training trials per direction
    changed = with_sampling_error(recorded, training, condition="direction", n_trials=n_trials and 2 * n_trials)
    deviations = []
    for direction in (0, 1):
        rows = recorded.conditions["direction"] == direction
        for piece in (slice(0, 10), slice(10, 20)):
            before, after = (part.counts[rows][:, piece].mean((0, 1)) for part in (recorded, changed))
            deviations.append(after / before - 1)
    expected_sd = np.sqrt(1 / (expected * 10 * MEAN))  # of the mean of Poisson counts of ten bins, relative
    assert np.std(deviations) == pytest.approx(expected_sd, rel=0.2)
    assert abs(np.corrcoef(deviations)[np.triu_indices(4, 1)]).max() < 0.5  # pieces and directions differ


def test_factors_keep_copy_or_leave_spikes():
    numbers = np.random.default_rng(0)
    counts = numbers.poisson(MEAN, (3000, 4, 3))
    factors = np.broadcast_to([0.8, 1.0, 1.2], (4, 3))
    changed = sampling_error._multiplied(counts, factors, numbers)
    np.testing.assert_allclose(changed.mean((0, 1)) / counts.mean((0, 1)), [0.8, 1.0, 1.2], atol=0.02)
    np.testing.assert_array_equal(changed[:, :, 1], counts[:, :, 1])
    assert (changed[:, :, 0] <= counts[:, :, 0]).all()


def test_lengths_silent_neurons_and_unknown_conditions_are_kept():
    training = poisson(30, seed=0)
    counts = poisson(12, seed=1).counts.copy()
    counts[:, :, 0] = 0
    lengths = np.r_[np.full(6, 25), np.full(6, 10)]
    padded = np.concatenate([counts, counts[:, :5]], 1) * (np.arange(25) < lengths[:, None])[..., None]
    recorded = Trials(padded, 0.01, lengths=lengths, conditions={"direction": np.r_[np.zeros(6), np.full(6, 7)]})
    changed = with_sampling_error(recorded, training, condition="direction")
    assert changed.counts.shape == recorded.counts.shape
    assert not changed.counts[:, :, 0].any()
    assert not changed.counts[6:, 10:].any()
    np.testing.assert_array_equal(changed.counts[:6, 20:], recorded.counts[:6, 20:])  # later than all training trials
    unlabelled = with_sampling_error(replace(recorded, conditions={}), replace(training, conditions={}))
    assert (unlabelled.counts != recorded.counts).any()


def test_copied_spikes_do_not_exceed_the_type_of_the_counts():
    numbers = np.random.default_rng(0)
    recorded, training = (Trials(numbers.integers(0, 251, (40, 4, 8)).astype(np.uint8), 0.01) for _ in range(2))
    changed = with_sampling_error(recorded, training, n_trials=3)
    assert changed.counts.max() > 255  # a byte would have begun again at 0
    assert changed.counts.mean() == pytest.approx(recorded.counts.mean(), rel=0.3)


def test_the_same_seed_gives_the_same_trials():
    recorded, training = poisson(20, seed=1), poisson(20, seed=2)
    first, again, other = (with_sampling_error(recorded, training, seed=seed).counts for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
