"""Baselines on the latents: covariances of a known system, trials outside the span of the reference, any length."""

import numpy as np
import pytest

from spikeloom.models.common.latent_autoregression import latent_autoregression
from spikeloom.models.common.latent_gaussian import latent_gaussian
from tests.helpers.small_ldns import toy_model, toy_trials
from tests.models.test_autoregressive_ldns import tiny

N_TRIALS, N_BINS = 400, 60


def system(*, seed: int) -> np.ndarray:
    """Two latents that relax to a level of their trial, with noise (trial, time, latent)."""
    rng = np.random.default_rng(seed)
    level = rng.normal(size=(N_TRIALS, 2))
    turn = np.array([[0.7, 0.3], [-0.3, 0.7]])
    latents = np.zeros((N_TRIALS, N_BINS, 2))
    z = level.copy()
    for time in range(N_BINS):
        z = level + (z - level) @ turn + 0.3 * rng.normal(size=z.shape)
        latents[:, time] = z
    return latents


def covariances(latents: np.ndarray, lag: int) -> np.ndarray:
    """Covariance of the latents with those of `lag` bins later, over trials and bins."""
    early, late = latents[:, : N_BINS - lag].reshape(-1, 2), latents[:, lag:].reshape(-1, 2)
    return early.T @ late / len(early)


@pytest.mark.parametrize("lag", [0, 1, 3, 30])
def test_the_autoregression_has_the_covariances_of_the_system(lag):
    latents, mask = system(seed=1), np.ones((N_TRIALS, N_BINS), bool)
    drawn = latent_autoregression(latents, mask, n_trials=N_TRIALS, n_bins=N_BINS, seed=0)
    # levels of 400 trials have a variance of 1 with a standard error of .07
    np.testing.assert_allclose(covariances(drawn, lag), covariances(latents, lag), atol=0.15)


def test_trials_are_no_combinations_of_the_reference_trials():
    """The Gaussian stays in the span of few reference trials; the autoregression does not."""
    latents, mask = system(seed=1)[:20], np.ones((20, N_BINS), bool)
    others = {
        "gaussian": latent_gaussian(latents, mask, n_trials=50, seed=0),
        "autoregression": latent_autoregression(latents, mask, n_trials=50, n_bins=N_BINS, seed=0),
    }
    ranks = {name: np.linalg.matrix_rank((drawn - latents.mean(0)).reshape(50, -1)) for name, drawn in others.items()}
    assert ranks == {"gaussian": 19, "autoregression": 50}


def test_a_trial_does_not_depend_on_the_others_and_may_be_longer_than_all_of_the_reference():
    latents, mask = system(seed=1)[:40, :20], np.ones((40, 20), bool)
    mask[:20, 12:] = False
    long = latent_autoregression(latents, mask, n_trials=5, n_bins=90, seed=3)
    few = latent_autoregression(latents, mask, n_trials=2, n_bins=30, seed=3)
    np.testing.assert_allclose(long[:2, :30], few, atol=1e-9)
    assert np.isfinite(long).all()


@pytest.mark.parametrize("make", [toy_model, tiny])
def test_models_with_latents_have_both_baselines(make):
    train = toy_trials(24, variable=True)
    model = make().fit(train, progress=False)
    like = toy_trials(7, variable=True, seed=3)
    baselines = model.latent_baselines(train, like=like, seed=1)
    assert list(baselines) == ["Gaussian on the latents", "linear autoregression on the latents"]
    for name, trials in baselines.items():
        assert trials.source == f"{name} of {type(model).__name__}"
        np.testing.assert_array_equal(trials.lengths, like.lengths)
        assert trials.counts.sum() > 0
