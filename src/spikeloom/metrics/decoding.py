r"""Decoding of condition and behaviour from fake (generated) spikes, with decoders fitted to real spikes.

Decoders are fitted to the reference (real training trials) and applied to real test trials and to fake trials. The
accuracy on fake trials should equal the accuracy on real trials. A higher accuracy means that fake trials vary less
than real trials. Without a reference, decoders are fitted to the real trials, and their accuracy on real trials is
cross-validated over five folds of trials.

*Condition*: the linear classifier of `classifier.py`.

*Behaviour*: ridge regression from smoothed activity x in wide bins of 20 ms (`metrics.statistics`), in the present bin
and in earlier bins up to 100 ms back, :math:`\hat y_t = b + \sum_{j} W_j x_{t-j}`, with a penalty chosen by
cross-validation over trials. :math:`R^2 = 1 - \sum (y - \hat y)^2 / \sum (y - \bar y)^2`, with sums over trials, bins
and dimensions of the series y. If the series is an angle, :math:`y` is its cosine and sine.
"""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikeloom.angles import cosine_sine, period_of
from spikeloom.metrics.classifier import Classifier, chunk_features
from spikeloom.metrics.pair import Pair
from spikeloom.metrics.result import Result
from spikeloom.metrics.statistics import Statistics
from spikeloom.shapes import Numbers

FOLDS = 5
"""Number of folds of cross-validations."""

HISTORY = 0.100
"""Longest lag of the inputs of the ridge regression, in seconds."""

MOST_INPUTS = 150
"""Largest number of inputs of the ridge regression per lag; more neurons are reduced to principal components."""

PENALTIES = 10.0 ** np.arange(-5, 3)
"""Candidate penalties, relative to the mean variance of an input."""

READABLE = 0.1
"""Smallest R^2 on real trials. If it is smaller, fake trials are not evaluated by decoded behaviour."""


# --- condition ----------------------------------------------------------------------------------------------------


def _decoded(pair: Pair) -> tuple[NDArray[np.int64], NDArray[np.int64]] | str:
    """Decode the conditions of the real and of the fake trials, or return the reason why this is impossible."""
    if pair.label_name is None:
        return "the trials have no condition with at most 40 values and at least 5 trials of each"
    fake = pair.classifier.classify(pair.chunk_features(pair.fake))
    if pair.teacher is not pair.real:  # the classifier was fitted to the reference
        return pair.classifier.classify(pair.chunk_features(pair.real)), fake
    folds = _folds(len(pair.real_trials), pair)
    n_classes = len(pair.label_values)
    return pair.real.once(_cross_validated_classes, folds, chunks=pair.chunks, classes=n_classes), fake


def _cross_validated_classes(
    statistics: Statistics, fold: NDArray[np.int64], *, chunks: int, classes: int
) -> NDArray[np.int64]:
    """Decode the conditions of each fold of trials with a classifier fitted to the other folds.

    Args:
        statistics: Statistics of the trials.
        fold: Fold of each trial.
        chunks: Number of pieces of a trial in its features.
        classes: Number of conditions.

    Returns:
        Decoded condition of each trial (trial,); -1 if it was not decoded.
    """
    features = statistics.once(chunk_features, chunks=chunks)
    labelled = statistics.labels >= 0
    decoded = np.full(len(features), -1)
    for part in range(FOLDS):
        train = labelled & (fold != part)
        if train.any() and (fold == part).any():
            classifier = Classifier.fit(features[train], statistics.labels[train], classes)
            decoded[fold == part] = classifier.classify(features[fold == part])
    return decoded


def _folds(n_trials: int, pair: Pair) -> NDArray[np.int64]:
    """Return the fold of each trial (trial,), at random and of equal size."""
    return pair.rng(6).permutation(np.arange(n_trials) % FOLDS)


def condition_accuracy(pair: Pair) -> Result:
    """Compute the accuracy of conditions decoded from fake trials, divided by the accuracy on real trials."""
    predictions = pair.once(_decoded)
    if isinstance(predictions, str):
        return Result(None, predictions)
    if pair.labels_decoded or not pair.was_condition(pair.label_name or ""):
        return Result(None, f"the generated trials were not conditioned on {pair.label_name}")
    real_decoded, fake_decoded = predictions
    real = _accuracy(pair.real.labels, real_decoded)
    fake = _accuracy(pair.fake.labels, fake_decoded)
    if fake is None or not real:
        return Result(None, f"no value of {pair.label_name} in both sets can be read from the real trials")
    n_classes = len(pair.label_values)
    detail = {
        "real": _confusion(pair.real.labels, real_decoded, n_classes),
        "fake": _confusion(pair.fake.labels, fake_decoded, n_classes),
        "value": pair.label_values,
    }
    note = f"{fake:.3g} against {real:.3g} of {pair.label_name} right (chance {1 / n_classes:.2g})"
    return Result(fake / real, note, detail)


def _accuracy(labels: NDArray[np.int64], decoded: NDArray[np.int64]) -> float | None:
    """Return the fraction of trials with a known label whose decoded label is the same; None without such trials."""
    labelled = labels >= 0
    return float(np.mean(labels[labelled] == decoded[labelled])) if labelled.any() else None


def _confusion(labels: NDArray[np.int64], decoded: NDArray[np.int64], n_classes: int) -> Numbers:
    """Count the trials of each condition (row) that were decoded as each condition (column).

    Trials with the label -1, or without a decoded condition (-1), are not counted.
    """
    labelled = (labels >= 0) & (decoded >= 0)
    table = np.bincount(labels[labelled] * n_classes + decoded[labelled], minlength=n_classes**2)
    return table.reshape(n_classes, n_classes)


def condition_spread(pair: Pair) -> Result:
    r"""Compute the total variation between decoded and requested conditions of fake trials.

    :math:`\frac12 \sum_c |q_c - p_c|`, with q the fractions of decoded conditions, and p the fractions of requested
    conditions. For unconditional trials, p are the fractions of the conditions of real trials. The value is large if
    the generator omits conditions.
    """
    predictions = pair.once(_decoded)
    if isinstance(predictions, str):
        return Result(None, predictions)
    n_classes = len(pair.label_values)
    requested = _shares(pair.real.labels if pair.labels_decoded else pair.fake.labels, n_classes)
    decoded = _shares(predictions[1], n_classes)
    value = 0.5 * float(np.abs(requested - decoded).sum())
    return Result(value, pair.label_name or "", {"real": requested, "fake": decoded, "value": pair.label_values})


def _shares(labels: NDArray[np.int64], classes: int) -> Numbers:
    """Return the fraction of trials of each condition (condition,), among trials with a known label."""
    sizes = np.bincount(labels[labels >= 0], minlength=classes)
    return sizes / max(1, sizes.sum())


def circular_error_deg(requested: Numbers, decoded: Numbers) -> Numbers:
    """Return the smallest angle between two directions, elementwise, in degrees from 0 to 180."""
    return np.abs((np.asarray(decoded, np.float64) - np.asarray(requested, np.float64) + 180) % 360 - 180)


def to_degrees(name: str) -> float | None:
    """Return the factor from a condition's unit to degrees, or None if the condition is not an angle.

    The last word of the name is the unit, as in "angle_deg" and "phase_rad". A name with the word "angle" and no unit
    is in degrees.
    """
    period = period_of(name)
    if period is not None:
        return 360 / period
    return 1.0 if "angle" in re.findall(r"[^\W_]+", name.lower()) else None


def condition_angle_error(pair: Pair) -> Result:
    """Compute the mean angle between requested and decoded direction of fake trials, minus the mean of real trials.

    The result is in degrees. The condition must be an angle in degrees or radians; see `to_degrees`.
    """
    predictions = pair.once(_decoded)
    name = pair.label_name or ""
    factor = to_degrees(name)
    if isinstance(predictions, str):
        return Result(None, predictions)
    if factor is None or pair.label_values.dtype.kind not in "iuf":
        return Result(None, f"{name} is not an angle")
    if pair.labels_decoded or not pair.was_condition(name):
        return Result(None, f"the generated trials were not conditioned on {name}")
    angles = factor * pair.label_values.astype(np.float64)
    errors = []
    for labels, decoded in zip((pair.real.labels, pair.fake.labels), predictions, strict=True):
        labelled = (labels >= 0) & (decoded >= 0)
        errors.append(circular_error_deg(angles[labels[labelled]], angles[decoded[labelled]]))
    if not (len(errors[0]) and len(errors[1])):
        return Result(None, f"no value of {name} in both sets")
    real = float(errors[0].mean())
    fake = float(errors[1].mean())
    return Result(fake - real, f"{fake:.3g} against {real:.3g} degrees")


# --- behaviour ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Ridge:
    """Fitted ridge regression.

    Args:
        weights: Weight of each input for each output (input, output).
        offset: Offset of each output (output,).
    """

    weights: Numbers
    offset: Numbers

    @classmethod
    def fit(cls, x: Numbers, y: Numbers, fold: NDArray[np.int64]) -> "Ridge":
        """Fit with the penalty that has the smallest squared error on held-out folds.

        Args:
            x: Inputs (row, input).
            y: Outputs (row, output).
            fold: Fold of each row; rows of one trial should share a fold.
        """
        mean_x = x.mean(0, dtype=np.float64)
        mean_y = y.mean(0, dtype=np.float64)
        x = x - mean_x.astype(x.dtype)
        y = y - mean_y
        # x'x and x'y of each fold are sufficient for all fits and errors
        rows_of_fold = [(x[fold == part], y[fold == part]) for part in range(FOLDS)]
        moments = [
            (fold_x.T.astype(np.float64) @ fold_x, fold_x.T.astype(np.float64) @ fold_y)
            for fold_x, fold_y in rows_of_fold
        ]
        gram = sum(fold_gram for fold_gram, _ in moments)
        cross = sum(fold_cross for _, fold_cross in moments)
        penalties = PENALTIES * max(float(np.trace(gram)) / len(gram), 1e-12)
        error = np.zeros(len(penalties))  # squared error on held-out folds, apart from a constant
        for fold_gram, fold_cross in moments:
            for index, weights in enumerate(_solve(gram - fold_gram, cross - fold_cross, penalties)):
                error[index] += np.vdot(weights, fold_gram @ weights) - 2 * np.vdot(weights, fold_cross)
        weights = _solve(gram, cross, penalties[[error.argmin()]])[0]
        return cls(weights, mean_y - mean_x @ weights)

    def predict(self, x: Numbers) -> Numbers:
        """Return the expected output of each row (row, output)."""
        return x @ self.weights + self.offset


def _solve(gram: Numbers, cross: Numbers, penalties: Numbers) -> list[Numbers]:
    """Return the weights (x'x + penalty I)^-1 x'y for each penalty, from x'x (`gram`) and x'y (`cross`)."""
    values, vectors = np.linalg.eigh(gram)
    rotated = vectors.T @ cross
    values = np.maximum(values, 0)  # rounding errors may make them negative
    return [vectors @ (rotated / (values + penalty)[:, None]) for penalty in penalties]


def r_squared(y: Numbers, predicted: Numbers) -> float | None:
    """Return the fraction of variance explained, over all outputs; None if y does not vary."""
    total = float(np.sum((y - y.mean(0)) ** 2)) if len(y) else 0.0
    return 1 - float(np.sum((y - predicted) ** 2)) / total if total > 0 else None


@dataclass(frozen=True, eq=False)
class Reader:
    """Decoder of one behaviour series from spikes.

    Args:
        name: Name of the series.
        period: Period of an angle, whose cosine and sine are decoded; None for other series.
        ridge: Regression, fitted to the trials of `Pair.teacher`.
        project: Matrix from neurons to the inputs of the regression (neuron, input).
    """

    name: str
    period: float | None
    ridge: Ridge
    project: Numbers

    def read(self, statistics: Statistics) -> tuple[Numbers, Numbers]:
        """Return requested and decoded behaviour in wide bins (trial, wide time, dim).

        Bins without enough earlier bins, or without requested behaviour, are NaN in the decoded behaviour.
        """
        series = wide_series(statistics, self.name, self.period)
        decoded = np.full_like(series, np.nan)
        x, _, _ = _regression_rows(statistics, self.name, self.project, self.period)
        decoded[_usable(statistics, series)] = self.ridge.predict(x) if len(x) else np.empty((0, series.shape[2]))
        return series, decoded


def reader(pair: Pair) -> "Reader | str":
    """Fit a decoder of a behaviour series that both sets have, or return the reason why this is impossible.

    If there are several series, a series with "vel" in its name is preferred. Bins without a number (NaN) are left out.
    """
    fitted_to = pair.real_trials if pair.reference is None else pair.reference
    names = [
        name for name in pair.real_trials.behavior if name in pair.fake_trials.behavior and name in fitted_to.behavior
    ]
    if not names:
        return "real and generated trials have no behaviour in common"
    names = [name for name in names if pair.was_condition(name)]
    if not names:
        return "the generated trials were not conditioned on a behaviour series"
    name = next((name for name in names if "vel" in name.lower()), names[0])
    fit_statistics = pair.training or pair.real
    project = _inputs(fit_statistics, pair.active(1))
    if not project.shape[1]:
        return "no neuron fires in both sets"
    series = np.asarray(fitted_to.behavior[name], np.float64)
    period = period_of(name, fitted_to.units[name], series[fitted_to.mask])
    sets = (fit_statistics, pair.real, pair.fake)
    usable = [_usable(statistics, wide_series(statistics, name, period)) for statistics in sets]
    n_fitted_trials = usable[0].any(1).sum()
    if min(bins.sum() for bins in usable) < 10 or n_fitted_trials < 2 * FOLDS:
        return f"too few trials with {name} that last longer than {HISTORY:g} s"
    folds = _folds(len(fitted_to), pair)
    return Reader(name, period, fit_statistics.once(_fit, name, project, period, folds), project)


def _fit(statistics: Statistics, name: str, project: Numbers, period: float | None, folds: NDArray[np.int64]) -> Ridge:
    """Fit the regression to the usable wide bins of these trials; arguments as in `_cross_validated_r_squared`."""
    x, y, trial = _regression_rows(statistics, name, project, period)
    return Ridge.fit(x, y, folds[trial])


def decode_back(pair: Pair) -> Result:
    """Compute R^2 of requested and decoded behaviour of fake trials, divided by R^2 of real trials."""
    decoder = pair.once(reader)
    if isinstance(decoder, str):
        return Result(None, decoder)
    arguments = (decoder.name, decoder.project, decoder.period)  # of `_regression_rows`
    fake = _explained(pair.fake, decoder.ridge, *arguments)
    if pair.reference is None:  # the decoder was fitted to the real trials
        real = pair.real.once(_cross_validated_r_squared, _folds(len(pair.real_trials), pair), *arguments)
    else:
        real = pair.real.once(_explained, decoder.ridge, *arguments)
    if real is None or fake is None or real < READABLE:
        real_r2 = None if real is None else round(real, 3)
        return Result(None, f"{decoder.name} cannot be decoded from the real trials (R2 {real_r2})")
    return Result(fake / real, f"{decoder.name}: R2 {fake:.3g} against {real:.3g}", {"r2": np.array([real, fake])})


def _explained(statistics: Statistics, ridge: Ridge, name: str, project: Numbers, period: float | None) -> float | None:
    """Compute R^2 of the behaviour of one set of trials, decoded with a fitted regression; see `_regression_rows`."""
    x, y, _ = _regression_rows(statistics, name, project, period)
    return r_squared(y, ridge.predict(x))


def _cross_validated_r_squared(
    statistics: Statistics, folds: NDArray[np.int64], name: str, project: Numbers, period: float | None
) -> float | None:
    """Compute R^2 of the behaviour of each fold of trials, decoded with a regression fitted to the other folds.

    Args:
        statistics: Statistics of the trials.
        folds: Fold of each trial (trial,).
        name: Name of the behaviour series.
        project: Matrix from neurons to inputs (neuron, input).
        period: Period of an angle; None for other series.
    """
    x, y, trial = _regression_rows(statistics, name, project, period)
    return r_squared(y, held_out_predictions(x, y, folds[trial]))


def held_out_predictions(x: Numbers, y: Numbers, fold: NDArray[np.int64]) -> Numbers:
    """Predict the outputs of each fold with a ridge regression fitted to the other folds (row, output).

    Args:
        x: Inputs (row, input).
        y: Outputs (row, output).
        fold: Fold of each row.
    """
    predicted = np.empty_like(y)
    for part in range(FOLDS):
        train = fold != part
        # the other folds are renumbered 1 ... 4, over which the penalty is cross-validated; fold 0 is empty
        inner_fold = (fold[train] + (fold[train] < part)) % FOLDS
        ridge = Ridge.fit(x[train], y[train], inner_fold)
        predicted[~train] = ridge.predict(x[~train])
    return predicted


def _inputs(statistics: Statistics, neurons: NDArray[np.int64]) -> Numbers:
    """Return the matrix from neurons to inputs (neuron, input).

    The inputs are these neurons. If they are more than `MOST_INPUTS`, the inputs are the leading principal components
    of all neurons.
    """
    if len(neurons) <= MOST_INPUTS:
        return np.eye(statistics.trials.n_neurons, dtype=np.float32)[:, neurons]
    flat = statistics.smoothed[statistics.wide_mask]  # (bin, neuron)
    every = max(1, len(flat) // 50_000)  # about 50,000 bins determine the components
    _, vectors = np.linalg.eigh(np.cov(flat[::every].T))  # the last ones have the largest variance
    return vectors[:, ::-1][:, :MOST_INPUTS].astype(np.float32)


def wide_series(statistics: Statistics, name: str, period: float | None = None) -> Numbers:
    """Return the mean of a series, or of an angle's cosine and sine, in wide bins (trial, wide time, dim)."""
    behavior = np.asarray(statistics.trials.behavior[name], np.float64)
    behavior = behavior if period is None else cosine_sine(behavior, period)
    n_wide = statistics.wide_mask.shape[1]
    per_wide_bin = statistics.bins_per_wide_bin
    in_wide_bins = behavior[:, : n_wide * per_wide_bin].reshape(len(behavior), n_wide, per_wide_bin, behavior.shape[2])
    return in_wide_bins.mean(2)


def _n_lags(statistics: Statistics) -> int:
    """Return the number of wide bins that are inputs of the regression: the present bin and those up to 100 ms back."""
    return max(1, round(HISTORY / statistics.wide_width)) + 1


def _usable(statistics: Statistics, series: Numbers) -> NDArray[np.bool_]:
    """Return True for wide bins with enough earlier bins and a finite series (trial, wide time)."""
    usable = statistics.wide_mask & np.isfinite(series).all(2)
    usable[:, : _n_lags(statistics) - 1] = False
    return usable


def _regression_rows(
    statistics: Statistics, name: str, project: Numbers, period: float | None
) -> tuple[Numbers, Numbers, NDArray[np.int64]]:
    """Return one row for each usable wide bin: inputs of this and earlier bins, behaviour, and the index of the trial.

    The rows are three arrays: inputs (row, input), behaviour (row, dim) and index (row,).

    Args:
        statistics: Statistics of the trials.
        name: Name of the behaviour series.
        project: Matrix from neurons to the inputs of one lag (neuron, input).
        period: Period of an angle, whose cosine and sine are the behaviour; None for other series.
    """
    activity = statistics.smoothed @ project
    series = wide_series(statistics, name, period)
    n_lags = _n_lags(statistics)
    usable = _usable(statistics, series)
    if series.shape[1] < n_lags:
        return np.empty((0, n_lags * project.shape[1])), np.empty((0, series.shape[2])), np.empty(0, np.int64)
    trial, time = np.nonzero(usable)
    history = [activity[trial, time - lag] for lag in range(n_lags)]  # (row, input) for each lag
    return np.concatenate(history, axis=1), series[usable], trial
