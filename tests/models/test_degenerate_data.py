"""Data of any size and without variance: every model trains and samples finite counts, or raises a clear error."""

import warnings

import numpy as np
import pytest

from spikeloom.errors import DataError, SpikeloomError
from spikeloom.recipe import read_recipe
from spikeloom.trials import Trials

N_TRIALS, N_BINS, N_NEURONS = 12, 20, 4


def of(counts, **fields) -> Trials:
    """Trials with a condition of each kind."""
    angle = np.arange(len(counts)) * 360.0 / len(counts)
    conditions = {"angle_deg": angle, "speed": np.ones(len(counts)), "side": np.array(["left"] * len(counts))}
    return Trials(counts, 0.02, conditions=conditions, **fields)


def poisson(mean, shape=(N_TRIALS, N_BINS, N_NEURONS)) -> np.ndarray:
    return np.random.default_rng(0).poisson(mean, shape)


def one_silent() -> np.ndarray:
    counts = poisson(0.5)
    counts[:, :, 1] = 0
    return counts


def one_spike() -> np.ndarray:
    counts = np.zeros((N_TRIALS, N_BINS, N_NEURONS), int)
    counts[3, 4, 1] = 1
    return counts


def one_burst() -> np.ndarray:
    counts = poisson(0.3)
    counts[2, 5, 0] = 50_000
    return counts


DATA = {
    "hundreds of spikes per bin": lambda: of(poisson(400)),
    "thousands of spikes in one neuron": lambda: of(poisson([0.2, 0.2, 0.2, 3000])),
    "one bin of 50,000 spikes": lambda: of(one_burst()),
    "the same count everywhere": lambda: of(np.full((N_TRIALS, N_BINS, N_NEURONS), 3)),
    "one neuron silent": lambda: of(one_silent()),
    "one spike in all": lambda: of(one_spike()),
    "every trial the same": lambda: of(np.repeat(poisson(0.5, (1, N_BINS, N_NEURONS)), N_TRIALS, 0)),
    "one neuron": lambda: of(poisson(0.5, (N_TRIALS, N_BINS, 1))),
    "one bin": lambda: of(poisson(2, (N_TRIALS, 1, N_NEURONS))),
    "two trials": lambda: of(poisson(0.5, (2, N_BINS, N_NEURONS))),
    "more neurons than spikes": lambda: of(poisson(0.01, (N_TRIALS, 5, 60))),
}
REFUSED = {
    "one trial": (lambda: of(poisson(0.5, (1, N_BINS, N_NEURONS))), "at least two trials"),
    "no spike": (lambda: of(np.zeros((N_TRIALS, N_BINS, N_NEURONS), int)), "at least two trials with spikes"),
}
QUICK = {
    "ldns-tiny": ("autoencoder_plan.updates=4", "diffusion_plan.updates=4"),
    "gnocchi-tiny": ("plan.updates=4",),
    "lfads-tiny": ("plan.updates=4",),
    "gnocchi-on-ldns-tiny": ("signal_model.autoencoder_plan.updates=4", "plan.updates=4"),
}
MODELS = [
    ("ldns-tiny", ()),
    ("ldns-tiny", ('condition=["angle_deg", "speed", "side"]',)),
    ("gnocchi-tiny", ()),
    ("gnocchi-tiny", ("signal_settings.form=sequence",)),
    ("gnocchi-on-ldns-tiny", ()),
    ("lfads-tiny", ()),
    ("lfads-tiny", ("network_settings.inputs=2", "start=posterior")),
]


def fitted(recipe, changes, trials):
    model = read_recipe(recipe, [*QUICK[recipe], *changes]).build(trials.n_neurons)
    return model.fit(trials, seed=0, progress=False)


NO_COMPONENTS = ("the same count everywhere", "every trial the same")
"""Data whose trials do not differ, so that there are no components to learn."""


@pytest.mark.parametrize(("recipe", "changes"), MODELS, ids=lambda value: str(value))
@pytest.mark.parametrize("name", DATA)
def test_it_trains_and_samples_finite_counts(recipe, changes, name):
    trials = DATA[name]()
    if name in NO_COMPONENTS and recipe.startswith("gnocchi") and not changes:
        with pytest.raises(DataError, match=r"trials that differ from each other. All 12 training trials"):
            fitted(recipe, changes, trials)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # no division by zero on the way
        model = fitted(recipe, changes, trials)
        fake = model.sample(5, condition=model.condition or None, seed=1, progress=False)
        encoded = model.encode(trials, progress=False)
    largest = 50 * max(1, int(trials.counts.max()))  # four updates from the mean rates
    assert fake.counts.max() <= largest
    for values in (fake.rates, fake.latents, fake.codes, encoded.rates, encoded.latents, encoded.codes):
        assert values is None or np.isfinite(values).all()


@pytest.mark.parametrize(("recipe", "changes"), MODELS, ids=lambda value: str(value))
@pytest.mark.parametrize("name", REFUSED)
def test_it_says_in_one_sentence_why_not(recipe, changes, name):
    trials, words = REFUSED[name]
    with pytest.raises(SpikeloomError, match=words):
        fitted(recipe, changes, trials())
