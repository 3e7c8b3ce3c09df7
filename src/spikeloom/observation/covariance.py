"""Covariances of counts over lags, their regression on known correlations, and their reduction to few directions."""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from spikeloom.shapes import TrialCounts, TrialMask

COMPLETIONS = 20
"""Of the diagonal, which counts say nothing about."""


def lagged(counts: TrialCounts, mask: TrialMask, lags: NDArray[np.int64]) -> Float[np.ndarray, "lag neuron neuron"]:
    """Covariances at each lag, the same forwards and backwards in time, about the mean over trials at each time."""
    valid = mask[..., None].astype(np.float32)
    values = counts * valid
    mean = values.sum(0) / np.maximum(valid.sum(0), 1)
    values = (values - mean) * valid
    found = []
    for lag in lags:
        early, late = values[:, : values.shape[1] - lag], values[:, lag:]
        pairs = max(1, int(mask[:, lag:].sum()))
        product = early.reshape(-1, early.shape[2]).T @ late.reshape(-1, late.shape[2]) / pairs
        found.append((product + product.T) / 2)
    return np.stack(found).astype(np.float64)


def regressed(
    covariances: Float[np.ndarray, "lag neuron neuron"],
    lags: NDArray[np.int64],
    correlation: Float[np.ndarray, "lag component"],
) -> tuple[Float[np.ndarray, "component neuron neuron"], Float[np.ndarray, " component"]]:
    """What each component contributes to the covariances, beside a constant, and the error for errors of one at lag 0.

    Covariances at lags above 0 are means of two and weigh twice as much.
    """
    design = np.concatenate((correlation, np.ones((len(lags), 1))), 1)
    weight = np.where(lags == 0, 1.0, 2.0)
    inverse = np.linalg.pinv(design.T @ (design * weight[:, None]))
    solve = inverse @ (design * weight[:, None]).T
    components = correlation.shape[1]
    return np.einsum("cl,lij->cij", solve, covariances)[:components], np.sqrt(np.diag(inverse))[:components]


def low_rank(
    covariance: Float[np.ndarray, "neuron neuron"], *, rank: int, error: float
) -> Float[np.ndarray, "neuron rank"]:
    """U whose U U' comes near the covariance off the diagonal; columns that do not stand out from the error are 0.

    Args:
        covariance: Symmetric; its diagonal is not looked at.
        rank: Columns of U.
        error: Standard error of every entry.
    """
    neurons = len(covariance)
    # The largest eigenvalue of a symmetric matrix of such errors; the second term is its 99 % quantile (Tracy, Widom).
    edge = error * np.sqrt(neurons) * (2 + 2 * neurons ** (-2 / 3))
    whole = covariance - np.diag(np.diag(covariance))
    found = np.zeros((neurons, rank))
    for _ in range(COMPLETIONS):
        value, vector = np.linalg.eigh(whole)
        value, vector = value[::-1][:rank], vector[:, ::-1][:, :rank]
        kept = np.sqrt(np.where(value > edge, value**2 - edge**2, 0).clip(min=0))
        found = np.zeros((neurons, rank))
        found[:, : len(kept)] = vector * np.sqrt(kept)
        np.fill_diagonal(whole, (found**2).sum(1))
    return found
