"""Samples of a model, with which the readout calibrates generated rates."""

from functools import partial

import numpy as np

from spikeloom.diffusion.sampler import Sampler
from spikeloom.models.common.base import Model
from spikeloom.models.common.readout import GeneratedSource
from spikeloom.seeds import Purpose, generator
from spikeloom.training.progress import show_parts
from spikeloom.trials import Trials

CALIBRATION_TRIALS = 400
"""Largest number of trials that are generated for the calibration."""

CALIBRATION_SEED = int(generator(0, Purpose.CALIBRATE).integers(2**31))
"""Random seed of the calibration samples, a large number that users are unlikely to choose for their own samples."""


def calibration_samples(
    model: Model, trials: Trials, *, sampler: Sampler | None = None
) -> dict[GeneratedSource, Trials]:
    """Generate trials of each source, one for each training trial but at most `CALIBRATION_TRIALS`.

    The source `generated` has no conditions. Conditional samples follow the conditions of training trials, with the
    guidance of the model.

    Args:
        model: Model whose networks are trained.
        trials: Training trials.
        sampler: Sampler that replaces the model's sampler.
    """
    number = min(len(trials), CALIBRATION_TRIALS)
    draw = partial(model.sample, sampler=sampler, seed=CALIBRATION_SEED, progress=show_parts())
    free = draw(number, condition=())
    samples: dict[GeneratedSource, Trials] = {"generated": free}
    if model.condition:
        rows = generator(CALIBRATION_SEED, Purpose.ORDER).permutation(len(trials))[:CALIBRATION_TRIALS]
        like = trials.select(np.sort(rows))
        samples["conditional"] = draw(like=like, condition=model.condition)
    return samples
