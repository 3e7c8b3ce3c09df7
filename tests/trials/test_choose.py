"""Expressions that choose neurons or trials: valid and invalid ones, and the rows that they keep."""

import operator
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikeloom.errors import DataError, SettingError
from spikeloom.trials.choose import ORDER, ChoiceWarning, Rule, rows_of_units, rows_where

TABLE = {
    "quality": np.array(["good", "mua", "good", "noise", ""]),
    "depth": np.array([100.0, 250.5, np.nan, 800.0, 1200.0]),
    "contrast": np.array([0.1, 0.25, 0.5, 1.0, 0.1], np.float32),
    "id": np.array([3, 5, 6, 7, 12]),
    "stable": np.array([True, False, True, True, False]),
    "where": np.array(["a, b", "c", "d = e", "c", "c"]),
    "position": np.zeros((5, 3)),
}


@pytest.mark.parametrize(
    ("rule", "rows"),
    [
        ("quality == good", [0, 2]),
        ("quality=good", [0, 2]),
        ("  quality   ==   'good' ", [0, 2]),
        ("quality == good,mua", [0, 1, 2]),
        ("quality in good,mua", [0, 1, 2]),
        ("depth in 100,800", [0, 3]),
        ("quality != good, mua", [3, 4]),
        ("quality == ''", [4]),
        ("depth < 800", [0, 1]),
        ("depth <= 8e2", [0, 1, 3]),
        ("depth >= 250.5", [1, 3, 4]),
        ("depth > 1200", []),
        ("depth != 100", [1, 2, 3, 4]),
        ("depth == nan", [2]),
        ("contrast == 0.1", [0, 4]),
        ("id == 3,12", [0, 4]),
        ("id != 3", [1, 2, 3, 4]),
        ("stable == true", [0, 2, 3]),
        ("stable != 1", [1, 4]),
        ("where == 'a, b'", [0]),
        ("where == 'a, b',c", [0, 1, 3, 4]),
        ('where == "d = e"', [2]),
        ("where == d = e", [2]),
    ],
)
def test_a_rule_keeps_its_rows(rule, rows):
    if not rows:
        with pytest.raises(DataError, match=r"numbers from|holds 100\.0, 250\.5"):
            rows_where(TABLE, [rule], 5)
        return
    np.testing.assert_array_equal(np.flatnonzero(rows_where(TABLE, [rule], 5)), rows)


ANGLES = {
    "angle_deg": np.array([-10, 10, 350, 370, 90]),
    "phase_rad": np.array([-np.pi / 2, 0.0, 1.5 * np.pi, np.nan, 2 * np.pi], np.float32),
    "heading": np.array([-180.0, 180.0, 0.0, 540.0, 90.0]),
    "depth": np.array([-10, 350, 350, 10, 0]),
}


@pytest.mark.parametrize(
    ("rule", "rows"),
    [
        ("angle_deg == 350", [0, 2]),
        ("angle_deg == -10", [0, 2]),
        ("angle_deg == 730,-270", [1, 3, 4]),
        ("angle_deg != 10", [0, 2, 4]),
        ("angle_deg < 0", [0]),
        (f"phase_rad == {1.5 * np.pi}", [0, 2]),
        ("phase_rad == 0", [1, 4]),
        ("phase_rad == nan", [3]),
        ("heading == 180", [0, 1, 3]),
        ("depth == 350", [1, 2]),
    ],
)
def test_angles_that_differ_by_whole_turns_are_equal(rule, rows):
    hits = rows_where(ANGLES, [rule], 5, units={"heading": "deg"})
    np.testing.assert_array_equal(np.flatnonzero(hits), rows)


def test_several_rules_must_all_hold():
    np.testing.assert_array_equal(rows_where(TABLE, ["quality == good", "depth < 800"], 5), [1, 0, 0, 0, 0])
    with pytest.raises(DataError, match=r"No trial is left after 'quality == mua'"):
        rows_where(TABLE, ["depth < 200", "quality == mua"], 5, noun="trial")


def test_no_rule_keeps_everything():
    assert rows_where({}, [], 4).all()


@pytest.mark.parametrize("rule", ["", "quality", "== good", "quality ==", "quality good", "depth ~ 3", "quality == a,"])
def test_text_that_is_no_rule_is_refused(rule):
    with pytest.raises(SettingError, match="COLUMN OP VALUE"):
        rows_where(TABLE, [rule], 5)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("qualty == good", "Did you mean quality"),
        ("area == CA1", "columns are contrast, depth, id"),
        ("depth == deep", "holds numbers"),
        ("depth < deep", "holds numbers"),
        ("quality < good", "holds text"),
        ("stable > 0", "True and False"),
        ("stable == yes", "True and False"),
        ("depth < 1,2", "one value"),
        ("position == 1", r"shape \(5, 3\)"),
    ],
)
def test_rules_that_do_not_fit_the_column_are_refused(rule, words):
    with pytest.raises(SettingError, match=words):
        rows_where(TABLE, [rule], 5)


def test_a_value_that_does_not_occur_is_named():
    with pytest.raises(DataError, match="holds good, mua, noise"):
        rows_where(TABLE, ["quality == god"], 5)
    for rule in ("quality != god", "quality == good,god"):
        with pytest.warns(ChoiceWarning, match="No neuron has quality 'god'"):
            rows_where(TABLE, [rule], 5)


def test_nothing_is_evaluated():
    with pytest.raises(SettingError):
        rows_where(TABLE, ["__import__('os').system('true') == 0"], 5)


@given(
    st.lists(st.integers(-5, 5), min_size=1, max_size=20),
    st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
    st.integers(-5, 5),
)
def test_comparisons_of_numbers_are_those_of_python(values, comparison, value):
    compare = {**ORDER, "==": operator.eq, "!=": operator.ne}[comparison]
    expected = [compare(one, value) for one in values]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ChoiceWarning)
        if any(expected):
            assert rows_where({"x": np.array(values)}, [f"x {comparison} {value}"], len(values)).tolist() == expected
        else:
            with pytest.raises(DataError):
                rows_where({"x": np.array(values)}, [f"x {comparison} {value}"], len(values))


@given(
    st.lists(
        st.text(alphabet="ab ,='<é", min_size=0, max_size=6).filter(lambda word: "'" not in word),
        min_size=1,
        max_size=4,
    )
)
def test_any_text_can_be_named_in_quotation_marks(words):
    rule = Rule.parse("x == " + ", ".join(f"'{word}'" for word in words))
    assert rule.values == tuple(words)


@pytest.mark.parametrize(
    ("table", "units", "rows"),
    [
        ({"id": TABLE["id"]}, "3,5-7", [0, 1, 2, 3]),
        ({"id": TABLE["id"]}, " 12 , 3 ", [0, 4]),
        ({"id": TABLE["id"]}, "0-100", [0, 1, 2, 3, 4]),
        ({}, "0,3-9", [0, 3, 4]),
        ({"name": np.array(["a1", "b7", "3", "c-d", "e"])}, "a1,c-d,3", [0, 2, 3]),
        ({"name": np.array(["0", "1", "2", "3", "4"])}, "1-2", [1, 2]),
        ({"id": TABLE["id"], "name": np.array(["3", "x", "y", "z", "w"])}, "3,w", [0, 4]),
    ],
)
def test_units_are_ids_names_or_positions(table, units, rows):
    np.testing.assert_array_equal(np.flatnonzero(rows_of_units(table, units, 5)), rows)


@pytest.mark.parametrize("units", ["4", "13-20", "", "3,", "a", "7-5"])
def test_units_that_are_not_there_are_refused(units):
    with pytest.raises(SettingError, match="No neuron is called"):
        rows_of_units({"id": TABLE["id"]}, units, 5)
