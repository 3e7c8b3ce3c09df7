"""Samples of any rate in bins: means, values that are kept, late samples, samples far ahead."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeloom.errors import ConditionError, DataError
from spikeloom.live.samples import LONGEST_AHEAD, MOST_PER_BIN, BinnedSamples
from spikeloom.models.common.named_condition import NamedCondition

WAVE = NamedCondition("wave", "continuous", per_bin=True, size=2, mean=(0.0, 0.0), sd=(1.0, 1.0))
ANGLE = NamedCondition("angle_deg", "circular", period=360.0)
SIDE = NamedCondition("side", "category", categories=("left", "right"))


def binned(*, width=0.02) -> BinnedSamples:
    return BinnedSamples((WAVE, ANGLE, SIDE), bin_width=width)


def test_a_bin_has_the_mean_of_its_samples():
    samples = binned()
    for time, value in ((0.0, [1, 0]), (0.019, [3, 2]), (0.02, [9, 9])):
        samples.add(time, {"wave": value})
    np.testing.assert_array_equal(samples.take()["wave"], [2, 1])
    np.testing.assert_array_equal(samples.take()["wave"], [9, 9])
    assert samples.take() == {}


def test_angles_have_the_mean_on_the_circle_and_categories_the_last_value():
    samples = binned()
    samples.add(0.001, {"angle_deg": 350.0, "side": "left"})
    samples.add(0.002, {"angle_deg": 30.0, "side": "right"})
    values = samples.take()
    assert values["angle_deg"] == pytest.approx(10.0)
    assert values["side"] == "right"


@settings(deadline=None)
@given(
    st.lists(st.floats(0, 0.99), min_size=1, max_size=30),
    st.sampled_from([0.005, 0.02, 0.05]),
)
def test_the_value_of_every_bin_is_the_mean_of_the_samples_in_it(times, width):
    samples = binned(width=width)
    times = np.sort(np.round(times, 4)) + 1e-5
    for time in times:
        samples.add(float(time), {"wave": [float(time), 0.0]})
    for number in range(int(1 / width)):
        inside = times[(times >= number * width) & (times < (number + 1) * width)]
        value = samples.take()
        assert bool(value) == bool(len(inside))
        if len(inside):
            assert value["wave"][0] == pytest.approx(inside.mean())


def test_late_samples_are_counted_and_used_only_if_they_are_new():
    samples = binned()
    samples.add(0.005, {"wave": [1, 1]})
    samples.take(), samples.take()
    samples.add(0.03, {"wave": [2, 2]})  # newer than all before, so it counts for the next bin
    samples.add(0.01, {"wave": [7, 7]})  # older than a sample before
    assert samples.late == 2
    np.testing.assert_array_equal(samples.take()["wave"], [2, 2])


def test_memory_is_bounded():
    samples = binned()
    with pytest.raises(DataError, match="ahead"):
        samples.add(LONGEST_AHEAD + 0.05, {"wave": [0, 0]})
    for _ in range(MOST_PER_BIN + 10):
        samples.add(0.0, {"side": "left"})
    assert len(samples._waiting[0]["side"]) == MOST_PER_BIN


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({"speed": 1.0}, "no condition of this trial"),
        ({"wave": [1.0]}, "2 number"),
        ({"wave": "left"}, "2 number"),
        ({"angle_deg": [1.0, 2.0]}, "1 number"),
        ({"side": "up"}, "one of"),
        ({"side": [1.0, 2.0]}, "one of"),
    ],
)
def test_values_that_no_bin_can_have_are_refused(condition, message):
    with pytest.raises(ConditionError, match=message):
        binned().check(condition)
