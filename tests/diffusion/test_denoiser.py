"""Denoisers: every kind of prediction gives the same estimate, and the loss reads valid entries only."""

import copy
import math

import pytest
import torch
from torch import nn

from spikeloom.diffusion.denoiser import DoublePrecision, ExactGaussian, NetworkDenoiser, denoising_loss
from spikeloom.diffusion.schedule import Cosine, LinearBeta
from spikeloom.errors import SettingError


class Backbone(nn.Module):
    """A network that mixes channels and bins, so that values in padding would change every bin."""

    def __init__(self, channels):
        super().__init__()
        self.mix = nn.Linear(channels, channels)

    def forward(self, x, level, condition, mask):
        return self.mix(x) + x.mean(1, keepdim=True) * level[:, None, None]


def batch(channels=3, dtype=torch.float64):
    draw = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 4, 6, channels, generator=draw, dtype=dtype)
    return clean, noise, torch.tensor([0.05, 0.3, 0.6, 0.95], dtype=dtype)


def network(prediction, schedule=None):
    torch.manual_seed(0)
    return NetworkDenoiser(Backbone(3).double(), schedule=schedule or LinearBeta(), prediction=prediction)


def test_double_precision_is_that_of_a_copy_of_the_networks():
    denoiser = network("velocity").float()
    clean, noise, level = batch()
    x = (clean + noise).double()
    estimate = DoublePrecision(denoiser)(x, level)
    assert next(denoiser.parameters()).dtype == torch.float32
    torch.testing.assert_close(estimate, copy.deepcopy(denoiser).double()(x, level), rtol=0, atol=0)


def test_exact_gaussian_is_the_best_linear_estimate():
    level, sd = torch.full((1,), 0.4, dtype=torch.float64), 0.5
    signal, noise = (x.item() for x in Cosine()(level))
    ones = torch.ones(1, 1, 1, dtype=torch.float64)
    slope = ExactGaussian(sd, Cosine())(ones, level).item()
    # Regression of x_0 on x: covariance over variance.
    assert slope == pytest.approx(signal * sd**2 / (signal**2 * sd**2 + noise**2), rel=1e-12)
    clean, eps = torch.randn(2, 200_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    noisy = signal * sd * clean + noise * eps
    assert slope == pytest.approx((noisy @ (sd * clean) / (noisy @ noisy)).item(), abs=0.01)


@pytest.mark.parametrize("prediction", ["noise", "clean", "velocity"])
def test_estimate_is_perfect_when_the_loss_is_zero(prediction):
    clean, noise, level = batch()
    denoiser = NetworkDenoiser(nn.Identity(), schedule=Cosine(), prediction=prediction)
    signal, sigma = (x[:, None, None] for x in Cosine()(level))
    answers = {"noise": noise, "clean": clean, "velocity": signal * noise - sigma * clean}
    denoiser.backbone.forward = lambda *_: answers[prediction]
    total, _ = denoising_loss(denoiser, clean, level=level, noise=noise)
    assert total.item() == 0
    torch.testing.assert_close(denoiser(signal * clean + sigma * noise, level), clean)


def test_velocity_loss_is_noise_loss_plus_reconstruction_loss():
    """METHODS.md 3.2: the two GNOCCHI losses with unit weights are exactly the velocity loss."""
    clean, noise, level = batch()
    schedule = LinearBeta()
    velocity = network("velocity", schedule)
    signal, sigma = (x[:, None, None] for x in schedule(level))
    noisy = signal * clean + sigma * noise
    estimate = velocity(noisy, level)
    eps = (noisy - signal * estimate) / sigma
    for trial in range(len(clean)):
        one = slice(trial, trial + 1)
        total, _ = denoising_loss(velocity, clean[one], level=level[one], noise=noise[one])
        # The backbone mixes bins of one trial only, so a trial alone has the same answer.
        both = ((eps - noise)[one] ** 2).sum() + ((estimate - clean)[one] ** 2).sum()
        assert total.item() == pytest.approx(both.item(), rel=1e-6)
        assert total.item() == pytest.approx((((eps - noise) / signal)[one] ** 2).sum().item(), rel=1e-6)


@pytest.mark.parametrize("huber", [None, 0.05])
@pytest.mark.parametrize("prediction", ["noise", "clean", "velocity"])
def test_padding_is_never_seen(prediction, huber):
    clean, noise, level = batch()
    denoiser = network(prediction)
    lengths = torch.tensor([6, 4, 1, 0])
    mask = torch.arange(6) < lengths[:, None]
    spoiled = clean.masked_fill(~mask[..., None], math.nan)
    total, number = denoising_loss(denoiser, spoiled, level=level, noise=noise, mask=mask, huber=huber)
    again, _ = denoising_loss(
        denoiser, clean, level=level, noise=noise.where(mask[..., None], 7), mask=mask, huber=huber
    )
    assert total.isfinite()
    assert total.item() == again.item()
    assert number.item() == 11 * 3
    total.backward()
    assert all(parameter.grad.isfinite().all() for parameter in denoiser.parameters())


def test_sums_add_up_over_micro_batches():
    clean, noise, level = batch()
    denoiser = network("velocity")
    full, number = denoising_loss(denoiser, clean, level=level, noise=noise, huber=0.1)
    parts = [denoising_loss(denoiser, clean[k], level=level[k], noise=noise[k], huber=0.1) for k in ([0], [1, 2, 3])]
    assert full.item() == pytest.approx(sum(total.item() for total, _ in parts))
    assert number.item() == sum(n.item() for _, n in parts) == clean.numel()


def test_huber_is_the_published_formula():
    clean, noise, level = batch()
    denoiser = network("clean")
    signal, sigma = (x[:, None, None] for x in LinearBeta()(level))
    error = (denoiser(signal * clean + sigma * noise, level) - clean).abs()
    expected = torch.where(error < 0.5, error**2 / (2 * 0.5), error - 0.25).sum().item()
    assert denoising_loss(denoiser, clean, level=level, noise=noise, huber=0.5)[0].item() == pytest.approx(expected)
    with pytest.raises(SettingError, match="above 0"):
        denoising_loss(denoiser, clean, level=level, noise=noise, huber=0.0)
