"""The nonlinear term of AutoregressiveLDNS: its loss, its use where it pays, equal numbers in every form."""

import io

import numpy as np
import pytest
import torch

from spikeloom.losses import energy_score
from spikeloom.models.autoregressive_ldns import AutoregressiveLDNS
from spikeloom.models.common.facts import Facts
from spikeloom.models.common.latent_dynamics import Dynamics, DynamicsSettings
from spikeloom.models.common.nonlinear_stage import nonlinear_stage, segment_scores
from spikeloom.nn.linear_autoregression import Recursion
from spikeloom.nn.nonlinear_term import GRID
from spikeloom.observation.model import ObservationModel
from spikeloom.recipe import load_model
from spikeloom.seeds import Purpose, Streams
from spikeloom.training.plan import Plan
from spikeloom.training.train import train
from tests.helpers.small_ldns import toy_trials
from tests.models.test_autoregressive_ldns import tiny
from tests.models.test_live import stepped

SMALL = DynamicsSettings(n_hats=5, n_codes=3, n_free_codes=4, width=16, blocks=1, units=8, segment=6)


def dynamics_of(latents: torch.Tensor, settings: DynamicsSettings = SMALL) -> tuple[Dynamics, dict[str, torch.Tensor]]:
    """Dynamics with a nonlinear term, and the data of these latents; the linear term is fitted."""
    n_trials, n_bins, n_latents = latents.shape
    facts = Facts.of(toy_trials(n_trials, n_bins), ())
    dynamics = Dynamics(settings, n_latents=n_latents, n_codes=2, facts=facts, vector=0, sequence=0, nonlinear=True)
    mask = torch.ones(n_trials, n_bins, dtype=torch.bool)
    data = {"latents": latents, "mask": mask, "inputs": latents[..., :0]}
    dynamics.fit(data, settings)
    return dynamics, data


def parabola(n_trials: int, n_bins: int, seed: int) -> torch.Tensor:
    """Series of the chaotic map x -> 1 - 2 x^2. No linear system predicts its values, which are uncorrelated."""
    out = np.empty((n_trials, n_bins, 1))
    out[:, 0, 0] = np.random.Generator(np.random.PCG64(seed)).uniform(-1, 1, n_trials)
    for time in range(1, n_bins):
        out[:, time] = 1 - 2 * out[:, time - 1] ** 2
    return torch.from_numpy(out)


def decaying(n_trials: int, n_bins: int, seed: int) -> torch.Tensor:
    """Series of a linear system with noise."""
    rng = np.random.Generator(np.random.PCG64(seed))
    out = np.zeros((n_trials, n_bins, 1))
    for time in range(1, n_bins):
        out[:, time] = 0.8 * out[:, time - 1] + rng.normal(size=(n_trials, 1))
    return torch.from_numpy(out)


def test_the_energy_score_is_smallest_for_the_true_distribution():
    rng = np.random.Generator(np.random.PCG64(0))
    truth = torch.from_numpy(rng.normal(size=(20000, 2, 1)))
    mask = torch.ones(20000, 2, dtype=torch.bool)

    def score(sd: float, mean: float = 0.0) -> float:
        draws = torch.from_numpy(mean + sd * rng.normal(size=(2, 20000, 2, 1)))
        return float(energy_score(draws, truth, mask).mean())

    assert score(1.0) < min(score(0.8), score(1.25), score(1.0, 0.3))


def test_masked_bins_have_no_effect_on_the_energy_score():
    draws, truth = torch.randn(3, 4, 5, 2), torch.randn(4, 5, 2)
    mask = torch.arange(5) < torch.tensor([5, 3, 1, 0])[:, None]
    dirty = torch.where(mask[..., None], truth, 1e6)
    torch.testing.assert_close(energy_score(draws, dirty, mask), energy_score(draws, truth, mask))


def test_roll_outs_in_training_are_those_of_generated_trials():
    """A roll-out from the first bin has the latents of the recursion from the same noise."""
    latents = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 12, 3)))
    dynamics, data = dynamics_of(latents)
    term = dynamics.term
    term.start_at(dynamics.autoregression.noise, dynamics.autoregression.first_noise)
    torch.nn.init.normal_(term.leave.weight)
    term.in_use.fill_(1)
    codes = dynamics.codes(data)
    noise = np.random.default_rng(1).normal(size=(4, 12, 3))
    recursion = Recursion(dynamics.autoregression, 4, term)
    generated = np.stack([recursion.step(codes.numpy(), noise[:, time]) for time in range(12)], 1)

    class Fixed(Streams):
        """Streams whose noise is that of the recursion, in the first segment."""

        def normal(self, *shape):
            values = np.zeros((4, *shape), np.float32)
            values[:, 0] = noise[:, :, None]
            return values

    batch = {**data, "codes": codes.float()} | {"latents": torch.from_numpy(generated)}
    scores, valid = segment_scores(dynamics, batch, Fixed(0, Purpose.TRAIN, 0, range(4)), segment=12)
    assert valid[:, 0].all()
    np.testing.assert_allclose(scores[:, 0].detach(), 0, atol=1e-3)
    assert (generated / GRID == np.rint(generated / GRID)).all()


@pytest.mark.parametrize(("system", "updates", "used"), [(parabola, 300, 1), (decaying, 20, 0)])
def test_the_term_is_used_only_where_the_system_is_nonlinear(system, updates, used):
    latents = system(200, 24, seed=2)
    dynamics, data = dynamics_of(latents)
    plan = Plan(updates=updates, batch=32, learning_rate=1e-2)
    train(nonlinear_stage(dynamics, data, None, plan, segment=4, name="nonlinear"), seed=0, progress=False)
    assert dynamics.term.in_use.item() == used
    recursion = Recursion(dynamics.autoregression, 400, dynamics.term)
    noise = np.random.default_rng(0).normal(size=(400, 24, 1))
    codes = np.random.default_rng(1).normal(size=(400, dynamics.n_codes))
    generated = np.stack([recursion.step(codes, noise[:, time]) for time in range(24)], 1)[..., 0]
    next_of_square = np.corrcoef((generated[:, :-1] ** 2).ravel(), generated[:, 1:].ravel())[0, 1]
    assert (next_of_square < -0.6) == (system is parabola)  # -1 on the parabola itself


@pytest.fixture(scope="module")
def fitted() -> AutoregressiveLDNS:
    """A model whose nonlinear terms are in use and large enough to matter, with conditions, history and noise."""
    plan = Plan(updates=4, batch=8, learning_rate=2e-3)
    model = tiny(
        condition=("angle_deg", "wave"),
        observation=ObservationModel(),
        dynamics_settings=SMALL,
        nonlinear_plan=plan,
    ).fit(toy_trials(32), progress=False)
    for dynamics in (model.free, model.conditional):
        dynamics.term.in_use.fill_(1)
        with torch.no_grad():
            generator = torch.Generator().manual_seed(0)
            dynamics.term.leave.weight.copy_(torch.randn(dynamics.term.leave.weight.shape, generator=generator))
            dynamics.term.units.weight_hh_l0.mul_(4)  # far from linear
    return model


def test_sample_stream_and_live_are_equal(fitted):
    sample = fitted.sample(3, n_bins=600, condition=(), seed=4)
    live = fitted.live(4, condition=(), batch=3)
    np.testing.assert_array_equal(stepped(live, 600).transpose(1, 0, 2), sample.counts)
    np.testing.assert_array_equal(live.latents, sample.latents[:, -1])
    stream = np.concatenate([piece.counts for piece in fitted.stream(n_bins=600, chunk=37, condition=(), seed=4)], 1)
    np.testing.assert_array_equal(stream[0], sample.counts[0])


def test_a_trial_is_the_same_in_every_batch(fitted):
    like = toy_trials(6, 300, seed=9)
    together = fitted.sample(like=like, condition=["angle_deg", "wave"], seed=3)
    alone = fitted.sample(like=like, condition=["angle_deg", "wave"], seed=3, rows=[4])
    np.testing.assert_array_equal(alone.latents[0], together.latents[4])
    np.testing.assert_array_equal(alone.counts[0], together.counts[4])


def test_bins_do_not_depend_on_later_conditions(fitted):
    begin = {"angle_deg": 10.0, "wave": 0.0}
    one, other = fitted.live(1, condition=begin), fitted.live(1, condition=begin)
    np.testing.assert_array_equal(stepped(one, 9), stepped(other, 9))
    one.step(), other.step({"angle_deg": 190.0})
    assert not np.allclose(one.latents, other.latents)


def test_a_saved_state_continues_the_trial_and_has_a_constant_size(fitted):
    live = fitted.live(2, condition=(), batch=2)
    stepped(live, 7)
    file = io.BytesIO()
    np.savez(file, **live.state())
    sizes = {name: value.size for name, value in live.state().items()}
    rest = stepped(live, 50)
    file.seek(0)
    again = fitted.live(99, condition=(), batch=2)
    with np.load(file, allow_pickle=False) as state:
        again.restore(dict(state))
    np.testing.assert_array_equal(stepped(again, 50), rest)
    assert {name: value.size for name, value in live.state().items()} == sizes


def test_saved_and_loaded_is_the_same(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert again.free.term.in_use == 1
    np.testing.assert_array_equal(
        again.sample(3, n_bins=50, condition=(), seed=1).counts,
        fitted.sample(3, n_bins=50, condition=(), seed=1).counts,
    )


def test_latents_stay_bounded(fitted):
    latents = fitted.sample(2, n_bins=5000, condition=(), seed=1).latents
    assert np.abs(latents[:, 2500:]).max() < 3 * np.abs(latents[:, :2500]).max()
