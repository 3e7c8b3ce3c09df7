"""The fused steps of a block: definition, gradients, and equal numbers for every size of portions."""

import pytest
import torch

from spikeloom.nn import portions
from spikeloom.nn.norm import gated_sum, modulated_norm, rms_norm


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


@pytest.fixture(params=[1, 60, 10**6], ids=["one trial at a time", "two", "all"])
def portioned(request, monkeypatch) -> None:
    """Five trials of 4 channels and 7 bins, in portions of several sizes."""
    monkeypatch.setattr(portions, "IN_CACHE", request.param)
    torch.manual_seed(0)


@pytest.mark.parametrize("each", [1, 5])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.usefixtures("portioned")
def test_modulated_norm_is_its_formula_and_so_is_its_gradient(each, masked):
    x, scale, shift = random(4, 5, 7), random(4, each, 1), random(4, each, 1)
    mask = (torch.arange(7) < torch.tensor([[7], [3], [5], [1], [7]])).double() if masked else None
    expected = rms_norm(x) * (1 + scale) + shift
    torch.testing.assert_close(
        modulated_norm(x, scale, shift, mask), expected if mask is None else expected * mask, rtol=1e-12, atol=1e-12
    )
    assert torch.autograd.gradcheck(lambda *inputs: modulated_norm(*inputs, mask), (x, scale, shift))


@pytest.mark.parametrize("each", [1, 5])
@pytest.mark.usefixtures("portioned")
def test_gated_sum_is_its_formula_and_so_is_its_gradient(each):
    x, y, gate = random(4, 5, 7), random(4, 5, 7), random(4, each, 1)
    torch.testing.assert_close(gated_sum(x, y, gate), x + gate * y)
    assert torch.autograd.gradcheck(gated_sum, (x, y, gate))


def test_under_autocast_operators_get_half_precision_and_the_residual_keeps_its_own():
    x, column = torch.randn(4, 5, 7, requires_grad=True), torch.randn(4, 1, 1)
    with torch.autocast("cpu", torch.bfloat16):
        h = modulated_norm(x, column, column)
        y = gated_sum(x, h, column)
    assert (h.dtype, y.dtype) == (torch.bfloat16, torch.float32)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert gradient.dtype == torch.float32
    torch.testing.assert_close(h.float(), modulated_norm(x, column, column), rtol=0.01, atol=0.01)  # 2^-8 per number


def test_an_empty_batch_passes():
    column = torch.zeros(4, 1, 1)
    x = torch.zeros(4, 0, 7)
    assert gated_sum(x, modulated_norm(x, column, column), column).shape == x.shape
