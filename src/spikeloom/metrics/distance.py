r"""Distances between two sets of trials, real and fake (generated). Each trial is a point in a space of `Features`.

These metrics are sensitive to different properties of the data.

* *Dimensionality* compares the covariances over bins.
* *Sliced Wasserstein*: the distance :math:`W_2` of one-dimensional projections (the root mean square distance of their
  sorted values), root mean square over 500 random directions.
* *MMD*, maximum mean discrepancy: :math:`\overline{k(x, x')} + \overline{k(y, y')} - 2 \overline{k(x, y)}`, with means
  over different points x, x' of one set and y, y' of the other, and the kernel
  :math:`k(x, y) = \mathrm{mean}_s\, s / (s + |x - y|^2)`, s from 0.1 to 10 times the median squared distance. Its
  expectation is 0 if both sets come from one distribution, so single values can be slightly negative.
* *Classifier two-sample test*: accuracy of a classifier that is trained on four fifths of both sets and separates real
  from fake trials in the last fifth.
"""

from typing import Literal

import numpy as np

from spikeloom.metrics.features import STATES, participation_ratio
from spikeloom.metrics.pair import Pair
from spikeloom.metrics.result import Result
from spikeloom.shapes import Numbers
from spikeloom.text import counted

DIRECTIONS = 500
"""Number of random directions of the sliced Wasserstein distance."""

PERMUTATIONS = 199
"""Number of permutations for the p value of the MMD."""

SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Scales s of the kernel of the MMD, in units of the median squared distance."""

FOLDS = 5
"""Number of folds of the classifier two-sample tests."""

FEWEST_TRIALS = 40
"""Smallest number of trials in each set. With fewer trials, the accuracy of a classifier has an error above 0.06."""

NEEDS_SKLEARN = "this needs scikit-learn: pip install 'spikeloom[decoders]'"

STILL = 1e-9
"""Generated activity counts as constant if its variance, relative to real activity, is below this number."""

NEVER_VARIES = "the generated activity never varies"


# --- dimensionality -----------------------------------------------------------------------------------------------


def participation_ratio_ratio(pair: Pair) -> Result:
    """Compute the participation ratio (effective number of dimensions) of smoothed activity, fake / real.

    The details hold the cumulative spectrum of each set: the fraction of variance in its leading dimensions.
    """
    if pair.features.shortage:
        return Result(None, pair.features.shortage)
    covariances = pair.features.covariances
    if not np.trace(covariances[1]) > STILL:
        return Result(None, NEVER_VARIES)
    real, fake = (participation_ratio(covariance) for covariance in covariances)
    eigenvalues = [np.sort(np.linalg.eigvalsh(covariance))[::-1] for covariance in covariances]  # largest first
    spectra = [np.cumsum(values) / np.trace(matrix) for values, matrix in zip(eigenvalues, covariances, strict=True)]
    detail = {"real": spectra[0], "fake": spectra[1], "dimension": np.arange(1, len(spectra[0]) + 1)}
    value = fake / real if np.isfinite(fake) and real > 0 else None
    return Result(value, f"{fake:.3g} against {real:.3g} dimensions", detail)


def subspace_captured(pair: Pair) -> Result:
    """Compute the fraction of variance in the 10 leading principal components of the real trials, fake / real."""
    if pair.features.shortage:
        return Result(None, pair.features.shortage)
    real, fake = pair.features.covariances
    if not np.trace(fake) > STILL:
        return Result(None, NEVER_VARIES)
    _, vectors = np.linalg.eigh(real)
    leading = vectors[:, ::-1][:, :STATES]  # the eigenvalues rise, so the last vectors are the leading ones
    real_share, fake_share = (
        float(np.trace(leading.T @ covariance @ leading) / max(np.trace(covariance), 1e-30))
        for covariance in (real, fake)
    )
    return Result(fake_share / real_share, f"{fake_share:.3g} against {real_share:.3g} of the variance")


# --- sliced Wasserstein and MMD -----------------------------------------------------------------------------------


def sliced_wasserstein_distance(first: Numbers, second: Numbers, *, directions: Numbers) -> float:
    """Compute the root mean square over directions of the distance W2 of the projections.

    Args:
        first: Points of one set (point, feature).
        second: The same number of points of the other set.
        directions: Unit vectors (feature, direction).
    """
    x, y = (np.sort((points @ directions).T, axis=1) for points in (first, second))
    return float(np.sqrt(np.mean((x - y) ** 2, dtype=np.float64)))


def sliced_wasserstein(pair: Pair) -> Result:
    """Compute the sliced Wasserstein distance of whitened trajectories, in standard deviations of a feature."""
    if pair.features.shortage:
        return Result(None, pair.features.shortage)
    real, fake = pair.features.trajectories
    directions = pair.rng(1).standard_normal((real.shape[1], DIRECTIONS)).astype(np.float32)
    value = sliced_wasserstein_distance(real, fake, directions=directions / np.linalg.norm(directions, axis=0))
    return Result(value, _size_note(pair))


def kernel(points: Numbers) -> Numbers:
    """Compute the kernel of the MMD between all points (point, point), with zeros on the diagonal.

    It is the mean of seven inverse multiquadric kernels; see the module.
    """
    points = np.asarray(points, np.float32)
    norms = np.einsum("pf,pf->p", points, points)
    squared_distance = np.maximum(0, norms[:, None] + norms[None] - 2 * points @ points.T)
    pair_distances = squared_distance[np.triu_indices(len(points), 1)]
    every = max(1, len(pair_distances) // 100_000)  # about 100,000 pairs determine the median
    median = float(np.median(pair_distances[::every])) or 1.0  # 1 if all points are equal
    total = np.zeros_like(squared_distance)
    for scale in SCALES:
        total += scale * median / (scale * median + squared_distance)
    total /= len(SCALES)
    np.fill_diagonal(total, 0)
    return total


def unbiased_mmd(gram: Numbers, first: Numbers) -> Numbers:
    """Compute the unbiased squared MMD for each choice of the first set.

    Args:
        gram: Kernel between all points, zero on the diagonal (point, point).
        first: 1 for points of the first set, 0 for the second (point, choice).
    """
    first = np.asarray(first, np.float32)
    # for each point and choice: sum of the kernel over the points of the first set
    sum_to_first = (gram @ first).astype(np.float64)
    total = float(gram.sum(dtype=np.float64))
    n = first.sum(0, dtype=np.float64)  # number of points of the first set
    m = len(first) - n  # number of points of the second set
    within_first = np.sum(first * sum_to_first, 0)
    across = sum_to_first.sum(0) - within_first
    within_second = total - within_first - 2 * across
    return within_first / (n * (n - 1)) + within_second / (m * (m - 1)) - 2 * across / (n * m)


def mmd(pair: Pair) -> Result:
    """Compute the unbiased squared maximum mean discrepancy of whitened trajectories, with a permutation p value."""
    if pair.features.shortage:
        return Result(None, pair.features.shortage)
    points = np.concatenate(pair.features.trajectories)
    is_real = np.arange(len(points)) < len(points) // 2  # both sets are equally large, and real points come first
    rng = pair.rng(2)
    # the first choice is the true one, the others are permutations
    choices = np.stack([is_real, *(rng.permutation(is_real) for _ in range(PERMUTATIONS))], axis=1)
    values = unbiased_mmd(kernel(points), choices)
    p = float(np.mean(values >= values[0]))
    return Result(
        float(values[0]), f"p = {p:.3f} by {PERMUTATIONS} permutations; {_size_note(pair)}", {"p": np.array(p)}
    )


# --- classifier two-sample tests ----------------------------------------------------------------------------------

Kind = Literal["logistic", "rbf", "network"]


def two_sample_accuracy(first: Numbers, second: Numbers, *, kind: Kind, scaled: bool, seed: int) -> Numbers:
    """Compute the accuracy of a classifier that separates two sets, in each of five folds (fold,).

    Args:
        first: Trials of one set (trial, feature).
        second: The same number of trials of the other set.
        kind: Logistic regression; a support vector machine with a Gaussian kernel (C = 1, gamma = "scale"); or a
            network with one hidden layer of 32 units, L2 penalty 1, trained until its loss stops falling.
        scaled: Standardise the features inside each fold. Set it to False for principal components: the last components
            are noise and should keep their small variance.
        seed: Random seed of the folds and of the network's weights.

    Raises:
        ImportError: without scikit-learn.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold
    from sklearn.neural_network import MLPClassifier
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    classifiers = {
        "logistic": lambda: LogisticRegression(C=0.1, max_iter=1000),
        "rbf": lambda: SVC(C=1.0, gamma="scale", cache_size=400),
        "network": lambda: MLPClassifier(
            (32,),
            alpha=1.0,
            max_iter=1000,
            random_state=seed,
            learning_rate_init=0.01,
            tol=1e-3,
            n_iter_no_change=5,  # stop when the loss no longer falls
        ),
    }
    points = np.concatenate([first, second])
    labels = np.repeat([0, 1], [len(first), len(second)])
    accuracies = []
    for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(points, labels):
        scaler = StandardScaler(with_mean=scaled, with_std=scaled).fit(points[train])
        classifier = classifiers[kind]().fit(scaler.transform(points[train]), labels[train])
        predicted = classifier.predict(scaler.transform(points[test]))
        accuracies.append(np.mean(predicted == labels[test]))
    return np.array(accuracies)


def c2st_rbf(pair: Pair) -> Result:
    """Compute the accuracy of a Gaussian-kernel classifier on 40 principal components of trials of both sets."""
    return _c2st(pair, "components", "rbf")


def c2st_logistic(pair: Pair) -> Result:
    """Compute the accuracy of a logistic classifier on 40 principal components of trials of both sets."""
    return _c2st(pair, "components", "logistic")


def c2st_network(pair: Pair) -> Result:
    """Compute the accuracy of a network with one hidden layer on 40 principal components of trials of both sets."""
    return _c2st(pair, "components", "network")


def c2st_population(pair: Pair) -> Result:
    """Compute the accuracy of a Gaussian-kernel classifier on features of the population count."""
    return _c2st(pair, "population", "rbf")


def _c2st(pair: Pair, kind: str, classifier: Kind) -> Result:
    """Compute the accuracy of a classifier on one kind of features, "components" or "population" of `Features`."""
    if pair.features.shortage:
        return Result(None, pair.features.shortage)
    if pair.features.n_trials < FEWEST_TRIALS:
        return Result(
            None, f"{counted(pair.features.n_trials, 'trial')} in each set; a classifier needs {FEWEST_TRIALS}"
        )
    real, fake = getattr(pair.features, kind)
    try:
        # a Gaussian kernel must see that the last components have little variance
        scaled = classifier != "rbf" or kind == "population"
        folds = two_sample_accuracy(real, fake, kind=classifier, scaled=scaled, seed=pair.seed)
    except ImportError:
        return Result(None, NEEDS_SKLEARN)
    value = float(folds.mean())
    warning = "worse than chance, which happens if both sets hold copies of the same trials; " if value < 0.4 else ""
    return Result(value, warning + _size_note(pair), {"folds": folds})


def _size_note(pair: Pair) -> str:
    """Return a note with the number of trials."""
    return "; ".join(filter(None, (f"{counted(pair.features.n_trials, 'trial')} in each set", pair.window_note)))
