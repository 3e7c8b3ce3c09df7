"""Helpers against NumPy, SciPy and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from spikeloom.metrics import arrays
from spikeloom.shapes import mask_of


def dense_smooth(values, sd, mask):
    """The formula of the docstring, term by term."""
    time, out = values.shape[1], np.zeros(values.shape)
    position = np.arange(time)
    weight = np.exp(-0.5 * ((position[:, None] - position[None]) / sd) ** 2)
    weight[np.abs(position[:, None] - position[None]) > int(4 * sd + 0.5)] = 0
    for trial in range(len(values)):
        w = weight * mask[trial][None]
        out[trial] = (w @ values[trial]) / np.where(mask[trial], w.sum(1), np.inf)[:, None]
    return out


@pytest.mark.parametrize("lengths", [[9, 9, 9], [1, 5, 9]])
@pytest.mark.parametrize("sd", [0.5, 2.0])
def test_smoothing_is_its_formula_and_keeps_constants(lengths, sd):
    mask = mask_of(np.array(lengths), 9)
    values = np.random.default_rng(0).poisson(1.0, (3, 9, 2)) * mask[:, :, None]
    np.testing.assert_allclose(arrays.smooth(values, sd=sd, mask=mask), dense_smooth(values, sd, mask), atol=1e-5)
    flat = arrays.smooth(np.ones((3, 9, 2)) * mask[:, :, None], sd=sd, mask=mask)
    np.testing.assert_allclose(flat[mask], 1, atol=1e-5)
    assert not flat[~mask].any()


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=3, max_size=9))
def test_pearson_is_scipys_or_none(points):
    x, y = np.array(points).T
    result = arrays.pearson(x, y)
    if result is None:
        assert x.std() < 1e-4 or y.std() < 1e-4
    else:
        assert result == pytest.approx(np.clip(stats.pearsonr(x, y).statistic, -1, 1), abs=1e-6)
        assert arrays.slope(x, y) is None or arrays.slope(x, y) == pytest.approx(
            np.polyfit(x, y, 1)[0], rel=1e-4, abs=1e-5
        )


def test_summaries_ignore_entries_that_are_not_there_and_never_answer_nan():
    x, y = np.array([1.0, 2, 3, np.nan, 5]), np.array([2.0, 4, 6, 1, np.nan])
    assert arrays.pearson(x, y) == pytest.approx(1)
    assert arrays.slope(x, y) == pytest.approx(2)
    assert arrays.rmse(x, y) == pytest.approx(np.sqrt(14 / 3))
    for call in (arrays.pearson, arrays.slope, arrays.rmse):
        assert call(np.full(3, np.nan), np.ones(3)) is None
    assert arrays.pearson(np.ones(5), np.arange(5.0)) is None


@pytest.mark.parametrize("shape", [(30, 8), (200, 300)])
def test_principal_components_are_those_of_scikit_learn(shape):
    from sklearn.decomposition import PCA

    rng = np.random.default_rng(1)
    x = rng.standard_normal((shape[0], 6)) @ (rng.standard_normal((6, shape[1])) * 3) + rng.standard_normal(shape)
    directions, mean = arrays.principal_components(x, components=5, rng=rng)
    oracle = PCA(5, svd_solver="full").fit(x)
    np.testing.assert_allclose(mean, oracle.mean_)
    np.testing.assert_allclose(np.abs(np.sum(directions.T * oracle.components_, 1)), 1, atol=1e-3)
    np.testing.assert_allclose(((x - mean) @ directions).var(0, ddof=1), oracle.explained_variance_, rtol=1e-3)
