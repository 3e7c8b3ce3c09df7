"""LFADS end to end on a toy: bound against closed forms, rates against true ones, seeds, streams, files, errors."""

from itertools import islice

import numpy as np
import pytest
import torch

from spikeloom.errors import SettingError
from spikeloom.models.common.likelihood import bits_per_spike
from spikeloom.models.lfads import LFADS, LFADSNetworkSettings, LossSettings
from spikeloom.observation.model import ObservationModel
from spikeloom.recipe import load_model, read_recipe
from spikeloom.seeds import Purpose, Streams
from spikeloom.training.plan import Plan
from spikeloom.trials import Trials

NEURONS, TIME = 8, 16


def toy(trials=60, *, variable=False, seed=0):
    """Neurons that follow a rotation whose phase and size belong to the trial."""
    rng = np.random.default_rng(seed)
    phase, size = rng.uniform(0, 2 * np.pi, trials), rng.uniform(0.5, 1.5, trials)
    angle = phase[:, None] + 2 * np.pi * np.arange(TIME) / TIME
    table = np.random.default_rng(99).normal(size=(2, NEURONS))
    state = size[:, None, None] * np.stack((np.cos(angle), np.sin(angle)), -1)
    rates = np.exp(state @ table * 0.6 - 0.3)
    lengths = rng.integers(TIME // 2, TIME + 1, trials) if variable else np.full(trials, TIME)
    conditions = {"across": size * np.cos(phase), "along": size * np.sin(phase)}
    return Trials(rng.poisson(rates), 0.02, lengths=lengths, rates=rates, conditions=conditions, source="toy")


def model(*, updates=6, inputs=0, loss=None, **settings):
    """A tiny LFADS."""
    network = LFADSNetworkSettings(encoder=12, generator=16, factors=4, inputs=inputs, controller=8, dropout=0.1)
    plan = Plan(updates=updates, batch=16, learning_rate=1e-2, clip=5.0)
    plain = dict(n_codes=4, network_settings=network, loss_settings=loss or LossSettings(), plan=plan)
    return LFADS(NEURONS, **{**plain, **settings})


@pytest.fixture(scope="module")
def fitted():
    return model(updates=250, loss=LossSettings(ramp=0.8)).fit(toy(240), progress=False)  # a short ramp: z unused


@pytest.fixture(scope="module")
def controlled():
    return model(inputs=2).fit(toy(variable=True), progress=False)


def loss_of(one, data, *, training=False, update=0):
    """The loss of all trials, once the model has its networks and statistics."""
    one.train(training)
    batch = {"counts": torch.from_numpy(data.counts.copy()), "mask": torch.from_numpy(data.mask)}
    return one.bound(batch, Streams(0, Purpose.TRAIN, update, range(len(data))))


def test_the_divergence_is_that_of_two_gaussians(fitted):
    rng = np.random.default_rng(0)
    mean, log_variance = (torch.from_numpy(rng.normal(size=(5, 4))).float() for _ in range(2))
    prior = torch.distributions.Normal(fitted.prior_mean, torch.exp(0.5 * fitted.prior_log_variance))
    mine = torch.distributions.Normal(mean, torch.exp(0.5 * log_variance))
    torch.testing.assert_close(
        fitted._divergence(mean, log_variance), torch.distributions.kl_divergence(mine, prior).sum()
    )


def test_the_bound_lies_below_the_likelihood(fitted):
    """log p(s) by importance sampling from the posterior, many draws, is at least the bound of the same trials."""
    data = toy(6, seed=5)
    terms = loss_of(fitted, data)
    counts, mask = torch.from_numpy(data.counts.copy()).float(), torch.from_numpy(data.mask)
    rng = np.random.default_rng(0)
    with torch.no_grad():
        mean, log_variance = fitted.posterior(counts, mask)
        mine = torch.distributions.Normal(mean, torch.exp(0.5 * log_variance))
        prior = torch.distributions.Normal(fitted.prior_mean, torch.exp(0.5 * fitted.prior_log_variance))
        weights = []
        for _ in range(2000):
            z = mean + mine.scale * torch.from_numpy(rng.standard_normal(mean.shape)).float()
            drive = fitted.readout(fitted.generator.factors(fitted.generator(fitted._first_state(z), counts[..., :0])))
            result = fitted.observation.log_prob(counts, drive).sum((1, 2))
            weights.append(result + (prior.log_prob(z) - mine.log_prob(z)).sum(1))
        exact = (torch.stack(weights).logsumexp(0) - np.log(2000)).sum()
        bounds = torch.stack(weights).mean(0).sum()
    assert bounds < exact
    sd = torch.stack(weights).sum(1).std()
    assert abs(-terms.total.item() - bounds.item()) < 4 * sd  # one draw against the mean of many


def test_coordinated_dropout_keeps_the_scale_of_the_likelihood(fitted):
    """The data term of hidden entries, divided by their share, is on average that of complete trials."""
    data = toy(200, seed=6)
    full = loss_of(fitted, data).parts["nll"].item()
    hidden = loss_of(fitted, data, training=True).parts["nll"].item()
    fitted.eval()
    assert hidden == pytest.approx(full, rel=0.12)  # 8 entries of 128 fewer seen, and dropout of units
    assert hidden > 0.85 * full


def test_the_divergence_grows_and_is_whole_on_validation_trials():
    one = model(updates=100, loss=LossSettings(beta=2.0, weight_penalty=0.1, ramp=0.5))
    one.fit(toy(), progress=False)
    totals = []
    for update in (0, 24, 49, 80):
        terms = loss_of(one, toy(8), training=True, update=update)
        totals.append((terms.total - terms.parts["nll"]).item())
    assert totals[0] < totals[1] < totals[2]
    terms = loss_of(one, toy(8))
    penalty = 0.1 * 8 * one.generator.units.weight_hh_l0.square().sum()
    torch.testing.assert_close(terms.total, terms.parts["nll"] + 2.0 * terms.parts["kl"] + penalty)


def test_beta_in_nats_and_in_published_scales(tmp_path):
    one = model(loss=LossSettings(beta="published")).fit(toy(), progress=False)
    assert one.beta == pytest.approx(1e-7 * NEURONS * TIME)
    assert "kappa 1e-07" in one.notes["KL scale"]
    one.save(tmp_path)
    assert load_model(tmp_path).loss_settings.beta == "published"


def test_rates_follow_the_true_ones(fitted):
    data = toy(60, seed=3)
    rates = np.log(fitted.encode(data, progress=False).rates)
    truth = np.log(data.rates)
    assert 1 - np.square(rates - truth).mean() / truth.var() > 0.7


def test_samples_have_the_data_s_mean_and_codes_traverse(fitted):
    data = toy(240)
    for start in ("prior", "posterior"):
        fitted.start = start
        fake = fitted.sample(240, seed=1, progress=False)
        np.testing.assert_allclose(fake.counts.mean((0, 1)), data.counts.mean((0, 1)), rtol=0.25)
        assert fake.codes.shape == (240, 4)
        assert fake.latents.shape == (240, TIME, 4)
    fitted.start = "prior"
    directions = fitted.directions(data, ["across", "along"])
    other = toy(100, seed=1)
    read = directions.predict(np.asarray(fitted.encode(other, progress=False).codes))
    truth = np.stack([other.conditions["across"], other.conditions["along"]], 1)
    assert np.square(read - truth).mean() < 0.5 * truth.var()
    traversal = fitted.traverse(other.select(slice(5)), "across", span=(-0.2, 0.2), points=3, reference=data)
    assert len(traversal) == 15


@pytest.mark.parametrize("name", ["fitted", "controlled"])
def test_a_trial_is_the_same_alone_and_in_any_batch(name, request):
    one = request.getfixturevalue(name)
    together = one.sample(9, n_bins=40, seed=3, progress=False)
    assert together.counts.shape == (9, 40, NEURONS)  # any length
    np.testing.assert_allclose(
        one.sample(9, n_bins=40, seed=3, max_batch=2, progress=False).rates, together.rates, rtol=1e-4
    )
    np.testing.assert_array_equal(
        one.sample(9, n_bins=40, seed=3, rows=[7, 2], progress=False).codes, together.codes[[7, 2]]
    )
    data = toy(9, variable=True, seed=4)
    coded = one.encode(data, progress=False)
    alone = one.encode(data.select([3]), progress=False)
    np.testing.assert_allclose(alone.rates[0], coded.rates[3][: alone.n_bins], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", ["fitted", "controlled"])
def test_given_codes_change_no_other_noise(name, request):
    one = request.getfixturevalue(name)
    fake = one.sample(6, n_bins=TIME, seed=2, progress=False)
    np.testing.assert_array_equal(one.sample(codes=fake.codes, n_bins=TIME, seed=2, progress=False).counts, fake.counts)


@pytest.mark.parametrize("name", ["fitted", "controlled"])
def test_a_stream_is_the_trial_that_goes_on(name, request):
    one = request.getfixturevalue(name)
    full = one.sample(1, n_bins=50, seed=7, progress=False)
    pieces = list(one.stream(n_bins=50, chunk=12, seed=7))
    np.testing.assert_array_equal(np.concatenate([piece.counts for piece in pieces], 1), full.counts)
    endless = list(islice(one.stream(seed=7, chunk=20), 4))
    assert [piece.n_bins for piece in endless] == [20] * 4


@pytest.mark.parametrize("name", ["fitted", "controlled"])
def test_padding_changes_nothing(name, request):
    one, data = request.getfixturevalue(name), toy(6, variable=True, seed=2)
    wide = Trials(np.pad(data.counts, ((0, 0), (0, 7), (0, 0))), 0.02, lengths=data.lengths)
    coded, padded = one.encode(data, progress=False), one.encode(wide, progress=False)
    np.testing.assert_allclose(padded.codes, coded.codes, atol=1e-5)
    valid = data.mask
    np.testing.assert_allclose(padded.rates[:, :TIME][valid], coded.rates[valid], rtol=1e-3, atol=1e-6)


def test_every_parameter_learns():
    for inputs in (0, 2):
        one = model(inputs=inputs, updates=1, learned_variance=True)
        one.fit(toy(), progress=False)
        one.zero_grad()
        loss_of(one, toy(16), training=True).total.backward()
        silent = {name for name, value in one.named_parameters() if value.grad is None or not value.grad.any()}
        fed_zeros = {"generator.units.weight_ih_l0"} if not inputs else set()
        assert silent <= fed_zeros, silent


def test_every_setting_survives_the_folder(tmp_path, controlled):
    controlled.save(tmp_path)
    again = load_model(tmp_path)
    for name in ("network_settings", "loss_settings", "start"):
        assert getattr(again, name) == getattr(controlled, name)
    np.testing.assert_array_equal(
        again.sample(4, seed=0, progress=False).counts, controlled.sample(4, seed=0, progress=False).counts
    )


def test_spike_history_is_fitted_on_top():
    rng = np.random.default_rng(0)
    data = Trials(np.minimum(rng.poisson(0.4, (80, 40, 3)), 1), 0.005)  # never two spikes in a bin
    plan = Plan(updates=5, batch=16)
    one = LFADS(
        3,
        n_codes=2,
        observation=ObservationModel(noise=None),
        plan=plan,
        network_settings=LFADSNetworkSettings(encoder=4, generator=6),
    )
    one.fit(data, progress=False)
    fake = one.sample(80, seed=1, progress=False)
    assert fake.counts.mean() == pytest.approx(data.counts.mean(), rel=0.1)
    assert any(value.any() for name, value in one.observation.named_buffers() if "weight" in name or "filter" in name)
    assert one.history[-1]["stage"] == "readout"
    assert set(one.history[-1]["parts"]) == {"observation model"}


def test_bits_per_spike_of_unseen_counts(fitted):
    data = toy(60, seed=8)
    assert bits_per_spike(fitted.observation, fitted.unseen_rates(data), data) > 0.05


@pytest.mark.parametrize("choice", ["bound", "reconstruction"])
def test_validation_trials_choose_the_weights(choice):
    one = model(updates=20, loss=LossSettings(validation=choice)).fit(toy(), validation=toy(30, seed=9), progress=False)
    looks = [line["validation"] for line in one.history if "validation" in line]
    assert len(looks) >= 10
    assert np.isfinite(looks).all()


def test_the_tiny_recipe_fits():
    trained = read_recipe("lfads-tiny", ["plan.updates=3"]).build(NEURONS).fit(toy(), progress=False)
    assert trained.sample(2, seed=0, progress=False).counts.shape == (2, TIME, NEURONS)


def test_mistakes_are_named(fitted):
    with pytest.raises(SettingError, match="LFADS does not use guidance"):
        fitted.sample(2, guidance=2.0)
    with pytest.raises(SettingError, match="prior_variance > 0"):
        model(prior_variance=0.0)
    with pytest.raises(SettingError, match="codes >= 1"):
        model(n_codes=0)
