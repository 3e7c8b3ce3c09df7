"""Losses against their formulas, and blind to padding."""

import torch

from spikeloom.losses import coordinated_dropout, energy, smoothness


def test_coordinated_dropout_hides_the_asked_share_and_keeps_the_mean():
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
