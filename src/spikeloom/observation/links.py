r"""The links between drive and rates in NumPy, with which counts are drawn.

=========  =============================  ==================================
link       rates r of a drive d           drive of rates
=========  =============================  ==================================
softplus   :math:`r = \log(1 + e^d)`     :math:`d = \log(e^r - 1)`
exp        :math:`r = e^d`                :math:`d = \log r`
=========  =============================  ==================================

`CountDistribution.rates` and `drive` are the same functions in PyTorch, with which models are trained.
"""

from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

Link = Literal["softplus", "exp"]

SMALLEST_RATE = 1e-7
"""Rates below are raised to it, spikes/bin, so that the logarithm of a silent neuron's rate stays finite."""

LARGEST_DRIVE = 10.0
"""Drives of the exponential link above are lowered to it. No neuron fires e^10 spikes/bin, and exp would overflow."""

SMALLEST_UNIFORM = 1e-300
"""Uniform numbers below are raised to it, so that their logarithms and normal quantiles stay finite."""

Numbers = Float[NDArray[np.float64], "*axes"]


def rates_of(drive: Numbers, link: Link) -> Numbers:
    """Return the expected counts of a drive, spikes/bin."""
    if link == "exp":
        rates = np.exp(np.minimum(drive, LARGEST_DRIVE))
    else:
        rates = np.log1p(np.exp(-np.abs(drive)))
        rates += np.maximum(drive, 0)
    return np.maximum(rates, SMALLEST_RATE, out=rates)


def drive_of(rates: Numbers, link: Link) -> Numbers:
    """Return the drive of these rates, the inverse of the link."""
    rates = np.maximum(rates, SMALLEST_RATE)
    return np.log(rates) if link == "exp" else rates + np.log(-np.expm1(-rates))


def array(values: Tensor) -> NDArray[np.float64]:
    """Return a tensor as an array in double precision on the CPU."""
    numbers: NDArray[np.float64] = values.detach().cpu().double().numpy()
    return numbers
