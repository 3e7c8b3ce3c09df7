"""Angles: which quantities are angles, and arithmetic on the circle."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeloom import angles
from spikeloom.angles import period_of

TURN = 2 * math.pi


@pytest.mark.parametrize(
    ("name", "unit", "period"),
    [
        ("angle_deg", "", 360),
        ("direction_degrees", "", 360),
        ("heading (deg)", "", 360),
        ("heading °", "", 360),
        ("phase_rad", "", TURN),
        ("Theta Radians", "", TURN),
        ("heading", "deg", 360),
        ("heading", "Degrees", 360),
        ("heading", "°", 360),
        ("heading", "rad", TURN),
        ("heading", " radians ", TURN),
        ("heading_deg", "rad", TURN),  # the unit wins
        ("heading_deg", "unknown", 360),
        ("heading_deg", "m", None),
        ("turning", "deg/s", None),
        ("turning", "rad/s", None),
        ("gaze", "degrees of visual angle", None),
        ("angle", "", None),  # in which unit?
        ("rad", "", None),
        ("degrees_of_freedom", "", None),
        ("grad", "", None),
    ],
)
def test_the_unit_says_what_is_an_angle(name, unit, period):
    assert period_of(name, unit) == period


def test_a_series_that_counts_turns_is_a_number():
    assert period_of("wheel", "rad", np.linspace(0, 40, 50)) is None
    assert period_of("heading", "deg", [-180.0, 180.0, np.nan]) == 360
    assert period_of("heading", "deg", []) == 360


def test_the_mean_of_359_and_3_is_1():
    assert angles.circular_mean([359, 3], 360) == pytest.approx(1)
    assert angles.circular_mean([3.1, -3.1], TURN, low=-math.pi) == pytest.approx(-math.pi)
    assert np.isnan(angles.circular_mean(np.zeros((0, 2)), 360)).all()
    assert np.isnan(angles.circular_mean([1, np.nan], 360))


def test_angles_are_interpolated_across_the_end_of_the_period():
    result = angles.interpolate(np.array([0, 0.25, 0.5, 1]), np.array([0.0, 1]), [350, 30], 360)
    np.testing.assert_allclose(result, [350, 0, 10, 30], atol=1e-9)
    np.testing.assert_allclose(
        angles.interpolate(np.array([0.5]), np.array([0.0, 1]), [-170, 170], 360, low=-180), [-180]
    )


ANGLE = st.floats(-1e4, 1e4)


@settings(deadline=None)
@given(first=ANGLE, second=ANGLE, turns=st.integers(-3, 3), period=st.sampled_from([360.0, TURN]))
def test_whole_turns_change_nothing(first, second, turns, period):
    near = dict(abs=1e-9 * period)
    plain = angles.difference(first, second, period)
    assert -period / 2 <= plain < period / 2
    turned = angles.difference(first + turns * period, second, period)
    assert abs(angles.difference(plain, turned, period)) == pytest.approx(0, **near)
    low = -period / 2
    wrapped = angles.wrap(first, period, low=low)
    assert low <= wrapped < low + period
    np.testing.assert_allclose(angles.cosine_sine([first], period), angles.cosine_sine([wrapped], period), atol=1e-9)


@settings(deadline=None)
@given(low=st.sampled_from([0.0, -180.0]), tiny=st.floats(-1e-12, 0))
def test_wrapping_never_returns_the_upper_end(low, tiny):
    assert low <= angles.wrap(low + tiny, 360.0, low=low) < low + 360


def test_the_range_of_the_data_is_kept():
    assert angles.lowest([-10, 20], 360) == -180
    assert angles.lowest([0, 350, np.nan], 360) == 0


@pytest.mark.parametrize(
    ("values", "arc"),
    [([350, 10, 20], (350, 380)), ([30, 120], (30, 120)), ([-10, 10], (350, 370)), ([45], (45, 45)), ([0, 0], (0, 0))],
)
def test_the_smallest_arc_holds_all_angles(values, arc):
    assert angles.smallest_arc(values, 360.0) == pytest.approx(arc)
