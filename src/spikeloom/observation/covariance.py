"""Covariances of counts over lags, their regression on a given correlation, and their reduction to few directions."""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from spikeloom.shapes import TrialCounts, TrialMask

COMPLETIONS = 20
"""Iterations that complete the diagonal of a covariance, which counts do not determine."""


def lagged(counts: TrialCounts, mask: TrialMask, lags: NDArray[np.int64]) -> Float[np.ndarray, "lag neuron neuron"]:
    """Return covariances at each lag, about the mean over trials at each time, averaged over both directions."""
    valid = mask[..., None].astype(np.float32)
    values = counts * valid
    mean = values.sum(0) / np.maximum(valid.sum(0), 1)
    values = (values - mean) * valid
    by_lag = []
    for lag in lags:
        early, late = values[:, : values.shape[1] - lag], values[:, lag:]
        pairs = max(1, int(mask[:, lag:].sum()))
        product = early.reshape(-1, early.shape[2]).T @ late.reshape(-1, late.shape[2]) / pairs
        by_lag.append((product + product.T) / 2)
    return np.stack(by_lag).astype(np.float64)


def regressed(
    covariances: Float[np.ndarray, "lag neuron neuron"],
    lags: NDArray[np.int64],
    correlation: Float[np.ndarray, " lag"],
) -> tuple[Float[np.ndarray, "neuron neuron"], float]:
    """Fit covariances by a correlation over lags and a constant (regression over lags).

    Covariances at lags above 0 are means of two values and have twice the weight.

    Returns:
        The covariance that follows the correlation, and its standard error for entries with a standard error of 1 at
        lag 0.
    """
    design = np.stack((correlation, np.ones(len(lags))), 1)
    weight = np.where(lags == 0, 1.0, 2.0)
    inverse = np.linalg.pinv(design.T @ (design * weight[:, None]))
    solve = inverse @ (design * weight[:, None]).T
    return np.einsum("l,lij->ij", solve[0], covariances), float(np.sqrt(inverse[0, 0]))


def low_rank(
    covariance: Float[np.ndarray, "neuron neuron"], *, rank: int, error: float
) -> Float[np.ndarray, "neuron rank"]:
    """Return U such that U U' approximates the covariance off the diagonal; columns within the error are 0.

    Args:
        covariance: Symmetric matrix; its diagonal is not used.
        rank: Number of columns of U.
        error: Standard error of every entry.
    """
    neurons = len(covariance)
    # The largest eigenvalue of a symmetric matrix of such errors; the second term is its 99 % quantile (Tracy, Widom).
    edge = error * np.sqrt(neurons) * (2 + 2 * neurons ** (-2 / 3))
    completed = covariance - np.diag(np.diag(covariance))
    columns = np.zeros((neurons, rank))
    for _ in range(COMPLETIONS):
        value, vector = np.linalg.eigh(completed)
        value, vector = value[::-1][:rank], vector[:, ::-1][:, :rank]
        kept = np.sqrt(np.where(value > edge, value**2 - edge**2, 0).clip(min=0))
        columns = np.zeros((neurons, rank))
        columns[:, : len(kept)] = vector * np.sqrt(kept)
        np.fill_diagonal(completed, (columns**2).sum(1))
    return columns
