r"""Shrinkage of a covariance towards a multiple of the identity.

The shrunk covariance is :math:`(1 - \rho) S + \rho\, \bar s I` with :math:`\bar s` the mean variance. The expected
squared error is least for :math:`\rho = n^{-2} \sum_i \|x_i x_i^\top - S\|^2 / \|S - \bar s I\|^2`, at most 1.

Source: Ledoit, Wolf 2004.
"""

import numpy as np

from spikeloom.shapes import Numbers


def ledoit_wolf(centred: Numbers, covariance: Numbers) -> tuple[float, float]:
    """Return the shrinkage of least expected squared error, in [0, 1], and the mean variance it shrinks towards.

    Args:
        centred: Data without their mean (row, feature).
        covariance: Their covariance with denominator row (feature, feature).
    """
    rows, columns = centred.shape
    level = float(np.trace(covariance)) / columns
    square = float(np.vdot(covariance, covariance))
    spread = square - columns * level**2  # squared distance of the covariance from its target
    error = (float(np.sum(np.einsum("rf,rf->r", centred, centred) ** 2)) / rows - square) / rows
    return (min(max(error, 0.0), spread) / spread if spread > 0 else 1.0), level
