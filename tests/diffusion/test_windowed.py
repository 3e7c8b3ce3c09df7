"""The windowed denoiser: plain where it can be, exact where the plain one works bin by bin, and without a seam."""

import torch

from spikeloom.diffusion.denoiser import ExactGaussian, NetworkDenoiser
from spikeloom.diffusion.sampler import UniPC
from spikeloom.diffusion.schedule import LinearBeta
from spikeloom.diffusion.windowed import Windowed
from spikeloom.nn.condition import Condition
from spikeloom.nn.stack import Backbone

SCHEDULE = LinearBeta()


def network() -> NetworkDenoiser:
    torch.manual_seed(0)
    backbone = Backbone(3, width=6, blocks=1, vector=2, sequence=1, scale_out=1.0)
    for block in backbone.stack.blocks:
        torch.nn.init.normal_(block.modulation.weight, std=0.3)
    return NetworkDenoiser(backbone, schedule=SCHEDULE, prediction="velocity").eval()


def test_short_trials_go_straight_through():
    net, x, level = network(), torch.randn(2, 12, 3), torch.tensor([0.3, 0.6])
    told = Condition(torch.randn(2, 2), torch.randn(2, 12, 1))
    assert torch.equal(Windowed(net, window=12)(x, level, told), net(x, level, told))


def test_samples_of_an_exact_gaussian_do_not_change():
    exact, x = ExactGaussian(0.5, SCHEDULE), torch.randn(4, 40, 2)
    plain, windowed = (UniPC(8).draw(net, lambda: x.clone()) for net in (exact, Windowed(exact, window=16)))
    torch.testing.assert_close(windowed, plain)


def test_each_trial_keeps_its_level_and_condition():
    """A long batch gives what its trials give alone."""
    net = Windowed(network(), window=10)
    x, level, mask = torch.randn(2, 33, 3), torch.tensor([0.3, 0.6]), torch.arange(33).expand(2, 33) < 30
    vector, sequence = torch.randn(2, 2), torch.randn(2, 33, 1)
    together = net(x, level, Condition(vector, sequence), mask)
    for row in (slice(0, 1), slice(1, 2)):
        alone = net(x[row], level[row], Condition(vector[row], sequence[row]), mask[row])
        torch.testing.assert_close(together[row], alone, atol=1e-5, rtol=1e-4)


def test_windows_a_few_at_a_time_are_the_same(monkeypatch):
    net, x, level = Windowed(network(), window=10), torch.randn(2, 33, 3), torch.tensor([0.3, 0.6])
    told = Condition(torch.randn(2, 2), torch.randn(2, 33, 1), torch.tensor([True, False]))
    whole = net(x, level, told)
    monkeypatch.setattr("spikeloom.diffusion.windowed.BINS_AT_ONCE", 30)
    torch.testing.assert_close(net(x, level, told), whole, atol=1e-5, rtol=1e-4)
