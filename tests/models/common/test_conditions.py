"""Condition variables: kinds, scales, and the round trip through a model's config."""

import dataclasses
import json
import warnings

import numpy as np
import pytest

from spikeloom.errors import ConditionError
from spikeloom.models.common.conditions import Conditions
from spikeloom.models.common.facts import Facts
from spikeloom.models.common.named_condition import AngleUnitWarning, ConditionRangeWarning, NamedCondition
from spikeloom.models.common.rows import Rows
from spikeloom.trials import Trials


def trials(**conditions) -> Trials:
    return Trials(
        np.ones((4, 5, 2), int),
        0.01,
        lengths=np.array([5, 5, 3, 5]),
        conditions=conditions,
        behavior={"v": np.arange(40.0).reshape(4, 5, 2)},
    )


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("angle_deg", [0.0, 90.0, 180.0, 270.0], "circular"),
        ("phase_rad", [0.0, 1.0, 2.0, 3.0], "circular"),
        ("target", [0, 1, 1, 2], "category"),
        ("word", ["a", "b", "a", "c"], "category"),
        ("speed", [0.1, 0.2, 0.5, 0.9], "continuous"),
        ("aim", [[0.0, 1.0], [1.0, 0.0], [2.0, 2.0], [3.0, 1.0]], "continuous"),
        ("v", None, "continuous"),
    ],
)
def test_the_kind_follows_from_name_and_values(name, values, kind):
    data = trials(**({} if values is None else {name: np.array(values)}))
    assert NamedCondition.fit(data, name).kind == kind


def test_angles_are_cosine_and_sine():
    variable = NamedCondition.fit(trials(angle_deg=np.array([0.0, 90.0, 180.0, 270.0])), "angle_deg")
    np.testing.assert_allclose(variable.encode(np.array([0, 90, 360])), [[1, 0], [0, 1], [1, 0]], atol=1e-6)


def test_numbers_are_standardised_over_valid_bins_only():
    data = trials(speed=np.array([0.1, 0.2, 0.5, 0.9]))
    speed, series = NamedCondition.fit(data, "speed"), NamedCondition.fit(data, "v")
    np.testing.assert_allclose(speed.encode(data.conditions["speed"]).std(), 1, atol=1e-6)
    valid = series.encode(data.behavior["v"])[data.mask]
    np.testing.assert_allclose((valid.mean(0), valid.std(0)), ([0, 0], [1, 1]), atol=1e-6)


def test_a_constant_column_does_not_divide_by_zero():
    variable = NamedCondition.fit(trials(speed=np.full(4, 0.5)), "speed")
    assert np.isfinite(variable.encode(np.full(3, 0.5))).all()


def test_nan_in_a_condition_is_refused():
    with pytest.raises(ConditionError, match="1 of 4"):
        NamedCondition.fit(trials(speed=np.array([0.1, np.nan, 0.5, 0.9])), "speed")


def test_facts_survive_json():
    data = trials(
        word=np.array(["a", "b", "a", "c"]), target=np.array([0, 1, 1, 2]), speed=np.array([0.1, 0.2, 0.5, 0.9])
    )
    facts = Facts.of(data, ["word", "target", "speed", "v"])
    again = Facts.read(json.loads(json.dumps(dataclasses.asdict(facts))))
    assert again == facts
    assert again.conditions.vector_size == 3 + 3 + 1
    assert again.conditions.sequence_size == 2


def test_no_variables_take_no_condition():
    with pytest.raises(ConditionError, match="has no conditions"):
        Conditions().encode({})


def test_whole_degrees_are_angles_and_not_categories():
    trials = Trials(np.ones((8, 2, 1), int), 0.01, conditions={"angle_deg": np.arange(0, 360, 45)})
    variable = NamedCondition.fit(trials, "angle_deg")
    assert variable.kind == "circular"
    np.testing.assert_allclose(variable.encode(np.array([22.5]))[0], [np.cos(np.pi / 8), np.sin(np.pi / 8)], rtol=1e-6)


def heading(values, *, unit="deg", name="heading") -> Trials:
    values = np.asarray(values, float)
    return Trials(np.ones((*values.shape, 1), int), 0.1, behavior={name: values[..., None]}, units={name: unit})


@pytest.mark.parametrize(("unit", "turn"), [("deg", 360.0), ("rad", 2 * np.pi), ("degrees", 360.0), ("", 360.0)])
def test_a_series_of_angles_is_cosine_and_sine(unit, turn):
    name = "heading" if unit else "heading_deg"
    data = heading(turn * np.array([[0, 0.25, 0.5], [0.75, 0.999, 0.001]]), unit=unit, name=name)
    condition = NamedCondition.fit(data, name)
    assert (condition.kind, condition.per_bin, condition.width) == ("circular", True, 2)
    sequence = Conditions((condition,)).encode({name: turn * np.array([[[0.0], [0.25], [1.5]]])}).sequence
    np.testing.assert_allclose(sequence[0], [[1, 0], [0, 1], [-1, 0]], atol=1e-6)
    # the two sides of the end of the period are neighbours
    near = condition.encode(turn * np.array([[[0.999], [0.001]]]))
    assert np.abs(np.diff(near, axis=1)).max() < 0.02


@pytest.mark.parametrize("values", [np.linspace(0, 2000, 6)])
def test_a_wheel_that_turns_on_is_a_number(values):
    assert NamedCondition.fit(heading(values[None]), "heading").kind == "continuous"


def test_speeds_of_turning_and_positions_on_a_screen_are_numbers():
    for unit in ("deg/s", "rad/s", "degrees of visual angle", "m"):
        assert NamedCondition.fit(heading([[1.0, 5.0]], unit=unit), "heading").kind == "continuous"


def test_no_warning_at_the_end_of_the_period_but_outside_the_arc(recwarn):
    full = NamedCondition.fit(trials(angle_deg=np.array([0.0, 90.0, 180.0, 270.0])), "angle_deg")
    full.note_range([359.0, -1.0, 720.0, 45.0])
    narrow = NamedCondition.fit(trials(angle_deg=np.array([350.0, 0.0, 20.0, 30.0])), "angle_deg")
    narrow.note_range([355.0, -5.0, 390.0])
    assert not recwarn.list
    with pytest.warns(ConditionRangeWarning, match="such as 180; in training they were from 350 to 30"):
        narrow.note_range([10.0, 180.0])


@pytest.mark.parametrize(
    ("training", "wanted", "kept"), [([0, 90, 350], 370, 10), ([-170, 0, 90], 350, -10), ([0, 90, 350], 45, 45)]
)
def test_a_requested_angle_is_written_as_in_training(training, wanted, kept):
    data = Trials(np.ones((3, 2, 1), int), 0.1, conditions={"angle_deg": np.array(training, float)})
    conditions = Conditions.fit(data, ["angle_deg"])
    values = conditions.values({"angle_deg": wanted}, None, Rows.whole(np.array([2, 2]), seed=0))
    np.testing.assert_allclose(values["angle_deg"], [kept, kept])
    np.testing.assert_allclose(
        conditions.encode(values).vector[0], [np.cos(np.radians(wanted)), np.sin(np.radians(wanted))], atol=1e-6
    )


def test_a_path_of_angles_is_resampled_on_the_circle():
    condition = NamedCondition.fit(heading([[0.0, 90.0, 180.0, 270.0]]), "heading")
    path = condition.at_bins(np.array([3.0, 5.0]), np.array([[350.0], [30.0]]), bin_width=0.5, n_bins=4)
    np.testing.assert_allclose(path[:, 0], [355, 5, 15, 25])


def test_an_angle_without_a_unit_is_named():
    with pytest.warns(AngleUnitWarning, match="reach_angle_deg or reach_angle_rad"):
        NamedCondition.fit(trials(reach_angle=np.array([0.5, 90.0, 181.0, 359.0])), "reach_angle")


def test_a_large_request_outside_the_range_is_said_once_and_batches_say_nothing():
    data = trials(speed=np.array([0.0, 1.0, 2.0, 3.0]))
    conditions = Conditions.fit(data, ["speed"])
    with pytest.warns(ConditionRangeWarning, match="reaches from 4 to 103; in training it was 0 to 3") as caught:
        values = conditions.values({"speed": np.arange(4.0, 104)}, None, Rows.whole(np.full(100, 2), seed=0))
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for batch in range(0, 100, 10):
            conditions.encode({"speed": values["speed"][batch : batch + 10]})


def test_padding_of_a_series_is_not_outside_its_range():
    condition = NamedCondition.fit(heading([[5.0, 6.0, 7.0]], unit="m"), "heading")
    padded = np.array([[[5.0], [0.0]], [[6.0], [7.0]]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not condition.note_range(padded, np.array([1, 2]))


def test_missing_text_is_no_category():
    data = trials(kind=np.array(["left", "", "right", "left"]))
    with pytest.raises(ConditionError, match=r"kind must have a value in every trial\. It is missing in 1 of 4"):
        NamedCondition.fit(data, "kind")


def test_features_are_the_harmonics_of_an_angle_and_the_length_of_a_series():
    rng = np.random.Generator(np.random.PCG64(4))
    angle = np.arange(0.0, 360.0, 60.0)
    values = {"angle_deg": angle, "hand_vel": rng.normal(size=(6, 5, 2)), "pupil": rng.normal(size=(6, 5, 1))}
    behavior = {name: values[name] for name in ("hand_vel", "pupil")}
    recorded = Trials(np.zeros((6, 5, 2), int), 0.02, conditions={"angle_deg": angle}, behavior=behavior)
    conditions = Conditions.fit(recorded, tuple(values))
    encoded = conditions.encode(values)
    features = conditions.with_features(encoded, 2)
    assert conditions.size_with_features(2, per_bin=False) == features.vector.shape[-1]
    assert conditions.size_with_features(2, per_bin=True) == features.sequence.shape[-1]
    phase = np.radians(angle)
    expected = np.stack([np.cos(phase), np.sin(phase), np.cos(2 * phase), np.sin(2 * phase)], 1)
    np.testing.assert_allclose(features.vector, expected, atol=1e-6)
    velocity = encoded.sequence[..., :2]
    np.testing.assert_allclose(features.sequence[..., :2], velocity)
    np.testing.assert_allclose(features.sequence[..., 2], velocity.norm(dim=2), rtol=1e-6)
    np.testing.assert_allclose(features.sequence[..., 3:], encoded.sequence[..., 2:])  # one number has no length
