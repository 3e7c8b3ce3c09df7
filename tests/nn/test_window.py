"""Windows cover every bin, do not change bin-wise networks, and hide all bins outside the window."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeloom.nn.condition import Condition
from spikeloom.nn.window import Windows, in_windows


@given(time=st.integers(1, 60), window=st.integers(1, 20))
@settings(deadline=None, max_examples=60)
def test_what_works_bin_by_bin_is_unchanged(time, window):
    x = torch.randn(2, time, 3, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(time).expand(2, time) < time - 1
    result = in_windows(lambda x, mask: 2 * x * mask[..., None], x, mask, window=window)
    torch.testing.assert_close(result, 2 * x * mask[..., None])


def test_a_bin_hears_only_of_bins_within_a_window():
    x = torch.randn(1, 50, 1, requires_grad=True)
    in_windows(lambda x, mask: x.sum(1, keepdim=True).expand_as(x), x, None, window=10)[0, 25].sum().backward()
    reached = x.grad[0, :, 0].nonzero().flatten()
    assert reached.min() > 25 - 10
    assert reached.max() < 25 + 10


def test_every_window_gets_its_part_of_the_condition():
    sequence, vector, present = torch.arange(50.0).view(2, 25, 1), torch.randn(2, 3), torch.tensor([True, False])
    windows = Windows(sequence, None, window=10)
    condition = windows.condition(Condition(vector, sequence, present))
    assert windows.index[:, 0].tolist() == [0, 5, 10, 15]
    assert condition.sequence[1, :, 0].tolist() == list(range(5, 15))
    assert condition.sequence[4, :, 0].tolist() == list(range(25, 35))
    assert condition.present.tolist() == [True] * 4 + [False] * 4
    torch.testing.assert_close(condition.vector[3], vector[0])
    assert windows.condition(None) is None


@given(first=st.integers(1, 60), second=st.integers(1, 60), window=st.integers(2, 20))
@settings(deadline=None, max_examples=60)
def test_a_trial_is_the_same_in_any_batch(first, second, window):
    """With a network that averages over the valid bins of its window."""
    network = lambda x, mask: ((x * mask[..., None]).sum(1, keepdim=True) / mask.sum(1)[:, None, None].clamp(1)) + 0 * x
    time = max(first, second)
    x = torch.randn(2, time, 1, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(time) < torch.tensor([[first], [second]])
    together = in_windows(network, x, mask, window=window)
    for row, length in enumerate((first, second)):
        alone = in_windows(network, x[row : row + 1, :length], mask[row : row + 1, :length], window=window)
        torch.testing.assert_close(together[row : row + 1, :length], alone)
