"""Recorded beside generated trials: pairs for a quiz, and a classifier that tries the same."""

import warnings

import numpy as np

from spikeloom.errors import SpikeloomWarning
from spikeloom.metrics.distance import c2st_rbf
from spikeloom.metrics.pair import Pair
from spikeloom.seeds import Purpose, generator
from spikeloom.studio.bodies import Quiz
from spikeloom.studio.facts import LoadedModel
from spikeloom.studio.results import Json, number, raster
from spikeloom.trials import Trials

MOST_TRIALS = 400
"""Largest number of recorded trials of the classifier."""


def quiz(loaded: LoadedModel, body: Quiz) -> Json:
    """Return pairs of a recorded and a generated trial of the same length and conditions, and the recorded sides."""
    rng = generator(body.seed, int(Purpose.EVALUATE), 12)
    rows = rng.permutation(len(loaded.trials))[: body.pairs]
    recorded = loaded.trials.select(rows)
    fake = _like(loaded, recorded, body.seed)
    sides = ["left" if coin else "right" for coin in rng.integers(0, 2, len(rows))]
    pairs = []
    for trial, side in enumerate(sides):
        two = [{"spikes": raster(recorded, trial)}, {"spikes": raster(fake, trial)}]
        left, right = two if side == "left" else two[::-1]
        pairs.append({"left": left, "right": right})
    return {
        "pairs": pairs,
        "recorded": sides,
        "bins": int(recorded.lengths.max()),
        "bin_width": recorded.bin_width,
        "neurons": recorded.n_neurons,
    }


def classifier(loaded: LoadedModel) -> Json:
    """Return the accuracy of a classifier of recorded against generated trials, and against other recorded trials.

    Both have the same number of trials. The second accuracy is the noise floor, about one half.
    """
    rows = generator(0, int(Purpose.EVALUATE), 13).permutation(len(loaded.trials))[:MOST_TRIALS]
    half = len(rows) // 2
    first, second = (loaded.trials.select(np.sort(part)) for part in (rows[:half], rows[half : 2 * half]))
    generated = c2st_rbf(Pair(first, _like(loaded, first, 0)))
    floor = c2st_rbf(Pair(first, second))
    return {
        "accuracy": number(generated.value, 4),
        "floor": number(floor.value, 4),
        "trials": half,
        "note": generated.note if generated.value is None else "",
    }


def _like(loaded: LoadedModel, recorded: Trials, seed: int) -> Trials:
    """Return generated trials with the lengths and conditions of recorded ones."""
    names = loaded.model.facts.conditions.names
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SpikeloomWarning)  # these conditions were recorded
        return loaded.model.sample(like=recorded, condition=names or None, seed=seed, progress=False)
