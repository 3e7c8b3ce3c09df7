r"""Directions of behavioural variables in code space, and the effect of moving codes (one vector per trial) along them.

Codes c and variables v (one number per trial) are centred. Two linear maps relate them:

* encode, :math:`c = D v`: column :math:`D_j` is the change of the code if only variable j changes;
* decode, :math:`\hat v = W^\top c`, with the shrunk covariance :math:`\Sigma` of Ledoit and Wolf,
  :math:`W = \Sigma^{-1} \mathrm{Cov}(c, v)`. With many trials, this is nearly the solution of least squares.

According to these maps, the straight step :math:`D (W^\top D)^{-1} e_j` moves variable j by one unit and no other
variable. But codes are seldom linear functions of the variables. The curved step therefore follows a polynomial of
second degree, :math:`E[c \mid v] \approx g(v)`: a change :math:`\delta` of the variables moves the code to
:math:`c' = c + g(\hat v + \delta) - g(\hat v)`, with the linear part of g scaled so that the decoded variables change
by :math:`\delta` (gain 1). The step keeps the part of the code that the variables do not explain. (With few trials,
the predicted gain can be above 1, because :math:`\Sigma` is shrunk. The step is then not scaled down.)

Linear subspaces do not depend on the axes of code space, so these measures also suit models whose codes are
determined only up to a rotation; `metrics.axes` has scores of single axes. Values of v keep their units throughout.

Source: METHODS 5.4, our operational definitions of what the GNOCCHI paper (arXiv 2407.21195) shows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float, Integer

from spikeloom.errors import ConditionError, DataError
from spikeloom.metrics.arrays import smooth
from spikeloom.metrics.decoding import FOLDS, Ridge
from spikeloom.metrics.shrinkage import ledoit_wolf
from spikeloom.shapes import Numbers
from spikeloom.trials import Trials

How = Literal["curved", "joint", "encode", "decode"]
"""Step that moves a variable. "curved" follows g, and "joint" is the straight step that moves no other variable.
"encode" moves along a column of D, and "decode" along a column of W; these two may move other variables. All are scaled
to a predicted gain of 1."""

START_BINS = 5
"""Number of bins at the beginning of a trial whose mean is the start of a series."""


# --- variables -----------------------------------------------------------------------------------------------------


def variable(trials: Trials, name: str) -> Float[np.ndarray, " trial"]:
    """Return the variable with this name, one number per trial.

    ==================  =============================================================================================
    name                variable
    ==================  =============================================================================================
    "x"                 condition x, if it is one number per trial
    "x.1"               second number of condition x if it is a vector, or of behaviour series x in the last bin
    "x.1.start"         mean of the second number of series x over the first five bins
    "x.1.mean"          mean of the second number of series x over the trial
    "x.cos", "x.sin"    cosine and sine of condition x, an angle whose name ends in `_deg` or `_rad`
    ==================  =============================================================================================

    Raises:
        ConditionError: if there is no such variable, or it is not a finite number in every trial.
    """
    stem, _, part = name.rpartition(".")
    values = None
    if name in trials.conditions and trials.conditions[name].ndim == 1:
        values = trials.conditions[name]
    elif stem in trials.conditions and part in ("cos", "sin") and stem.endswith(("_deg", "_rad")):
        angle = np.asarray(trials.conditions[stem], np.float64)
        values = getattr(np, part)(np.deg2rad(angle) if stem.endswith("_deg") else angle)
    elif part.isdigit():
        last_bins = (np.arange(len(trials)), trials.lengths - 1)
        table = {key: series[last_bins] for key, series in trials.behavior.items()}
        table |= {key: value for key, value in trials.conditions.items() if value.ndim == 2}
        if stem in table and int(part) < table[stem].shape[1]:
            values = table[stem][:, int(part)]
    elif part in ("start", "mean"):
        values = _mean_of_series(trials, stem, START_BINS if part == "start" else None)
    if values is None or values.dtype.kind not in "uifb" or not np.isfinite(values.astype(np.float64)).all():
        raise ConditionError(
            f"A variable must be a finite number in every trial: a condition of {sorted(trials.conditions)}, or a "
            f'dimension such as "x.0" of the series {sorted(trials.behavior)}.',
            f"It was {name!r}" + ("." if values is None else ", which has other values."),
            "Choose one of these, or keep the variable when binning with --condition NAME.",
        )
    return values.astype(np.float64)


def _mean_of_series(trials: Trials, name: str, n_bins: int | None) -> Numbers | None:
    """Return the mean of a dimension of a series, "name.1", over the first bins or all; None without such a series."""
    series, _, dim = name.rpartition(".")
    if series not in trials.behavior or not dim.isdigit() or int(dim) >= trials.behavior[series].shape[2]:
        return None
    valid = trials.mask[:, :n_bins]
    values = np.asarray(trials.behavior[series][:, :n_bins, int(dim)], np.float64)
    return np.where(valid, values, 0).sum(1) / valid.sum(1)


def variables(trials: Trials, names: Sequence[str]) -> Float[np.ndarray, "trial variable"]:
    """Return the named variables as columns."""
    return np.stack([variable(trials, name) for name in names], 1)


# --- directions ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Directions:
    """Linear maps between codes and variables, fitted to trials.

    Args:
        names: Names of the variables.
        code_mean: Mean code (code,).
        variable_mean: Mean of each variable, in its unit (variable,).
        encode: D, change of the code per unit of each variable (code, variable).
        decode: W, change of each variable per unit of the code (code, variable).
        covariance: Shrunk covariance of the codes (code, code).
        linear: Linear part of g, the change of the code per unit of each variable (code, variable).
        quadratic: Quadratic part of g, the change of the code per unit of each product of two standardised variables
            (code, product).
        variable_sd: Standard deviation of each variable (variable,).
    """

    names: tuple[str, ...]
    code_mean: Numbers
    variable_mean: Numbers
    encode: Numbers
    decode: Numbers
    covariance: Numbers
    linear: Numbers
    quadratic: Numbers
    variable_sd: Numbers

    @classmethod
    def of(cls, encoded: Trials, names: Sequence[str]) -> "Directions":
        """Fit the directions of the named variables to trials with codes.

        Raises:
            DataError: if the trials have no codes, or a variable is constant or determined by the others.
        """
        if encoded.codes is None:
            raise DataError(
                "Directions need trials with codes.",
                "These trials have none.",
                "First encode them with a model that has codes.",
            )
        return cls.fit(np.asarray(encoded.codes), variables(encoded, names), names)

    @classmethod
    def fit(
        cls, codes: Float[np.ndarray, "trial code"], values: Float[np.ndarray, "trial variable"], names: Sequence[str]
    ) -> "Directions":
        """Fit the directions to codes and variables; see `of`."""
        mean_code = codes.mean(0, dtype=np.float64)
        mean_value = values.mean(0)
        c = codes - mean_code  # c and v as in the module
        v = values - mean_value
        sd = np.where(v.std(0) > 0, v.std(0), 1)
        scaled = v / sd  # standardised variables
        if np.linalg.matrix_rank(scaled, tol=1e-6 * np.sqrt(len(v))) < v.shape[1]:
            raise DataError(
                "The variables must vary independently over the trials.",
                f"One of {', '.join(names)} is constant, or is determined by the others.",
                "Leave this variable out, or use trials in which it varies.",
            )
        covariance = c.T @ c / len(c)
        shrinkage, variance = ledoit_wolf(c, covariance)
        covariance = (1 - shrinkage) * covariance + shrinkage * variance * np.eye(len(covariance))
        encode = np.linalg.lstsq(v, c, rcond=None)[0].T
        decode = np.linalg.solve(covariance, c.T @ v / len(c))
        features = np.concatenate([scaled, _products(scaled)], 1)  # the terms of the polynomial g
        features = features - features.mean(0)
        ridge = 1e-3 * len(v) * np.eye(features.shape[1])  # products of variables with few values may be collinear
        polynomial = np.linalg.solve(features.T @ features + ridge, features.T @ c).T
        linear = polynomial[:, : v.shape[1]] / sd
        quadratic = polynomial[:, v.shape[1] :]
        return cls(tuple(names), mean_code, mean_value, encode, decode, covariance, linear, quadratic, sd)

    def steps(self, how: How = "joint") -> Float[np.ndarray, "code variable"]:
        """Return the straight step of each variable, the change of the code that moves the variable by one unit.

        For "curved" the result is the step of "joint".
        """
        if how in ("joint", "curved"):
            return self.encode @ np.linalg.inv(self.decode.T @ self.encode)
        columns = self.encode if how == "encode" else self.decode
        gains = (self.decode * columns).sum(0)  # decoded change of each variable along its column
        return columns / gains

    def move(self, codes: Numbers, changes: Numbers, *, how: How = "curved") -> Float[np.ndarray, "trial code"]:
        """Move the codes by changes (trial, variable) of the variables, each change in the unit of its variable."""
        if how != "curved":
            return codes + changes @ self.steps(how).T
        gain = self.decode.T @ self.linear  # eigenvalues are below 1 if codes are noisy
        # eigenvalues above 1 come from the shrinkage of the covariance, and are scaled down to 1
        gain = gain / max(1.0, float(np.abs(np.linalg.eigvals(gain)).max()))
        scaled = (self.predict(codes) - self.variable_mean) / self.variable_sd  # standardised variables before the move
        change_of_products = _products(scaled + changes / self.variable_sd) - _products(scaled)
        return codes + changes @ np.linalg.inv(gain).T @ self.linear.T + change_of_products @ self.quadratic.T

    def predict(self, codes: Numbers) -> Float[np.ndarray, "trial variable"]:
        """Return the variables decoded from codes."""
        return (codes - self.code_mean) @ self.decode + self.variable_mean

    def cosines(self, of: Literal["encode", "decode"] = "encode", *, whitened: bool = False) -> Numbers:
        """Return the cosines between the directions of all pairs of variables (variable, variable).

        Args:
            of: Directions to compare, the columns of D ("encode") or of W ("decode").
            whitened: Transform the directions to coordinates in which codes have unit covariance.
        """
        columns = self.encode if of == "encode" else self.decode
        if whitened:
            values, vectors = np.linalg.eigh(self.covariance)
            # whitened codes are C^-1/2 c with covariance C, so D becomes C^-1/2 D, and W becomes C^1/2 W
            power = -0.5 if of == "encode" else 0.5
            columns = (vectors * np.maximum(values, 1e-12) ** power) @ vectors.T @ columns
        columns = columns / np.linalg.norm(columns, axis=0)
        return columns.T @ columns


def _products(scaled: Numbers) -> Numbers:
    """Return the products of all pairs of standardised variables, squares included (trial, product)."""
    first, second = np.triu_indices(scaled.shape[1])
    return scaled[:, first] * scaled[:, second]


def orthogonality(cosines: Numbers) -> float:
    """Compute the mean absolute cosine over pairs of variables.

    0 is ideal. Random directions of codes with L numbers have about sqrt(2 / (pi L)).
    """
    first, second = np.triu_indices(len(cosines), 1)
    return float(np.abs(cosines[first, second]).mean())


# --- variables decoded from codes ----------------------------------------------------------------------------------


def code_snr(directions: Directions, codes: Numbers, values: Numbers) -> Float[np.ndarray, " variable"]:
    """Compute the ratio of predicted to residual variance of each variable, in trials that were not used for the fit.

    Args:
        directions: Directions fitted to other trials.
        codes: Codes (trial, code).
        values: Variables of the same trials (trial, variable).
    """
    predicted = directions.predict(codes)
    return predicted.var(0) / np.maximum((values - predicted).var(0), 1e-300)  # no division by 0


def group_snr(
    directions: Directions, codes: Numbers, groups: Integer[np.ndarray, " trial"]
) -> Float[np.ndarray, " variable"]:
    """Compute the ratio of the variance between groups of trials to the mean variance within them, per variable.

    The variances are computed from the variables that are decoded from the codes. A group holds trials of the same
    target.
    """
    decoded = directions.predict(codes)
    group_values = np.unique(groups)
    means = np.stack([decoded[groups == group].mean(0) for group in group_values])
    within = np.stack([decoded[groups == group].var(0) for group in group_values])
    return means.var(0) / np.maximum(within.mean(0), 1e-300)


def point_error(directions: Directions, codes: Numbers, points: Numbers) -> float:
    """Compute the mean distance between points (trial, axis) and the points decoded from codes.

    The first variables of `directions` must be the coordinates of the points.
    """
    return float(np.linalg.norm(directions.predict(codes)[:, : points.shape[1]] - points, axis=1).mean())


def unit_r2(real: Numbers, fake: Numbers, mask: Numbers) -> Float[np.ndarray, " neuron"]:
    """Compute R² of each neuron's activity, predicted by activity generated from the codes of the same trials.

    Args:
        real: Recorded activity (trial, time, neuron).
        fake: Generated activity (trial, time, neuron).
        mask: True for valid bins (trial, time).
    """
    truth = np.asarray(real, np.float64)[mask]
    generated = np.asarray(fake, np.float64)[mask]
    total = np.square(truth - truth.mean(0)).sum(0)
    return np.where(total > 0, 1 - np.square(generated - truth).sum(0) / np.where(total > 0, total, 1), np.nan)


def coverage(real: Numbers, fake: Numbers, *, neighbours: int = 5) -> float:
    """Compute the fraction of real codes with a generated code nearer than their k-th nearest real code.

    Args:
        real: Codes of recorded trials (trial, code).
        fake: Generated codes (trial, code).
        neighbours: k.

    With equal distributions and equal numbers of codes, the expected value is about 1 - 2^-k, for k = 5 about 0.97.
    Source: Naeem, Oh, Uh, Choi, Yoo 2020.
    """
    radius = np.sort(_distances(real, real), 1)[:, neighbours]  # the first is the code itself
    return float((_distances(real, fake).min(1) < radius).mean())


def _distances(x: Numbers, y: Numbers) -> Numbers:
    """Return the Euclidean distance of each row of x to each row of y."""
    square = np.square(x).sum(1)[:, None] + np.square(y).sum(1) - 2 * x @ y.T
    return np.sqrt(np.maximum(square, 0))


# --- effect of moving a code ---------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Readout:
    """Linear decoder of a behaviour series from present and earlier activity, fitted to real trials.

    Args:
        ridge: The fitted map.
        lags: Lags of the inputs in bins.
        sd: Standard deviation (bins) of the Gaussian that smooths the spikes; `None` uses the square root of the rates.
    """

    ridge: Ridge
    lags: tuple[int, ...]
    sd: float | None

    @classmethod
    def fit(
        cls,
        trials: Trials,
        name: str,
        *,
        history: float = 0.1,
        lags: Sequence[float] | None = None,
        smoothing: float | None = 0.05,
    ) -> "Readout":
        """Fit the decoder to the bins of real trials in which the series is finite.

        Args:
            trials: Real training trials with this behaviour series.
            name: Name of the series.
            history: Longest lag of the inputs in seconds. All lags up to this one are inputs, unless `lags` are given.
            lags: Lags of the inputs in seconds.
            smoothing: Standard deviation of the Gaussian in seconds; `None` uses the trials' rates instead of spikes.
        """
        lags_in_bins = tuple(range(round(history / trials.bin_width) + 1))
        if lags is not None:
            lags_in_bins = tuple(dict.fromkeys(round(lag / trials.bin_width) for lag in lags))
        sd = None if smoothing is None else smoothing / trials.bin_width
        unfitted = cls(Ridge(np.zeros(0), np.zeros(0)), lags_in_bins, sd)
        inputs = unfitted._inputs(trials)
        mask = trials.mask
        trial = np.nonzero(mask)[0]  # trial of each valid bin
        series = np.asarray(trials.behavior[name], np.float64)[mask]
        finite = np.isfinite(series).all(1)
        return replace(unfitted, ridge=Ridge.fit(inputs[mask][finite], series[finite], trial[finite] % FOLDS))

    def decode(self, trials: Trials, *, expected: bool = False) -> Float[np.ndarray, "trial time dim"]:
        """Decode the series from the trials' activity; padding holds arbitrary numbers.

        Args:
            trials: Real or generated trials with the neurons and bins of the fitted trials.
            expected: Decode from the trials' rates with a decoder that was fitted to spikes. Rates are expected spikes,
                so the result is free of the noise of generated spikes.
        """
        inputs = self._inputs(trials, expected=expected)
        return self.ridge.predict(inputs.reshape(-1, inputs.shape[2])).reshape(*inputs.shape[:2], -1)

    def _inputs(self, trials: Trials, *, expected: bool = False) -> Numbers:
        """Return present and earlier activity (trial, time, lag x neuron).

        The first bin of a trial replaces the bins before it.
        """
        if self.sd is not None and not expected:
            x = smooth(np.asarray(trials.counts), sd=self.sd, mask=trials.mask)
        elif trials.rates is None:
            raise DataError("These trials have no rates.", "", "Pass smoothing=0.05 to use smoothed spikes instead.")
        else:
            rates = np.asarray(trials.rates)
            x = np.sqrt(rates) if self.sd is None else smooth(rates, sd=self.sd, mask=trials.mask)
        bins = np.arange(trials.n_bins)
        return np.concatenate([x[:, np.maximum(bins - lag, 0)] for lag in self.lags], 2)


def ends(series: Float[np.ndarray, "trial time dim"], lengths: Integer[np.ndarray, " trial"]) -> Numbers:
    """Return the last bin of each trial's series, and the mean of its first five bins (trial, 2 dim), in this order."""
    last = series[np.arange(len(series)), lengths - 1]
    return np.concatenate([last, series[:, :START_BINS].mean(1)], 1)


@dataclass(frozen=True)
class Movement:
    """Effect of a traversal along one variable.

    Args:
        gain: Least-squares slope of the achieved on the requested change of the variable, through all points of all
            trials; 1 is ideal.
        unintended: Mean of the summed absolute changes of the other variables, divided by the mean absolute change of
            the variable itself; 0 is ideal.
        unintended_total: Mean of the summed absolute changes of the other variables, in the variables' unit.
        floor: Noise floor of `unintended`, from unmoved codes that were generated again with new noise.
    """

    gain: float
    unintended: float
    unintended_total: float
    floor: float | None = None


def movement(
    requested: Float[np.ndarray, "point trial"],
    achieved: Float[np.ndarray, "point trial variable"],
    *,
    moved: int,
    still: Float[np.ndarray, "trial variable"] | None = None,
) -> Movement:
    """Compute gain and unintended movement of a traversal.

    Changes are relative to the point with the smallest requested change, which should be 0.

    Args:
        requested: Requested change at each point.
        achieved: Variables decoded at each point.
        moved: Index of the variable that should move.
        still: Variables decoded from the unmoved codes with new noise, for the floor.
    """
    unmoved = np.abs(requested).mean(1).argmin()  # index of the point with the smallest requested change
    requested_change = np.delete(requested - requested[unmoved], unmoved, 0)  # (other point, trial)
    change = np.delete(achieved - achieved[unmoved], unmoved, 0)  # (other point, trial, variable)
    change_of_others = np.abs(np.delete(change, moved, 2)).sum(2).mean()
    change_of_moved = np.abs(change[..., moved]).mean()
    gain = float((requested_change * change[..., moved]).sum() / np.square(requested_change).sum())
    floor = None
    if still is not None:
        noise_of_others = np.abs(np.delete(still - achieved[unmoved], moved, 1)).sum(1).mean()
        floor = float(noise_of_others / change_of_moved)
    return Movement(gain, float(change_of_others / change_of_moved), float(change_of_others), floor)
