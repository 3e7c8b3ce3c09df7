r"""Decoding a condition from spikes: linear discriminant analysis with Ledoit-Wolf shrinkage, in NumPy and SciPy.

The classes are the values of the condition. With class means :math:`\mu_c`, shares :math:`\pi_c` of the trials and one
covariance :math:`\Sigma` for all classes, the class of a trial with features x is the class with the largest

.. math:: x' \Sigma^{-1} \mu_c - \tfrac12 \mu_c' \Sigma^{-1} \mu_c + \log \pi_c .

There are often more features than trials, so the covariance S of the p standardised features is shrunk,
:math:`\Sigma = (1 - s) S + s \frac{\mathrm{tr} S}{p} I`, with the s for which the expected error is smallest
(`metrics.shrinkage`). The classifier has no setting to tune, and decodes reach directions with the accuracy of larger
models.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from spikeloom.metrics.shrinkage import ledoit_wolf
from spikeloom.metrics.statistics import Statistics
from spikeloom.shapes import Numbers

MOST_FEATURES = 1500
"""Largest number of features, because the time of the fit grows with their third power."""


@dataclass(frozen=True, eq=False)
class Classifier:
    """Fitted linear classifier of trials.

    The class of a trial with features x is the class with the largest entry of x @ weights + offset.

    Args:
        weights: Weight of each feature for each class (feature, class).
        offset: Offset of each class (class,).
    """

    weights: Numbers
    offset: Numbers

    @classmethod
    def fit(cls, features: Numbers, labels: NDArray[np.int64], classes: int) -> "Classifier":
        """Fit a classifier. A class without trials is never predicted.

        Args:
            features: Features (trial, feature).
            labels: Class of each trial (trial,), from 0 to classes - 1.
            classes: Number of classes.
        """
        x = np.asarray(features, np.float64)
        centre = x.mean(0)
        scale = x.std(0)
        scale[scale == 0] = np.inf  # a constant feature gets the weight 0
        x = (x - centre) / scale
        sizes = np.bincount(labels, minlength=classes)
        means = np.zeros((classes, x.shape[1]))  # (class, feature)
        np.add.at(means, labels, x)
        means /= np.maximum(1, sizes)[:, None]
        within = x - means[labels]
        covariance = within.T @ within / len(x)
        shrinkage, mean_variance = ledoit_wolf(within, covariance)
        covariance *= 1 - shrinkage
        # 1e-9 keeps the matrix invertible if no feature varies within a class
        covariance[np.diag_indices_from(covariance)] += shrinkage * mean_variance + 1e-9
        weights = cho_solve(cho_factor(covariance, overwrite_a=True), means.T)
        with np.errstate(divide="ignore"):
            log_shares = np.log(sizes / len(x))  # -inf for a class without trials
        # half of mean' covariance^-1 mean of each class (class,)
        offset = log_shares - 0.5 * np.einsum("cf,fc->c", means, weights)
        weights = weights / scale[:, None]  # now for features that are not standardised
        return cls(weights, offset - centre @ weights)

    def classify(self, features: Numbers) -> NDArray[np.int64]:
        """Return the most likely class of each trial (trial,)."""
        return (np.asarray(features, np.float64) @ self.weights + self.offset).argmax(1)


def fit_classifier(teacher: Statistics, *, chunks: int, classes: int) -> Classifier:
    """Fit a classifier to the trials with a known label.

    Args:
        teacher: Statistics of the trials to which the classifier is fitted.
        chunks: Number of pieces of a trial in its features.
        classes: Number of classes.
    """
    labelled = teacher.labels >= 0
    features = teacher.once(chunk_features, chunks=chunks)
    return Classifier.fit(features[labelled], teacher.labels[labelled], classes)


def chunks_for(seconds: float, n_neurons: int) -> int:
    """Return the number of pieces of a trial: about 100 ms each, at most 7, fewer with many neurons.

    Args:
        seconds: Mean duration of the trials, s.
        n_neurons: Number of neurons.
    """
    return int(np.clip(min(round(seconds / 0.1), MOST_FEATURES // max(1, n_neurons)), 1, 7))


def chunk_features(statistics: Statistics, *, chunks: int) -> Numbers:
    """Return the square root of each neuron's mean wide count in equal pieces of the trial (trial, chunk * neuron).

    Wide counts are counts in wide bins (`metrics.statistics`). Each trial is divided into the same number of pieces, so
    that trials of different length have the same features. The square root stabilises the variance of counts.
    """
    wide = statistics.wide
    lengths = statistics.wide_mask.sum(1)
    start = np.zeros((len(wide), 1, wide.shape[2]), wide.dtype)
    cumulative = np.concatenate([start, np.cumsum(wide, axis=1)], axis=1)  # spikes before each wide bin
    edges = np.round(lengths[:, None] * np.linspace(0, 1, chunks + 1)[None]).astype(np.int64)  # (trial, edge)
    sums = np.diff(np.take_along_axis(cumulative, edges[:, :, None], axis=1), axis=1)  # (trial, chunk, neuron)
    return np.sqrt(sums / np.maximum(1, np.diff(edges, axis=1))[:, :, None]).reshape(len(wide), -1)
