"""Shared noise: simulated noise is recovered, none is found in independent counts, and the likelihood is correct."""

import math

import numpy as np
import pytest
import torch

from spikeloom.errors import SettingError
from spikeloom.observation.covariance import lag_weights, low_rank, summed_covariance, variances
from spikeloom.observation.model import ObservationModel
from spikeloom.observation.noise import SharedNoise, box_correlation, box_series
from spikeloom.observation.poisson import Poisson
from spikeloom.seeds import Purpose, Streams
from spikeloom.trials import Trials

NEURONS = 12


def streams(trials: int, seed: int = 0) -> Streams:
    return Streams(seed, Purpose.SPIKES, 0, range(trials))


def around(**settings) -> ObservationModel:
    """Poisson counts under shared noise."""
    return ObservationModel(Poisson(), history=None, noise=SharedNoise(**settings))


def plain() -> ObservationModel:
    """Poisson counts alone."""
    return ObservationModel(Poisson(), history=None, noise=None)


def noisy(bin_width: float = 0.005, *, rank: int = 1, strength: float = 0.5) -> ObservationModel:
    model = around(rank=rank)
    model.build(NEURONS, bin_width)
    sign = torch.where(torch.arange(NEURONS) < 8, 1.0, -1.0)
    model.noise.weights[:, 0] = strength * sign
    return model


def recorded(
    model: ObservationModel, *, trials: int, time: int = 100, bin_width: float = 0.005
) -> tuple[Trials, np.ndarray]:
    rates = 0.1 * torch.exp(0.4 * torch.randn(trials, time, NEURONS, generator=torch.Generator().manual_seed(0)))
    return Trials(model.sample(model.drive(rates), streams(trials)), bin_width), rates.numpy()


@pytest.mark.parametrize("bins", [1, 3])
def test_box_series_have_unit_variance_and_their_correlation(bins):
    white = np.random.default_rng(0).normal(size=(4000, 12, 2))
    series, _ = box_series(white, white[:, :0], bins)
    result = np.einsum("btr,bsr->ts", series, series) / (4000 * 2)
    wanted = box_correlation(np.arange(12), bins)
    np.testing.assert_allclose(np.diag(result), 1, atol=0.06)  # sd of a variance of 8,000 numbers: 0.016
    steady = result[4:, 4:]  # a box that is not yet full correlates otherwise
    for lag in range(5):
        np.testing.assert_allclose(np.diag(steady, lag), wanted[lag], atol=0.06)


@pytest.mark.parametrize("bin_width", [0.005, 0.02])
def test_the_covariance_that_was_put_in_is_found(bin_width):
    """At 20 ms the box is one bin. Only entries off the diagonal are compared, which the data determine."""
    true = noisy(bin_width)
    trials, rates = recorded(true, trials=400, bin_width=bin_width)
    model = around(rank=4)
    model.build(NEURONS, bin_width)
    model.fit(trials, rates, seed=0)
    result, wanted = model.noise.weights @ model.noise.weights.T, true.noise.weights @ true.noise.weights.T
    off = ~torch.eye(NEURONS, dtype=torch.bool)
    slope = (result * wanted)[off].sum() / wanted.square()[off].sum()
    assert 0.8 < slope < 1.15  # 0.91 and 0.96 here: shrinkage takes a little
    assert (result - wanted)[off].square().mean().sqrt() < 0.1  # against 0.25 of every entry
    fake = model.sample(model.drive(torch.from_numpy(rates)), streams(400, seed=5))
    np.testing.assert_allclose(fake.mean((0, 1)), trials.counts.mean((0, 1)), rtol=0.1)  # 4,000 spikes, sd 0.025


def test_where_there_is_no_noise_none_is_found():
    plain = noisy(strength=0.0)
    for trials in (4, 300):  # few trials must not look like noise either
        data, rates = recorded(plain, trials=trials)
        model = around(rank=4)
        model.build(NEURONS, 0.005)
        model.fit(data, rates, seed=0)
        assert model.noise.weights.square().sum(1).max() < 0.1


def test_bins_that_do_not_resolve_the_box_have_none():
    """What neurons share within 25 ms is left to the rates, and the calibration of rates takes this into account."""
    data, rates = recorded(noisy(), trials=100)
    wide = Trials(data.counts, 0.025)
    model = around(rank=4)
    model.build(NEURONS, wide.bin_width)
    model.fit(wide, rates, seed=0)
    assert model.shared_bins == 0
    assert model.noise.weights.shape == (NEURONS, 0)
    drive, counts = model.drive(torch.from_numpy(rates)), torch.from_numpy(np.array(wide.counts, np.float32))
    np.testing.assert_array_equal(model.sample(drive, streams(100)), plain().sample(drive, streams(100)))
    alone = plain().log_prob(counts, drive)
    torch.testing.assert_close(model.log_prob(counts, drive), alone)
    full = model.log_likelihood(counts[:3], drive[:3], streams(3), particles=2)
    torch.testing.assert_close(full.float(), alone[:3].sum(2))


def test_slow_covariance_is_left_to_the_rates():
    """Rates that lack a slow shared gain are not repaired with fast noise."""
    rng = np.random.default_rng(0)
    rates = np.full((300, 100, NEURONS), 0.1, np.float32)
    trials = Trials(rng.poisson(rates * np.exp(0.4 * rng.normal(size=(300, 1, 1)) - 0.08)), 0.005)
    model = around(rank=4)
    model.build(NEURONS, 0.005)
    model.fit(trials, rates, seed=0)
    assert model.noise.weights.square().sum(1).mean() < 0.03  # the gain's own variance is 0.16


def test_likelihood_by_particles_is_that_by_integration():
    """One bin, one direction: the integral over the noise can be done on a grid."""
    model = noisy()
    drive, counts = model.drive(torch.full((1, 1, NEURONS), 0.4)), torch.randint(0, 3, (1, 1, NEURONS)).double()
    grid = torch.linspace(-6, 6, 2001, dtype=torch.float64)[:, None, None]
    weight = torch.exp(-(grid**2) / 2) / math.sqrt(2 * math.pi) * 0.006
    rates = 0.4 * torch.exp((grid * model.noise.weights[:, 0]).clamp(max=2.5) - model.noise.weights[:, 0] ** 2 / 2)
    each = plain().log_prob(counts.expand(2001, 1, NEURONS), plain().drive(rates)).sum(2, keepdim=True)
    wanted = (each.exp() * weight).sum().log()
    result = model.log_likelihood(counts, drive, streams(1), particles=40_000)
    assert abs(float(result) - float(wanted)) < 0.03  # standard error of such a mean: about 0.005


def test_likelihood_prefers_the_model_that_made_the_data():
    """Noise improves the likelihood of complete trials, but not that of single counts."""
    true, none = noisy(strength=0.8), noisy(strength=0.0)
    trials, rates = recorded(true, trials=20, time=60)
    counts, drive = torch.from_numpy(trials.counts.astype(np.float32)), true.drive(torch.from_numpy(rates))
    result, plain = (model.log_likelihood(counts, drive, streams(20)).sum() for model in (true, none))
    assert result > plain + 20  # nats
    torch.testing.assert_close(plain, none.log_prob(counts, drive).sum().double(), rtol=1e-4, atol=1e-2)


def test_a_trials_likelihood_does_not_depend_on_its_batch():
    model = noisy(rank=2)
    trials, rates = recorded(model, trials=4, time=10)
    counts, drive = torch.from_numpy(trials.counts.astype(np.float32)), model.drive(torch.from_numpy(rates))
    full = model.log_likelihood(counts, drive, streams(4), particles=20)
    alone = model.log_likelihood(counts[2:3], drive[2:3], Streams(0, Purpose.SPIKES, 0, [2]), particles=20)
    torch.testing.assert_close(alone[0], full[2])


def test_few_directions_of_an_uncertain_covariance():
    rng = np.random.default_rng(0)
    side = rng.normal(size=(40, 1))
    error = rng.normal(size=(40, 40)) * 0.1
    error = (error + error.T) / math.sqrt(2)
    result = low_rank(side @ side.T + error, rank=5, error=0.1)
    assert (np.abs(result).sum(0) > 0).sum() == 1  # the others are what errors alone give
    np.testing.assert_allclose(np.abs(result[:, 0]), np.abs(side[:, 0]), atol=0.15)
    assert not low_rank(error, rank=5, error=0.1).any()


def test_the_box_is_separated_from_a_constant():
    lags = np.arange(6)
    correlation = box_correlation(lags, 2)
    truth = np.random.default_rng(0).normal(size=(2, 3, 3))
    seen = np.einsum("lc,cij->lij", np.stack([correlation, np.ones(6)], 1), truth)
    weights, error = lag_weights(lags, correlation)
    np.testing.assert_allclose(np.einsum("l,lij->ij", weights, seen), truth[0], atol=1e-10)
    assert error > 0


@pytest.mark.parametrize("entries", [2**18, 60])  # all trials at once, or two by two
def test_summed_covariances_are_numpys(entries, monkeypatch):
    monkeypatch.setattr("spikeloom.observation.slots.ENTRIES_AT_ONCE", entries)
    rng = np.random.default_rng(0)
    counts = rng.poisson(1.0, (50, 8, 3))
    mask = np.ones((50, 8), bool)
    centred = counts - counts.mean(0)
    early = np.einsum("bti,btj->ij", centred, centred) / 400
    late = np.einsum("bti,btj->ij", centred[:, :-2], centred[:, 2:]) / (50 * 6)
    result = summed_covariance(counts, mask, np.array([0, 2]), np.array([0.3, -2.0]))
    np.testing.assert_allclose(result, 0.3 * early - (late + late.T), atol=1e-5)
    np.testing.assert_allclose(variances(counts, mask), np.diag(early), atol=1e-12)


def test_padding_does_not_change_summed_covariances():
    rng = np.random.default_rng(0)
    counts, mask = rng.poisson(1.0, (30, 8, 3)), np.arange(8) < rng.integers(4, 9, (30, 1))
    results = [
        summed_covariance(np.where(mask[..., None], counts, fill), mask, np.arange(3), np.ones(3)) for fill in (0, 99)
    ]
    np.testing.assert_array_equal(*results)


def test_the_largest_eigenvalues_of_many_neurons_are_those_of_all():
    """Matrices above `FEW` neurons have only their largest eigenvalues computed."""
    rng = np.random.default_rng(0)
    side = rng.normal(size=(150, 2))
    noise = rng.normal(size=(150, 150)) * 0.1
    matrix = side @ side.T + (noise + noise.T) / math.sqrt(2)
    result = low_rank(matrix, rank=4, error=0.1)
    assert (np.abs(result).sum(0) > 0).sum() == 2
    truth, approximation = side @ side.T, result @ result.T
    assert np.abs(truth - approximation).mean() < 0.1 * np.abs(truth).mean()  # 0.04


def test_wrong_numbers_are_refused():
    for wrong in (dict(duration=0.0), dict(rank=0)):
        with pytest.raises(SettingError, match="SharedNoise needs"):
            SharedNoise(**wrong)
