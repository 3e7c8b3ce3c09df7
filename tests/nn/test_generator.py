"""The generator of LFADS and its controller against torch's own cells; the prior of its inputs against closed forms."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from spikeloom.nn.autoregressive import Autoregressive
from spikeloom.nn.generator import LARGEST_STATE, Controller, Generator


def test_factors_have_rows_of_unit_length():
    torch.manual_seed(0)
    generator = Generator(0, 6, 3)
    with torch.no_grad():
        generator.mix.weight.mul_(7)
    rows = generator.factors(torch.eye(6)).T
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(3))


def test_states_stay_bounded_for_ever():
    torch.manual_seed(0)
    generator = Generator(2, 6, 3)
    with torch.no_grad():
        for weight in generator.units.parameters():
            weight.mul_(20)
    states = generator(torch.full((1, 6), LARGEST_STATE), 10 * torch.randn(1, 500, 2))
    assert states.abs().max() <= LARGEST_STATE


def naive(controller, generator, counts, start, noise):
    """Return the same from torch's cells, which project all inputs at every step."""
    read, _ = controller.encoder(counts)
    cell = nn.GRUCell(generator.inputs, generator.units.hidden_size)
    with torch.no_grad():
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(cell, name).copy_(getattr(generator.units, f"{name}_l0"))
    state, control, rows = start, controller.start.expand(len(counts), -1), []
    factors = generator.factors(start)
    for time in range(counts.shape[1]):
        control = controller.units(torch.cat((read[:, time], factors), -1), control)
        mean, log_variance = controller.leave(control).chunk(2, -1)
        value = mean + torch.exp(0.5 * log_variance) * noise[:, time]
        state = cell(value, state)
        factors = generator.factors(state)
        rows.append((state, value))
    return [torch.stack(column, 1) for column in zip(*rows, strict=True)]


def parts(inputs=2):
    torch.manual_seed(1)
    generator = Generator(inputs, 6, 3)
    controller = Controller(4, inputs, reader=5, width=7, factors=3)
    counts, start, noise = torch.rand(3, 9, 4), torch.randn(3, 6), torch.randn(3, 9, inputs)
    return controller, generator, counts, start, noise


def test_the_controlled_loop_agrees_with_plain_cells():
    controller, generator, counts, start, noise = parts()
    encoded = controller.read(counts, torch.ones(3, 9, dtype=torch.bool))
    states, inputs, _, _ = controller(encoded, start, generator, noise=noise)
    wanted = naive(controller, generator, counts, start, noise)
    torch.testing.assert_close(states, wanted[0])
    torch.testing.assert_close(inputs, wanted[1])


def test_the_generator_alone_repeats_what_it_did_under_its_controller():
    controller, generator, counts, start, noise = parts()
    encoded = controller.read(counts, torch.ones(3, 9, dtype=torch.bool))
    states, inputs, _, _ = controller(encoded, start, generator, noise=noise)
    torch.testing.assert_close(generator(start, inputs), states)


def test_the_controller_never_reads_padding():
    controller, _, counts, _, _ = parts()
    mask = torch.arange(9) < torch.tensor([9, 4, 6])[:, None]
    dirty = torch.where(mask[..., None], counts, 1e6)
    encoded, clean = controller.read(dirty, mask), controller.read(counts, mask)
    torch.testing.assert_close(encoded[mask], clean[mask])


def test_log_prob_is_that_of_the_joint_gaussian():
    prior = Autoregressive(1)
    decay, variance, full = (float(value.detach()) for value in prior._decay_and_variances())
    lags = np.abs(np.subtract.outer(range(6), range(6)))
    covariance = full * decay**lags
    values = np.random.default_rng(0).normal(size=(4, 6))
    wanted = stats.multivariate_normal(np.zeros(6), covariance).logpdf(values)
    result = prior.log_prob(torch.from_numpy(values).float()[..., None]).sum((1, 2)).detach().numpy()
    np.testing.assert_allclose(result, wanted, rtol=1e-4)
    assert variance == pytest.approx(full * (1 - decay**2), rel=1e-5)


def test_draws_have_the_prior_s_moments():
    prior, torch_noise = (
        Autoregressive(2),
        torch.from_numpy(np.random.default_rng(0).normal(size=(4000, 12, 2))).float(),
    )
    decay, _, full = (value.detach() for value in prior._decay_and_variances())
    drawn = prior.draw(torch_noise).detach()
    sd = math.sqrt(2 / 4000)  # of a variance estimate, as a share of it
    torch.testing.assert_close(drawn[:, 0].var(0), full, rtol=5 * sd, atol=0.0)
    torch.testing.assert_close(drawn[:, -1].var(0), full, rtol=5 * sd, atol=0.0)
    torch.testing.assert_close((drawn[:, 5] * drawn[:, 6]).mean(0), full * decay, rtol=8 * sd, atol=0.0)


def test_draws_in_pieces_are_those_of_the_whole():
    prior, noise = Autoregressive(2), torch.randn(1, 10, 2)
    first = prior.draw(noise[:, :4])
    second = prior.draw(noise[:, 4:], first[:, -1])
    torch.testing.assert_close(torch.cat((first, second), 1), prior.draw(noise))
