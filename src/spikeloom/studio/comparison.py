"""Recorded beside generated trials: one recorded trial, pairs for a quiz, and a classifier that tries the same."""

import warnings

import numpy as np
from numpy.typing import NDArray

from spikeloom.errors import ConditionError, SpikeloomWarning
from spikeloom.metrics.distance import c2st_rbf
from spikeloom.metrics.pair import Pair as TwoSides
from spikeloom.seeds import Purpose, generator
from spikeloom.studio.bodies import Pair, Quiz
from spikeloom.studio.columns import fano_factors
from spikeloom.studio.facts import LoadedModel
from spikeloom.studio.results import MOST_RASTERS, Json, number, numbers, raster, rasters
from spikeloom.studio.samples import check_size
from spikeloom.trials import Trials

MOST_TRIALS = 400
"""Largest number of recorded trials of the classifier."""


def pair(loaded: LoadedModel, body: Pair) -> Json:
    """Return a recorded trial, generated trials of its length and conditions, and rates and Fano factors of both.

    Recorded Fano factors are those of the recorded trials of the same conditions that last at least as long, over the
    bins of the chosen trial. Conditions of many values are grouped as in `columns.Column`, and `exact` is then False.

    Raises:
        ConditionError: if there is no such trial, or too many counts would be generated.
    """
    if body.trial >= len(loaded.trials):
        raise ConditionError(
            f"A recorded trial must be a number from 0 to {len(loaded.trials) - 1}.", f"It was {body.trial}.", ""
        )
    recorded = loaded.trials.select(np.array([body.trial]))
    bins = int(recorded.lengths[0])
    check_size(loaded, body.draws, bins)
    fake = _like(loaded, loaded.trials.select(np.full(body.draws, body.trial)), body.seed)
    same = _same_condition(loaded, body.trial)
    rows = same[np.asarray(loaded.trials.lengths, np.int64)[same] >= bins]
    columns = {one.condition.name: loaded.trials.condition(one.condition.name) for one in loaded.columns}
    return {
        "trial": body.trial,
        "bin_width": recorded.bin_width,
        "bins": bins,
        "condition": {name: column[body.trial].item() for name, column in columns.items()},
        "exact": all(len(np.unique(column[rows])) == 1 for column in columns.values()),
        "recorded": rasters(recorded, seed=body.seed)[0],
        "draws": rasters(fake, seed=body.seed, most=MOST_RASTERS),
        "rates_hz": {"recorded": numbers(recorded.mean_rates_hz(), 4), "generated": numbers(fake.mean_rates_hz(), 4)},
        "fano": {"recorded": fano_factors(loaded.trials.select(rows), bins), "generated": fano_factors(fake)},
        "recorded_trials": len(rows),
        "generated_trials": body.draws,
    }


def _same_condition(loaded: LoadedModel, trial: int) -> NDArray[np.int64]:
    """Return the recorded trials with the conditions of one of them; a series or a vector occurs only once."""
    if any(one.per_bin or one.size > 1 for one in loaded.model.facts.conditions.each):
        return np.array([trial])
    same = np.ones(len(loaded.trials), bool)
    for column in loaded.columns:
        same &= column.members == column.members[trial]
    return np.flatnonzero(same)


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
    generated = c2st_rbf(TwoSides(first, _like(loaded, first, 0)))
    floor = c2st_rbf(TwoSides(first, second))
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
