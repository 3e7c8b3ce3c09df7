r"""DCI, MIG and SAP: scores of the alignment of single numbers of a code with single behavioural variables.

All three scores are high if each number of a code describes one variable. The codes of a model with the prior N(0, I)
are determined only up to a rotation. Each score is therefore computed without a rotation, after a varimax rotation
fitted to training codes, and after a random rotation (the control). The chance level (the floor) is computed with codes
shuffled over trials.

* DCI (disentanglement, completeness, informativeness): a regression that predicts the variable k from a code gives an
  importance :math:`R_{jk} \ge 0` to number j of the code. Disentanglement is
  :math:`\sum_j w_j (1 - H(R_{j\cdot} / \sum_k R_{jk}) / \log K)`, with the entropy H, K variables, and the share w_j of
  number j in all importances. Completeness is computed in the same way for each variable, with the entropy over the L
  numbers of the code, and averaged over variables. Informativeness is the :math:`R^2` of the prediction on other
  trials.
* MIG (mutual information gap): the mutual information of each number of the code and a variable, both in bins of equal
  mass. The score is the largest value minus the second largest, divided by the entropy of the variable, and averaged
  over variables.
* SAP (separated attribute predictability): :math:`R^2` of the best single number of the code minus :math:`R^2` of the
  second best, averaged over variables.

Sources: Eastwood, Williams 2018; Chen, Li, Grosse, Duvenaud 2018; Kumar, Sattigeri, Balakrishnan 2018; METHODS 5.4.
"""

from dataclasses import dataclass
from types import ModuleType
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from spikeloom.errors import missing_extra
from spikeloom.shapes import Numbers

BINS = 20
"""Number of bins of equal mass in the mutual information; fewer if a variable has fewer values."""

MOST_TRIALS = 1000
"""Largest number of trials to which the boosted trees are fitted. More trials take minutes and change little."""


@dataclass(frozen=True)
class DCI:
    """Disentanglement, completeness and informativeness; 1 is ideal for each."""

    disentanglement: float
    completeness: float
    informativeness: float


@dataclass(frozen=True)
class AxisScores:
    """All scores of codes in one orientation."""

    dci: DCI
    mig: float
    sap: float


def axis_scores(
    train: tuple[Numbers, Numbers],
    test: tuple[Numbers, Numbers],
    *,
    regressor: Literal["trees", "lasso"] = "trees",
    seed: int = 0,
) -> dict[str, AxisScores]:
    """Compute the scores of raw codes, of codes after a varimax or a random rotation, and of shuffled codes.

    Args:
        train: Codes (trial, code) and variables (trial, variable), to which regressors and rotation are fitted.
        test: Codes and variables of other trials, for informativeness, MIG and SAP.
        regressor: Regressor from which DCI takes its importances.
        seed: Random seed of the random rotation and of the shuffling.

    Returns:
        Scores named "raw", "varimax", "random" (rotation) and "floor" (shuffled codes).
    """
    rng = np.random.default_rng(seed)
    size = train[0].shape[1]
    random_rotation, _ = np.linalg.qr(rng.standard_normal((size, size)))
    rotations = {"raw": np.eye(size), "varimax": varimax(train[0] - train[0].mean(0)), "random": random_rotation}
    scores = {}
    for name, rotation in rotations.items():
        scores[name] = _scores((train[0] @ rotation, train[1]), (test[0] @ rotation, test[1]), regressor, seed)
    shuffled = [(codes[rng.permutation(len(codes))], values) for codes, values in (train, test)]
    return scores | {"floor": _scores(shuffled[0], shuffled[1], regressor, seed)}


def _scores(train: tuple[Numbers, Numbers], test: tuple[Numbers, Numbers], regressor: str, seed: int) -> AxisScores:
    """Compute the scores of codes in one orientation; see `axis_scores` for the arguments."""
    importances, r2 = _trees(train, test, seed) if regressor == "trees" else _lasso(train, test)
    disentanglement, completeness = dci_of(importances)
    return AxisScores(DCI(disentanglement, completeness, r2), mig(*test), sap(*test))


def dci_of(importances: Float[np.ndarray, "code variable"]) -> tuple[float, float]:
    """Compute disentanglement and completeness from a table of importances."""
    total = importances.sum()
    if total <= 0:
        return 0.0, 0.0
    n_codes, n_variables = importances.shape
    per_code = importances.sum(1)
    per_variable = importances.sum(0)
    # 1e-300 avoids a division of 0 by 0: a number of the code or a variable may have no importance
    code_entropy = _entropy(importances / np.maximum(per_code, 1e-300)[:, None], 1)
    variable_entropy = _entropy(importances / np.maximum(per_variable, 1e-300), 0)
    disentanglement = 1 - code_entropy / np.log(max(n_variables, 2))
    completeness = 1 - variable_entropy / np.log(max(n_codes, 2))
    return float((per_code / total * disentanglement).sum()), float(completeness[per_variable > 0].mean())


def _entropy(shares: NDArray[np.float64], axis: int) -> NDArray[np.float64] | np.float64:
    """Return the entropy of shares along an axis, in nats; a share of 0 adds nothing."""
    return -(shares * np.log(np.where(shares > 0, shares, 1))).sum(axis)


def mig(codes: Float[np.ndarray, "trial code"], values: Float[np.ndarray, "trial variable"]) -> float:
    """Compute the mutual information gap, averaged over variables.

    For each variable, the gap is the difference between the two largest mutual informations of a number of the code
    with the variable, divided by the entropy of the variable.
    """
    gaps = []
    for value in values.T:  # values of one variable (trial,)
        variable_bins = _binned(value)
        entropy = _entropy(np.bincount(variable_bins) / len(variable_bins), 0)
        # of each number of the code with the variable, in rising order
        information = np.sort([_information(_binned(number), variable_bins) for number in codes.T])
        second = information[-2] if len(information) > 1 else 0.0
        gaps.append((information[-1] - second) / entropy if entropy > 0 else 0.0)
    return float(np.mean(gaps))


def _binned(values: Numbers) -> Numbers:
    """Return the bin of each value for bins of equal mass; equal values share a bin."""
    edges = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1]))
    return np.searchsorted(edges, values, side="right")


def _information(first: Numbers, second: Numbers) -> float:
    """Return the mutual information of two discrete variables in nats."""
    joint = np.zeros((first.max() + 1, second.max() + 1))  # joint distribution of both variables
    np.add.at(joint, (first, second), 1 / len(first))
    independent = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    occupied = joint > 0
    return float((joint[occupied] * np.log(joint[occupied] / independent[occupied])).sum())


def sap(codes: Float[np.ndarray, "trial code"], values: Float[np.ndarray, "trial variable"]) -> float:
    """Compute the separated attribute predictability: squared correlation of the best minus the second best number.

    The numbers are those of the code, and the difference is averaged over variables.
    """
    centred_codes = codes - codes.mean(0)
    centred_values = values - values.mean(0)
    scale = np.sqrt(np.outer(np.square(centred_codes).sum(0), np.square(centred_values).sum(0)))
    correlations = centred_codes.T @ centred_values / np.where(scale > 0, scale, np.inf)
    squared = np.sort(np.square(correlations), 0)  # of each number of the code (row) with each variable (column)
    second = squared[-2] if len(squared) > 1 else 0.0
    return float((squared[-1] - second).mean())


def varimax(centred: Float[np.ndarray, "trial code"], *, rounds: int = 200) -> Float[np.ndarray, "code code"]:
    """Return the varimax rotation, which maximises the variance of the squared codes: few large and many small values.

    Args:
        centred: Codes minus their mean.
        rounds: Largest number of iterations.

    Source: Kaiser 1958; the usual singular-value iteration.
    """
    rotation = np.eye(centred.shape[1])
    previous_sum = 0.0
    for _ in range(rounds):
        rotated = centred @ rotation
        gradient = centred.T @ (rotated**3 - rotated * np.square(rotated).mean(0))
        left, values, right = np.linalg.svd(gradient)
        rotation = left @ right  # the orthogonal matrix that is nearest to the gradient
        if values.sum() <= previous_sum * (1 + 1e-9):  # the criterion no longer grows
            break
        previous_sum = values.sum()
    return rotation


def _trees(train: tuple[Numbers, Numbers], test: tuple[Numbers, Numbers], seed: int) -> tuple[Numbers, float]:
    """Return importances (code, variable) of gradient-boosted trees, and their mean R^2 on other trials.

    Args:
        train: Codes (trial, code) and variables (trial, variable), to which the trees are fitted.
        test: Codes and variables of the other trials.
        seed: Random seed of the trees.
    """
    ensemble = _sklearn("sklearn.ensemble")
    codes = train[0][:MOST_TRIALS]
    values = train[1][:MOST_TRIALS]
    columns = []
    r2 = []
    for variable, value in enumerate(values.T):
        trees = ensemble.GradientBoostingRegressor(subsample=0.5, random_state=seed).fit(codes, value)
        columns.append(trees.feature_importances_)
        r2.append(trees.score(test[0], test[1][:, variable]))
    return np.stack(columns, 1), float(np.mean(r2))


def _lasso(train: tuple[Numbers, Numbers], test: tuple[Numbers, Numbers]) -> tuple[Numbers, float]:
    """Return importances (code, variable), the absolute weights of a lasso on standardised codes, and its mean R^2.

    Args:
        train: Codes (trial, code) and variables (trial, variable), to which the lasso is fitted.
        test: Codes and variables of other trials, for R^2.
    """
    linear = _sklearn("sklearn.linear_model")
    mean = train[0].mean(0)
    sd = train[0].std(0) + 1e-12  # above 0 also for a number of the code that does not vary
    columns = []
    r2 = []
    for variable, value in enumerate(train[1].T):
        lasso = linear.LassoCV(cv=5).fit((train[0] - mean) / sd, value)
        columns.append(np.abs(lasso.coef_) / max(value.std(), 1e-300))  # independent of the unit of the variable
        r2.append(lasso.score((test[0] - mean) / sd, test[1][:, variable]))
    return np.stack(columns, 1), float(np.mean(r2))


def _sklearn(part: str) -> ModuleType:
    """Import a module of scikit-learn, or raise an error that says how to install it."""
    from importlib import import_module

    try:
        return import_module(part)
    except ImportError as error:
        raise missing_extra("DCI needs", "scikit-learn", "decoders") from error
