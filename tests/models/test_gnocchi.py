"""GNOCCHI end to end on a toy: codes, seeds, traversals, lengths, files and errors."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from spikeloom.diffusion.schedule import LinearBeta
from spikeloom.errors import DataError, SettingError, ShapeError
from spikeloom.models.gnocchi import GNOCCHI, GNOCCHINetworkSettings, SignalSettings
from spikeloom.nn.codes import CodeRangeWarning
from spikeloom.recipe import load_model, read_recipe
from spikeloom.seeds import Purpose, Streams
from spikeloom.training.plan import Plan
from spikeloom.training.stage import Stage
from spikeloom.trials import Trials

NEURONS, TIME = 8, 16


def toy(trials=60, *, variable=False, seed=0, latents=False):
    """Neurons that follow two variables of the trial, "gain" and "tilt", over time."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(-1, 1, (trials, 2))
    table = np.random.default_rng(99).normal(size=(2, TIME, NEURONS))
    drive = np.einsum("ik,ktn->itn", values, table) * 0.4 - 0.5
    lengths = rng.integers(TIME // 2, TIME + 1, trials) if variable else np.full(trials, TIME)
    return Trials(
        rng.poisson(np.exp(drive)),
        0.02,
        lengths=lengths,
        rates=np.exp(drive),
        latents=drive[..., :4] if latents else None,
        conditions={"gain": values[:, 0], "tilt": values[:, 1]},
        behavior={"place_pos": np.cumsum(np.repeat(values[:, None], TIME, 1), 1)},
        units={"place_pos": "m"},
        source="toy",
    )


def model(*, updates=6, signal=None, **settings):
    """A tiny GNOCCHI."""
    plan = Plan(updates=updates, batch=16, learning_rate=2e-3)
    network = GNOCCHINetworkSettings(
        width=16, blocks=1, encoder_width=8, encoder_blocks=1, mmd=settings.pop("mmd", 1.0)
    )
    plain = dict(n_codes=3, signal_settings=signal or SignalSettings(components=6), network_settings=network)
    return GNOCCHI(NEURONS, **{**plain, "plan": plan, "prior_plan": plan, "head_plan": plan, **settings})


SEQUENCE = SignalSettings(form="sequence")


@pytest.fixture(scope="module")
def fitted():
    return model(updates=300).fit(toy(), progress=False)


@pytest.fixture(scope="module")
def sequential():
    return model(signal=SEQUENCE).fit(toy(variable=True), progress=False)


def test_score_plus_reconstruction_is_the_velocity_loss():
    """METHODS 3.2 in float64: the two losses of the paper, with equal weights, are the one that is trained."""
    torch.manual_seed(0)
    clean, noise, answer = torch.randn(3, 50, 4, dtype=torch.float64)
    signal, sigma = (scale[:, None] for scale in LinearBeta()(torch.rand(50, dtype=torch.float64)))
    x, velocity = signal * clean + sigma * noise, signal * noise - sigma * clean
    estimate = signal * answer + sigma * x  # the noise that the answer, a velocity, implies
    rebuilt = (x - sigma * estimate) / signal
    paper = (noise - estimate).square().sum(1) + (clean - rebuilt).square().sum(1)
    torch.testing.assert_close(paper, (velocity - answer).square().sum(1), rtol=1e-6, atol=0)


def test_codes_samples_and_reconstructions_are_trials(fitted):
    data = toy(20, seed=1)
    coded = fitted.encode(data)
    assert coded.codes.shape == (20, 3)
    np.testing.assert_array_equal(coded.rates, data.rates)  # encoding infers codes and leaves the rest
    fake = fitted.sample(12, seed=1)
    assert fake.counts.shape == (12, TIME, NEURONS)
    assert fake.codes.shape == (12, 3)
    assert (fake.rates > 0).all()
    rebuilt = fitted.reconstruct(data, seed=1)
    np.testing.assert_array_equal(rebuilt.conditions["gain"], data.conditions["gain"])
    np.testing.assert_allclose(rebuilt.codes, coded.codes)
    assert rebuilt.source == "GNOCCHI"


def test_learns_what_codes_are_for():
    """After a few hundred updates both variables of other trials are decoded from codes, and rates follow the code."""
    trained = read_recipe("gnocchi-tiny", ["signal_settings.of=rates", "plan.updates=400"]).build(NEURONS)
    trained.fit(toy(400), progress=False)
    other = toy(100, seed=1)
    directions = trained.directions(toy(400), ["gain", "tilt"])
    read = directions.predict(np.asarray(trained.encode(other).codes))
    truth = np.stack([other.conditions["gain"], other.conditions["tilt"]], 1)
    assert np.square(read - truth).mean() < 0.1 * truth.var()
    rebuilt = trained.reconstruct(other)
    assert np.square(np.log(rebuilt.rates) - np.log(other.rates)).mean() < 0.2 * np.log(other.rates).var()


def test_a_trial_is_the_same_alone_and_in_any_batch(fitted, sequential):
    for one in (fitted, sequential):
        together = one.sample(9, n_bins=TIME, seed=3)
        np.testing.assert_allclose(one.sample(9, n_bins=TIME, seed=3, max_batch=2).rates, together.rates, atol=1e-5)
        np.testing.assert_array_equal(one.sample(4, n_bins=TIME, seed=3).counts, together.counts[:4])
        rows = one.sample(9, n_bins=TIME, seed=3, rows=[7, 2])
        np.testing.assert_allclose(rows.codes, together.codes[[7, 2]], atol=1e-6)


def test_given_codes_change_no_other_noise(fitted, sequential):
    """The codes a sample came from give the same sample."""
    for one in (fitted, sequential):
        fake = one.sample(6, n_bins=TIME, seed=2)
        again = one.sample(codes=fake.codes, n_bins=TIME, seed=2)
        np.testing.assert_array_equal(again.counts, fake.counts)


@pytest.mark.parametrize("prior", ["normal", "gaussian", "diffusion"])
def test_every_prior_draws_codes(prior):
    data = toy()
    trained = model(prior=prior).fit(data, progress=False)
    codes = np.asarray(trained.sample(400, seed=0).codes)
    if prior == "normal":
        np.testing.assert_allclose(np.cov(codes.T), np.eye(3), atol=0.25)  # 400 draws: sd of a variance 0.07
    elif prior == "gaussian":
        mine = np.asarray(trained.encode(data).codes)
        np.testing.assert_allclose(codes.mean(0), mine.mean(0), atol=4 * mine.std(0).max() / np.sqrt(400))
        np.testing.assert_allclose(np.cov(codes.T), np.cov(mine.T), atol=0.25 * mine.var(0).max())
    assert np.isfinite(codes).all()


def test_the_discrepancy_rounds_the_codes():
    """With a large weight, codes of the training trials come nearer to N(0, I) than without."""
    data = toy(200)
    distance = {}
    for weight in (0.0, 30.0):
        codes = np.asarray(model(updates=150, mmd=weight).fit(data, progress=False).encode(data).codes)
        distance[weight] = np.abs(np.cov(codes.T) - np.eye(3)).max() + np.abs(codes.mean(0)).max()
    assert distance[30.0] < distance[0.0]
    assert distance[30.0] < 0.5


def test_a_traversal_moves_the_requested_variable_from_the_same_noise(fitted):
    data = toy(seed=2)
    start = data.select(slice(10))
    traversal = fitted.traverse(start, "gain", span=(-0.2, 0.2), points=3, reference=data, seed=5)
    assert len(traversal) == 30
    np.testing.assert_allclose(traversal.conditions["traversal"], np.repeat([-0.2, 0.0, 0.2], 10))
    np.testing.assert_array_equal(traversal.conditions["traversal_trial"], np.tile(np.arange(10), 3))
    np.testing.assert_allclose(
        traversal.conditions["gain"], np.tile(start.conditions["gain"], 3) + traversal.conditions["traversal"]
    )
    np.testing.assert_allclose(traversal.conditions["tilt"], np.tile(start.conditions["tilt"], 3))
    middle = traversal.select(slice(10, 20))
    np.testing.assert_allclose(middle.rates, fitted.reconstruct(start, seed=5).rates, atol=1e-5)
    directions = fitted.directions(data, ["gain", "tilt"])
    moved = directions.predict(np.asarray(traversal.codes)).reshape(3, 10, 2)
    assert np.abs(np.diff(moved[..., 0], axis=0) - 0.2).max() < 0.05  # curved, so only nearly the linear prediction


def test_a_traversal_along_a_behaviour_series(fitted):
    data = toy(seed=2)
    traversal = fitted.traverse(data, "place_pos.0", span=(-1, 1), points=2, keep=["tilt"])
    assert "place_pos.0" not in traversal.conditions
    assert set(traversal.conditions["traversal_along"]) == {"place_pos.0"}


def test_leaving_the_training_codes_is_said_once_with_the_distance(fitted):
    data = toy()
    with warnings.catch_warnings():
        warnings.simplefilter("error", CodeRangeWarning)
        fitted.reconstruct(data)  # its own training codes are no news
    with pytest.warns(CodeRangeWarning, match="standard deviations") as notes:
        fitted.traverse(data.select(slice(4)), "gain", span=(-50, 50), points=3, reference=data)
    assert len([note for note in notes if note.category is CodeRangeWarning]) == 1


def test_variable_lengths_in_the_form_that_takes_them(sequential):
    data = toy(12, variable=True, seed=3)
    coded = sequential.encode(data)
    padded = Trials(np.pad(data.counts, ((0, 0), (0, 9), (0, 0))), 0.02, lengths=data.lengths)
    np.testing.assert_allclose(sequential.encode(padded).codes, coded.codes, atol=1e-5)
    fake = sequential.sample(like=data, seed=1)
    np.testing.assert_array_equal(fake.lengths, data.lengths)
    with pytest.raises(DataError, match=r"signal_settings\.form=sequence"):
        model().fit(data, progress=False)


def test_components_know_one_length(fitted):
    with pytest.raises(SettingError, match="whole trials of 16 bins"):
        fitted.sample(2, n_bins=17)
    with pytest.raises(SettingError, match="whole trials of 16 bins"):
        fitted.encode(toy(5, variable=True))


def test_rates_and_latents_as_the_signal(tmp_path):
    data = toy(latents=True)
    for signal in (SignalSettings(of="rates", components=6), SignalSettings(of="latents", n_latents=4, components=6)):
        trained = model(signal=signal).fit(data, progress=False)
        trained.save(tmp_path / signal.of)
        again = load_model(tmp_path / signal.of)
        fake = trained.sample(5, seed=1)
        np.testing.assert_array_equal(again.sample(5, seed=1).counts, fake.counts)
        assert (fake.latents is not None) == (signal.of == "latents")
        with pytest.raises(DataError, match=f"reads the {signal.of}"):
            trained.encode(Trials(data.counts, 0.02))
    with pytest.raises(DataError, match=r"signal_settings\.n_latents=4"):
        model(signal=SignalSettings(of="latents", n_latents=5, components=6)).fit(data, progress=False)


def test_the_head_learns_what_components_leave_of_the_latents():
    data = toy(latents=True)
    one = model(signal=SignalSettings(of="latents", n_latents=4, components=2), updates=1)
    with pytest.MonkeyPatch.context() as patch:
        seen = []
        patch.setattr(
            one, "spiking", lambda batch, streams: seen.append(batch["latents"]) or GNOCCHI.spiking(one, batch, streams)
        )
        one.fit(data, progress=False)
    rows = (seen[0] - one.activity.mean).flatten(1)
    assert np.linalg.matrix_rank((rows - rows.mean(0)).numpy(), tol=1e-3) == 2


def test_every_setting_survives_the_folder(tmp_path):
    made = model(prior="diffusion", mmd=0.3)
    made.fit(toy(), progress=False).save(tmp_path)
    again = load_model(tmp_path)
    for name in ("prior", "network_settings", "signal_settings"):
        assert getattr(again, name) == getattr(made, name)
    np.testing.assert_array_equal(again.sample(4, seed=0).counts, made.sample(4, seed=0).counts)


def test_every_parameter_learns():
    one = model(prior="diffusion", signal=SignalSettings(of="latents", n_latents=4, components=6), updates=1)
    data = toy(latents=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        one.fit(data, progress=False)
    before = {name: value.clone() for name, value in one.named_parameters()}
    trained = [stage for stage in one.stages(data, None) if isinstance(stage, Stage)]
    for stage in trained:
        rows = {name: value[:16] for name, value in stage.data.items()}
        stage.loss(rows, Streams(0, Purpose.TRAIN, 0, range(16))).total.backward()
    silent = {name for name, value in one.named_parameters() if value.grad is None}
    assert all("absent" in name for name in silent), silent  # nobody withholds a code
    assert before


def test_mistakes_are_named(fitted):
    with pytest.raises(ShapeError, match=r"axes \(trial, 3\)"):
        fitted.sample(codes=np.zeros((4, 5)))
    with pytest.raises(ShapeError, match="NaN"):
        fitted.sample(codes=np.full((4, 3), np.nan))
    with pytest.raises(ShapeError, match="4 codes for 5 trials"):
        fitted.sample(5, codes=np.zeros((4, 3)))
    with pytest.raises(SettingError, match="does not use guidance"):
        fitted.sample(2, guidance=2.0)
    with pytest.raises(SettingError, match="points >= 1"):
        fitted.traverse(toy(4), "gain", span=(0, 1), points=0)
    with pytest.raises(SettingError, match="codes >= 1"):
        model(n_codes=0)


def test_reconstructions_of_trials_padded_further_keep_their_behaviour(fitted):
    trials = toy(6)
    padded = Trials(
        np.pad(trials.counts, ((0, 0), (0, 3), (0, 0))),
        trials.bin_width,
        lengths=trials.lengths,
        behavior={"x": np.ones((6, TIME + 3, 1))},
    )
    again = fitted.reconstruct(padded)
    assert again.behavior["x"].shape == (6, TIME, 1)


@pytest.mark.parametrize(
    ("change", "chosen"),
    [
        ("observation.history=SpikeHistory", "counts=Poisson, history=SpikeHistory"),
        ("observation.counts=Refractory", "counts=Refractory"),
        ("observation.counts=Regular", "counts=Regular"),
    ],
)
def test_an_observation_model_that_must_be_fitted_is_refused(change, chosen):
    """GNOCCHI has no rates that were inferred without their own count, so nothing could be fitted to them."""
    with pytest.raises(SettingError, match=rf"supports only Poisson counts.*Its observation model has {chosen}\."):
        read_recipe("gnocchi-tiny", [change]).build(5)


def test_the_link_of_its_poisson_counts_may_be_chosen():
    assert read_recipe("gnocchi-tiny", ["observation.counts.link=exp"]).build(5).observation.counts.link == "exp"


def synchronous(trials=300, *, seed=0):
    """The toy, with common spikes of neurons 0 and 1 in a third of all bins, independent from bin to bin."""
    data = toy(trials, seed=seed)
    counts = np.array(data.counts)
    counts[..., :2] += np.random.default_rng(seed + 1000).random((trials, TIME, 1)) < 1 / 3
    return replace(data, counts=counts, rates=None)


def test_noise_adds_the_synchrony_that_components_do_not_have():
    """Synchrony: covariance of two neurons within a bin, less that of neighbouring bins; about 2/9 in the data."""
    data = synchronous()

    def synchrony(trials):
        rest = np.asarray(trials.counts, float) - np.asarray(trials.counts, float).mean(0)
        together = (rest[..., 0] * rest[..., 1]).mean()
        return together - (rest[:, :-1, 0] * rest[:, 1:, 1] + rest[:, 1:, 0] * rest[:, :-1, 1]).mean() / 2

    samples = {}
    for noise in ("none", "SharedNoise"):
        recipe = read_recipe("gnocchi-tiny", ["plan.updates=60", f"observation.noise={noise}"])
        fitted = recipe.build(NEURONS).fit(data, seed=0, progress=False)
        samples[noise] = fitted.sample(1000, seed=1)
    assert abs(synchrony(samples["none"])) < 0.02
    assert synchrony(samples["SharedNoise"]) > 0.5 * synchrony(data)
    np.testing.assert_allclose(
        samples["SharedNoise"].rates, samples["none"].rates, atol=1e-5
    )  # rates are expected counts


def test_noise_finds_nothing_in_neurons_that_are_independent_given_their_rates():
    weights = read_recipe("gnocchi-tiny", ["plan.updates=60"]).build(NEURONS).fit(toy(300), progress=False)
    assert float(weights.observation.noise.variance().max()) < 0.05
