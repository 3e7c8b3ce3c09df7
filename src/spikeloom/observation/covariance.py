"""Covariances of counts over lags, their regression on a given correlation, and their reduction to few directions."""

import numpy as np
import scipy.sparse.linalg
from jaxtyping import Float
from numpy.typing import NDArray

from spikeloom.observation.slots import batches
from spikeloom.shapes import TrialCounts, TrialMask

COMPLETIONS = 20
"""Iterations that complete the diagonal of a covariance, which counts do not determine."""

FEW = 100
"""Matrices of fewer neurons have all their eigenvalues computed, which is then the fastest way."""


def lag_weights(
    lags: NDArray[np.int64], correlation: Float[np.ndarray, " lag"]
) -> tuple[Float[np.ndarray, " lag"], float]:
    """Return the weights of a regression of covariances over lags on a correlation and a constant.

    Covariances at lags above 0 are means of two values and have twice the weight in the regression.

    Returns:
        The weight of each lag, with which covariances are summed to the covariance that follows the correlation; and
        its standard error for entries with a standard error of 1 at lag 0.
    """
    design = np.stack((correlation, np.ones(len(lags))), 1)
    weight = np.where(lags == 0, 1.0, 2.0)
    inverse = np.linalg.pinv(design.T @ (design * weight[:, None]))
    return (inverse @ (design * weight[:, None]).T)[0], float(np.sqrt(inverse[0, 0]))


def summed_covariance(
    counts: TrialCounts, mask: TrialMask, lags: NDArray[np.int64], weights: Float[np.ndarray, " lag"]
) -> Float[np.ndarray, "neuron neuron"]:
    """Return covariances about the mean over trials at each time, both directions averaged, summed over lags.

    :math:`\\sum_l w_l C_l = S^\\top \\sum_l (w_l / n_l) S_{+l}` needs one matrix product for all lags.

    Args:
        counts: Counts (trial, time, neuron).
        mask: Valid bins.
        lags: Lags, bins.
        weights: Weight w of each lag.
    """
    n_trials, n_bins, n_neurons = counts.shape
    pairs = np.array([max(1, int(mask[:, lag:].sum())) for lag in lags])
    mean = _mean(counts, mask)
    total = np.zeros((n_neurons, n_neurons))
    for rows in batches(n_trials, n_bins * n_neurons):
        values = np.where(mask[rows, :, None], counts[rows] - mean, 0).astype(np.float32)
        later = np.zeros_like(values)
        for lag, weight in zip(lags, weights / pairs, strict=True):
            later[:, : n_bins - lag] += np.float32(weight) * values[:, lag:]
        total += values.reshape(-1, n_neurons).T @ later.reshape(-1, n_neurons)
    return (total + total.T) / 2


def variances(counts: TrialCounts, mask: TrialMask) -> Float[np.ndarray, " neuron"]:
    """Return the variance of each neuron's counts about the mean over trials at each time."""
    mean = _mean(counts, mask)
    total = np.zeros(counts.shape[2])
    for rows in batches(len(counts), mean.size):
        total += np.square(np.where(mask[rows, :, None], counts[rows] - mean, 0)).sum((0, 1))
    return total / mask.sum()


def _mean(counts: TrialCounts, mask: TrialMask) -> Float[np.ndarray, "time neuron"]:
    """Return the mean over trials at each time."""
    mean = np.zeros(counts.shape[1:])
    for rows in batches(len(counts), mean.size):
        mean += np.where(mask[rows, :, None], counts[rows], 0).sum(0)
    return mean / np.maximum(mask.sum(0), 1)[:, None]


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
        value, vector = _largest(completed, rank)
        kept = np.sqrt(np.where(value > edge, value**2 - edge**2, 0).clip(min=0))
        columns = np.zeros((neurons, rank))
        columns[:, : len(kept)] = vector * np.sqrt(kept)
        diagonal = (columns**2).sum(1)
        if np.array_equal(diagonal, np.diag(completed)):
            break
        np.fill_diagonal(completed, diagonal)
    return columns


def _largest(matrix: Float[np.ndarray, "n n"], number: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the largest eigenvalues, in falling order, and their vectors as columns."""
    if len(matrix) < max(FEW, 3 * number):
        value, vector = np.linalg.eigh(matrix)
    else:
        value, vector = scipy.sparse.linalg.eigsh(matrix, k=number, which="LA", v0=np.ones(len(matrix)))
        order = np.argsort(value)
        value = value[order]
        vector = vector[:, order]
    return value[::-1][:number], vector[:, ::-1][:, :number]
