r"""Contents of codes: the behavioural variables that can be decoded from codes (one vector per trial).

The variables are searched among all conditions and behaviour series of the trials. Candidates are all variables of
`disentanglement.variable` that are finite and vary: conditions of numbers, cosine and sine of angles, the numbers of
vector conditions, and three numbers for each dimension of a behaviour series: its value in the last bin ("hand.0"), its
mean over the first bins ("hand.0.start") and its mean over the trial ("hand.0.mean"). A condition of text is one
candidate, with all its values together.

A ridge regression from codes is fitted to one set of trials and evaluated on another set:

.. math:: R^2 = 1 - \sum (v - \hat v)^2 / \sum (v - \bar v)^2, \qquad
          \mathrm{SNR} = \mathrm{Var}(\hat v) / \mathrm{Var}(v - \hat v).

The chance level is the largest :math:`R^2` in `SHUFFLES` repetitions with codes that were exchanged between trials.
Codes hold a variable if its :math:`R^2` exceeds the chance level and `LEAST_R2`.

The direction of a variable is :math:`\mathrm{Cov}(c, v)`, the change of the code with the variable while all other
variables change as they do in the trials. So two variables that always change together have an angle of 0 degrees.

The stability of codes is measured by canonical correlations between the codes of two models for the same trials. Pairs
of directions are fitted to one set of trials, with shrunk covariances, and correlated on another set. The correlations
do not depend on the axes of the codes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from spikeloom.angles import period_of
from spikeloom.errors import DataError
from spikeloom.metrics.decoding import FOLDS, Ridge, r_squared
from spikeloom.metrics.disentanglement import variable
from spikeloom.metrics.shrinkage import ledoit_wolf
from spikeloom.shapes import Numbers
from spikeloom.text import counted
from spikeloom.trials import Trials

SHUFFLES = 20
"""Number of exchanges of codes between trials, for the chance level."""

LEAST_R2 = 0.05
"""Codes hold a variable only if its R^2 is larger than this, whatever the chance level."""

MOST_VALUES = 40
"""A condition of text with more values than this is left out."""

LEAST_SD = 1e-4
"""Directions in which codes have a smaller sd, relative to the largest, have no canonical correlations."""

PLANES = 2
"""Number of planes of code space in which variables are drawn."""


@dataclass(frozen=True, eq=False)
class Content:
    """One variable and how well codes hold it.

    Args:
        name: Name of the variable, as in `disentanglement.variable`, or of a condition of text.
        r2: Fraction of its variance that a linear map of the code explains in the evaluated trials.
        chance: Largest fraction with codes that were exchanged between trials.
        snr: Ratio of explained to residual variance.
        values: Values in the evaluated trials (trial,); numbers of the sorted values for a condition of text.
        direction: Unit vector along which the code changes with the variable (code,); None for a condition of text.
    """

    name: str
    r2: float
    chance: float
    snr: float
    values: Numbers
    direction: Numbers | None

    @property
    def is_held(self) -> bool:
        """True if the codes contain the variable: R^2 exceeds the chance level and `LEAST_R2`."""
        return self.r2 > max(self.chance, LEAST_R2)


@dataclass(frozen=True, eq=False)
class Contents:
    """All variables of the trials, sorted by how well codes hold them, and coordinates in code space.

    Args:
        each: The variables, by decreasing R^2.
        coordinates: Evaluated codes along the orthogonal directions in which codes change most with the held variables
            (trial, direction); at most `2 * PLANES` directions.
    """

    each: tuple[Content, ...]
    coordinates: Numbers

    @property
    def held(self) -> tuple[Content, ...]:
        """The variables that codes hold."""
        return tuple(content for content in self.each if content.is_held)

    def angles(self) -> tuple[tuple[str, ...], Float[np.ndarray, "variable variable"]]:
        """Return names of the held numbers, and the angle between each pair of their directions, 0 to 90 degrees."""
        directions = {content.name: content.direction for content in self.held if content.direction is not None}
        columns = np.stack(list(directions.values()), 1) if directions else np.zeros((0, 0))
        return tuple(directions), np.rad2deg(np.arccos(np.clip(np.abs(columns.T @ columns), 0, 1)))

    def plane(self, content: Content) -> int:
        """Return the index of the plane whose two coordinates explain most variance of a variable."""
        n_planes = max(1, self.coordinates.shape[1] // 2)
        planes = [self.coordinates[:, 2 * k : 2 * k + 2] for k in range(n_planes)]
        targets = _columns_of(content.values, text=content.direction is None)
        return int(np.argmax([_linear_r2(plane, targets) for plane in planes]))


def contents(reference: Trials, tested: Trials) -> Contents:
    """Find the variables that codes hold.

    Args:
        reference: Trials with codes, to which the regressions are fitted.
        tested: Other trials with codes of the same model, on which the regressions are evaluated.

    Raises:
        DataError: if trials have no codes, or no variable varies in both sets of trials.
    """
    if reference.codes is None or tested.codes is None:
        raise DataError("The contents of codes need trials with codes.", "", "Encode them with a model that has codes.")
    codes = [np.asarray(part.codes, np.float64) for part in (reference, tested)]
    names = [name for name in candidates(reference) if name in candidates(tested)]
    if not names or len(reference) < 2 * FOLDS:
        raise DataError(
            f"The contents of codes need a variable that varies, and at least {2 * FOLDS} reference trials.",
            f"There are {counted(len(names), 'variable')} and {counted(len(reference), 'reference trial')}.",
            "Keep columns when binning, with --condition NAME or --behavior NAME.",
        )
    each = sorted((_content(name, reference, tested, codes) for name in names), key=lambda content: -content.r2)
    return Contents(tuple(each), _coordinates(each, codes[1]))


def candidates(trials: Trials) -> list[str]:
    """Return the names of all variables that are finite and vary over the trials; see the module."""
    names: list[str] = []
    for name, column in trials.conditions.items():
        if column.dtype.kind in "US":
            names += [name] if 1 < len(np.unique(column)) <= MOST_VALUES else []
        elif column.ndim == 1:
            names += [f"{name}.cos", f"{name}.sin"] if name.endswith(("_deg", "_rad")) else [name]
        elif column.ndim == 2:
            names += [f"{name}.{k}" for k in range(column.shape[1])]
    for name, series in trials.behavior.items():
        if period_of(name, trials.units.get(name, ""), np.asarray(series)[trials.mask]) is None:
            dims = [f"{name}.{k}" for k in range(series.shape[2])]
            names += [f"{dim}{part}" for dim in dims for part in ("", ".start", ".mean")]
    return [name for name in names if _varies(trials, name)]


def canonical_correlations(
    fitted: tuple[Float[np.ndarray, "trial a"], Float[np.ndarray, "trial b"]],
    tested: tuple[Float[np.ndarray, "other a"], Float[np.ndarray, "other b"]],
) -> Float[np.ndarray, " pair"]:
    """Return the correlations of canonical pairs of directions in which codes vary, in the order of the fit.

    Args:
        fitted: Codes of two models for the same trials, to which the pairs are fitted.
        tested: Codes of the two models for other trials, on which the pairs are correlated.
    """
    whitened = []
    maps = []  # from codes to whitened codes, without directions in which codes do not vary
    for codes in fitted:
        centred = np.asarray(codes, np.float64) - np.mean(codes, 0, dtype=np.float64)
        covariance = centred.T @ centred / len(centred)
        # directions with an sd of at least `LEAST_SD` times the largest one; the norm is the largest singular value
        n_varying = np.linalg.matrix_rank(centred, tol=LEAST_SD * np.linalg.norm(centred, 2))
        shrinkage, variance = ledoit_wolf(centred, covariance)
        covariance = (1 - shrinkage) * covariance + shrinkage * max(variance, 1e-12) * np.eye(len(covariance))
        values, vectors = np.linalg.eigh(covariance)  # in rising order
        maps.append((vectors / np.sqrt(values))[:, len(values) - n_varying :])
        whitened.append(centred @ maps[-1])
    left, _, right = np.linalg.svd(whitened[0].T @ whitened[1] / len(whitened[0]), full_matrices=False)
    # coordinates of the tested codes along the pairs of directions (other, pair)
    first = np.asarray(tested[0]) @ maps[0] @ left
    second = np.asarray(tested[1]) @ maps[1] @ right.T
    first = first - first.mean(0)
    second = second - second.mean(0)
    scale = np.sqrt(np.square(first).sum(0) * np.square(second).sum(0))
    return (first * second).sum(0) / np.maximum(scale, 1e-300)


def _content(name: str, reference: Trials, tested: Trials, codes: Sequence[Numbers]) -> Content:
    """Decode one variable from codes; `codes` holds the codes of the reference trials and of the tested trials."""
    # names such as "hand.0" are not among the conditions; their variables are numbers
    is_text = reference.conditions.get(name, np.zeros(0)).dtype.kind in "US"
    fitted = _targets(reference, name, reference)  # the variable in the reference trials (trial, column)
    target = _targets(tested, name, reference)  # the variable in the tested trials (trial, column)
    fold = np.arange(len(reference)) % FOLDS
    predicted = Ridge.fit(codes[0], fitted, fold).predict(codes[1])
    rng = np.random.default_rng(0)
    # codes of both sets, exchanged between the trials of each set, several times
    exchanged = [[rng.permutation(codes_of_set) for codes_of_set in codes] for _ in range(SHUFFLES)]
    chance = max(
        r_squared(target, Ridge.fit(fitted_codes, fitted, fold).predict(tested_codes)) or 0.0
        for fitted_codes, tested_codes in exchanged
    )
    snr = float(predicted.var(0).sum() / max((target - predicted).var(0).sum(), 1e-300))
    direction = None
    if not is_text:
        covariance = (codes[0] - codes[0].mean(0)).T @ (fitted[:, 0] - fitted[:, 0].mean())  # Cov(c, v), up to a factor
        direction = covariance / max(float(np.linalg.norm(covariance)), 1e-300)
    values = np.unique(tested.conditions[name], return_inverse=True)[1].ravel() if is_text else target[:, 0]
    return Content(name, r_squared(target, predicted) or 0.0, chance, snr, values, direction)


def _targets(trials: Trials, name: str, reference: Trials) -> Numbers:
    """Return a variable as columns (trial, column). Numbers are one column, text one column per reference value."""
    if name in reference.conditions and reference.conditions[name].dtype.kind in "US":
        return (trials.conditions[name][:, None] == np.unique(reference.conditions[name])).astype(np.float64)
    return variable(trials, name)[:, None]


def _varies(trials: Trials, name: str) -> bool:
    """Return whether a variable is finite in all trials and not constant."""
    if name in trials.conditions and trials.conditions[name].dtype.kind in "US":
        return True
    stem = name.split(".")[0]  # name of the condition or series without the dimension
    column = trials.conditions[stem] if stem in trials.conditions else trials.behavior[stem]
    valid = column[trials.mask] if column.ndim == 3 else column  # padding of a series may hold NaN
    if column.dtype.kind not in "uifb" or not np.isfinite(valid).all():
        return False
    values = variable(trials, name)
    # smaller differences are rounding errors
    return bool(np.ptp(values) > 1e-9 * max(1e-300, float(np.abs(values).max())))


def _coordinates(each: Sequence[Content], codes: Numbers) -> Numbers:
    """Return codes along the leading directions in which they change with the held variables."""
    held = [content for content in each if content.is_held]
    # directions of variables that are held well have more weight
    columns = [content.direction * np.sqrt(content.r2) for content in held if content.direction is not None]
    if not columns:  # no variable has a direction: the first numbers of the code
        return codes[:, : 2 * PLANES] - codes[:, : 2 * PLANES].mean(0)
    # Orthogonal directions (code, direction), the most important first. With `full_matrices`, there are enough of them
    # for all planes, even if few variables are held.
    directions = np.linalg.svd(np.stack(columns, 1), full_matrices=True)[0][:, : 2 * PLANES]
    return (codes - codes.mean(0)) @ directions


def _columns_of(values: Numbers, *, text: bool) -> Numbers:
    """Return a variable as columns (trial, column). Text has one column per distinct value, numbers have one column."""
    return (values[:, None] == np.unique(values)).astype(np.float64) if text else values[:, None].astype(np.float64)


def _linear_r2(inputs: Numbers, targets: Numbers) -> float:
    """Return the fraction of variance of targets (row, column) that a linear map of inputs (row, input) explains."""
    x = inputs - inputs.mean(0)
    y = targets - targets.mean(0)
    return r_squared(y, x @ np.linalg.lstsq(x, y, rcond=None)[0]) or 0.0
