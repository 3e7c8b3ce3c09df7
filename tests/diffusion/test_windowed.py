"""The windowed denoiser: equal to the inner denoiser for short trials and for bin-wise denoisers, and without seams."""

import pytest
import torch

from spikeloom.diffusion.denoiser import Denoiser, ExactGaussian
from spikeloom.diffusion.guidance import Guided
from spikeloom.diffusion.sampler import Heun, UniPC
from spikeloom.diffusion.windowed import Windowed, first_hop
from spikeloom.nn.condition import Condition
from tests.helpers.small_denoiser import SCHEDULE, network


def test_short_trials_go_straight_through():
    net, x, level = network(), torch.randn(2, 12, 3), torch.tensor([0.3, 0.6])
    condition = Condition(torch.randn(2, 2), torch.randn(2, 12, 1))
    assert torch.equal(Windowed(net, window=12)(x, level, condition), net(x, level, condition))


def test_samples_of_an_exact_gaussian_do_not_change():
    exact, x = ExactGaussian(0.5, SCHEDULE), torch.randn(4, 40, 2)
    plain, windowed = (UniPC(8).draw(net, lambda: x.clone()) for net in (exact, Windowed(exact, window=16)))
    torch.testing.assert_close(windowed, plain)


class Course(Denoiser):
    """A denoiser of aligned trials: each bin of the window has its own mean."""

    schedule = SCHEDULE

    def forward(self, x, level, condition=None, mask=None):
        mean = torch.linspace(-2, 2, x.shape[1])[:, None]
        signal, noise = (scale[:, None, None] for scale in SCHEDULE(level))
        return mean + signal * 0.25 / (signal**2 * 0.25 + noise**2) * (x - signal * mean)


class Unshifted(Denoiser):
    """Ignores the number of the step."""

    schedule = SCHEDULE

    def __init__(self, denoiser):
        super().__init__()
        self.denoiser = denoiser

    def forward(self, x, level, condition=None, mask=None):
        return self.denoiser(x, level, condition, mask)


def test_no_bin_is_always_at_the_same_place_of_a_window():
    """Windows at fixed bins leave the time course of a window in the samples; shifted windows hardly do."""
    sampler, tied = UniPC(20), []
    shifted = Windowed(Course(), window=16)
    for denoiser in (Unshifted(shifted), shifted):
        noise = torch.randn(1, 8000, 4, generator=torch.Generator().manual_seed(0))
        x = sampler.draw(denoiser, noise.clone)
        rows = x[0, 16:-16].reshape(-1, 8, 4)
        tied.append(float(rows.mean((0, 2)).var() / rows.var()))
    assert tied[0] > 0.01
    assert tied[1] < tied[0] / 5  # a mean of 4,000 values varies by 0.0003 of their variance


@pytest.mark.parametrize("window", [1, 2, 9, 16])
@pytest.mark.parametrize("time", [1, 16, 17, 23, 64])
def test_windows_cover_every_bin_wherever_they_begin(window, time):
    """A denoiser that returns what it gets is blended to just that; each trial of a batch has windows of its own."""
    same = Course()
    same.forward = lambda x, *_: x
    x, mask = torch.randn(2, time, 3), torch.arange(time) < torch.tensor([[time], [max(1, time - 5)]])
    for step in range(8):
        result = Windowed(same, window=window).at_step(step)(x, torch.full((2,), 0.5), None, mask)
        torch.testing.assert_close(result[mask], x[mask])
    assert len({first_hop(number, window) for number in range(8)}) == min(4, max(1, window // 2))


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
    condition = Condition(torch.randn(2, 2), torch.randn(2, 33, 1), torch.tensor([True, False]))
    full = net(x, level, condition)
    monkeypatch.setattr("spikeloom.diffusion.windowed.BINS_AT_ONCE", 30)
    torch.testing.assert_close(net(x, level, condition), full, atol=1e-5, rtol=1e-4)


def test_guidance_and_samplers_pass_the_number_of_the_step_on():
    """Levels that are closer than float32 resolves still have windows of their own."""
    steps = []

    class Recorder(Denoiser):
        schedule = SCHEDULE

        def at_step(self, step):
            steps.append(step)
            return self

        def forward(self, x, level, condition=None, mask=None):
            return x

    close = UniPC(6, span=(1.0 + 1e-9, 1.0))
    close.draw(Guided(Recorder(), strength=2.0), lambda: torch.zeros(1, 4, 1))
    assert steps == [0, 1, 2, 3, 4, 5]
    twice = Heun(3)
    steps.clear()
    twice.draw(Recorder(), lambda: torch.zeros(1, 4, 1))
    assert steps == [0, 1, 1, 2, 2]
