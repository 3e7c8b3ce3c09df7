"""Objectives of a search: known results, and no access to hidden entries."""

import math

import numpy as np
import pytest
import torch

from spikeloom.errors import SettingError
from spikeloom.evaluation.baselines import homogeneous_poisson
from spikeloom.models.common.base import Model
from spikeloom.models.common.likelihood import bits_per_hidden_spike
from spikeloom.models.common.results import Generated, Inferred
from spikeloom.recipe import read_recipe
from spikeloom.tuning.objective import HIDDEN, Bound, Reconstruction, objective
from tests.helpers.toy_search import waves


class Parrot(Model):
    """A model that generates given trials, infers given rates, and stores the counts that it reads."""

    def __init__(self, neurons, trials):
        super().__init__()
        self.n_neurons, self.trials, self.seen = neurons, trials, []

    def build(self, facts):
        """Nothing."""

    def stages(self, trials, validation):
        """None."""
        yield from ()

    def draw(self, request):
        """The trials of the parrot, in order."""
        position = sum(self.seen)
        self.seen.append(len(request.lengths))
        return Generated(self.trials.counts[position : position + len(request.lengths)])

    def infer(self, counts, mask):
        """True rates of the next trials."""
        position = sum(map(len, self.seen))
        self.seen.append(counts.numpy().copy())
        return Inferred(self.trials.rates[position : position + len(counts)])


def test_bits_of_true_rates_are_the_likelihood_ratio():
    trials = waves(400)
    hidden = np.ones(trials.counts.shape, bool)
    rates, counts = trials.rates.astype(np.float64), trials.counts.astype(np.float64)
    mean = counts.mean((0, 1))
    poisson = [
        torch.distributions.Poisson(torch.from_numpy(np.broadcast_to(r, counts.shape).copy())) for r in (rates, mean)
    ]
    gain = float((poisson[0].log_prob(torch.from_numpy(counts)) - poisson[1].log_prob(torch.from_numpy(counts))).sum())
    expected = gain / counts.sum() / math.log(2)
    assert expected > 0.3  # waves are worth knowing
    assert bits_per_hidden_spike(trials.counts, trials.rates, hidden) == pytest.approx(expected, rel=1e-6)


def test_a_mean_is_worth_nothing_and_no_spikes_say_nothing():
    trials = waves()
    hidden = np.random.default_rng(0).random(trials.counts.shape) < 0.5
    judged = np.where(hidden, trials.counts, 0)
    mean = np.broadcast_to(judged.sum((0, 1)) / hidden.sum((0, 1)), judged.shape)
    assert bits_per_hidden_spike(trials.counts, mean, hidden) == pytest.approx(0, abs=1e-9)
    assert math.isnan(bits_per_hidden_spike(trials.counts * 0, mean, hidden))
    other = np.where(hidden, trials.counts, 7)  # what is not hidden does not count
    assert bits_per_hidden_spike(other, trials.rates, hidden) == bits_per_hidden_spike(
        trials.counts, trials.rates, hidden
    )


def test_reconstruction_hides_what_it_judges():
    validation = waves(130, seed=4)  # more than a batch
    aim, model = Reconstruction(validation, seed=3), Parrot(validation.n_neurons, validation)
    assert aim.score(model, []) == pytest.approx(bits_per_hidden_spike(validation.counts, validation.rates, aim.hidden))
    seen = np.concatenate(model.seen)
    assert (seen[aim.hidden] == 0).all()
    assert np.allclose(seen[~aim.hidden], validation.counts[~aim.hidden] / (1 - HIDDEN))
    assert abs(aim.hidden.mean() - HIDDEN) < 0.02  # sd 0.004 with 10,400 entries
    assert model.training


def test_the_bound_is_that_of_the_look_whose_weights_are_kept():
    validation = waves(time=16)  # of 5 neurons: 80 entries a trial
    lines = [
        {"validation": 3.0, "validation_parts": {"nll": 1.0, "kl": 0.1, "kl_inputs": 0.1}},
        {"validation": 2.0, "validation_parts": {"nll": 0.5, "kl": 0.2, "kl_inputs": 0.05}},
        {"validation": 2.5, "validation_parts": {"nll": 0.4, "kl": 0.1, "kl_inputs": 0.0}},
        {"validation": None, "validation_parts": {"nll": None, "kl": 0.1, "kl_inputs": 0.0}},
        {"loss": 1.0},
    ]
    aim, model = Bound(validation), Parrot(5, validation)
    assert aim.score(model, lines) == pytest.approx(-0.75 * 80)
    assert math.isnan(aim.score(model, lines[3:4]))


def test_a_model_that_cannot_be_judged_so_is_refused_before_it_is_trained():
    validation = waves()
    blind = Parrot(5, validation)
    blind.reads = "rates"
    with pytest.raises(SettingError, match="reads rates"):
        objective("reconstruction", train=validation, validation=validation).check(blind)
    with pytest.raises(SettingError, match="evidence lower bound"):
        objective("bound", train=validation, validation=validation).check(blind)
    tiny = read_recipe("lfads-tiny")
    objective("bound", train=validation, validation=validation).check(tiny.build(5))
    other = read_recipe("lfads-tiny", ["loss_settings.validation=reconstruction"]).build(5)
    with pytest.raises(SettingError, match="evidence lower bound"):
        objective("bound", train=validation, validation=validation).check(other)


def test_samples_are_worth_one_if_real_and_nothing_if_independent():
    train, validation = waves(300), waves(160, seed=1)
    aim = objective("samples", train=train, validation=validation)
    real, poor = waves(160, seed=2), homogeneous_poisson(train, validation, seed=3)
    scores = []
    for trials in (real, poor):
        model = Parrot(5, trials)
        model.fit(train, validation=validation, progress=False)
        model.seen.clear()
        scores.append(aim.score(model, []))
    assert scores[0] > 0.8  # at the floor, give or take what three splits of 80 trials allow
    assert scores[1] < 0.1
    silent = Parrot(5, waves(160))
    silent.trials = type(real)(real.counts * 0, 0.01)
    silent.fit(train, progress=False)
    assert aim.score(silent, []) == -1
