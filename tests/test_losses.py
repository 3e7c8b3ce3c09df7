"""Losses against their formulas, and independent of padding."""

import pytest
import torch

from spikeloom.losses import SCALES, coordinated_dropout, energy, mmd, smoothness


def test_each_trial_may_have_its_own_share():
    counts = torch.poisson(torch.full((2, 20_000, 4), 3.0))
    share = torch.tensor([0.1, 0.8])[:, None, None]
    seen, hidden = coordinated_dropout(counts, torch.rand_like(counts), probability=share)
    torch.testing.assert_close(hidden.float().mean((1, 2)), share.flatten(), atol=0.02, rtol=0)
    torch.testing.assert_close(seen.mean((1, 2)), counts.mean((1, 2)), atol=0.15, rtol=0)  # sd 0.025 at p = 0.8


def test_coordinated_dropout_hides_the_requested_share_and_keeps_the_mean():
    counts = torch.poisson(torch.full((40, 100, 20), 2.0))
    seen, hidden = coordinated_dropout(counts, torch.rand_like(counts), probability=0.3)
    assert abs(hidden.float().mean() - 0.3) < 0.01  # sd 0.0016
    assert not seen[hidden].any()
    assert abs(seen.mean() / counts.mean() - 1) < 0.02
    torch.testing.assert_close(seen[~hidden], counts[~hidden] / 0.7)


def test_smoothness_is_its_formula():
    z = torch.randn(1, 9, 2)
    expected = sum((z[0, t] - z[0, t + j]).square().sum() / (1 + j) for j in range(1, 6) for t in range(9 - j))
    torch.testing.assert_close(smoothness(z, torch.ones(1, 9)), expected)


def test_penalties_do_not_see_padding():
    z, mask = torch.randn(2, 9, 3), torch.ones(2, 9)
    garbage = torch.cat((z, 1e3 * torch.randn(2, 4, 3)), 1)
    longer = torch.cat((mask, torch.zeros(2, 4)), 1)
    torch.testing.assert_close(smoothness(garbage, longer), smoothness(z, mask))
    torch.testing.assert_close(energy(garbage, longer), energy(z, mask))


def test_one_bin_is_perfectly_smooth():
    assert smoothness(torch.randn(2, 1, 3), torch.ones(2, 1)) == 0


def test_discrepancy_is_unbiased_and_sees_a_shift():
    """Over many batches of equals the mean is 0 within four standard errors; the biased form would be 0.02 above."""
    draws = [torch.randn(2, 40, 8, generator=torch.Generator().manual_seed(seed)) for seed in range(200)]
    null = torch.stack([mmd(codes, prior) for codes, prior in draws])
    assert abs(float(null.mean())) < 4 * float(null.std()) / 200**0.5
    assert float(null.std()) < 0.01
    assert all(float(mmd(codes + 1, prior)) > 5 * float(null.std()) for codes, prior in draws[:5])


def test_discrepancy_is_the_sum_over_pairs():
    x, y = torch.randn(3, 2), torch.randn(4, 2)
    kernel = lambda a, b: sum(4 * s / (4 * s + float((a - b).square().sum())) for s in SCALES) / len(SCALES)
    inside = lambda z: sum(kernel(a, b) for i, a in enumerate(z) for j, b in enumerate(z) if i != j)
    want = inside(x) / 6 + inside(y) / 12 - 2 * sum(kernel(a, b) for a in x for b in y) / 12
    assert float(mmd(x, y)) == pytest.approx(want, abs=1e-5)
