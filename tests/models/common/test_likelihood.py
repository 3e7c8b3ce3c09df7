"""Bits per spike against its definition and its properties."""

import math

import numpy as np
import pytest
from scipy import stats

from spikeloom.models.common.likelihood import bits_per_spike
from spikeloom.observation.model import ObservationModel
from spikeloom.observation.poisson import Poisson
from spikeloom.trials import Trials
from tests.helpers.small_ldns import toy_model, toy_trials


def test_bits_are_those_of_the_definition_on_rates_that_did_not_see_their_counts():
    train = toy_trials(40, variable=True)
    model = toy_model(observation=ObservationModel(Poisson(), history=None, noise=None), updates=30).fit(
        train, progress=False
    )
    test = toy_trials(12, variable=True, seed=1)
    mask, counts = test.mask, test.counts
    rates = model.unseen_rates(test)
    mean = counts.sum((0, 1)) / test.n_valid_bins
    model_nats = stats.poisson.logpmf(counts, rates)[mask].sum()
    null_nats = stats.poisson.logpmf(counts, np.broadcast_to(mean, counts.shape))[mask].sum()
    expected = (model_nats - null_nats) / counts.sum() / math.log(2)
    assert bits_per_spike(model.observation, rates, test) == pytest.approx(expected, rel=1e-4)  # rates are float32


def test_silent_neurons_and_no_spikes():
    model = toy_model().fit(toy_trials(), progress=False)
    silent = toy_trials(seed=1)
    counts = silent.counts.copy()
    counts[..., 0] = 0
    for trials, finite in ((Trials(counts, silent.bin_width), True), (Trials(np.zeros((3, 24, 6), int), 0.01), False)):
        assert math.isfinite(bits_per_spike(model.observation, model.unseen_rates(trials), trials)) == finite
