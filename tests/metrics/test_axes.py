"""DCI, MIG, SAP: 1 for codes that are the variables, near 0 for unrelated codes, and changed by rotations."""

import numpy as np
import pytest

from spikeloom.metrics.axes import axis_scores, dci_of, mig, sap, varimax


def world(trials, seed):
    """Four codes, the first two of which are the variables (uniform, so that their axes are defined)."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(-1, 1, (trials, 2))
    return np.concatenate([values, rng.uniform(-1, 1, (trials, 2))], 1), values


def test_importances_in_closed_form():
    assert dci_of(np.eye(3)) == (pytest.approx(1), pytest.approx(1))
    assert dci_of(np.ones((4, 3))) == (pytest.approx(0), pytest.approx(0))
    # one code for both variables is complete but not disentangled
    assert dci_of(np.array([[1.0, 1.0], [0.0, 0.0]])) == (pytest.approx(0), pytest.approx(1))
    half = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25)) / np.log(2)
    assert dci_of(np.array([[3.0, 1.0], [1.0, 3.0]]))[0] == pytest.approx(1 - half)
    assert dci_of(np.zeros((2, 2))) == (0.0, 0.0)


def test_mutual_information_gap():
    codes, values = world(20000, 0)
    assert mig(codes, values) == pytest.approx(1, abs=0.02)  # 20 bins of 20,000: independent codes look 0.01 nats alike
    assert mig(np.concatenate([codes, codes], 1), values) == pytest.approx(0, abs=1e-9)  # two copies, no gap
    grid = np.round(2 * values)  # few distinct values share bins
    assert mig(np.concatenate([grid, codes[:, 2:]], 1), grid) == pytest.approx(1, abs=0.02)


def test_single_code_gap():
    codes, values = world(5000, 0)
    r2 = np.array([[np.corrcoef(c, v)[0, 1] ** 2 for v in values.T] for c in codes.T])
    want = (np.sort(r2, 0)[-1] - np.sort(r2, 0)[-2]).mean()
    assert sap(codes, values) == pytest.approx(want, rel=1e-9)
    assert sap(codes, values) > 0.98


def test_varimax_finds_sparse_axes():
    rng = np.random.default_rng(0)
    sparse = rng.laplace(size=(20000, 4)) ** 3
    sparse = (sparse - sparse.mean(0)) / sparse.std(0)
    turn, _ = np.linalg.qr(rng.standard_normal((4, 4)))
    result = turn @ varimax(sparse @ turn)
    np.testing.assert_allclose(np.abs(result).max(0), 1, atol=0.02)  # each axis is one of the old ones
    np.testing.assert_allclose(result.T @ result, np.eye(4), atol=1e-10)


@pytest.mark.parametrize("regressor", ["trees", "lasso"])
def test_scores_of_the_variables_themselves_and_of_a_rotation(regressor):
    pytest.importorskip("sklearn")
    train, test = world(1200, 0), world(800, 1)
    result = axis_scores(train, test, regressor=regressor)
    assert result["raw"].dci.disentanglement > 0.9
    assert result["raw"].dci.completeness > 0.9
    assert result["raw"].dci.informativeness > 0.95
    assert result["raw"].sap > 0.9
    assert result["random"].sap < 0.7
    assert result["random"].dci.disentanglement < result["raw"].dci.disentanglement - 0.1
    assert result["floor"].dci.informativeness < 0.05
    assert result["floor"].sap < 0.05
