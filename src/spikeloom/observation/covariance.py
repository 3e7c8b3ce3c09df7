"""Covariances of counts of neurons at several lags, from which the shared noise is fitted; see `observation.noise`.

The fit has two steps. First, a regression over lags separates fast covariance, which has a given correlation function,
from slower covariance. Then the matrix of the fast covariance of all pairs of neurons is approximated by a matrix of
low rank, because the sampling error of each entry is larger than the entry itself.
"""

import numpy as np
import scipy.sparse.linalg
from jaxtyping import Float
from numpy.typing import NDArray

from spikeloom.observation.slots import batches
from spikeloom.shapes import TrialCounts, TrialMask

COMPLETIONS = 20
"""Largest number of iterations that estimate the diagonal of a covariance. Counts determine the entries off the
diagonal only, since the diagonal also contains each neuron's own variance."""

FEW = 100
"""Number of neurons below which all eigenvalues are computed. With more neurons, only the largest are, which is faster,
unless more than a third of all are needed."""


def lag_weights(
    lags: NDArray[np.int64], correlation: Float[np.ndarray, " lag"]
) -> tuple[Float[np.ndarray, " lag"], float]:
    r"""Return the weights of lags in a regression :math:`C_l \approx c \rho_l + \mathrm{constant}` of covariances.

    The regression coefficient is a weighted sum of the covariances, :math:`c = \sum_l w_l C_l`. A covariance at a lag
    above 0 is a mean over two directions (each neuron before the other), so it counts twice.

    Args:
        lags: Lags l, bins.
        correlation: Correlation :math:`\rho` at each lag.

    Returns:
        The weights w, and the standard error of c if the covariance at lag 0 has a standard error of 1.
    """
    design = np.stack((correlation, np.ones(len(lags))), 1)
    weight = np.where(lags == 0, 1.0, 2.0)
    weighted_design = design * weight[:, None]
    inverse = np.linalg.pinv(design.T @ weighted_design)
    # the first row belongs to the correlation, the second one to the constant
    return (inverse @ weighted_design.T)[0], float(np.sqrt(inverse[0, 0]))


def summed_covariance(
    counts: TrialCounts, mask: TrialMask, lags: NDArray[np.int64], weights: Float[np.ndarray, " lag"]
) -> Float[np.ndarray, "neuron neuron"]:
    """Return the weighted sum over lags of the covariances of all pairs of neurons.

    Counts are centred: the mean over trials at each time is subtracted. The covariance of neurons i and j at a lag is
    averaged over both directions, i before j and j before i. With S the centred counts (trials and bins, neuron),
    :math:`S_{+l}` the counts l bins later and :math:`n_l` the number of pairs of bins,
    :math:`\\sum_l w_l C_l = S^\\top \\sum_l (w_l / n_l) S_{+l}` needs one matrix product for all lags.

    Args:
        counts: Counts (trial, time, neuron).
        mask: Valid bins.
        lags: Lags l, bins.
        weights: Weight w of each lag.
    """
    n_trials, n_bins, n_neurons = counts.shape
    pairs = np.array([max(1, int(mask[:, lag:].sum())) for lag in lags])  # n_l, of all trials
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
    """Return the mean count of each neuron at each time, over the trials that have this bin."""
    mean = np.zeros(counts.shape[1:])
    for rows in batches(len(counts), mean.size):
        mean += np.where(mask[rows, :, None], counts[rows], 0).sum(0)
    return mean / np.maximum(mask.sum(0), 1)[:, None]


def low_rank(
    covariance: Float[np.ndarray, "neuron neuron"], *, rank: int, error: float
) -> Float[np.ndarray, "neuron rank"]:
    r"""Return U such that :math:`U U^\top` approximates the covariance off the diagonal.

    Eigenvalues that sampling errors alone could cause are set to 0, and the others are shrunk; see `observation.noise`.
    The diagonal of the covariance is not used. It is replaced by the diagonal of :math:`U U^\top`, and U is computed
    again, until the diagonal no longer changes or for at most `COMPLETIONS` rounds.

    Args:
        covariance: Symmetric matrix; its diagonal is not used.
        rank: Number of columns of U. Columns of eigenvalues that were set to 0 are 0.
        error: Standard error of every entry.
    """
    n_neurons = len(covariance)
    # The largest eigenvalue of a symmetric matrix of errors is below this value in 99 % of cases (Tracy-Widom).
    largest_error = error * np.sqrt(n_neurons) * (2 + 2 * n_neurons ** (-2 / 3))
    completed = covariance - np.diag(np.diag(covariance))
    columns = np.zeros((n_neurons, rank))
    for _ in range(COMPLETIONS):
        eigenvalues, eigenvectors = _largest(completed, rank)
        significant = eigenvalues > largest_error
        shrunk = np.sqrt(np.where(significant, eigenvalues**2 - largest_error**2, 0).clip(min=0))
        columns = np.zeros((n_neurons, rank))
        columns[:, : len(shrunk)] = eigenvectors * np.sqrt(shrunk)
        diagonal = (columns**2).sum(1)
        if np.array_equal(diagonal, np.diag(completed)):
            break
        np.fill_diagonal(completed, diagonal)
    return columns


def _largest(matrix: Float[np.ndarray, "n n"], number: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the largest eigenvalues of a symmetric matrix, in falling order, and their eigenvectors as columns."""
    if len(matrix) < max(FEW, 3 * number):
        values, vectors = np.linalg.eigh(matrix)
    else:  # an iteration for a few eigenvalues, which starts at `v0`; the default of `v0` would be random
        values, vectors = scipy.sparse.linalg.eigsh(matrix, k=number, which="LA", v0=np.ones(len(matrix)))
        order = np.argsort(values)
        values = values[order]
        vectors = vectors[:, order]
    return values[::-1][:number], vectors[:, ::-1][:, :number]
