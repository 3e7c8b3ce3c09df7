"""Models declare the stages that they train, so that the progress of `fit` can count them."""

from dataclasses import replace

import numpy as np
import pytest

from spikeloom.recipe import read_recipe
from spikeloom.simulate import lorenz

CHANGES = [
    ("ldns-tiny", []),
    ("ldns-tiny", ["distill_plan={updates=1, batch=4}", "student_settings.samples=20"]),
    ("autoregressive-ldns-tiny", []),
    ("autoregressive-ldns-tiny", ["nonlinear_plan={updates=1, batch=4}", "condition=['angle']"]),
    ("lfads-tiny", []),
    ("lfads-tiny", ["observation.counts.name=refractory"]),
    ("gnocchi-tiny", []),
    ("gnocchi-tiny", ["prior=diffusion", "observation.noise=none"]),
    ("gnocchi-on-ldns-tiny", []),
    ("gnocchi-on-lfads-tiny", ["signal_settings.of=latents", "signal_settings.n_latents=8"]),
]
"""Recipes with changes that add or remove stages."""


@pytest.mark.parametrize(("recipe", "changes"), CHANGES)
def test_the_declared_stages_are_trained(recipe, changes):
    trials = lorenz(24, n_neurons=6, n_bins=24, seed=0)
    trials = replace(trials, conditions={"angle": np.arange(24) % 4 * 90.0})
    plans = [f"{name}.updates=1" for name in read_recipe(recipe).build(6)._plans()]
    model = read_recipe(recipe, [*plans, *changes]).build(6)
    model.fit(trials, seed=0, progress=False)
    assert tuple(dict.fromkeys(line["stage"] for line in model.history)) == model.stage_names
