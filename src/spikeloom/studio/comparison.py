"""Compare recorded with generated trials.

`pair` shows one recorded trial beside generated trials. `quiz` returns pairs in which the user must find the recorded
trial, and `classifier` returns how often a trained classifier finds the recorded trial.
"""

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
"""Largest number of recorded trials that the classifier uses."""


def pair(loaded: LoadedModel, body: Pair) -> Json:
    """Return a recorded trial, generated trials of its length and condition, and rates and Fano factors of both.

    The recorded Fano factors need several trials. They are computed over the bins of the chosen trial, from all
    recorded trials of the same condition that are not shorter. If a condition has many values, trials with similar
    values count as the same condition (see `columns.Column`), and `exact` is then False.

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
    generated = _generated_like(loaded, loaded.trials.select(np.full(body.draws, body.trial)), body.seed)
    same_condition = _same_condition(loaded, body.trial)
    rows = same_condition[np.asarray(loaded.trials.lengths, np.int64)[same_condition] >= bins]
    names = [column.condition.name for column in loaded.columns]
    values_of_trials = {name: loaded.trials.condition(name) for name in names}
    return {
        "trial": body.trial,
        "bin_width": recorded.bin_width,
        "bins": bins,
        "condition": {name: values[body.trial].item() for name, values in values_of_trials.items()},
        "exact": all(len(np.unique(values[rows])) == 1 for values in values_of_trials.values()),
        "recorded": rasters(recorded, seed=body.seed)[0],
        "draws": rasters(generated, seed=body.seed, most=MOST_RASTERS),
        "rates_hz": {
            "recorded": numbers(recorded.mean_rates_hz(), 4),
            "generated": numbers(generated.mean_rates_hz(), 4),
        },
        "fano": {"recorded": fano_factors(loaded.trials.select(rows), bins), "generated": fano_factors(generated)},
        "recorded_trials": len(rows),
        "generated_trials": body.draws,
    }


def _same_condition(loaded: LoadedModel, trial: int) -> NDArray[np.int64]:
    """Return the indices of the recorded trials that have the same condition as this trial.

    If a condition is a series or a vector, no two trials have the same one, and only this trial is returned.
    """
    if any(condition.per_bin or condition.size > 1 for condition in loaded.model.facts.conditions.each):
        return np.array([trial])
    same = np.ones(len(loaded.trials), bool)
    for column in loaded.columns:
        same &= column.members == column.members[trial]
    return np.flatnonzero(same)


def quiz(loaded: LoadedModel, body: Quiz) -> Json:
    """Return pairs of a recorded and a generated trial of equal length and condition, and the recorded side of each."""
    rng = generator(body.seed, int(Purpose.EVALUATE), 12)  # 12 distinguishes this use of random numbers from others
    rows = rng.permutation(len(loaded.trials))[: body.pairs]
    recorded = loaded.trials.select(rows)
    generated = _generated_like(loaded, recorded, body.seed)
    sides = ["left" if coin else "right" for coin in rng.integers(0, 2, len(rows))]
    pairs = []
    for trial, side in enumerate(sides):
        recorded_first = [{"spikes": raster(recorded, trial)}, {"spikes": raster(generated, trial)}]
        left, right = recorded_first if side == "left" else recorded_first[::-1]
        pairs.append({"left": left, "right": right})
    return {
        "pairs": pairs,
        "recorded": sides,
        "bins": int(recorded.lengths.max()),
        "bin_width": recorded.bin_width,
        "neurons": recorded.n_neurons,
    }


def classifier(loaded: LoadedModel) -> Json:
    """Return the accuracy of a classifier that separates recorded from generated trials, and its noise floor.

    The recorded trials are divided into two halves. For the accuracy, the classifier separates the first half from the
    same number of generated trials. For the noise floor (about 0.5), it separates the first half from the second half.
    """
    rng = generator(0, int(Purpose.EVALUATE), 13)  # 13 distinguishes this use of random numbers from others
    rows = rng.permutation(len(loaded.trials))[:MOST_TRIALS]
    half = len(rows) // 2
    first, second = (loaded.trials.select(np.sort(part)) for part in (rows[:half], rows[half : 2 * half]))
    generated = c2st_rbf(TwoSides(first, _generated_like(loaded, first, 0)))
    floor = c2st_rbf(TwoSides(first, second))
    return {
        "accuracy": number(generated.value, 4),
        "floor": number(floor.value, 4),
        "trials": half,
        "note": generated.note if generated.value is None else "",
    }


def _generated_like(loaded: LoadedModel, recorded: Trials, seed: int) -> Trials:
    """Generate one trial for each recorded trial, with the same length and condition."""
    names = loaded.model.facts.conditions.names
    with warnings.catch_warnings():
        # a warning about unusual conditions would be wrong, because these conditions were recorded
        warnings.simplefilter("ignore", SpikeloomWarning)
        return loaded.model.sample(like=recorded, condition=names or None, seed=seed, progress=False)
