r"""Scores of the alignment of single entries of a code with single variables: DCI, MIG, SAP.

All three scores are high if the axes of code space are the variables. The codes of a model with the prior N(0, I) are
determined only up to a rotation. Each score is therefore computed three times: raw, after a varimax rotation fitted to
training codes, and after a random rotation (the control); and once with codes shuffled over trials (the floor).

* DCI: a regressor per variable k gives importances :math:`R_{jk} \ge 0` of code j. Disentanglement
  :math:`\sum_j w_j (1 - H(R_{j\cdot} / \sum_k R_{jk}) / \log K)`, w the share of code j in all importance;
  completeness the same per variable over the L codes, averaged; informativeness :math:`R^2` on other trials.
* MIG: mutual information of code j and variable k in bins of equal mass; (largest - second) / H(variable), averaged.
* SAP: :math:`R^2` of the best single code minus that of the second best, averaged over variables.

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
"""Largest number of trials to which the boosted trees are fitted: more take minutes and change little."""


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
    """Compute the scores "raw", after "varimax", after a "random" rotation, and of shuffled codes ("floor").

    Args:
        train: Codes (trial, code) and variables (trial, variable) to fit regressors and rotation on.
        test: Codes and variables of other trials, for informativeness, MIG and SAP.
        regressor: Regressor from which DCI takes its importances.
        seed: Random seed of the random rotation and of the shuffling.
    """
    rng = np.random.default_rng(seed)
    size = train[0].shape[1]
    random, _ = np.linalg.qr(rng.standard_normal((size, size)))
    turns = {"raw": np.eye(size), "varimax": varimax(train[0] - train[0].mean(0)), "random": random}
    scores = {}
    for name, turn in turns.items():
        scores[name] = _scores((train[0] @ turn, train[1]), (test[0] @ turn, test[1]), regressor, seed)
    dealt = [(codes[rng.permutation(len(codes))], values) for codes, values in (train, test)]
    return scores | {"floor": _scores(dealt[0], dealt[1], regressor, seed)}


def _scores(train: tuple[Numbers, Numbers], test: tuple[Numbers, Numbers], regressor: str, seed: int) -> AxisScores:
    importances, r2 = _trees(train, test, seed) if regressor == "trees" else _lasso(train, test)
    disentanglement, completeness = dci_of(importances)
    return AxisScores(DCI(disentanglement, completeness, r2), mig(*test), sap(*test))


def dci_of(importances: Float[np.ndarray, "code variable"]) -> tuple[float, float]:
    """Compute disentanglement and completeness from a table of importances."""
    total = importances.sum()
    if total <= 0:
        return 0.0, 0.0
    per_code = importances.sum(1)
    per_variable = importances.sum(0)
    codes = 1 - _entropy(importances / np.maximum(per_code, 1e-300)[:, None], 1) / np.log(max(importances.shape[1], 2))
    named = 1 - _entropy(importances / np.maximum(per_variable, 1e-300), 0) / np.log(max(importances.shape[0], 2))
    return float((per_code / total * codes).sum()), float(named[per_variable > 0].mean())


def _entropy(shares: NDArray[np.float64], axis: int) -> NDArray[np.float64] | np.float64:
    return -(shares * np.log(np.where(shares > 0, shares, 1))).sum(axis)


def mig(codes: Float[np.ndarray, "trial code"], values: Float[np.ndarray, "trial variable"]) -> float:
    """Compute the mutual information gap: (best - second best code) / entropy of the variable, averaged."""
    gaps = []
    for value in values.T:
        factor = _binned(value)
        entropy = _entropy(np.bincount(factor) / len(factor), 0)
        information = np.sort([_information(_binned(code), factor) for code in codes.T])
        second = information[-2] if len(information) > 1 else 0.0
        gaps.append((information[-1] - second) / entropy if entropy > 0 else 0.0)
    return float(np.mean(gaps))


def _binned(values: Numbers) -> Numbers:
    """Return the bin of each value for bins of equal mass; equal values share a bin."""
    edges = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1]))
    return np.searchsorted(edges, values, side="right")


def _information(first: Numbers, second: Numbers) -> float:
    """Return the mutual information of two discrete variables in nats."""
    table = np.zeros((first.max() + 1, second.max() + 1))
    np.add.at(table, (first, second), 1 / len(first))
    apart = table.sum(1, keepdims=True) * table.sum(0, keepdims=True)
    occupied = table > 0
    return float((table[occupied] * np.log(table[occupied] / apart[occupied])).sum())


def sap(codes: Float[np.ndarray, "trial code"], values: Float[np.ndarray, "trial variable"]) -> float:
    """Compute the separated attribute predictability: squared correlation of the best minus the second best code."""
    c = codes - codes.mean(0)
    v = values - values.mean(0)
    scale = np.sqrt(np.outer(np.square(c).sum(0), np.square(v).sum(0)))
    squared = np.sort(np.square(c.T @ v / np.where(scale > 0, scale, np.inf)), 0)
    second = squared[-2] if len(squared) > 1 else 0.0
    return float((squared[-1] - second).mean())


def varimax(centred: Float[np.ndarray, "trial code"], *, rounds: int = 200) -> Float[np.ndarray, "code code"]:
    """Return the varimax rotation, which maximises the variance of the squared codes: few large and many small values.

    Source: Kaiser 1958; the usual singular-value iteration.
    """
    turn = np.eye(centred.shape[1])
    before = 0.0
    for _ in range(rounds):
        turned = centred @ turn
        gradient = centred.T @ (turned**3 - turned * np.square(turned).mean(0))
        left, values, right = np.linalg.svd(gradient)
        turn = left @ right
        if values.sum() <= before * (1 + 1e-9):
            break
        before = values.sum()
    return turn


def _trees(train: tuple[Numbers, Numbers], test: tuple[Numbers, Numbers], seed: int) -> tuple[Numbers, float]:
    """Return importances (code, variable) of gradient-boosted trees, and their mean R^2 on other trials."""
    ensemble = _sklearn("sklearn.ensemble")
    codes, values = (side[:MOST_TRIALS] for side in train)
    columns = []
    r2 = []
    for k, value in enumerate(values.T):
        trees = ensemble.GradientBoostingRegressor(subsample=0.5, random_state=seed).fit(codes, value)
        columns.append(trees.feature_importances_)
        r2.append(trees.score(test[0], test[1][:, k]))
    return np.stack(columns, 1), float(np.mean(r2))


def _lasso(train: tuple[Numbers, Numbers], test: tuple[Numbers, Numbers]) -> tuple[Numbers, float]:
    """Return importances (code, variable), the absolute weights of a lasso on standardised codes, and its mean R^2."""
    linear = _sklearn("sklearn.linear_model")
    mean = train[0].mean(0)
    sd = train[0].std(0) + 1e-12
    columns = []
    r2 = []
    for k, value in enumerate(train[1].T):
        lasso = linear.LassoCV(cv=5).fit((train[0] - mean) / sd, value)
        columns.append(np.abs(lasso.coef_) / max(value.std(), 1e-300))
        r2.append(lasso.score((test[0] - mean) / sd, test[1][:, k]))
    return np.stack(columns, 1), float(np.mean(r2))


def _sklearn(part: str) -> ModuleType:
    from importlib import import_module

    try:
        return import_module(part)
    except ImportError as error:
        raise missing_extra("DCI needs", "scikit-learn", "decoders") from error
