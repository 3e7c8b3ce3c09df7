"""Diffused signal: smoothing ignores padding, components restore trials, statistics are those of training trials."""

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d

from spikeloom.nn.activity import Activity, smooth

RNG = np.random.default_rng(0)


def counts(trials=30, time=20, neurons=4):
    """Poisson counts with shared structure."""
    gain = np.exp(RNG.normal(0, 0.5, (trials, 1, 1)))
    return torch.tensor(RNG.poisson(0.8 * gain, (trials, time, neurons)), dtype=torch.float32)


def everywhere(x):
    return torch.ones(x.shape[:2], dtype=torch.bool)


def test_smoothing_is_a_normalised_gaussian():
    x = counts(2)
    kernel = dict(sigma=2.0, axis=1, mode="constant", truncate=4)
    want = gaussian_filter1d(x.numpy(), **kernel) / gaussian_filter1d(np.ones_like(x.numpy()), **kernel)
    np.testing.assert_allclose(smooth(x, everywhere(x), sd=2.0), want, atol=1e-5)
    flat = torch.full((1, 20, 1), 3.0)
    torch.testing.assert_close(smooth(flat, everywhere(flat), sd=3.0), flat)  # the ends are not darkened
    assert smooth(x, everywhere(x), sd=0.0) is x


def test_smoothing_sees_no_padding():
    x = counts(3)
    mask = torch.arange(20) < torch.tensor([20, 11, 4])[:, None]
    full = smooth(x * mask[..., None], mask, sd=2.0)
    for row, length in enumerate((20, 11, 4)):
        part = x[row : row + 1, :length]
        torch.testing.assert_close(full[row, :length], smooth(part, everywhere(part), sd=2.0)[0], atol=1e-6, rtol=1e-5)
    assert not full[~mask].any()


def test_standardised_over_valid_bins_of_the_training_trials():
    x = counts()
    mask = torch.arange(20) < torch.tensor(RNG.integers(5, 21, 30))[:, None]
    activity = Activity(4, sd=1.0)
    activity.fit(x * mask[..., None], mask)
    y = activity(x * mask[..., None], mask)
    torch.testing.assert_close(y[mask].mean(0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(y[mask].std(0, unbiased=False), torch.ones(4), atol=2e-2, rtol=0)
    torch.testing.assert_close(activity.back(y)[mask], smooth(x * mask[..., None], mask, sd=1.0)[mask])


def test_all_components_give_the_trial_back():
    x = counts(200, 6, 4)
    activity = Activity(4, sd=1.0, time=6, components=24)
    activity.fit(x, everywhere(x))
    y = activity(x, everywhere(x))
    assert y.shape == (200, 1, 24)
    torch.testing.assert_close(activity.back(y), smooth(x, everywhere(x), sd=1.0), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(y[:, 0].std(0, unbiased=False), activity.spread, atol=1e-3, rtol=1e-3)
    assert float(y.square().mean()) == np.float32(1).item() or abs(float(y.square().mean()) - 1) < 1e-3
    assert abs(float(activity.kept) - 1) < 1e-5


def test_few_components_keep_the_leading_variance_either_way():
    """The leading directions are those of a singular value decomposition, with more trials than numbers or fewer."""
    for trials in (12, 80):
        x = counts(trials, 5, 4)
        activity = Activity(4, time=5, components=3)
        activity.fit(x, everywhere(x))
        flat = activity._standard(x, everywhere(x)).flatten(1)
        values = torch.linalg.svdvals(flat - flat.mean(0)).square()
        np.testing.assert_allclose(float(activity.kept), float(values[:3].sum() / values.sum()), rtol=1e-4)
        torch.testing.assert_close(activity.basis.T @ activity.basis, torch.eye(3), atol=1e-5, rtol=0)


def test_denoised_components_leave_nothing_where_there_is_only_noise():
    x = torch.tensor(np.random.default_rng(1).poisson(0.5, (4000, 10, 3)), dtype=torch.float32)
    kept = {}
    for wiener in (False, True):
        activity = Activity(3, sd=1.0, time=10, components=6, wiener=wiener)
        activity.fit(x, everywhere(x))
        kept[wiener] = float(activity.kept)
    assert kept[False] > 0.4
    assert (
        kept[True] < 0.01
    )  # eigenvalues of 4,000 trials are off by sqrt(30 / 4000), of which the filter keeps a square


def test_denoised_components_are_the_expected_signal():
    """Rates of one known direction: the filter is the closed form s / (s + n) along it, and finds the rates better."""
    rng = np.random.default_rng(2)
    shape = np.sin(np.linspace(0, 3, 12))[:, None] * np.array([1.0, -1.0, 0.5, 1.5])
    rates = 2 + rng.uniform(-1, 1, (6000, 1, 1)) * shape
    x = torch.tensor(rng.poisson(rates), dtype=torch.float32)
    truth, error = torch.tensor(rates, dtype=torch.float32), {}
    for wiener in (False, True):
        activity = Activity(4, time=12, components=1, wiener=wiener)
        activity.fit(x, everywhere(x))
        y = activity(x, everywhere(x))
        error[wiener] = float((activity.back(y) - truth).square().mean())
        torch.testing.assert_close(y[:, 0].std(0, unbiased=False), activity.spread, atol=1e-3, rtol=1e-3)
    size = float(np.square(shape).sum()) / 3  # variance along the direction, beside a noise of the mean count, 2
    np.testing.assert_allclose(error[True] * 48, 2 * size / (size + 2), rtol=0.1)  # 6,000 trials: sd 2 %, and drift
    np.testing.assert_allclose(error[False] * 48, 2, rtol=0.1)


def test_rates_go_through_the_logarithm_and_back():
    rates = torch.rand(10, 8, 3) + 0.01
    activity = Activity(3, log=True)
    activity.fit(rates, everywhere(rates))
    y = activity(rates, everywhere(rates))
    torch.testing.assert_close(activity.rates(y), rates, atol=1e-5, rtol=1e-4)
    assert (activity.rates(torch.full_like(y, -50.0)) > 0).all()
