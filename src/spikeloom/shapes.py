"""Types of the arrays, with axes and units.

Arrays of public functions have the axes `(trial, time, neuron)`; inside `nn` and `diffusion` the axes are
`(batch, time, channel)`. The annotations are checked in tests only (jaxtyping with beartype).
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Integer, Num
from numpy.typing import NDArray

Array = NDArray[np.generic]
"""Array of any type of entry: numbers, text, objects. Nothing is computed with it."""

Numbers = NDArray[Any]  # with a type of number here, numpy's own types refuse arithmetic between two of them
"""Array of numbers of any type."""

Fields = dict[str, Any]  # each value has the type of its argument
"""Arguments of `Trials` by name."""

TrialCounts = Integer[np.ndarray, "trial time neuron"]
"""Spikes in each bin: whole numbers >= 0, spikes/bin."""

TrialRates = Float[np.ndarray, "trial time neuron"]
"""Expected spikes in each bin, > 0, spikes/bin. Divide by the bin width for spikes/s."""

TrialLatents = Float[np.ndarray, "trial time latent"]
"""Latents: one vector per bin, standardised over the training trials."""

TrialCodes = Float[np.ndarray, "trial code"]
"""Codes: one vector per trial."""

TrialMask = Bool[np.ndarray, "trial time"]
"""True for valid bins; bins beyond a trial's length are padding."""

TrialSeries = Num[np.ndarray, "trial time dim"]
"""A behaviour series sampled at the bins."""


def mask_of(lengths: Integer[np.ndarray, " trial"], n_bins: int) -> TrialMask:
    """Return the valid bins of trials that are padded to `n_bins` bins: True for bin < length."""
    return np.arange(n_bins)[None, :] < np.asarray(lengths)[:, None]
