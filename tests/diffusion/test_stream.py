"""The stream equals the trial of the windowed denoiser, for every length and window."""

from itertools import islice

import numpy as np
import pytest
import torch

from spikeloom.diffusion.denoiser import ExactGaussian
from spikeloom.diffusion.guidance import Guided
from spikeloom.diffusion.sampler import DDIM, DDPM, DPMSolver2M, Heun, Sampler, UniPC
from spikeloom.diffusion.stream import Stream
from spikeloom.diffusion.windowed import Windowed, first_hop
from spikeloom.errors import SettingError
from spikeloom.nn.condition import Condition
from tests.helpers.small_denoiser import SCHEDULE, network

CHANNELS = 3


def normal(seed: int):
    """Return numbers of one long trial, n bins per call, in the order of time."""
    rng = np.random.default_rng(seed)
    return lambda bins: torch.from_numpy(rng.standard_normal((1, bins, CHANNELS), dtype=np.float32))


def condition_by_piece(vector, sequence):
    """A reader of a condition that returns n bins per call."""
    position = [0]

    def read(bins):
        start = position[0]
        position[0] += bins
        return Condition(vector, None if sequence is None else sequence[:, start : start + bins])

    return read


@pytest.mark.parametrize("window", [1, 2, 10, 11, 16])
@pytest.mark.parametrize("bins", [1, 9, 10, 15, 33, 40])
def test_it_is_the_windowed_trial(window, bins):
    net, sampler = network(), UniPC(5)
    windowed = Windowed(net, window=window)
    full = sampler.draw(windowed, lambda: normal(1)(bins))
    stream = Stream(net, sampler, window=window, noise=normal(1), fresh=lambda _, n: normal(2)(n), bins=bins)
    # rows of another batch: float32 sums in another order
    torch.testing.assert_close(torch.cat(list(stream), 1), full, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("sampler", [DDIM(4), DPMSolver2M(4), UniPC(4, order=1)], ids=str)
@pytest.mark.parametrize("strength", [0.0, 1.0, 2.0])
def test_its_conditions_are_those_of_the_windowed_trial(sampler: Sampler, strength):
    net, bins = network(), 37
    vector, sequence = torch.randn(1, 2), torch.randn(1, bins, 1)
    windowed = Windowed(net, window=10)
    guided = Guided(windowed, strength=strength)
    full = sampler.draw(guided, lambda: normal(1)(bins), condition=Condition(vector, sequence))
    words = dict(window=10, noise=normal(1), fresh=lambda _, n: normal(2)(n))
    condition = condition_by_piece(vector, sequence)
    parts = list(
        Stream(Guided(net, strength=strength), sampler, condition=condition, **words)
    )  # ends with its condition
    torch.testing.assert_close(torch.cat(parts, 1), full, atol=2e-5, rtol=1e-4)
    alone = sampler.draw(windowed, lambda: normal(1)(bins))
    assert torch.allclose(full, alone, atol=1e-3) == (strength == 0)


def test_it_goes_on_without_end_and_holds_little():
    drawn = 0

    def noise(bins):
        nonlocal drawn
        drawn += bins
        return normal(drawn)(bins)

    stream = Stream(network(), UniPC(4), window=10, noise=noise, fresh=lambda _, n: normal(2)(n))
    held, made = [], 0
    for piece in islice(stream, 60):
        made += piece.shape[1]
        held.append(sum(queue.bins for queue in stream.queues))
    assert made == stream.queues[-1].hop * 59 + first_hop(3, 10)  # the last level's first windows lie closer together
    assert max(held[30:]) == max(held[:30])  # nothing piles up
    assert drawn - made <= 3 * 4 * 5 + 10  # at most three half windows of each level are under way


def test_fresh_noise_has_the_right_variance():
    """An exact Gaussian of sd 0.5 through an ancestral sampler, whose own error at 200 steps is about 3 %."""
    generators = [normal(seed) for seed in range(201)]
    words = dict(window=64, noise=generators[200], fresh=lambda level, n: generators[level](n), bins=3600)
    stream = Stream(ExactGaussian(0.5, SCHEDULE), DDPM(200), **words)
    x = torch.cat(list(stream), 1)
    assert x.std() == pytest.approx(0.5, rel=0.05)  # the sampler's error and two standard errors of 10,800 numbers
    seams = (x[0, 1:] * x[0, :-1]).mean(1)  # neighbours are independent, also across windows
    assert abs(seams[7::8].mean()) < 4 * 0.25 / np.sqrt(3 * 450)


def test_a_sampler_that_looks_twice_is_refused():
    with pytest.raises(SettingError, match="evaluates the denoiser once per step"):
        Stream(network(), Heun(4), window=10, noise=normal(1), fresh=lambda _, n: normal(2)(n))
