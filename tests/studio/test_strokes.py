"""Strokes become series with the right speed, length and warnings."""

import numpy as np
import pytest

from spikeloom.errors import ConditionError
from spikeloom.studio.strokes import SMOOTHING, Reach, read_stroke

LINE = [[0.1 * t, 0.2 * t, t] for t in np.linspace(0, 1, 30).tolist()]


def test_a_straight_line_has_its_velocity_in_every_bin():
    stroke = read_stroke(LINE, bin_width=0.02, smooth=False)
    assert stroke.velocity.shape == (50, 2)
    np.testing.assert_allclose(stroke.velocity, [[0.1, 0.2]] * 50, atol=1e-9)
    np.testing.assert_allclose(stroke.path[-1], [0.1, 0.2], atol=1e-9)


def test_the_integral_of_the_velocity_is_the_path():
    rng = np.random.default_rng(0)
    points = np.column_stack([rng.normal(size=(40, 2)).cumsum(0), np.sort(rng.uniform(0, 2, 40))])
    stroke = read_stroke(points.tolist(), bin_width=0.05, smooth=True)
    np.testing.assert_allclose(stroke.start + np.cumsum(stroke.velocity * 0.05, 0), stroke.path, atol=1e-9)


def test_smoothing_lowers_the_peak_of_a_jump():
    points = [[0.0, 0.0, 0.0], [0.0, 0.0, 0.5], [1.0, 0.0, 0.501], [1.0, 0.0, 1.0]]
    rough, smooth = (read_stroke(points, bin_width=0.01, smooth=flag) for flag in (False, True))
    expected = 1 / (np.sqrt(2 * np.pi) * SMOOTHING)  # density of the Gaussian at its centre
    assert smooth.velocity[:, 0].max() == pytest.approx(expected, rel=0.05)
    assert rough.velocity[:, 0].max() > 5 * expected
    assert smooth.path[-1, 0] == pytest.approx(1, abs=1e-6)


def test_scale_enlarges_around_the_first_point():
    points = [[1.0, 1.0, 0.0], [2.0, 3.0, 1.0]]
    stroke = read_stroke(points, bin_width=0.1, scale=2, smooth=False)
    np.testing.assert_allclose(stroke.path[-1], [3, 5])


def test_a_number_of_bins_stretches_the_stroke_in_time():
    stroke = read_stroke(LINE, bin_width=0.02, n_bins=100, smooth=False)
    np.testing.assert_allclose(stroke.velocity, [[0.05, 0.1]] * 100, atol=1e-9)


def test_of_points_at_one_time_the_last_one_counts():
    twice = [[0.0, 0.0, 0.0], [9.0, 9.0, 0.5], [0.5, 0.0, 0.5], [1.0, 0.0, 1.0]]
    stroke = read_stroke(twice, bin_width=0.5, smooth=False)
    np.testing.assert_allclose(stroke.velocity, [[1, 0], [1, 0]])


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ([[0, 0, 0]], "1 point"),
        ([[0, 0, 0], [1, 1, 0]], "do not increase"),
        ([[0, 0, 1], [1, 1, 0]], "do not increase"),
        ([[0, 0, 0], [1, 1, 1e6]], "at most 3000 bins"),
    ],
)
def test_impossible_strokes_are_refused(points, words):
    with pytest.raises(ConditionError, match=words):
        read_stroke(points, bin_width=0.02, smooth=True)


def usual() -> Reach:
    """Return slow movements in the unit square, which begin at rest."""
    rng = np.random.default_rng(1)
    time = np.linspace(0, 1, 41)[:, None]
    course = 10 * time**3 - 15 * time**4 + 6 * time**5
    paths = rng.uniform(-1, 1, (50, 1, 2)) + course * rng.uniform(-0.3, 0.3, (50, 1, 2))
    velocities = np.diff(paths, axis=1) / 0.025
    return Reach.of(paths[:, 1:], velocities, np.full(50, 40), "m")


def stroke_of(length: float, seconds: float, *, ease: bool = True):
    """Return a stroke along x that begins slowly or at once."""
    time = np.linspace(0, 1, 60)
    course = 10 * time**3 - 15 * time**4 + 6 * time**5 if ease else time
    points = np.column_stack([length * course, 0 * time, seconds * time])
    return read_stroke(points.tolist(), bin_width=0.025, smooth=False)


def test_usual_strokes_have_no_warning():
    assert usual().warnings(stroke_of(0.2, 1), kind="velocity", bin_width=0.025) == []


@pytest.mark.parametrize(
    ("stroke", "kind", "words"),
    [
        (stroke_of(3, 1), "velocity", "more slowly"),
        (stroke_of(0.3, 1, ease=False), "velocity", "Begin slowly"),
        (stroke_of(0.3, 2), "velocity", "extrapolates in time"),
        (stroke_of(4, 20), "position", "outside the positions"),
    ],
)
def test_strokes_unlike_training_are_named(stroke, kind, words):
    sentences = usual().warnings(stroke, kind=kind, bin_width=0.025)
    assert any(words in sentence for sentence in sentences)
