"""Settings as objects and as plain values: strict conversion in both directions."""

import dataclasses
import inspect
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from spikeloom.diffusion.schedule import Cosine, LinearBeta, NoiseSchedule
from spikeloom.errors import SettingError
from spikeloom.models.gnocchi import GNOCCHI
from spikeloom.models.ldns import LDNS
from spikeloom.models.lfads import LFADS
from spikeloom.settings import NONE, STRICT, construct, describe, hint, none_as_text, value_of
from spikeloom.training.plan import Plan


def settings_objects() -> list[type]:
    """Every class of settings that a model's constructor names."""
    result: dict[str, type] = {}
    waiting = [LDNS, GNOCCHI, LFADS]
    while waiting:
        for spec in inspect.signature(waiting.pop(), eval_str=True).parameters.values():
            kind = type(spec.default)
            if dataclasses.is_dataclass(kind) and kind.__name__ not in result:
                result[kind.__name__] = kind
                waiting.append(kind)
    return list(result.values())


@pytest.mark.parametrize("kind", settings_objects(), ids=lambda kind: kind.__name__)
def test_all_settings_are_strict(kind):
    assert dict(kind.__pydantic_config__) == dict(STRICT)
    with pytest.raises((ValidationError, TypeError)):
        kind(no_such_setting=1)


@settings(deadline=None)
@given(
    updates=st.integers(1, 10**6),
    batch=st.integers(1, 10**4),
    horizon=st.floats(1, 1e3),
    average=st.none() | st.floats(0, 0.999),
)
def test_words_give_back_the_object(updates, batch, horizon, average):
    plan = Plan(updates=updates, batch=batch, horizon=horizon, average=average)
    assert construct(Plan, describe(plan), "plan") == plan
    assert construct(Plan, none_as_text(describe(plan)), "plan") == plan


def test_a_subclass_of_settings_is_named_and_its_base_is_not():
    @dataclasses.dataclass(frozen=True)
    class Longer(Plan):
        """A plan with one more setting."""

        pause: int = 3

    plan = Longer(updates=7, batch=2, pause=5)
    words = describe(plan)
    assert words["name"] == "Longer"
    assert value_of(Plan, words, "plan", Plan(updates=1, batch=1)) == plan
    assert "name" not in describe(Plan(updates=7, batch=2))
    assert value_of(Plan, {"updates": 9}, "plan", plan) == dataclasses.replace(plan, updates=9)
    with pytest.raises(SettingError, match=r"must name one of .*Longer.*Plan"):
        value_of(Plan, "Longest", "plan", plan)


@pytest.mark.parametrize("schedule", [LinearBeta(), Cosine()])
def test_a_choice_of_classes_is_named(schedule):
    words = describe(schedule)
    assert words["name"] == type(schedule).__name__
    assert value_of(NoiseSchedule, words, "schedule", None) == schedule


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("name", ["horizon", "clip", "weight_decay", "warmup"])
def test_numbers_must_be_finite(name, value):
    with pytest.raises(ValidationError):
        Plan(updates=1, batch=1, **{name: value})


def test_wrong_words_are_explained():
    with pytest.raises(SettingError, match="Did you mean updates"):
        construct(Plan, {"update": 5, "batch": 2}, "plan")
    with pytest.raises(SettingError, match="needs batch"):
        construct(Plan, {"updates": 5}, "plan")
    with pytest.raises(SettingError, match=r"plan\.updates must be"):
        construct(Plan, {"updates": "5", "batch": 2}, "plan")
    with pytest.raises(SettingError, match="one of Cosine, LinearBeta"):
        value_of(NoiseSchedule, "Quadratic", "schedule", None)


def test_none_is_a_word():
    assert none_as_text({"a": None, "b": {"c": None, "d": 1}}) == {"a": NONE, "b": {"c": NONE, "d": 1}}
    assert hint("LinaerBeta", ["LinearBeta", "Cosine"], otherwise="") == "Did you mean LinearBeta?"
    assert hint("x", ["LinearBeta"], otherwise="Write one.") == "Write one."
