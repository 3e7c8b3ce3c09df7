"""The Lorenz benchmark against an independent integrator, and the facts of METHODS.md 1.1."""

import numpy as np
import pytest
from scipy import integrate, stats

from spikeloom.errors import SettingError
from spikeloom.simulate import lorenz_system as module
from spikeloom.simulate.lorenz_system import loadings, lorenz, poisson_of, trajectories


def test_trajectories_agree_with_an_adaptive_solver():
    """One period: chaos magnifies any difference about e^0.9 times per time unit."""
    start = np.array(module.START)

    def velocity(_, state):
        x, y, z = state
        return [10 * (y - x), x * (28 - z) - y, x * y - 2.667 * z]

    at = np.arange(100) * 1.5008 / 100
    truth = integrate.solve_ivp(velocity, (0, at[-1]), start, t_eval=at, rtol=1e-11, atol=1e-11).y.T
    np.testing.assert_allclose(trajectories(start[None], n_bins=100)[0], truth, atol=1e-4)


def test_runge_kutta_has_order_four():
    start = np.array([module.START])
    end = lambda substeps: trajectories(start, n_bins=30, substeps=substeps)[0, -1]
    truth = end(128)
    coarse, fine = (np.abs(end(substeps) - truth).max() for substeps in (4, 8))
    assert 12 < coarse / fine < 22  # 2^4


def test_the_published_facts_hold():
    trials = lorenz(300, seed=42)
    assert trials.counts.shape == (300, 256, 128)
    assert trials.counts.mean() == pytest.approx(0.140, abs=0.004)
    assert 8 < trials.rates.max() < 10
    assert 11 <= trials.counts.max() <= 18
    np.testing.assert_allclose(trials.latents.mean(1), 0, atol=1e-5)
    np.testing.assert_allclose(trials.latents.std(1), 1, atol=1e-5)
    assert trials.mean_rates_hz().mean() == pytest.approx(14, abs=0.4)


def test_counts_are_poisson_of_the_rates():
    trials = lorenz(100, n_neurons=20, seed=1)
    rates, counts = trials.rates.astype(float), trials.counts
    surplus = (counts - rates).sum() / np.sqrt(rates.sum())
    assert abs(surplus) < 4  # standard deviations
    dispersion = ((counts - rates) ** 2).sum() / rates.sum()
    assert dispersion == pytest.approx(1, abs=0.02)


def test_rates_follow_from_latents_and_loadings():
    trials = lorenz(3, n_neurons=7, n_bins=50, seed=3)
    loading = np.stack([trials.neuron_table[f"loading_{axis}"] for axis in "xyz"], 1)
    np.testing.assert_allclose(np.linalg.norm(loading, axis=1), 1)
    assert (np.diff(loading[:, 0]) >= 0).all()
    drive = trials.latents @ loading.T + np.log(0.3)
    np.testing.assert_allclose(trials.rates, np.log1p(np.exp(2 * drive)) / 2, rtol=1e-4)


def test_trial_k_is_the_same_however_many_there_are():
    several, few = lorenz(12, n_neurons=4, n_bins=30, seed=5), lorenz(3, n_neurons=4, n_bins=30, seed=5)
    np.testing.assert_array_equal(several.counts[:3], few.counts)
    np.testing.assert_array_equal(several.latents[:3], few.latents)
    assert (lorenz(3, n_neurons=4, n_bins=30, seed=6).counts != few.counts).any()


@pytest.mark.parametrize("rate", [0.01, 0.14, 3.0, 9.0, 50.0])
def test_poisson_by_inversion_is_the_quantile_function(rate):
    uniform = np.random.default_rng(0).random(20_000)
    np.testing.assert_array_equal(poisson_of(np.full(20_000, rate), uniform), stats.poisson.ppf(uniform, rate))


def test_loadings_do_not_depend_on_the_trials():
    np.testing.assert_array_equal(loadings(5, seed=0), loadings(5, seed=0))


@pytest.mark.parametrize("wrong", [{"n_trials": 0}, {"n_neurons": 0}, {"n_bins": 1}, {"burn_in": -1}])
def test_numbers_out_of_range(wrong):
    with pytest.raises(SettingError, match=next(iter(wrong))):
        lorenz(**{"n_trials": 1, **wrong})
