"""Halves are disjoint, equal, balanced and repeatable, and matched sets have matched conditions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeloom.errors import DataError
from spikeloom.evaluation import splits
from spikeloom.trials import Trials


def numbered(labels):
    """Trials that carry their number in their counts, and a condition."""
    number = np.arange(len(labels))
    return Trials(number[:, None, None] + np.zeros((1, 2, 1), int), 0.01, conditions={"side": np.array(list(labels))})


def numbers(trials):
    return trials.counts[:, 0, 0].tolist()


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from("abc"), min_size=2, max_size=20), st.integers(1, 12), st.integers(0, 3))
def test_halves(labels, size, seed):
    trials = numbered(labels)
    pairs = list(splits.halves(trials, size=size, condition="side", splits=2, seed=seed))
    assert len(pairs) == 2
    for first, second in pairs:
        assert len(first) == len(second) == min(size, len(labels) // 2)
        assert not set(numbers(first)) & set(numbers(second))
        for label in "abc":
            a, b = (np.sum(side.conditions["side"] == label) for side in (first, second))
            assert abs(int(a) - int(b)) <= 1
    again = list(splits.halves(trials, size=size, condition="side", splits=2, seed=seed))
    assert [numbers(a) for a, _ in pairs] == [numbers(a) for a, _ in again]


def test_halves_differ_from_split_to_split_and_refuse_one_trial():
    trials = numbered("aabb" * 10)
    assert len({tuple(numbers(a)) for a, _ in splits.halves(trials)}) == 5
    with pytest.raises(DataError, match="two trials"):
        next(splits.halves(trials.select([0])))


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.sampled_from("ab"), min_size=1, max_size=12),
    st.lists(st.sampled_from("abc"), min_size=1, max_size=12),
    st.integers(1, 9),
)
def test_matched_sets_hold_each_condition_as_often(real, fake, size):
    if not set(real) & set(fake):
        with pytest.raises(DataError, match="share"):
            splits.matched(numbered(real), numbered(fake), condition="side")
        return
    a, b = splits.matched(numbered(real), numbered(fake), condition="side", size=size)
    assert sorted(a.conditions["side"]) == sorted(b.conditions["side"])
    shared = sum(min(real.count(label), fake.count(label)) for label in "ab")
    assert len(a) == min(size, shared)


def test_matched_sets_without_conditions_are_equally_large():
    real, fake = numbered("a" * 9), Trials(np.zeros((5, 2, 1), int), 0.01)
    a, b = splits.matched(real, fake)
    assert len(a) == len(b) == 5
    assert b is fake
