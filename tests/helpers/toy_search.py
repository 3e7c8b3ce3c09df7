"""A small recording, a tiny LFADS on it, and a search of its settings."""

import numpy as np

from spikeloom.recipe import read_recipe
from spikeloom.seeds import generator
from spikeloom.trials import Trials
from spikeloom.tuning.search import Search
from spikeloom.tuning.space import read_space

NEURONS = 5
SMALL = ("n_codes=3", "network_settings.encoder=4", "network_settings.generator=6", "network_settings.factors=3")
QUICK = (*SMALL, "plan.updates=20", "plan.batch=8", "plan.learning_rate=0.02", "plan.validate_every=5")


def waves(trials=24, time=16, *, seed=0):
    """Poisson counts of sine waves whose phase differs from trial to trial, seen by five neurons; 10 ms bins."""
    mine, fixed = generator(seed, 1), generator(0, 2)
    phase = mine.uniform(0, 2 * np.pi, trials)
    wave = np.sin(2 * np.pi * np.arange(time) / time + phase[:, None])
    rates = 0.4 * np.exp(1.5 * wave[..., None] * fixed.normal(size=NEURONS))
    return Trials(mine.poisson(rates), 0.01, rates=rates, source=f"waves {seed}")


def search(out, *vary, space=None, aim="reconstruction", changes=QUICK, recipe="lfads-tiny", seed=0):
    """A search of a tiny LFADS on waves."""
    train, validation = waves(), waves(12, seed=1)
    return Search(read_recipe(recipe, changes), read_space(space, vary).of(train), train, validation, aim, seed, out)
