"""Identity of neurons: results do not depend on the order of named neurons, and different neurons are refused."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeloom.errors import ShapeError
from spikeloom.trials import Trials
from spikeloom.trials.identity import NeuronOrderWarning, identity, natural_order, order_like

few = settings(deadline=None, max_examples=30)
NAMES = np.array(["unit10", "unit2", "b", "unit1"])


def trials(table=None, counts=None, bin_width=0.02) -> Trials:
    counts = np.arange(2 * 3 * 4).reshape(2, 3, 4) if counts is None else counts
    return Trials(counts, bin_width, neuron_table=table or {}, rates=counts + 0.5)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({}, None),
        ({"name": NAMES}, ("unit10", "unit2", "b", "unit1")),
        ({"id": np.array([3, 1, 2, 9])}, ("3", "1", "2", "9")),
        ({"id": np.array([3.0, 1.0, 2.0, 9.0])}, ("3", "1", "2", "9")),
        ({"name": NAMES, "id": np.array([3, 1, 2, 9])}, ("unit10", "unit2", "b", "unit1")),
        ({"name": np.array(["p", "p", "q", "r"]), "id": np.array([3, 1, 2, 9])}, ("3", "1", "2", "9")),
        ({"name": np.array(["", "p", "q", "r"])}, None),
        ({"id": np.array([3, 3, 2, 9])}, None),
        ({"id": np.array([3.0, np.nan, 2.0, 9.0])}, None),
        ({"id": np.array([3.5, 1.0, 2.0, 9.0])}, None),
        ({"id": np.arange(8).reshape(4, 2)}, None),
        ({"depth": np.arange(4)}, None),
    ],
)
def test_names_come_before_ids_and_ids_before_order(table, expected):
    assert identity(table) == expected


@few
@given(st.permutations(range(4)), st.sampled_from(["name", "id"]))
def test_the_same_neurons_in_any_order_are_matched_one_by_one(order, column):
    table = {"name": NAMES, "id": np.array([7, 300, 1, 12])}
    full = trials({column: table[column], "depth": np.arange(4.0)})
    mixed = full.select_neurons(order)
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        again = full.match(mixed)
    assert [note.category for note in notes] == [NeuronOrderWarning] * (list(order) != [0, 1, 2, 3])
    np.testing.assert_array_equal(again.counts, full.counts)
    np.testing.assert_array_equal(again.rates, full.rates)
    np.testing.assert_array_equal(again.neuron_table["depth"], full.neuron_table["depth"])
    np.testing.assert_array_equal(mixed.sort_neurons().counts, full.sort_neurons().counts)


def test_the_column_that_both_have_decides():
    both = trials({"name": NAMES, "id": np.array([1, 2, 3, 4])})
    only_ids = trials({"id": np.array([4, 3, 2, 1])})
    with pytest.warns(NeuronOrderWarning):
        np.testing.assert_array_equal(both.match(only_ids).neuron_table["id"], [1, 2, 3, 4])
    assert order_like({"id": np.array([1, 2])}, {"id": np.array([1.0, 2.0])}) is None


def test_without_identity_on_both_sides_order_is_all_there_is():
    named, bare = trials({"name": NAMES}), trials()
    for one, two in ((named, bare), (bare, named), (bare, bare)):
        assert one.match(two) is two
    assert bare.sort_neurons() is bare


def test_numbers_in_names_are_sorted_by_size():
    assert natural_order({"name": NAMES}).tolist() == [2, 3, 1, 0]
    assert natural_order({"id": np.array([2, 10, 1])}).tolist() == [2, 0, 1]
    assert natural_order({"id": np.array([1, 2, 10])}) is None


def test_different_neurons_are_refused_and_named():
    one = trials({"name": NAMES})
    two = trials({"name": np.array(["unit10", "unit2", "b", "c"])})
    with pytest.raises(
        ShapeError, match=r"only the others have \(c\) and neurons that only the first trials have \(unit1\)"
    ):
        one.match(two)
    fewer = trials({"name": NAMES[:3]}, np.ones((1, 3, 3), int))
    with pytest.raises(ShapeError, match=r"only the first trials have \(unit1\)"):
        one.match(fewer)
    with pytest.raises(ShapeError, match="They have 4 and 3 neurons"):
        trials().match(trials(None, np.ones((1, 3, 3), int)))
    several = Trials(np.ones((1, 1, 30), int), 0.02, neuron_table={"id": np.arange(30)})
    with pytest.raises(ShapeError, match=r"have \(4, 5, 6, 7, 8 and 21 more\)"):
        trials({"id": np.arange(4)}).match(several)


def test_concatenate_matches_neurons():
    full = trials({"name": NAMES})
    with pytest.warns(NeuronOrderWarning):
        both = full.concatenate(full.select_neurons([3, 2, 1, 0]))
    np.testing.assert_array_equal(both.counts[2:], full.counts)
    with pytest.raises(ShapeError, match="by the column name"):
        full.concatenate(trials({"name": np.array(["a", "b", "c", "d"])}))


def test_files_keep_the_identity(tmp_path):
    full = trials({"name": NAMES, "id": np.array([7, 300, 1, 12])})
    full.save(tmp_path / "t.h5")
    assert identity(Trials.load(tmp_path / "t.h5").neuron_table) == tuple(NAMES.tolist())
