"""Samples of a model to which the readout calibrates generated rates."""

import numpy as np

from spikeloom.models.common.base import Model
from spikeloom.models.common.readout import GeneratedSource
from spikeloom.seeds import Purpose, generator
from spikeloom.trials import Trials

CALIBRATION_TRIALS = 400
"""Most trials that are generated to calibrate generated rates."""

CALIBRATION_SEED = int(generator(0, Purpose.CALIBRATE).integers(2**31))
"""Random seed of these trials, which no caller gives by accident."""


def calibration_samples(model: Model, trials: Trials) -> dict[GeneratedSource, Trials]:
    """Generate trials of each source, one for each training trial up to a few hundred.

    Conditional ones follow the conditions of training trials, as strongly as samples will.

    Args:
        model: Model whose networks are trained.
        trials: Training trials.
    """
    number = min(len(trials), CALIBRATION_TRIALS)
    samples: dict[GeneratedSource, Trials] = {"generated": model.sample(number, seed=CALIBRATION_SEED, progress=False)}
    if model.condition:
        rows = generator(CALIBRATION_SEED, Purpose.ORDER).permutation(len(trials))[:CALIBRATION_TRIALS]
        like = trials.select(np.sort(rows))
        samples["conditional"] = model.sample(
            like=like, condition=model.condition, seed=CALIBRATION_SEED, progress=False
        )
    return samples
