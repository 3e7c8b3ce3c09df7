"""Small numerical functions: smoothing with padding, correlations with missing values, principal components.

These functions are independent of trials and metrics. Scalars that cannot be computed are None, not NaN.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from spikeloom.shapes import Numbers


def smooth(values: Numbers, *, sd: float, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    r"""Smooth along time (axis 1) with a Gaussian that ignores padding and is unbiased at the ends of trials.

    :math:`y_t = \sum_u w_{t-u} m_u x_u / \sum_u w_{t-u} m_u`, with the values x, the mask m (0 or 1), and a Gaussian w
    that is cut at four standard deviations.

    Args:
        values: Values (trial, time, ...), zero outside the mask.
        sd: Standard deviation in bins; 0 returns the values unchanged.
        mask: True for valid bins (trial, time).

    Returns:
        Smoothed values with the same axes; zero outside the mask.
    """
    values = np.asarray(values, np.float32)
    if sd <= 0 or not values.size:
        return values
    # The weight is the sum in the denominator. It is infinite outside the mask, where the result is then 0.
    if mask.all():  # all trials have the same row of weights
        weight = gaussian_filter1d(np.ones(values.shape[1], np.float32), sd, mode="constant")[None]
    else:
        weight = np.where(mask, gaussian_filter1d(mask.astype(np.float32), sd, axis=1, mode="constant"), np.inf)
    shape = weight.shape + (1,) * (values.ndim - 2)
    return gaussian_filter1d(values, sd, axis=1, mode="constant") / weight.reshape(shape)


def pearson(x: Numbers, y: Numbers) -> float | None:
    """Return Pearson's r over the entries where both are finite; None with fewer than 3 entries or without variance."""
    x, y = _finite_pairs(x, y)
    if len(x) < 3:
        return None
    x = x - x.mean()
    y = y - y.mean()
    scale = np.sqrt((x @ x) * (y @ y))
    has_variance = scale > 1e-12 * len(x)  # smaller numbers are rounding errors
    return float(np.clip(x @ y / scale, -1, 1)) if has_variance else None


def slope(x: Numbers, y: Numbers) -> float | None:
    """Return the least-squares slope of y on x over the entries where both are finite; None as in `pearson`."""
    x, y = _finite_pairs(x, y)
    if len(x) < 3:
        return None
    x = x - x.mean()
    has_variance = x @ x > 1e-12 * len(x)  # smaller numbers are rounding errors
    return float(x @ y / (x @ x)) if has_variance else None


def rmse(x: Numbers, y: Numbers) -> float | None:
    """Return the root mean square difference over the entries where both are finite; None if there are none."""
    x, y = _finite_pairs(x, y)
    return float(np.sqrt(np.mean((x - y) ** 2))) if len(x) else None


def _finite_pairs(x: Numbers, y: Numbers) -> tuple[Numbers, Numbers]:
    """Return both arrays as vectors of the entries where both are finite."""
    x = np.asarray(x, np.float64).ravel()
    y = np.asarray(y, np.float64).ravel()
    both = np.isfinite(x) & np.isfinite(y)
    return x[both], y[both]


def ratio(numerator: Numbers, denominator: Numbers) -> Numbers:
    """Return numerator / denominator; NaN where the denominator is not positive."""
    top, bottom = np.broadcast_arrays(np.asarray(numerator, np.float64), np.asarray(denominator, np.float64))
    return np.divide(top, bottom, out=np.full(bottom.shape, np.nan), where=bottom > 0)


def correlation_matrix(second_moment: Numbers, mean: Numbers) -> Numbers:
    """Return Pearson coefficients from E[x x'] and E[x]; rows and columns of constant variables are NaN.

    Args:
        second_moment: E[x x'] (variable, variable).
        mean: E[x] (variable,).
    """
    covariance = second_moment - np.outer(mean, mean)
    variance = np.diag(covariance).copy()
    # variances that are this small are rounding errors
    variance[variance <= 1e-10 * np.maximum(1e-30, np.diag(second_moment))] = np.nan
    scale = np.sqrt(variance)
    return covariance / np.outer(scale, scale)


def above_diagonal(matrix: Numbers, items: Numbers) -> Numbers:
    """Return the entries (i, j), i < j, of a matrix with i and j among `items`, in the order of `pairs_of` (pair,)."""
    first, second = np.triu_indices(len(items), 1)
    items = np.asarray(items)
    return matrix[items[first], items[second]]


def pairs_of(items: Numbers) -> Numbers:
    """Return the pairs (i, j), i < j, of these items (pair, 2)."""
    first, second = np.triu_indices(len(items), 1)
    return np.stack([np.asarray(items)[first], np.asarray(items)[second]], axis=1)


def principal_components(x: Numbers, *, components: int, rng: np.random.Generator) -> tuple[Numbers, Numbers]:
    """Return the directions of the leading principal components, and the mean.

    The method is a randomised range finder with four power iterations (Halko, Martinsson, Tropp 2011). It is exact if
    there are few rows or columns. Signs are fixed so that the largest entry of each direction is positive.

    Args:
        x: Data (row, feature).
        components: Number of components; fewer are returned if the data have fewer.
        rng: Random generator of the random start.

    Returns:
        Directions (feature, component), orthonormal, in order of decreasing variance; mean (feature,).
    """
    mean = x.mean(0)
    centred = x - mean
    components = min(components, *x.shape)
    if min(x.shape) <= 4 * components:  # few rows or columns: the full decomposition is quick
        _, _, rows = np.linalg.svd(centred, full_matrices=False)
    else:
        basis = rng.standard_normal((x.shape[1], components + 12)).astype(x.dtype)  # 12 more than needed, for accuracy
        for _ in range(4):
            basis, _ = np.linalg.qr(centred.T @ (centred @ basis))
        _, _, rows_in_basis = np.linalg.svd(centred @ basis, full_matrices=False)
        rows = rows_in_basis @ basis.T
    directions = rows[:components].T
    largest = np.abs(directions).argmax(0)  # feature of the largest entry of each direction
    signs = np.sign(directions[largest, np.arange(directions.shape[1])])
    return directions * signs, mean
