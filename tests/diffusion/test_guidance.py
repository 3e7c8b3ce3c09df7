"""Guidance: strength 1 is the denoiser itself, 0 ignores the condition, and both estimates take one evaluation."""

import pytest
import torch

from spikeloom.diffusion.denoiser import Denoiser, NetworkDenoiser
from spikeloom.diffusion.guidance import Guided
from spikeloom.diffusion.sampler import UniPC
from spikeloom.diffusion.schedule import LinearBeta
from spikeloom.errors import SettingError
from spikeloom.nn.condition import Condition
from spikeloom.nn.stack import Backbone


class Shifted(Denoiser):
    """A denoiser that adds the condition to its estimate, and counts its evaluations."""

    def __init__(self):
        super().__init__()
        self.schedule = LinearBeta()
        self.calls = []

    def forward(self, noisy, level, condition=None, mask=None):
        self.calls.append(len(noisy))
        estimate = 0.3 * noisy + level[:, None, None]
        if mask is not None:
            estimate = estimate + mask[..., None]
        if condition is not None:
            shift = condition.sequence + condition.vector[:, None]
            if condition.present is not None:
                shift = shift * condition.present[:, None, None]
            estimate = estimate + shift
        return estimate


@pytest.fixture
def inputs():
    draw = torch.Generator().manual_seed(0)
    noisy, sequence = torch.randn(2, 4, 5, 2, generator=draw)
    mask = torch.arange(5) < torch.tensor([5, 3, 2, 5])[:, None]
    return noisy, torch.rand(4, generator=draw), Condition(torch.randn(4, 2, generator=draw), sequence), mask


def test_one_is_the_denoiser_itself_and_costs_no_more(inputs):
    noisy, level, condition, mask = inputs
    plain = Shifted()
    guided = Guided(plain, strength=1.0)
    assert torch.equal(guided(noisy, level, condition, mask), plain(noisy, level, condition, mask))
    assert plain.calls == [4, 4]


def test_zero_forgets_the_condition(inputs):
    noisy, level, condition, mask = inputs
    plain = Shifted()
    assert torch.equal(Guided(plain, strength=0.0)(noisy, level, condition, mask), plain(noisy, level, None, mask))
    assert plain.calls == [4, 4]


@pytest.mark.parametrize("strength", [-1.0, 0.5, 2.0])
def test_strength_goes_along_the_line_in_one_evaluation(inputs, strength):
    noisy, level, condition, mask = inputs
    plain = Shifted()
    without, with_it = plain(noisy, level, None, mask), plain(noisy, level, condition, mask)
    plain.calls.clear()
    result = Guided(plain, strength=strength)(noisy, level, condition, mask)
    torch.testing.assert_close(result, without + strength * (with_it - without))
    assert plain.calls == [8]
    # The same line between the estimates of the noise.
    signal, sigma = (x[:, None, None] for x in plain.schedule(level))
    eps = lambda estimate: (noisy - signal * estimate) / sigma
    torch.testing.assert_close(eps(result), eps(without) + strength * (eps(with_it) - eps(without)))


def test_trials_without_a_condition_are_not_guided(inputs):
    noisy, level, condition, mask = inputs
    plain = Shifted()
    guided = Guided(plain, strength=3.0)
    assert torch.equal(guided(noisy, level, None, mask), plain(noisy, level, None, mask))
    subset = Condition(condition.vector, condition.sequence, torch.tensor([True, False, True, False]))
    result = guided(noisy, level, subset, mask)
    torch.testing.assert_close(result[1::2], plain(noisy, level, None, mask)[1::2])
    torch.testing.assert_close(result[::2], guided(noisy, level, condition, mask)[::2])


def test_strength_must_be_a_number():
    for wrong in (float("nan"), float("inf")):
        with pytest.raises(SettingError, match="finite"):
            Guided(Shifted(), strength=wrong)


@pytest.fixture
def network():
    torch.manual_seed(0)
    backbone = Backbone(2, width=8, blocks=1, vector=3, sequence=2)
    for parameter in backbone.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape)  # modulation and absent embeddings start at zero
    return NetworkDenoiser(backbone, schedule=LinearBeta(), prediction="velocity").eval()


def test_a_network_is_guided_through_a_whole_draw(network):
    draw = torch.Generator().manual_seed(0)
    start = torch.randn(4, 5, 2, generator=draw)
    condition = Condition(torch.randn(4, 3, generator=draw), torch.randn(4, 5, 2, generator=draw))
    mask = torch.arange(5) < torch.tensor([5, 3, 2, 5])[:, None]
    sample = lambda denoiser, condition: UniPC(4).draw(denoiser, start.clone, condition=condition, mask=mask)
    plain, free = sample(network, condition), sample(network, None)
    assert (plain - free).abs().max() > 1e-3
    torch.testing.assert_close(sample(Guided(network, strength=1.0), condition), plain, rtol=0, atol=0)
    torch.testing.assert_close(sample(Guided(network, strength=0.0), condition), free)
    torch.testing.assert_close(sample(Guided(network, strength=1 + 1e-6), condition), plain, rtol=1e-4, atol=1e-4)
    strong = sample(Guided(network, strength=3.0), condition)
    assert (strong - plain).abs().max() > 1e-3
    # Padding is 0 and never read: the third trial alone, cut to its two bins, is the same.
    assert (strong[2, 2:] == 0).all()
    cut = Condition(condition.vector[2:3], condition.sequence[2:3, :2])
    alone = UniPC(4).draw(Guided(network, strength=3.0), lambda: start[2:3, :2], condition=cut)
    torch.testing.assert_close(alone, strong[2:3, :2], rtol=1e-4, atol=1e-4)
