"""Splits of trials: trials that share spikes, blocks of time, and splits by a condition."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeloom.errors import DataError, SettingError
from spikeloom.trials import Trials
from spikeloom.trials.splits import OverlapWarning, shared_between, sharing

few = settings(deadline=None, max_examples=60)
WIDTH = 0.1


def windows(starts, lengths, **conditions) -> Trials:
    """Trials of one neuron that begin at these times and have these numbers of bins."""
    counts = np.ones((len(starts), max(lengths), 1), int)
    columns = {"number": np.arange(len(starts)), **conditions}
    return Trials(counts, WIDTH, lengths=np.array(lengths), start_times=np.array(starts), conditions=columns)


def overlap(trials: Trials, one: int, two: int) -> bool:
    """Return whether two trials overlap by more than a thousandth of a bin, computed pair by pair."""
    begins, lasts = trials.start_times, trials.lengths * WIDTH
    later, sooner = max(begins[one], begins[two]), min(begins[one] + lasts[one], begins[two] + lasts[two])
    return bool(sooner - later > 0.5e-3 * WIDTH)


spans = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 12)), min_size=2, max_size=12)


@few
@given(spans, st.data())
def test_shared_spikes_are_those_of_pairs_that_overlap(times, data):
    trials = windows([start * WIDTH for start, _ in times], [length for _, length in times])
    rows = np.arange(len(times))
    expected = [any(overlap(trials, one, two) for two in rows if two != one) for one in rows]
    assert sharing(trials, rows).tolist() == expected
    first = np.array(data.draw(st.lists(st.booleans(), min_size=len(times), max_size=len(times))))
    one, two = np.flatnonzero(first), np.flatnonzero(~first)
    for marks, mine, theirs in zip(shared_between(trials, one, two), (one, two), (two, one), strict=True):
        assert marks.tolist() == [any(overlap(trials, row, other) for other in theirs) for row in mine]


def test_unknown_start_times_share_nothing():
    trials = windows([0.0, np.nan, 0.0, np.nan], [5, 5, 5, 5])
    assert sharing(trials, np.arange(4)).tolist() == [True, False, True, False]
    assert not sharing(Trials(np.ones((3, 2, 1), int), WIDTH), np.arange(3)).any()


def test_a_random_split_of_overlapping_windows_says_how_many_share_spikes():
    trials = windows([*np.arange(48) * 1.0, 500.0], [20] * 49)  # windows of 2 s, one each second, and one alone
    with pytest.warns(OverlapWarning, match="48 of 49 trials share spikes with another trial.*--blocks"):
        trials.split(0.8, seed=0)
    apart = windows(np.arange(49) * 2.0, [20] * 49)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        apart.split(0.8, seed=0)


def test_an_unknown_time_keeps_the_order_of_the_trials():
    trials = windows([5.0, np.nan, 1.0, 0.0], [3, 3, 3, 3])
    one, two = trials.split(0.5, n_stretches=1)
    assert one.conditions["number"].tolist() == [0, 1]
    assert two.conditions["number"].tolist() == [2, 3]


@few
@given(spans.filter(lambda times: len(times) >= 4), st.integers(1, 2), st.floats(0.3, 0.7))
def test_blocks_share_no_spike_and_keep_neighbours_together(times, n_stretches, fraction):
    trials = windows([start * WIDTH for start, _ in times], [length for _, length in times])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OverlapWarning)
            one, two = (part.conditions["number"] for part in trials.split(fraction, n_stretches=n_stretches))
    except DataError:
        return
    assert not set(one) & set(two)
    assert not any(overlap(trials, a, b) for a in one for b in two)
    side = {**dict.fromkeys(one.tolist(), 1), **dict.fromkeys(two.tolist(), 2)}
    in_time = [side[row] for row in np.argsort(trials.start_times, kind="stable").tolist() if row in side]
    assert int((np.diff(in_time) != 0).sum()) <= 2 * n_stretches - 1


def test_early_and_late_in_stretches():
    trials = windows(np.arange(20)[::-1] * 1.0, [10] * 20)  # the last trial comes first in the file
    early, late = trials.split(0.75, n_stretches=1)
    assert sorted(late.start_times) == [15, 16, 17, 18, 19]
    one, two = trials.split(0.5, n_stretches=2)
    assert sorted(one.start_times) == [0, 1, 2, 3, 4, 10, 11, 12, 13, 14]
    assert len(early) + len(late) == len(one) + len(two) == 20


def test_boundaries_cost_the_larger_part_its_overlapping_trials():
    trials = windows(np.arange(20) * 1.0, [20] * 20)
    with pytest.warns(OverlapWarning, match="1 of 20 trials was left out"):
        early, late = trials.split(0.75, n_stretches=1)
    assert early.conditions["number"].tolist() == list(range(14))
    assert late.conditions["number"].tolist() == list(range(15, 20))


def test_every_recording_has_its_own_clock():
    one, two = windows(np.arange(8) * 1.0, [10] * 8), windows(np.arange(8) * 1.0 + 0.5, [10] * 8)
    both = one.concatenate(two, sources=["a", "b"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the clocks agree, the recordings share nothing
        both.split(0.5, seed=1)
        early, late = both.split(0.5, n_stretches=1)
    for part in (early, late):
        assert part.conditions["source"].tolist() == ["a"] * 4 + ["b"] * 4
    assert early.start_times.max() < late.start_times.min()


@pytest.mark.parametrize("n_stretches", [11, 20])
def test_stretches_that_are_too_short_are_refused(n_stretches):
    with pytest.raises(DataError, match="at least one trial"):
        windows(np.arange(20) * 1.0, [10] * 20).split(0.5, n_stretches=n_stretches)


def test_split_by_a_condition():
    part = np.array(["train", "test", "val", "train", "test"])
    trials = windows(np.arange(5) * 1.0, [10] * 5, split=part)
    train, rest = trials.split_by("split=train")
    assert train.conditions["number"].tolist() == [0, 3]
    assert rest.conditions["number"].tolist() == [1, 2, 4]
    both, test = trials.split_by("split == train,val")
    assert both.conditions["split"].tolist() == ["train", "val", "train"]
    assert set(test.conditions["split"]) == {"test"}
    late, early = trials.split_by("number >= 3")
    assert (len(late), len(early)) == (2, 3)
    with pytest.raises(DataError, match="holds train, test, val"):
        trials.split_by("split=trian")
    with pytest.raises(DataError, match="holds for all 5 trials"):
        trials.split_by("number >= 0")
    with pytest.raises(SettingError, match="no trial column 'part'"):
        trials.split_by("part=train")
    with pytest.warns(OverlapWarning, match="share spikes"):
        windows(np.arange(5) * 1.0, [20] * 5, split=part).split_by("split=train")
