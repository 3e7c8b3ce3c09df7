r"""Links between drive and rates in NumPy, for drawing counts.

A drive is a real number for each bin and neuron. A link is the function that turns it into a rate, the expected count
of the bin, spikes/bin.

=========  =============================  ==================================
link       rates r of a drive d           drive of rates
=========  =============================  ==================================
softplus   :math:`r = \log(1 + e^d)`     :math:`d = \log(e^r - 1)`
exp        :math:`r = e^d`                :math:`d = \log r`
=========  =============================  ==================================

`CountDistribution.rates` and `CountDistribution.drive` are the same functions in PyTorch, for training.
"""

from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

Link = Literal["softplus", "exp"]

SMALLEST_RATE = 1e-7
"""Smallest rate, spikes/bin. Lower rates are raised to it, so that the logarithm of a silent neuron's rate is
finite."""

LARGEST_DRIVE = 10.0
"""Largest drive of the exponential link. Higher drives are lowered to it: no neuron fires e^10 spikes/bin, and the
exponential of a very large drive would overflow."""

SMALLEST_UNIFORM = 1e-300
"""Smallest uniform random number. Lower ones are raised to it, so that their logarithms and normal quantiles are
finite."""

LARGEST_EXPONENT = 80.0
"""Above this drive, the softplus link returns the drive itself (in single precision), and e^d would overflow."""

Numbers = Float[NDArray[np.floating], "*axes"]


def rates_of(drive: Numbers, link: Link) -> Numbers:
    """Return the expected counts of a drive, spikes/bin, in the precision of the drive."""
    if link == "exp":
        rates = np.exp(np.minimum(drive, LARGEST_DRIVE))
    else:
        rates = np.maximum(np.log1p(np.exp(np.minimum(drive, LARGEST_EXPONENT))), drive)
    return np.maximum(rates, SMALLEST_RATE, out=rates)


def drive_of(rates: Numbers, link: Link) -> Numbers:
    """Return the drive of these rates, the inverse of the link, in the precision of the rates."""
    rates = np.maximum(rates, SMALLEST_RATE)
    if link == "exp":
        return np.log(rates)
    return rates + np.log(-np.expm1(-rates))  # log(e^r - 1) = r + log(1 - e^-r) cannot overflow


def array(values: Tensor) -> NDArray[np.float64]:
    """Return a tensor as an array in double precision on the CPU."""
    numbers: NDArray[np.float64] = values.detach().cpu().double().numpy()
    return numbers
