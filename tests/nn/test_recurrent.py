"""The encoder of whole trials: its result does not depend on padding, but on both ends of a trial."""

import torch

from spikeloom.nn.recurrent import TrialEncoder


def test_padding_changes_nothing():
    torch.manual_seed(0)
    encoder = TrialEncoder(3, 5, width=7)
    x = torch.randn(4, 12, 3)
    mask = torch.arange(12) < torch.tensor([12, 9, 5, 1])[:, None]
    together = encoder(x, mask)
    for row, length in enumerate((12, 9, 5, 1)):
        torch.testing.assert_close(together[row], encoder(x[row : row + 1, :length])[0], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(encoder(x.masked_fill(~mask[..., None], 9.0), mask), together)


def test_both_ends_are_read():
    torch.manual_seed(0)
    encoder = TrialEncoder(3, 5, width=7)
    x = torch.randn(1, 10, 3, requires_grad=True)
    encoder(x).sum().backward()
    assert (x.grad.abs().sum((0, 2)) > 0).all()
