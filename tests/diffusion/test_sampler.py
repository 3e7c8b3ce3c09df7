"""Samplers against the exact Gaussian (in closed form), their own declared order, and an independent program."""

import itertools
import math
import warnings
from functools import partial

import pytest
import torch
from pydantic import ValidationError

from spikeloom.diffusion.denoiser import Denoiser, ExactGaussian
from spikeloom.diffusion.sampler import (
    DDIM,
    DDPM,
    DEFAULT,
    DPMSolver2M,
    Estimate,
    Heun,
    Sampler,
    SamplerState,
    SDEDPMSolver2M,
    StepLevel,
    UniPC,
)
from spikeloom.diffusion.schedule import Cosine, LinearBeta
from spikeloom.seeds import Purpose, Streams

SDS = [0.1, 0.5, 1.0, 2.0]
SAMPLERS = [DDPM(20), DDIM(20), DPMSolver2M(20), SDEDPMSolver2M(20), Heun(20), UniPC(20)]
name = lambda sampler: f"{type(sampler).__name__}-{sampler.steps}"


def bias(sampler, sds=SDS, schedule=None):
    """Error of the sample's sd in percent, exactly: with the exact Gaussian a draw is linear in its noises.

    Trial k of the batch gets 1 at the k-th call for noise and 0 at all others, and comes out as that noise's weight.
    """
    call = itertools.count()

    def unit():
        x = torch.zeros(sampler.steps, 1, len(sds), dtype=torch.float64)
        x[next(call)] = 1
        return x

    weights = sampler.draw(ExactGaussian(sds, schedule or LinearBeta()), unit)
    return (((weights**2).sum(0)[0].sqrt() / torch.tensor(sds) - 1) * 100).tolist()


# METHODS.md, section 6. The Heun row there starts from tau eps instead of N(0, I), which takes 0.12 off.
METHODS = [
    (DDPM(1000), (-3.7, -0.8, -0.45, -0.3)),
    (DDPM(250), (-11.1, -2.8, -1.7, -1.2)),
    (DDPM(50), (-31.8, -11.2, -7.4, -5.7)),
    (DDIM(250), (-6.1, -1.2, -0.7, -0.6)),
    (DDIM(50), (-25.8, -5.7, -3.6, -3.0)),
    (DDIM(25), (-44.6, -11.1, -7.2, -5.9)),
    (DPMSolver2M(50, spacing="trailing"), (-21.0, 0.1, 0.3, 0.1)),
    (DPMSolver2M(20, spacing="trailing"), (-50.5, -4.4, 0.1, 0.5)),
    (Heun(30, span=(20, 0.01)), (0.9, 0.8, 0.6, 0.1)),
]
OWN = [  # the table in the sampler module, beyond the rows above
    (DEFAULT, (-0.1, 0.0, 0.0, -0.1)),
    (DPMSolver2M(32), (0.4, 0.5, 0.5, 0.4)),
    (DPMSolver2M(20), (1.1, 1.3, 1.3, 1.2)),
    (SDEDPMSolver2M(32), (1.1, 1.3, 1.3, 1.3)),
    (SDEDPMSolver2M(20), (2.7, 3.0, 3.0, 3.0)),
    (Heun(30), (1.0, 0.9, 0.7, 0.2)),
]


@pytest.mark.parametrize(("sampler", "expected"), METHODS, ids=lambda x: name(x) if isinstance(x, Sampler) else "")
def test_bias_table_of_the_specification(sampler, expected):
    assert bias(sampler) == pytest.approx(expected, abs=0.2)


@pytest.mark.parametrize(("sampler", "expected"), OWN, ids=lambda x: name(x) if isinstance(x, Sampler) else "")
def test_bias_table_of_the_module(sampler, expected):
    assert bias(sampler) == pytest.approx(expected, abs=0.06)  # rounded to one digit there


@pytest.mark.parametrize("schedule", [LinearBeta(), Cosine(), LinearBeta(200, 5e-4, 0.1)], ids=str)
def test_default_keeps_the_standard_deviation_within_one_percent(schedule):
    assert DEFAULT.evaluations <= 32
    sds = [0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0]
    assert max(map(abs, bias(DEFAULT, sds, schedule))) < 1
    assert max(map(abs, bias(UniPC(14), SDS, schedule))) < 1  # what DEFAULT's docstring says


def test_default_keeps_two_clusters():
    """Two clusters with sd 0.1 at -1 and 1, which are not Gaussian."""

    class Clusters(Denoiser):
        schedule = LinearBeta()

        def forward(self, noisy, level, condition=None, mask=None):
            signal, noise = (x[:, None, None] for x in self.schedule(level))
            z, tau = noisy / signal, noise / signal
            power = 0.1**2 + tau**2
            return (0.1**2 * z + tau**2 * torch.tanh(z / power)) / power

    quantiles = torch.special.ndtri((torch.arange(4000, dtype=torch.float64) + 0.5) / 4000)
    result = DEFAULT.draw(Clusters(), lambda: quantiles[:, None, None]).flatten().sort().values
    low, high = result.chunk(2)
    assert low.mean().item() == pytest.approx(-1, abs=0.01)
    assert high.mean().item() == pytest.approx(1, abs=0.01)
    assert low.std().item() == pytest.approx(0.1, rel=0.07)  # many steps give 0.1; 20 steps of DDIM 0.113


@pytest.mark.parametrize(
    ("make", "order"),
    [(DDIM, 1), (DPMSolver2M, 2), (Heun, 2), *((partial(UniPC, order=k), k + 1) for k in (1, 2, 3))],
    ids=["DDIM", "DPMSolver2M", "Heun", "UniPC-1", "UniPC-2", "UniPC-3"],
)
def test_measured_order_is_the_declared_order(make, order):
    """The error against the flow's solution falls as intervals^-order; UniPC's corrector adds one to its own order."""
    sd, (high, low) = torch.tensor([0.2, 0.5, 1.3], dtype=torch.float64), (5.0, 0.05)

    def error(steps):
        sampler = make(steps, spacing="log_snr", span=(high, low))
        signal = LinearBeta()(sampler.levels(LinearBeta())[:1])[0].item()
        ones = torch.ones(1, 1, len(sd), dtype=torch.float64)
        result = sampler.draw(ExactGaussian(sd.tolist(), LinearBeta()), lambda: ones)
        flow = torch.sqrt((sd**2 + low**2) / (sd**2 + high**2)) / signal
        return (result / (flow * sd**2 / (sd**2 + low**2)) - 1).norm().item()

    assert math.log2(error(65) / error(129)) == pytest.approx(order, abs=0.15)  # 64 and 128 intervals


def normal(trials, bins=5, channels=2, seed=0):
    streams = Streams(seed, Purpose.SAMPLE, 0, trials)
    return lambda: torch.from_numpy(streams.normal(bins, channels))


@pytest.mark.parametrize("sampler", SAMPLERS, ids=name)
def test_a_trial_is_the_same_alone_and_in_a_batch(sampler):
    denoiser = ExactGaussian(0.5, LinearBeta())
    several = sampler.draw(denoiser, normal(range(4)))
    alone = sampler.draw(denoiser, normal([2]))
    assert several.dtype == torch.float32
    assert not several.requires_grad
    torch.testing.assert_close(several[2:3], alone)


class Smearing(Denoiser):
    """A denoiser that averages over bins and returns NaN in padding, so that padding would spread."""

    schedule = LinearBeta()

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.calls = 0

    def forward(self, noisy, level, condition=None, mask=None):
        self.calls += 1
        estimate = 0.5 * noisy + self.weight * noisy.sum(1, keepdim=True)
        return estimate if mask is None else estimate.masked_fill(~mask[..., None], math.nan)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=name)
def test_padding_never_matters(sampler):
    short = sampler.draw(Smearing(), normal([7], bins=3))
    mask = torch.tensor([[True, True, True, False, False]])
    streams = normal([7], bins=3)
    padded = lambda: torch.cat([streams(), torch.full((1, 2, 2), math.nan)], 1)
    long = sampler.draw(Smearing(), padded, mask=mask)
    torch.testing.assert_close(long[:, :3], short)
    assert (long[:, 3:] == 0).all()


@pytest.mark.parametrize("sampler", [*SAMPLERS, DDIM(1), Heun(1), UniPC(1), UniPC(2), DPMSolver2M(2)], ids=name)
def test_evaluations_are_counted_and_gradients_left_out(sampler):
    denoiser = Smearing()
    drawn = sampler.draw(denoiser, normal(range(2)))
    assert denoiser.calls == sampler.evaluations
    assert drawn.isfinite().all()
    assert not drawn.requires_grad


@pytest.mark.parametrize("spacing", ["trailing", "even", "power", "log_snr"])
@pytest.mark.parametrize("schedule", [LinearBeta(), Cosine()], ids=["linear", "cosine"])
def test_levels_fall_from_noisy_to_clean(spacing, schedule):
    levels = DDIM(30, spacing=spacing).levels(schedule)
    assert levels.shape == (30,)
    assert levels.dtype == torch.float64
    assert 1 >= levels[0] > 0.5
    assert (levels.diff() < 0).all()
    assert levels[-1] > 0
    ratio = (lambda signal, noise: noise / signal)(*schedule(levels))
    if spacing == "power":
        steps = ratio ** (1 / 7)
        assert (ratio[0].item(), ratio[-1].item()) == pytest.approx((20, 0.01))
    else:
        steps = {"trailing": levels, "even": levels, "log_snr": torch.log(ratio)}[spacing]
    torch.testing.assert_close(steps.diff(), steps.diff().mean().expand(29), rtol=0.05, atol=1e-9)


def test_a_schedule_that_never_gets_noisy_starts_at_level_one():
    mild = LinearBeta(100)  # sigma / a is 1.3 at level 1
    assert UniPC(10).levels(mild)[0].item() == pytest.approx(1)


def test_wrong_settings_are_refused():
    for wrong, message in [
        (lambda: DDIM(0), "greater than or equal to 1"),
        (lambda: DDIM(1001), "spacing='even'"),
        (lambda: DDIM(10, spacing="karras"), "trailing"),
        (lambda: DDIM(10, span=(20, 0.01)), "does not read a span"),
        (lambda: UniPC(10, span=(0.01, 20)), "noisy to clean"),
        (lambda: UniPC(10, order=4), "less than or equal to 3"),
        (lambda: UniPC(10, eta=1.0), "eta"),
    ]:
        with pytest.raises(ValidationError, match=message):
            wrong()
    assert DDIM(1001, spacing="even").steps == 1001
    with pytest.raises(TypeError, match="abstract"):
        Sampler(10)


# --- single steps of an independent program -------------------------------------------------------------------------


def theirs(kind, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import diffusers

        scheduler = getattr(diffusers, kind)(beta_schedule="linear", timestep_spacing="trailing", **settings)
        scheduler.set_timesteps(20)
    return scheduler


def step_levels():
    levels = DDIM(20).levels(LinearBeta())
    signal, noise = LinearBeta()(levels)
    rows = zip(levels.tolist(), signal.tolist(), noise.tolist(), strict=True)
    return [StepLevel(step, *row) for step, row in enumerate(rows)]


def estimate(at, x, eps):
    return Estimate(at, x, (x - at.noise * eps) / at.signal)


def state_of(noise=None):
    return SamplerState(ExactGaussian(1.0, LinearBeta()), lambda: noise, None, None)


def random(count):
    return torch.randn(count, 3, 4, 2, generator=torch.Generator().manual_seed(0))


CLOSE = {"rtol": 2e-4, "atol": 2e-5}  # their tables of alpha are cumulative products in float32


@pytest.mark.parametrize(("ours", "kind"), [(DDPM(20), "DDPMScheduler"), (DDIM(20), "DDIMScheduler")])
@pytest.mark.parametrize("position", [0, 7, 17])
def test_first_order_steps_agree_with_diffusers(ours, kind, position):
    x, eps = random(2)
    scheduler = theirs(kind, clip_sample=False)
    time = scheduler.timesteps[position]
    assert (time.item() + 1) / 1000 == step_levels()[position].level
    draw = torch.Generator().manual_seed(5)
    expected = scheduler.step(eps, time, x, generator=draw).prev_sample
    state = state_of(torch.randn(x.shape, generator=torch.Generator().manual_seed(5)))
    state.past.append(estimate(step_levels()[position], x, eps))
    torch.testing.assert_close(ours.step(step_levels()[position + 1], state), expected, **CLOSE)


@pytest.mark.parametrize(
    ("ours", "algorithm"), [(DPMSolver2M(20), "dpmsolver++"), (SDEDPMSolver2M(20), "sde-dpmsolver++")]
)
def test_multistep_steps_agree_with_diffusers(ours, algorithm):
    x, *eps = random(5)
    noise = random(6)[5]
    scheduler = theirs(
        "DPMSolverMultistepScheduler", algorithm_type=algorithm, solver_order=2, final_sigmas_type="zero"
    )
    state = state_of(noise)
    mine = x
    for position, answer in enumerate(eps):
        x = scheduler.step(answer, scheduler.timesteps[position], x, variance_noise=noise).prev_sample
        state.past.append(estimate(step_levels()[position], mine, answer))
        mine = ours.step(step_levels()[position + 1], state)
        torch.testing.assert_close(mine, x, **CLOSE)


def test_third_order_step_agrees_with_diffusers():
    """From the third step on; the first two have a rounder rule there, where fewer estimates are known."""
    x, *eps = random(8)
    scheduler = theirs("UniPCMultistepScheduler", solver_order=3, final_sigmas_type="zero")
    history = []
    compared = 0
    for position, answer in enumerate(eps):
        here = step_levels()[position]
        history.append(estimate(here, x, answer))
        if position >= 3:
            state = state_of()
            before = history[-2]._replace(x=scheduler.last_sample)  # after their correction
            state.past.extend([*history[-4:-2], before, history[-1]])
            expected = scheduler.step(answer, scheduler.timesteps[position], x).prev_sample
            torch.testing.assert_close(UniPC(20).step(step_levels()[position + 1], state), expected, **CLOSE)
            x = expected
            compared += 1
        else:
            x = scheduler.step(answer, scheduler.timesteps[position], x).prev_sample
    assert compared == 4
