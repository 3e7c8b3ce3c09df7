"""The backbone: no influence of padding or the future, streaming equals the batch, and every setting has an effect."""

import pytest
import torch

from spikeloom.nn.condition import Condition
from spikeloom.nn.encoder import Decoder, Encoder
from spikeloom.nn.stack import Backbone, GroupedLinear, Stack


def encoder(bidirectional: bool) -> Encoder:
    torch.manual_seed(1)
    return Encoder(5, n_latents=4, width=8, blocks=2, bidirectional=bidirectional).eval()


def counts(batch: int, time: int) -> torch.Tensor:
    return torch.poisson(torch.full((batch, time, 5), 0.5), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("padding", [1, 40, 400])
def test_latents_of_valid_bins_do_not_depend_on_padding(bidirectional, padding):
    net, x = encoder(bidirectional), counts(2, 30)
    mask = torch.ones(2, 30 + padding, dtype=torch.bool)
    mask[:, 30:] = False
    garbage = torch.cat((x, 100 * torch.randn(2, padding, 5)), 1)
    torch.testing.assert_close(net(garbage, mask)[:, :30], net(x), atol=1e-5, rtol=1e-4)


def test_a_unidirectional_encoder_is_causal():
    net, x = encoder(False), counts(2, 30)
    changed = x.clone()
    changed[:, 17:] += 3
    torch.testing.assert_close(net(changed)[:, :17], net(x)[:, :17], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(net(changed)[:, 17:], net(x)[:, 17:], atol=1e-3)


def test_causality_by_gradient():
    """The gradient of latent 12 is zero at later bins for one direction, and not for two."""
    for bidirectional in (False, True):
        x = counts(1, 30).requires_grad_(True)
        encoder(bidirectional)(x)[0, 12].sum().backward()
        assert x.grad[0, :13].abs().sum() > 0
        assert bool(x.grad[0, 13:].abs().max() > 1e-4) == bidirectional


def test_a_causal_stack_streams_the_latents_of_the_batch():
    net, x = encoder(False), counts(3, 40)
    states, rows = net.stack.start(3), []
    with torch.no_grad():
        for t in range(40):
            row, states = net.stack.step(x[:, t], states)
            rows.append(row)
        torch.testing.assert_close(torch.stack(rows, 1), net(x), atol=1e-4, rtol=1e-4)


def test_grouped_linear_is_block_diagonal():
    layer = GroupedLinear(6, 4, groups=2)
    dense = torch.block_diag(*layer.weight)
    x = torch.randn(6, 2, 3)
    torch.testing.assert_close(layer(x), torch.einsum("oi,ibt->obt", dense, x) + layer.bias[:, None, None])
    with pytest.raises(ValueError, match="groups must divide"):
        GroupedLinear(5, 4, groups=2)


def test_latents_do_not_interact_in_an_additive_decoder():
    """The mixed second difference of the drive vanishes for the additive decoder only."""
    for mixed in (False, True):
        torch.manual_seed(0)
        decoder = Decoder(4, 3, width=8, mixed=mixed).double()
        z, a, b = torch.randn(1, 1, 4).double(), torch.zeros(1, 1, 4).double(), torch.zeros(1, 1, 4).double()
        a[..., 0], b[..., 2] = 1.0, 1.0
        mixed_difference = decoder(z + a + b) - decoder(z + a) - decoder(z + b) + decoder(z)
        assert bool(mixed_difference.abs().max() > 1e-6) == mixed


def backbone(**settings) -> Backbone:
    torch.manual_seed(0)
    net = Backbone(4, width=8, blocks=2, **settings)
    for block in net.stack.blocks:  # gates start at zero: open them, so that the blocks can be seen
        torch.nn.init.normal_(block.modulation.weight, std=0.3)
    return net


def test_the_denoisers_backbone_ignores_padding_and_hears_level_and_conditions():
    net = backbone(vector=2, sequence=3)
    x, level = torch.randn(2, 20, 4), torch.tensor([0.2, 0.7])
    vector, sequence = torch.randn(2, 2), torch.randn(2, 20, 3)
    y = net(x, level, Condition(vector, sequence))
    mask = torch.arange(25).expand(2, 25) < 20
    pad = lambda a: torch.cat((a, torch.randn(2, 5, a.shape[-1])), 1)
    torch.testing.assert_close(
        net(pad(x), level, Condition(vector, pad(sequence)), mask)[:, :20], y, atol=1e-5, rtol=1e-4
    )
    for other in (
        net(x, level + 0.1, Condition(vector, sequence)),
        net(x, level, Condition(vector + 1, sequence)),
        net(x, level, Condition(vector, sequence + 1)),
        net(x, level, None),
    ):
        assert not torch.allclose(other, y, atol=1e-4)


def test_absent_conditions_may_differ_from_trial_to_trial():
    net = backbone(vector=2, sequence=3)
    torch.nn.init.normal_(net.condition.absent_vector)
    x, level = torch.randn(2, 20, 4), torch.tensor([0.2, 0.7])
    vector, sequence = torch.randn(2, 2), torch.randn(2, 20, 3)
    subset = net(x, level, Condition(vector, sequence, present=torch.tensor([True, False])))
    torch.testing.assert_close(subset[0], net(x, level, Condition(vector, sequence))[0])
    torch.testing.assert_close(subset[1], net(x, level, None)[1])


def test_every_parameter_gets_a_gradient():
    net = backbone(vector=2, sequence=3)
    x, level = torch.randn(2, 20, 4), torch.tensor([0.2, 0.7])
    condition = Condition(torch.randn(2, 2), torch.randn(2, 20, 3), torch.tensor([True, False]))
    net(x, level, condition).square().sum().backward()
    silent = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not silent


def test_a_fresh_denoiser_stack_begins_as_identity_blocks():
    torch.manual_seed(0)
    net = Stack(4, 4, width=8, blocks=3, bidirectional=True, embedding=6)
    x = torch.randn(2, 10, 4)
    through = net.leave(net.enter(x.permute(2, 0, 1))).permute(1, 2, 0)
    torch.testing.assert_close(net(x, embedding=torch.randn(2, 6)), through)
