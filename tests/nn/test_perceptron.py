"""The backbone of vectors: exact for Gaussian data before training, and dependent on its condition."""

import pytest
import torch

from spikeloom.diffusion.denoiser import ExactGaussian, NetworkDenoiser
from spikeloom.diffusion.schedule import LinearBeta
from spikeloom.nn.condition import Condition
from spikeloom.nn.perceptron import Perceptron, VectorBackbone

SD = [0.02, 0.5, 1.0, 3.0]


@pytest.fixture
def backbone():
    torch.manual_seed(0)
    made = VectorBackbone(4, schedule=LinearBeta(), width=16, blocks=2, vector=3)
    made.sd.copy_(torch.tensor(SD))
    return made


def test_without_a_network_it_is_the_exact_gaussian_denoiser(backbone):
    torch.nn.init.zeros_(backbone.network.leave.weight)
    torch.nn.init.zeros_(backbone.network.leave.bias)
    mine = NetworkDenoiser(backbone, schedule=LinearBeta(), prediction="velocity").double()
    exact = ExactGaussian(SD, LinearBeta())
    x, level = torch.randn(5, 1, 4).double(), torch.tensor([0.001, 0.1, 0.4, 0.8, 1.0]).double()
    torch.testing.assert_close(mine(x, level), exact(x, level), atol=1e-6, rtol=1e-5)  # sd is kept in float32


def test_what_the_network_adds_is_in_units_of_what_is_open(backbone):
    """At level 1 the clean estimate of a channel changes by its own sd for one unit of the network's answer."""
    x, level = torch.randn(2, 1, 4), torch.ones(2)
    mine = NetworkDenoiser(backbone, schedule=LinearBeta(), prediction="velocity")
    before = mine(x, level)
    with torch.no_grad():
        backbone.network.leave.bias.sub_(1)
    signal, noise = LinearBeta()(torch.ones(()))
    spread = (signal**2 * backbone.sd**2 + noise**2).sqrt()
    torch.testing.assert_close(
        mine(x, level) - before, (noise * backbone.sd / spread).expand(2, 1, 4), atol=1e-4, rtol=1e-3
    )


def test_condition_and_every_parameter_matter(backbone):
    x, level = torch.randn(6, 1, 4), torch.rand(6)
    condition = Condition(vector=torch.randn(6, 3), present=torch.tensor([True] * 3 + [False] * 3))
    for block in backbone.network.blocks:
        torch.nn.init.normal_(block.modulation.weight, std=0.1)
    answer = backbone(x, level, condition)
    answer.square().sum().backward()
    assert not [name for name, value in backbone.named_parameters() if value.grad is None or not value.grad.any()]
    other = backbone(x, level, Condition(vector=torch.randn(6, 3), present=condition.present))
    assert ((answer - other).abs().amax((1, 2))[:3] > 0).all()
    assert torch.equal(answer[3:], other[3:])


def test_a_perceptron_begins_as_a_linear_map_and_can_bend():
    torch.manual_seed(0)
    net = Perceptron(3, 2, width=8, blocks=1)
    x = torch.randn(4, 3)
    torch.testing.assert_close(net(x), net.leave(net.enter(x)))
    net(x).square().sum().backward()
    assert net.blocks[0].modulation.grad[-8:].abs().min() > 0  # the gates learn from the first update
