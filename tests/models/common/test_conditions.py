"""Condition variables: kinds, scales, and the round trip through a model's config."""

import dataclasses
import json

import numpy as np
import pytest

from spikeloom.errors import ConditionError
from spikeloom.models.common.conditions import Conditions, NamedCondition
from spikeloom.models.common.facts import Facts
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
    with pytest.raises(ConditionError, match="it has none"):
        Conditions().encode({})


def test_whole_degrees_are_angles_and_not_categories():
    trials = Trials(np.ones((8, 2, 1), int), 0.01, conditions={"angle_deg": np.arange(0, 360, 45)})
    variable = NamedCondition.fit(trials, "angle_deg")
    assert variable.kind == "circular"
    np.testing.assert_allclose(variable.encode(np.array([22.5]))[0], [np.cos(np.pi / 8), np.sin(np.pi / 8)], rtol=1e-6)
