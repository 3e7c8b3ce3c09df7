"""Directions and behaviour decoded from both sides, also for directions that were never recorded."""

import numpy as np
import pytest

from spikeloom.metrics import decoding
from spikeloom.metrics.conditional import read_behavior, read_directions, to_degrees
from spikeloom.metrics.pair import Pair
from spikeloom.trials import Trials
from tests.helpers.tuned import every, tuned


@pytest.mark.parametrize("name", ["angle_deg", "reach_rad", "angle"])
def test_directions_are_read_on_both_sides(name):
    train, test, fake = (tuned(every(45), seed=seed, name=name) for seed in (1, 2, 3))
    result = read_directions(Pair(test, fake, reference=train))
    assert result.values.tolist() == [0, 45, 90, 135, 180, 225, 270, 315]
    for side in ("real", "fake"):
        assert result.error(side).mean() < 15
        assert result.classified[side].mean() > 0.7
    assert abs(result.bias("fake", 90.0)[0]) < 15


def test_a_turned_condition_shows_as_bias():
    train, test = tuned(every(45), seed=1), tuned(every(45), seed=2)
    turned = tuned((every(45) + 30) % 360, seed=3)
    fake = Trials(turned.counts, 0.005, conditions={"angle_deg": every(45)})
    result = read_directions(Pair(test, fake, reference=train))
    biases = [result.bias("fake", value)[0] for value in result.values]
    assert np.mean(biases) == pytest.approx(30, abs=6)
    assert result.error("fake").mean() > result.error("real").mean() + 10


def test_directions_that_nobody_recorded_are_read():
    train, test, fake = tuned(every(45), seed=1), tuned(every(45), seed=2), tuned(every(45) + 22.5, seed=3)
    result = read_directions(Pair(test, fake, reference=train))
    assert result.error("fake").mean() < 15
    assert not result.classified  # the classifier has no name for them
    assert result.bias("real", 22.5) is None
    assert abs(result.bias("fake", 22.5)[0]) < 12


def test_without_a_reference_real_trials_are_held_out():
    noise = np.random.default_rng(0).poisson(0.2, (100, 60, 12))
    blind = Trials(noise, 0.005, conditions={"angle_deg": every(45, 100)})
    result = read_directions(Pair(blind, tuned(every(45), seed=3)))
    assert result.error("real").mean() > 70  # nothing can be read; a decoder that saw the trials would pretend it could


def test_behaviour_agrees_with_the_panel(make):
    train, test, fake = (make(trials=150, neurons=20, seed=seed, ragged=True) for seed in (1, 2, 3))
    pair = Pair(test, fake, reference=train)
    result = read_behavior(pair)
    real, made = decoding.decode_back(pair).detail["r2"]
    assert result.r_squared("real") == pytest.approx(real)
    assert result.r_squared("fake") == pytest.approx(made)
    short = int(np.argmin(fake.lengths))
    last = fake.lengths[short] // 4  # wide bins of 20 ms
    assert np.isfinite(result.read["fake"][short, 5:last]).all()
    assert np.isnan(result.read["fake"][short, last:]).all()
    assert np.isnan(result.read["fake"][short, :5]).all()  # no 100 ms of past
    np.testing.assert_allclose(result.requested["fake"][0, 2], fake.behavior["hand_vel"][0, 8:12].mean(0), rtol=1e-6)


def test_velocity_is_summed_to_a_path(make):
    train, test, fake = (make(trials=60, seed=seed) for seed in (1, 2, 3))
    sets = [
        Trials(t.counts, 0.005, behavior={"hand_vel": np.ones((60, 60, 2))}, units={"hand_vel": "m/s"}, conditions={})
        for t in (train, test, fake)
    ]
    sets[0] = Trials(train.counts, 0.005, behavior={"hand_vel": train.behavior["hand_vel"]}, units={"hand_vel": "m/s"})
    result = read_behavior(Pair(sets[1], sets[2], reference=sets[0]))
    requested, _ = result.path("fake", np.array([0]))
    np.testing.assert_allclose(requested[0, -1], [0.2, 0.2])  # 10 readable wide bins of 20 ms at 1 m/s


def test_nothing_to_read_is_said(make):
    bare = Trials(make().counts, 0.005)
    assert "no direction" in read_directions(Pair(bare, bare))
    assert "no behaviour" in read_behavior(Pair(bare, bare))


def test_names_of_angles():
    assert to_degrees("angle_deg") == 1
    assert to_degrees("theta_rad") == pytest.approx(57.29578)
    assert to_degrees("side") is None
    assert to_degrees("rectangle_size") is None  # a word inside another is no angle
    assert to_degrees("target_angle") == 1
    assert to_degrees("turn_deg_per_s") is None


def test_angles_in_radians_are_read_back_on_the_circle():
    sets = [tuned(every(45), seed=seed, name="reach_rad") for seed in (1, 2, 3)]
    result = decoding.condition_angle_error(Pair(sets[1], sets[2], reference=sets[0], condition="reach_rad"))
    assert result.value is not None
    assert abs(result.value) < 10
