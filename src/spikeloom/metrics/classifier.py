r"""Reading a condition from spikes: linear discriminant analysis with Ledoit-Wolf shrinkage, in plain NumPy.

With class means :math:`\mu_c`, class shares :math:`\pi_c` and one covariance :math:`\Sigma` for all classes, a trial x
belongs to the class of largest :math:`x' \Sigma^{-1} \mu_c - \frac12 \mu_c' \Sigma^{-1} \mu_c + \log \pi_c`. Features
outnumber trials easily, so the covariance of the standardised features is shrunk, :math:`(1 - s) S + s
\frac{\mathrm{tr} S}{p} I`, with the s of least expected error (Ledoit and Wolf 2004). It has no setting to tune and
reads reach directions as well as larger models do.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from spikeloom.metrics.arrays import Numbers
from spikeloom.metrics.shrinkage import ledoit_wolf
from spikeloom.metrics.statistics import Statistics

MOST_FEATURES = 1500
"""Features above which the pieces of a trial become fewer: solving grows with the third power."""


@dataclass(frozen=True, eq=False)
class Classifier:
    """A fitted linear classifier of trials; `weights` (feature, class), `offset` (class,)."""

    weights: Numbers
    offset: Numbers

    @classmethod
    def fit(cls, features: Numbers, labels: NDArray[np.int64], classes: int) -> "Classifier":
        """Fit to features (trial, feature) with labels 0 ... classes - 1; a class without trials is never answered."""
        x = np.asarray(features, np.float64)
        centre, scale = x.mean(0), x.std(0)
        scale[scale == 0] = np.inf  # a feature that never changes says nothing
        x = (x - centre) / scale
        sizes = np.bincount(labels, minlength=classes)
        means = np.zeros((classes, x.shape[1]))
        np.add.at(means, labels, x)
        means /= np.maximum(1, sizes)[:, None]
        within = x - means[labels]
        covariance = within.T @ within / len(x)
        shrink, level = ledoit_wolf(within, covariance)
        covariance *= 1 - shrink
        covariance[np.diag_indices_from(covariance)] += shrink * level + 1e-9
        weights = cho_solve(cho_factor(covariance, overwrite_a=True), means.T)
        with np.errstate(divide="ignore"):
            prior = np.log(sizes / len(x))
        offset = prior - 0.5 * np.einsum("cf,fc->c", means, weights)
        weights = weights / scale[:, None]
        return cls(weights, offset - centre @ weights)

    def classify(self, features: Numbers) -> NDArray[np.int64]:
        """Most likely class of each trial (trial,)."""
        return (np.asarray(features, np.float64) @ self.weights + self.offset).argmax(1)


def chunks_for(seconds: float, n_neurons: int) -> int:
    """Pieces a trial is cut into: about 100 ms each, at most 7, fewer with many neurons."""
    return int(np.clip(min(round(seconds / 0.1), MOST_FEATURES // max(1, n_neurons)), 1, 7))


def chunk_features(statistics: Statistics, *, chunks: int) -> Numbers:
    """Square root of each neuron's mean wide count in equal pieces of the trial (trial, chunk * neuron).

    Each trial is cut by its own length, so that trials of different length have the same features; the root evens out
    the variance of counts.
    """
    wide, lengths = statistics.wide, statistics.wide_mask.sum(1)
    running = np.concatenate(
        [np.zeros_like(wide[:, :1], shape=(len(wide), 1, wide.shape[2])), np.cumsum(wide, axis=1)], axis=1
    )
    edges = np.round(lengths[:, None] * np.linspace(0, 1, chunks + 1)[None]).astype(np.int64)
    sums = np.diff(np.take_along_axis(running, edges[:, :, None], axis=1), axis=1)
    return np.sqrt(sums / np.maximum(1, np.diff(edges, axis=1))[:, :, None]).reshape(len(wide), -1)
