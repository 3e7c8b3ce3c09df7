"""The space of training codes: whitening, its inverse, and the warning about codes far outside."""

import warnings

import numpy as np
import pytest
import torch

from spikeloom.errors import ShapeError
from spikeloom.nn.codes import CodeRangeWarning, CodeSpace


@pytest.fixture
def space():
    rng = np.random.default_rng(0)
    codes = (rng.standard_normal((500, 3)) @ rng.normal(size=(3, 3)) + 2).astype(np.float32)
    made = CodeSpace(3)
    made.fit(codes)
    return made, codes


def test_white_codes_have_unit_covariance_and_come_back(space):
    made, codes = space
    white = made.whiten(torch.tensor(codes))
    np.testing.assert_allclose(white.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(white.T @ white / 500, np.eye(3), atol=1e-3)
    np.testing.assert_allclose(made.color(white), codes, atol=1e-4)


def test_training_codes_are_inside_and_the_distance_is_that_of_mahalanobis(space):
    made, codes = space
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made.check(codes)
    away = codes.mean(0) + 30 * np.linalg.eigh(np.cov(codes.T))[1][:, :1].T.astype(np.float32)
    centred = away - codes.mean(0)
    far = float(np.sqrt(centred @ np.linalg.inv(np.cov(codes.T, bias=True)) @ centred.T)[0, 0])
    with pytest.warns(CodeRangeWarning, match=f"lies {far:.3g} standard deviations"):
        made.check(away.astype(np.float32))


def test_a_code_that_never_varies_is_no_obstacle():
    made = CodeSpace(2)
    codes = np.random.default_rng(0).standard_normal((50, 2)).astype(np.float32)
    codes[:, 1] = 0.5
    made.fit(codes)
    assert torch.isfinite(made.whiten(torch.tensor(codes))).all()


def test_codes_of_wrong_size_are_refused(space):
    with pytest.raises(ShapeError, match=r"axes \(trial, 3\)"):
        space[0].check(np.zeros((2, 4), np.float32))
