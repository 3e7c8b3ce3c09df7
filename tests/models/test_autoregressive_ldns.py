"""AutoregressiveLDNS: closed-form fit against known systems, equal numbers in every form, conditions, long trials."""

import numpy as np
import pytest
import torch

from spikeloom.models.autoregressive_ldns import AutoregressiveLDNS
from spikeloom.models.common.facts import Facts
from spikeloom.models.common.latent_dynamics import Dynamics, DynamicsSettings
from spikeloom.models.common.latent_settings import AutoencoderSettings
from spikeloom.nn.clock import Clock
from spikeloom.nn.linear_autoregression import LARGEST_RADIUS, LinearAutoregression, Recursion
from spikeloom.nn.trial_code import TrialCode
from spikeloom.observation.model import ObservationModel
from spikeloom.observation.poisson import Poisson
from spikeloom.recipe import load_model
from spikeloom.training.plan import Plan
from tests.helpers.small_ldns import NEURONS, toy_trials

PLAIN = ObservationModel(Poisson(), history=None, noise=None)


def tiny(**settings) -> AutoregressiveLDNS:
    """A tiny model; fitting takes a second."""
    plan = Plan(updates=4, batch=8, learning_rate=2e-3)
    small = dict(
        n_latents=4,
        autoencoder_settings=AutoencoderSettings(width=8, blocks=1),
        dynamics_settings=DynamicsSettings(n_hats=5, n_codes=3, n_free_codes=4, width=16, blocks=1),
        observation=PLAIN,
        autoencoder_plan=plan,
        code_plan=plan,
    )
    return AutoregressiveLDNS(NEURONS, **{**small, **settings})


@pytest.fixture(scope="module")
def fitted() -> AutoregressiveLDNS:
    """A model with an angle, a category and a series, and the default observation model."""
    model = tiny(condition=("angle_deg", "side", "wave"), observation=ObservationModel())
    return model.fit(toy_trials(32), progress=False)


def known_system(n_trials: int, n_bins: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Series z_t = 0.5 z_{t-1} + R z_{t-1} + u (1 - t / T) + noise, and their inputs u."""
    rng = np.random.Generator(np.random.PCG64(3))
    turn = np.array([[0.5, 0.3], [-0.3, 0.5]])
    inputs = rng.normal(size=(n_trials, 1))
    latents = np.zeros((n_trials, n_bins, 2))
    z = rng.normal(size=(n_trials, 2))
    for t in range(n_bins):
        z = z @ turn + inputs * (1 - t / (n_bins - 1)) + 0.2 * rng.normal(size=(n_trials, 2))
        latents[:, t] = z
    return torch.from_numpy(latents), torch.from_numpy(inputs)[:, None].expand(-1, n_bins, -1)


def test_autoregression_finds_a_known_system():
    latents, inputs = known_system(400, 30)
    model = LinearAutoregression(2, 1, clock=Clock(4, longest=30), time_constants=(3.0,))
    model.fit(latents, inputs, torch.ones(400, 30, dtype=torch.bool), ridge=1e-3)
    torch.testing.assert_close(
        model.recurrent[:2], torch.tensor([[0.5, 0.3], [-0.3, 0.5]], dtype=torch.float64), atol=0.03, rtol=0
    )
    torch.testing.assert_close(model.driven[0, 1], torch.ones(2, dtype=torch.float64), atol=0.05, rtol=0)
    torch.testing.assert_close(model.driven[3, 1], torch.zeros(2, dtype=torch.float64), atol=0.05, rtol=0)
    torch.testing.assert_close(model.noise @ model.noise.T, 0.04 * torch.eye(2).double(), atol=0.002, rtol=0)


def test_generated_latents_follow_the_formula():
    """z_t = A [m_t; h(t) x [1; u_t]] + L e_t, with the means of the past computed as they are defined."""
    latents, inputs = known_system(200, 12)
    model = LinearAutoregression(2, 1, clock=Clock(4, longest=12), time_constants=(3.0, 20.0))
    model.fit(latents, inputs, torch.ones(200, 12, dtype=torch.bool), ridge=1.0)
    rng = np.random.default_rng(0)
    drive, noise = rng.normal(size=(5, 15, 1)), rng.normal(size=(5, 15, 2))
    recursion = Recursion(model, 5)
    generated = np.stack([recursion.step(drive[:, t], noise[:, t]) for t in range(15)], 1)
    decay = np.exp(-1 / np.array([1e-9, 3.0, 20.0]))
    hats = model.clock.weights(15).numpy()
    one = np.concatenate((np.ones((5, 15, 1)), drive), 2)
    expected = one[:, 0] @ model.opening.numpy()
    means = np.repeat(expected[:, None], 3, 1)
    z = expected + noise[:, 0] @ model.first_noise.numpy().T
    for t in range(15):
        if t:
            driven = np.einsum("j,bi,jid->bd", hats[t], one[:, t], model.driven.numpy())
            z = means.reshape(5, -1) @ model.recurrent.numpy() + driven + noise[:, t] @ model.noise.numpy().T
        np.testing.assert_allclose(generated[:, t], z, atol=1e-10)
        means = decay[:, None] * means + (1 - decay[:, None]) * z[:, None]


def test_an_unstable_fit_is_made_stable():
    growing = 1.05 ** torch.arange(40.0).double()[None, :, None] * (1 + torch.rand(30, 1, 1).double())
    model = LinearAutoregression(1, 0, clock=Clock(1, longest=40), time_constants=())
    model.fit(growing, growing[..., :0], torch.ones(30, 40, dtype=torch.bool), ridge=1e-3)
    assert LARGEST_RADIUS - 0.01 < model.radius() <= LARGEST_RADIUS


def test_the_clock_runs_only_with_a_common_time_course():
    rng = np.random.Generator(np.random.PCG64(5))
    mask = torch.ones(60, 40, dtype=torch.bool)
    clock = Clock(8, longest=40)
    steady = torch.from_numpy(rng.normal(size=(60, 40, 4))) + torch.from_numpy(rng.normal(size=(60, 1, 4)))
    sign = torch.from_numpy(np.sign(rng.normal(size=(60, 1, 1)))).expand(-1, 40, -1)
    ramp = torch.linspace(0, 2, 40)[:, None]

    def runs(series: torch.Tensor, rule: str = "auto") -> bool:
        clock.fit(series, sign, mask, rule)
        return bool(clock.running)

    assert not runs(steady)
    assert runs(steady + ramp)
    assert runs(steady + sign * ramp)  # the mean is the same in all bins, that of each condition is not
    assert runs(steady, "on")
    assert not runs(steady + ramp, "off")


@pytest.mark.parametrize(("rule", "sizes", "runs"), [("auto", (2, 0), 1), ("auto", (1, 1), 0), ("on", (0, 2), 1)])
def test_a_series_stops_the_clock_unless_it_is_set(rule, sizes, runs):
    """The latents have a common time course, so without a series the clock runs."""
    trials = toy_trials(60)
    ramp = torch.linspace(0, 2, trials.n_bins, dtype=torch.float64)[:, None]
    noise = torch.from_numpy(np.random.Generator(np.random.PCG64(8)).normal(size=(60, trials.n_bins, 5)))
    data = {"latents": ramp + noise[..., :3], "inputs": noise[..., 3:], "mask": torch.from_numpy(trials.mask)}
    settings = DynamicsSettings(clock=rule, n_hats=5, n_codes=3, width=16, blocks=1)
    vector, sequence = sizes
    facts = Facts.of(trials, ())
    dynamics = Dynamics(settings, n_latents=3, n_codes=3, facts=facts, vector=vector, sequence=sequence)
    dynamics.fit(data, settings)
    assert dynamics.autoregression.clock.running.item() == runs


def test_codes_are_white_and_free_of_the_condition():
    latents, inputs = known_system(300, 30)
    clock, mask = Clock(4, longest=30), torch.ones(300, 30, dtype=torch.bool)
    code = TrialCode(2, 5, n_inputs=1, n_hats=4)
    code.fit(clock, latents, inputs, mask, ridge=1e-6)
    codes = code(clock, latents, inputs, mask)
    torch.testing.assert_close(codes.T @ codes / 300, torch.eye(5).double(), atol=1e-6, rtol=0)
    assert (codes.T @ inputs[:, 0] / 300).abs().max() < 1e-6


def test_a_trial_is_the_same_in_every_batch_and_stream(fitted):
    like = toy_trials(6, 40, seed=9)
    names = ["angle_deg", "side", "wave"]
    together = fitted.sample(like=like, condition=names, seed=3)
    alone = fitted.sample(like=like, condition=names, seed=3, rows=[4])
    np.testing.assert_array_equal(alone.counts[0], together.counts[4])
    np.testing.assert_allclose(alone.latents[0], together.latents[4], atol=1e-6)
    first = {name: (like.conditions | like.behavior)[name][0] for name in names}
    pieces = list(fitted.stream(condition=first, chunk=7, seed=3))
    np.testing.assert_array_equal(np.concatenate([piece.counts for piece in pieces], 1)[0], together.counts[0])


def test_early_bins_know_nothing_of_later_conditions(fitted):
    like = toy_trials(3, 24, seed=9)
    wave = like.behavior["wave"].copy()
    values = {"angle_deg": like.conditions["angle_deg"], "side": like.conditions["side"]}
    one = fitted.sample(3, n_bins=24, condition={**values, "wave": wave}, seed=3)
    wave[:, 15:] = 5 - wave[:, 15:]
    other = fitted.sample(3, n_bins=24, condition={**values, "wave": wave}, seed=3)
    np.testing.assert_array_equal(one.counts[:, :15], other.counts[:, :15])
    assert (one.latents[:, 15:] != other.latents[:, 15:]).any()


def test_the_condition_is_followed_and_guidance_exaggerates_it():
    trials = toy_trials(200, 24)
    plan = Plan(updates=150, batch=16, learning_rate=4e-3)
    model = tiny(condition=("angle_deg",), autoencoder_plan=plan).fit(trials, progress=False)

    def follows(guidance: float) -> float:
        fake = model.sample(like=trials, condition="angle_deg", guidance=guidance, seed=1)
        real, drawn = (one - one.mean(0) for one in (trials.counts, fake.rates))
        return float((real * drawn).mean() / drawn.std())

    assert follows(1.0) > 0.02
    assert abs(follows(0.0)) < 0.5 * follows(1.0)
    assert follows(1.5) > follows(1.0)


def test_long_trials_stay_where_they_are(fitted):
    long = fitted.sample(4, n_bins=4000, seed=2)
    early, late = long.latents[:, 24:2000], long.latents[:, 2000:]
    assert abs(late.std() / early.std() - 1) < 0.15
    assert np.abs(late).max() < 20


def test_saved_and_loaded_is_the_same(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert isinstance(again, AutoregressiveLDNS)
    for wanted in (None, {"angle_deg": 30.0, "side": "left", "wave": np.zeros((24, 1))}):
        np.testing.assert_array_equal(
            again.sample(3, n_bins=24, condition=wanted, seed=1).counts,
            fitted.sample(3, n_bins=24, condition=wanted, seed=1).counts,
        )


def test_variable_lengths_and_few_trials():
    model = tiny(dynamics_settings=DynamicsSettings()).fit(toy_trials(4, 10, variable=True), progress=False)
    assert model.free.n_codes == 3  # one fewer than trials
    assert np.isfinite(model.sample(5, seed=1).rates).all()
