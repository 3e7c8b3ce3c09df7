"""A model conditioned on directions follows them after a fit of the smallest recipe, in under a minute."""

import time

import numpy as np
import pytest

from spikeloom.metrics.conditional import read_directions
from spikeloom.metrics.pair import Pair
from spikeloom.models.common.base import Model
from spikeloom.recipe import read_recipe
from spikeloom.trials import Trials
from tests.helpers.tuned import every, tuned

LONGEST = 60.0
"""CPU seconds that the fit may take on one thread."""


@pytest.fixture(scope="module")
def train() -> Trials:
    return tuned(every(45), seed=1)


@pytest.fixture(scope="module")
def fitted(train) -> Model:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    start = time.process_time()
    try:
        model = read_recipe("ldns-tiny-direction").build(train.n_neurons).fit(train, progress=False)
    finally:
        torch.set_num_threads(threads)
    assert time.process_time() - start < LONGEST
    return model


@pytest.mark.slow
def test_samples_follow_directions_also_between_those_of_training(fitted, train):
    test = tuned(every(45), seed=2)
    fake = fitted.sample(like=test, condition="angle_deg", seed=1, progress=False)
    result = read_directions(Pair(test, fake, reference=train))
    # a direction drawn at random is 90 degrees away; that many real trials are read with 8 to 10 degrees of error
    assert result.error("real").mean() < 15
    assert result.error("fake").mean() < 25
    between = fitted.sample(160, n_bins=60, condition={"angle_deg": every(45) + 22.5}, seed=1, progress=False)
    assert read_directions(Pair(test, between, reference=train)).error("fake").mean() < 25


@pytest.mark.slow
def test_guidance_ignores_or_exaggerates(fitted, train):
    """Strength 0 forgets the direction; 3 moves the mean counts of directions further apart than 1 does."""
    test = tuned(every(45), seed=2)
    sets = {
        w: fitted.sample(like=test, condition="angle_deg", guidance=w, seed=1, progress=False) for w in (0.0, 1.0, 3.0)
    }
    assert read_directions(Pair(test, sets[0.0], reference=train)).error("fake").mean() > 60
    apart = {}
    for strength, fake in sets.items():
        means = np.stack(
            [fake.rates[fake.conditions["angle_deg"] == value].mean((0, 1)) for value in np.unique(every(45))]
        )
        apart[strength] = means.var(0).sum()
    assert apart[0.0] < apart[1.0] < apart[3.0]


@pytest.mark.slow
def test_a_stream_follows_its_direction(fitted):
    """One stream for each of two opposite directions, 600 bins: the neurons tuned to it fire more."""
    rates = {}
    for angle in (0.0, 180.0):
        chunks = list(fitted.stream(n_bins=600, condition={"angle_deg": angle}, seed=1))
        rates[angle] = np.concatenate([chunk.counts[0] for chunk in chunks]).mean(0)
    assert rates[0.0][0] > 2 * rates[180.0][0]  # neuron 0 prefers 0 degrees, neuron 6 the opposite
    assert rates[180.0][6] > 2 * rates[0.0][6]
