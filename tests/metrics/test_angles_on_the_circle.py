"""Angles as labels and as series in the evaluation: equal angles are one condition, and 359 degrees are near 1."""

from dataclasses import replace

import numpy as np
import pytest

from spikeloom.metrics import decoding
from spikeloom.metrics.conditional import read_behavior
from spikeloom.metrics.pair import Pair
from spikeloom.trials import Trials
from tests.helpers.tuned import every, tuned


def signed(trials: Trials, name: str = "angle_deg", turn: float = 360.0) -> Trials:
    """The same trials with angles from minus half a turn to half a turn."""
    angles = trials.conditions[name]
    return replace(trials, conditions={name: np.where(angles >= turn / 2, angles - turn, angles)})


@pytest.mark.parametrize(("name", "turn"), [("angle_deg", 360.0), ("reach_rad", 2 * np.pi)])
def test_both_ways_to_write_an_angle_are_one_condition(name, turn):
    train, test, fake = (tuned(every(45), seed=seed, name=name) for seed in (1, 2, 3))
    plain = Pair(test, fake, reference=train, condition=name)
    mixed = Pair(signed(test, name, turn), fake, reference=train, condition=name)
    assert len(mixed.label_values) == len(plain.label_values) == 8
    np.testing.assert_array_equal(mixed.real.labels, plain.real.labels)
    assert decoding.condition_angle_error(mixed).value == pytest.approx(decoding.condition_angle_error(plain).value)


def test_pooled_trials_with_both_ways_to_write_angles_have_one_label_each():
    one = tuned(every(45), seed=1)
    both = one.concatenate(signed(tuned(every(45), seed=2)))
    assert len(np.unique(both.conditions["angle_deg"])) == 12  # as they came
    assert len(np.unique(both.condition("angle_deg"))) == 8
    two = both.with_joint_condition(["angle_deg", "angle_deg"])
    assert len(np.unique(two.conditions["angle_deg,angle_deg"])) == 8


def test_a_condition_whose_unit_says_that_it_is_an_angle_is_one():
    counts = np.ones((4, 3, 1), int)
    target = {"target": np.array([-10.0, 350.0, 10.0, 370.0])}
    assert Trials(counts, 0.1, conditions=target).condition("target").tolist() == [-10, 350, 10, 370]
    assert Trials(counts, 0.1, conditions=target, units={"target": "deg"}).condition("target").tolist() == [
        350,
        350,
        10,
        10,
    ]


def heading(seed: int, turn: float, unit: str) -> Trials:
    """Twelve neurons that are tuned to a heading that turns around several times, 200 bins of 20 ms."""
    generator = np.random.default_rng(seed)
    degrees = (generator.uniform(0, 360, (80, 1)) + 1.8 * np.arange(200)) % 360
    rates = np.exp(1.5 * (np.cos(np.radians(degrees[..., None] - 30 * np.arange(12))) - 1))
    series = {"heading": (degrees * turn / 360)[..., None]}
    return Trials(generator.poisson(rates), 0.02, behavior=series, units={"heading": unit})


@pytest.mark.parametrize(("turn", "unit"), [(360.0, "deg"), (2 * np.pi, "rad")])
def test_a_heading_is_decoded_on_the_circle(turn, unit):
    train, test, fake = (heading(seed, turn, unit) for seed in (1, 2, 3))
    result = decoding.decode_back(Pair(test, fake, reference=train))
    assert result.detail["r2"].min() > 0.9  # 0.95; as a number, in which 359 and 1 are far apart, 0.69
    drawn = read_behavior(Pair(test, fake, reference=train))
    assert drawn.name == "heading (cosine, sine)"
    assert np.nanmax(np.abs(drawn.requested["fake"])) <= 1
    plain = heading(1, turn, "a.u."), heading(2, turn, "a.u."), heading(3, turn, "a.u.")
    flat = decoding.decode_back(Pair(plain[1], plain[2], reference=plain[0]))
    assert flat.value is None or flat.detail["r2"].min() < result.detail["r2"].min() - 0.1
