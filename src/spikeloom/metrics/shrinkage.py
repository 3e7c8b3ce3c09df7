r"""Shrinkage of a covariance towards a multiple of the identity.

Let :math:`x_i` be n rows of data minus their mean, S their covariance, and :math:`\bar s` the mean of its diagonal. The
shrunk covariance is :math:`(1 - \rho) S + \rho\, \bar s I`. The shrinkage
:math:`\rho = n^{-2} \sum_i \|x_i x_i^\top - S\|^2 / \|S - \bar s I\|^2`, at most 1, estimates the shrinkage for which
the expected squared error of the shrunk covariance is smallest.

Source: Ledoit, Wolf 2004.
"""

import numpy as np

from spikeloom.shapes import Numbers


def ledoit_wolf(centred: Numbers, covariance: Numbers) -> tuple[float, float]:
    r"""Compute the shrinkage :math:`\rho`, from 0 to 1, and the mean variance :math:`\bar s`.

    Args:
        centred: Data x minus their mean (row, feature).
        covariance: Covariance S of the data, divided by the number of rows (feature, feature).
    """
    rows, columns = centred.shape
    mean_variance = float(np.trace(covariance)) / columns
    square = float(np.vdot(covariance, covariance))
    distance = square - columns * mean_variance**2  # |S - s I|^2, the denominator of the shrinkage
    fourth = float(np.sum(np.einsum("rf,rf->r", centred, centred) ** 2)) / rows  # the mean of |x x'|^2
    error = (fourth - square) / rows  # the numerator
    shrinkage = min(max(error, 0.0), distance) / distance if distance > 0 else 1.0
    return shrinkage, mean_variance
