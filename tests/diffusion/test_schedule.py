"""Schedules: variance is kept, noise only grows, level 0 is clean, and independent programs agree."""

import dataclasses
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from spikeloom.diffusion.schedule import Cosine, LinearBeta, clean_from, target

SCHEDULES = [LinearBeta(), LinearBeta(20, 1e-4, 0.6), Cosine(), Cosine(offset=0.0)]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_variance_is_kept_and_noise_grows(schedule, dtype):
    level = torch.linspace(0, 1, 4001, dtype=dtype)
    signal, noise = schedule(level)
    assert signal.dtype == noise.dtype == dtype
    torch.testing.assert_close(signal**2 + noise**2, torch.ones_like(level))
    assert signal[0] == 1
    assert noise[0] == 0
    assert 0 < signal[-1] < 0.1
    ratio = noise / signal
    if dtype == torch.float64:
        assert (ratio.diff() > 0).all()
    else:  # neighbours may round to the same number
        assert (ratio.diff() > -1e-5 * ratio[1:]).all()


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_level_of_inverts_the_schedule(schedule):
    level = torch.tensor([1e-3, 0.03, 0.3, 0.77, 1.0], dtype=torch.float64)
    signal, noise = schedule(level)
    torch.testing.assert_close(schedule.level_of(noise / signal), level, rtol=1e-6, atol=1e-9)
    assert schedule.level_of(torch.tensor([1e9])).item() == 1


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 60), st.floats(1e-6, 0.9), st.floats(1e-6, 0.9))
def test_any_linear_schedule_gets_noisier(levels, start, end):
    _, noise = LinearBeta(levels, min(start, end), max(start, end))(torch.linspace(0, 1, 500, dtype=torch.float64))
    assert noise.isfinite().all()
    assert (noise.diff() >= -1e-12).all()


def test_linear_beta_is_the_discrete_schedule_at_its_grid_points():
    beta = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    level = torch.arange(1, 1001, dtype=torch.float64) / 1000
    torch.testing.assert_close(LinearBeta()(level)[0] ** 2, torch.cumprod(1 - beta, 0), rtol=1e-12, atol=0)
    assert LinearBeta()(torch.ones(1))[0].item() == pytest.approx(0.00635, abs=1e-5)  # METHODS.md, section 0


def test_linear_beta_has_no_corners():
    level = torch.linspace(0.0, 1, 20001, dtype=torch.float64)
    slope = torch.log(LinearBeta()(level)[0]).diff()
    assert slope.diff().abs().max() < 2e-3 * slope.abs().max()


def test_agrees_with_diffusers():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from diffusers import DDPMScheduler
    level = torch.arange(1, 1001) / 1000
    theirs = DDPMScheduler(beta_schedule="linear").alphas_cumprod
    torch.testing.assert_close(LinearBeta()(level)[0] ** 2, theirs, rtol=2e-4, atol=0)
    theirs = DDPMScheduler(beta_schedule="squaredcos_cap_v2").alphas_cumprod
    # Ours ends at a signal of 0.005, a turn of the whole angle by 0.3 %.
    torch.testing.assert_close(Cosine()(level)[0] ** 2, theirs, rtol=0, atol=0.004)


@pytest.mark.parametrize("prediction", ["noise", "clean", "velocity"])
def test_every_answer_gives_back_the_clean_sample(prediction):
    draw = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 5, 7, 3, generator=draw, dtype=torch.float64)
    signal, sigma = (x[:, None, None] for x in LinearBeta()(torch.linspace(0, 1, 5, dtype=torch.float64)))
    answer = target(prediction, clean=clean, noise=noise, signal_scale=signal, noise_scale=sigma)
    noisy = signal * clean + sigma * noise
    result = clean_from(prediction, answer, x=noisy, signal_scale=signal, noise_scale=sigma)
    torch.testing.assert_close(result, clean)


def test_settings_are_frozen_and_checked():
    with pytest.raises(dataclasses.FrozenInstanceError):
        LinearBeta().levels = 3
    for wrong in ({"levels": 1}, {"start": 0.0}, {"end": float("nan")}, {"stop": 0.1}):
        with pytest.raises(ValidationError):
            LinearBeta(**wrong)
    assert LinearBeta(500) == LinearBeta(levels=500)
