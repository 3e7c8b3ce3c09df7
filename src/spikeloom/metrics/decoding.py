r"""Reading the condition back: does a decoder of real spikes find condition and movement in fake ones?

Decoders are fitted to the reference (real training trials) and applied to real test trials and to fake trials; the
fake trials should be read as well as the real ones, no worse and no better (better means less variable than the
brain). Without a reference the real trials themselves teach, and what they score is cross-validated over five folds of
trials.

*Condition*: the linear classifier of `classifier.py`. *Behaviour*: ridge regression from smoothed activity in wide
bins, now and up to 100 ms back, :math:`\hat y_t = b + \sum_{j} W_j x_{t-j}`, the penalty chosen by cross-validation
over trials; :math:`R^2 = 1 - \sum (y - \hat y)^2 / \sum (y - \bar y)^2` over all dimensions of the series. An angle is
decoded on the circle: :math:`y` is its cosine and sine.
"""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikeloom.angles import cosine_sine, period_of
from spikeloom.metrics.arrays import Numbers
from spikeloom.metrics.classifier import Classifier
from spikeloom.metrics.pair import Pair
from spikeloom.metrics.result import Result
from spikeloom.metrics.statistics import Statistics

FOLDS = 5
HISTORY = 0.100
"""How far back the ridge regression looks, in seconds."""
MOST_INPUTS = 150
"""Neurons above which their leading principal components stand for them in the ridge regression."""
PENALTIES = 10.0 ** np.arange(-5, 3)
"""Penalties tried, as shares of the mean variance of an input."""
READABLE = 0.1
"""R^2 below which real trials do not tell the behaviour, so that fake ones cannot be judged by it."""


# --- condition ----------------------------------------------------------------------------------------------------


def _decoded(pair: Pair) -> tuple[NDArray[np.int64], NDArray[np.int64]] | str:
    """Conditions read from the real and from the fake trials; a sentence where there is nothing to read."""
    if pair.label_name is None:
        return "the trials have no condition with at most 40 values and at least 5 trials of each"
    real = pair.chunk_features(pair.real)
    fake = pair.classifier.classify(pair.chunk_features(pair.fake))
    if pair.teacher is not pair.real:
        return pair.classifier.classify(real), fake
    fold, known = _folds(len(real), pair), pair.real.labels >= 0
    found = np.full(len(real), -1)
    for part in range(FOLDS):
        train = known & (fold != part)
        if train.any() and (fold == part).any():
            one = Classifier.fit(real[train], pair.real.labels[train], len(pair.label_values))
            found[fold == part] = one.classify(real[fold == part])
    return found, fake


def _folds(trials: int, pair: Pair) -> NDArray[np.int64]:
    return pair.rng(6).permutation(np.arange(trials) % FOLDS)


def condition_accuracy(pair: Pair) -> Result:
    """Share of fake trials whose condition is read back rightly, divided by the same share of real trials."""
    found = pair.once(_decoded)
    if isinstance(found, str):
        return Result(None, found)
    if pair.labels_decoded or not pair.was_condition(pair.label_name or ""):
        return Result(None, f"the generated trials were not conditioned on {pair.label_name}")
    asked = (pair.real.labels, pair.fake.labels)
    shares = [_agreement(labels, decoded) for labels, decoded in zip(asked, found, strict=True)]
    if shares[1] is None or not shares[0]:
        return Result(None, f"no value of {pair.label_name} on both sides can be read from the real trials")
    tables = [_confusion(labels, decoded, len(pair.label_values)) for labels, decoded in zip(asked, found, strict=True)]
    chance = 1 / len(pair.label_values)
    note = f"{shares[1]:.3g} against {shares[0]:.3g} of {pair.label_name} right (chance {chance:.2g})"
    return Result(shares[1] / shares[0], note, {"real": tables[0], "fake": tables[1], "value": pair.label_values})


def _agreement(labels: NDArray[np.int64], decoded: NDArray[np.int64]) -> float | None:
    known = labels >= 0
    return float(np.mean(labels[known] == decoded[known])) if known.any() else None


def _confusion(labels: NDArray[np.int64], decoded: NDArray[np.int64], classes: int) -> Numbers:
    """Trials of each condition (row) that were read as each condition (column)."""
    known = (labels >= 0) & (decoded >= 0)
    table = np.bincount(labels[known] * classes + decoded[known], minlength=classes**2)
    return table.reshape(classes, classes)


def condition_spread(pair: Pair) -> Result:
    r"""Total variation between the conditions read from fake trials and those they should have.

    :math:`\frac12 \sum_c |q_c - p_c|`, q the shares read from fake trials; p the shares of their conditions, or, for
    trials without conditions, the shares among the real trials. Large where a generator forgets some conditions.
    """
    found = pair.once(_decoded)
    if isinstance(found, str):
        return Result(None, found)
    wanted = pair.real.labels if pair.labels_decoded else pair.fake.labels
    shares = [_shares(labels, len(pair.label_values)) for labels in (wanted, found[1])]
    value = 0.5 * float(np.abs(shares[0] - shares[1]).sum())
    return Result(value, pair.label_name or "", {"real": shares[0], "fake": shares[1], "value": pair.label_values})


def _shares(labels: NDArray[np.int64], classes: int) -> Numbers:
    sizes = np.bincount(labels[labels >= 0], minlength=classes)
    return sizes / max(1, sizes.sum())


def circular_error_deg(asked: Numbers, decoded: Numbers) -> Numbers:
    """Smallest angle between two directions, elementwise, in degrees from 0 to 180."""
    return np.abs((np.asarray(decoded, np.float64) - np.asarray(asked, np.float64) + 180) % 360 - 180)


def to_degrees(name: str) -> float | None:
    """Return the factor from a condition's unit to degrees, or None if the condition is not an angle.

    The last word of the name says the unit, as in "angle_deg" and "phase_rad". A name with the word "angle" and no unit
    is in degrees.
    """
    period = period_of(name)
    if period is not None:
        return 360 / period
    return 1.0 if "angle" in re.findall(r"[^\W_]+", name.lower()) else None


def condition_angle_error(pair: Pair) -> Result:
    """Mean angle between the condition and the direction read from fake trials, minus that of real trials (deg).

    Only where the condition is an angle, in degrees or radians: see `to_degrees`.
    """
    found = pair.once(_decoded)
    name = pair.label_name or ""
    factor = to_degrees(name)
    if isinstance(found, str) or factor is None or pair.label_values.dtype.kind not in "iuf":
        return Result(None, found if isinstance(found, str) else f"{name} is not an angle")
    if pair.labels_decoded or not pair.was_condition(name):
        return Result(None, f"the generated trials were not conditioned on {name}")
    angles, errors = factor * pair.label_values.astype(np.float64), []
    for labels, decoded in zip((pair.real.labels, pair.fake.labels), found, strict=True):
        known = (labels >= 0) & (decoded >= 0)
        errors.append(circular_error_deg(angles[labels[known]], angles[decoded[known]]))
    if not (len(errors[0]) and len(errors[1])):
        return Result(None, f"no value of {name} on both sides")
    real, fake = float(errors[0].mean()), float(errors[1].mean())
    return Result(fake - real, f"{fake:.3g} against {real:.3g} degrees")


# --- behaviour ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Ridge:
    """Linear regression with a penalty; `weights` (input, output), `offset` (output,)."""

    weights: Numbers
    offset: Numbers

    @classmethod
    def fit(cls, x: Numbers, y: Numbers, fold: NDArray[np.int64]) -> "Ridge":
        """Fit, with the penalty of least squared error over held-out folds.

        Args:
            x: (row, input).
            y: (row, output).
            fold: Which fold each row belongs to, so that rows of one trial stay together.
        """
        mean_x, mean_y = x.mean(0, dtype=np.float64), y.mean(0, dtype=np.float64)
        x, y = x - mean_x.astype(x.dtype), y - mean_y
        parts = [(x[fold == part], y[fold == part]) for part in range(FOLDS)]
        grams = [(a.T.astype(np.float64) @ a, a.T.astype(np.float64) @ b) for a, b in parts]
        gram, cross = sum(part[0] for part in grams), sum(part[1] for part in grams)
        penalties = PENALTIES * max(float(np.trace(gram)) / len(gram), 1e-12)
        error = np.zeros(len(penalties))
        for own_gram, own_cross in grams:
            for place, weights in enumerate(_solve(gram - own_gram, cross - own_cross, penalties)):
                error[place] += np.vdot(weights, own_gram @ weights) - 2 * np.vdot(weights, own_cross)
        weights = _solve(gram, cross, penalties[[error.argmin()]])[0]
        return cls(weights, mean_y - mean_x @ weights)

    def predict(self, x: Numbers) -> Numbers:
        """Expected output of each row (row, output)."""
        return x @ self.weights + self.offset


def _solve(gram: Numbers, cross: Numbers, penalties: Numbers) -> list[Numbers]:
    values, vectors = np.linalg.eigh(gram)
    turned, values = vectors.T @ cross, np.maximum(values, 0)
    return [vectors @ (turned / (values + penalty)[:, None]) for penalty in penalties]


def r_squared(y: Numbers, predicted: Numbers) -> float | None:
    """Share of the variance explained, all outputs together; None where y does not vary."""
    total = float(np.sum((y - y.mean(0)) ** 2)) if len(y) else 0.0
    return 1 - float(np.sum((y - predicted) ** 2)) / total if total > 0 else None


@dataclass(frozen=True, eq=False)
class Reader:
    """Reads one behaviour series from spikes.

    Args:
        name: Of the series.
        period: Period of an angle, whose cosine and sine are read; None for other series.
        ridge: Fitted to the teacher's trials.
        project: From neurons to the inputs of the regression (neuron, input).
        rows: Inputs, behaviour and trial of the teacher's wide bins, as in `_rows`.
    """

    name: str
    period: float | None
    ridge: Ridge
    project: Numbers
    rows: tuple[Numbers, Numbers, NDArray[np.int64]]

    def read(self, side: Statistics) -> tuple[Numbers, Numbers]:
        """Behaviour and what is read from the spikes in wide bins (trial, wide time, dim); NaN where it cannot be."""
        series = wide_series(side, self.name, self.period)
        read = np.full_like(series, np.nan)
        x, _, _ = _rows(side, self.name, self.project, self.period)
        read[_usable(side, series)] = self.ridge.predict(x) if len(x) else np.empty((0, series.shape[2]))
        return series, read


def reader(pair: Pair) -> "Reader | str":
    """The reader of the behaviour that real and fake trials have in common, or a sentence that says why there is none.

    Of several series, one whose name holds "vel" comes first. Bins without a number (NaN) are left out.
    """
    teacher = pair.real_trials if pair.reference is None else pair.reference
    names = [n for n in pair.real_trials.behavior if n in pair.fake_trials.behavior and n in teacher.behavior]
    if not names:
        return "real and generated trials have no behaviour in common"
    names = [name for name in names if pair.was_condition(name)]
    if not names:
        return "the generated trials were not conditioned on a behaviour series"
    name = next((n for n in names if "vel" in n.lower()), names[0])
    teach = pair.real if teacher is pair.real_trials else pair.teacher
    if teach is pair.real and pair.reference is not None:  # a reference without the labelling condition
        teach = Statistics(teacher, np.zeros(len(teacher), np.int64), conditions=1, window=pair.window)
    project = _inputs(teach, pair.active(1))
    if not project.shape[1]:
        return "no neuron fires on both sides"
    taught = np.asarray(teacher.behavior[name], np.float64)
    period = period_of(name, teacher.units[name], taught[teacher.mask])
    rows = _rows(teach, name, project, period)
    sides = [_rows(side, name, project, period)[0] for side in (pair.real, pair.fake)]
    fewest = min(len(each) for each in (rows[0], *sides))
    if fewest < 10 or len(np.unique(rows[2])) < 2 * FOLDS:
        return f"too few trials with {name} that last longer than {HISTORY:g} s"
    return Reader(name, period, Ridge.fit(rows[0], rows[1], _folds(len(teacher), pair)[rows[2]]), project, rows)


def decode_back(pair: Pair) -> Result:
    """R^2 of behaviour decoded from fake spikes against the condition, divided by the R^2 on real trials."""
    found = pair.once(reader)
    if isinstance(found, str):
        return Result(None, found)
    x, y, _ = _rows(pair.fake, found.name, found.project, found.period)
    fake = r_squared(y, found.ridge.predict(x))
    if pair.reference is None:
        held_out = _held_out(*found.rows, _folds(len(pair.real_trials), pair))
        real = r_squared(found.rows[1], held_out)
    else:
        x, y, _ = _rows(pair.real, found.name, found.project, found.period)
        real = r_squared(y, found.ridge.predict(x))
    if real is None or fake is None or real < READABLE:
        words = real if real is None else round(real, 3)
        return Result(None, f"{found.name} cannot be read from the real trials (R2 {words})")
    return Result(fake / real, f"{found.name}: R2 {fake:.3g} against {real:.3g}", {"r2": np.array([real, fake])})


def _held_out(x: Numbers, y: Numbers, trial: NDArray[np.int64], folds: NDArray[np.int64]) -> Numbers:
    """Predictions of each fold from the others."""
    out, fold = np.empty_like(y), folds[trial]
    for part in range(FOLDS):
        train = fold != part
        ridge = Ridge.fit(x[train], y[train], (fold[train] + (fold[train] < part)) % FOLDS)
        out[~train] = ridge.predict(x[~train])
    return out


def _inputs(side: Statistics, neurons: NDArray[np.int64]) -> Numbers:
    """Matrix from neurons to inputs: the given neurons, or their 150 leading principal components."""
    if len(neurons) <= MOST_INPUTS:
        return np.eye(side.trials.n_neurons, dtype=np.float32)[:, neurons]
    flat = side.smoothed[side.wide_mask]
    _, vectors = np.linalg.eigh(np.cov(flat[:: max(1, len(flat) // 50_000)].T))
    return vectors[:, ::-1][:, :MOST_INPUTS].astype(np.float32)


def wide_series(side: Statistics, name: str, period: float | None = None) -> Numbers:
    """A behaviour series as its mean in wide bins (trial, wide time, dim); of an angle, that of cosine and sine."""
    behavior = np.asarray(side.trials.behavior[name], np.float64)
    behavior = behavior if period is None else cosine_sine(behavior, period)
    wide = side.wide_mask.shape[1]
    return behavior[:, : wide * side.factor].reshape(len(behavior), wide, side.factor, behavior.shape[2]).mean(2)


def _taps(side: Statistics) -> int:
    """Wide bins that the regression looks at: now, and up to 100 ms back."""
    return max(1, round(HISTORY / side.wide_width)) + 1


def _usable(side: Statistics, series: Numbers) -> NDArray[np.bool_]:
    """Wide bins of trials with enough past and a finite series (trial, wide time)."""
    usable = side.wide_mask & np.isfinite(series).all(2)
    usable[:, : _taps(side) - 1] = False
    return usable


def _rows(
    side: Statistics, name: str, project: Numbers, period: float | None
) -> tuple[Numbers, Numbers, NDArray[np.int64]]:
    """Inputs now and up to 100 ms back, behaviour, and trial of each usable wide bin."""
    activity, series = side.smoothed @ project, wide_series(side, name, period)
    taps, usable = _taps(side), _usable(side, series)
    if series.shape[1] < taps:
        return np.empty((0, taps * project.shape[1])), np.empty((0, series.shape[2])), np.empty(0, np.int64)
    trial, time = np.nonzero(usable)
    history = [activity[trial, time - lag] for lag in range(taps)]
    return np.concatenate(history, axis=1), series[usable], trial
