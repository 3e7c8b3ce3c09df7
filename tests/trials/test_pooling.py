"""Pooling sets of trials: values are kept, fields of only some sets are named, and padding is limited."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

from spikeloom.errors import DataError
from spikeloom.models.common.facts import check_fit
from spikeloom.trials import Trials
from spikeloom.trials.bins import PieceLengthWarning
from spikeloom.trials.padding import LARGE, PaddingWarning, check_padding
from spikeloom.trials.pooling import LeftOutWarning


def part(number: int, *, time: int = 6, **fields) -> Trials:
    rng = np.random.default_rng(number)
    plain = dict(
        behavior={"speed": rng.random((3, time, 1))},
        units={"speed": "m/s"},
        conditions={"side": np.array(["l", "r", "left"]), "angle": rng.random(3)},
        neuron_table={"name": np.array(["a", "b"]), "depth": np.array([1.0, np.nan])},
        start_times=np.arange(3) * 10.0,
        source=f"day {number}",
    )
    return Trials(rng.poisson(1, (3, time, 2)), 0.1, **{**plain, **fields})


def test_equal_sets_are_pooled_without_a_word():
    one, two = part(1), part(2, time=9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        both = one.concatenate(two)
    np.testing.assert_array_equal(both.counts[:3, :6], one.counts)
    assert not both.counts[:3, 6:].any()
    np.testing.assert_array_equal(both.counts[3:], two.counts)
    np.testing.assert_array_equal(both.behavior["speed"][3:], two.behavior["speed"])
    assert both.units == {"speed": "m/s"}
    assert both.conditions["side"].tolist() == ["l", "r", "left"] * 2
    assert "source" not in both.conditions


def test_sources_say_where_each_trial_comes_from_also_when_pooled_again():
    two = part(1).concatenate(part(2), sources=["a", "bb"])
    assert two.conditions["source"].tolist() == ["a"] * 3 + ["bb"] * 3
    three = two.concatenate(part(3), sources=["ab", "c"])
    assert three.conditions["source"].tolist() == ["a"] * 3 + ["bb"] * 3 + ["c"] * 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"conditions": {"side": np.array(["l"] * 3)}}, r"condition 'angle' \(only in 1 of 2 sets\)"),
        ({"conditions": {**part(1).conditions, "new": np.zeros(3)}}, r"condition 'new' \(only in 1 of 2 sets\)"),
        ({"conditions": {**part(1).conditions, "side": np.zeros(3)}}, r"condition 'side' \(text in some sets"),
        ({"conditions": {**part(1).conditions, "angle": np.zeros((3, 2))}}, r"condition 'angle' \(with different num"),
        ({"behavior": {}, "units": {}}, r"behaviour 'speed' \(only in 1 of 2 sets\)"),
        ({"units": {"speed": "cm/s"}}, r"behaviour 'speed' \(in different units\)"),
        ({"behavior": {"speed": np.zeros((3, 6, 2))}}, r"behaviour 'speed' \(with different numbers of values\)"),
        ({"rates": np.ones((3, 6, 2))}, r"rates \(only in 1 of 2 sets\)"),
        ({"latents": np.ones((3, 6, 2))}, r"latents \(only in 1 of 2 sets\)"),
        ({"codes": np.ones((3, 2))}, r"codes \(only in 1 of 2 sets\)"),
        (
            {"neuron_table": {**part(1).neuron_table, "depth": np.array([2.0, np.nan])}},
            r"neuron column 'depth' \(with different values\)",
        ),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_what_only_some_sets_have_is_left_out_and_named(change, words, first):
    sets = (replace(part(1), **change), part(2))
    one, two = sets if first else sets[::-1]
    with pytest.warns(LeftOutWarning, match=words):
        both = one.concatenate(two)
    np.testing.assert_array_equal(both.counts, np.concatenate([one.counts, two.counts]))
    assert both.rates is None
    assert both.latents is None
    assert both.codes is None
    assert "new" not in both.conditions


def test_pooled_trials_know_their_conditions_if_all_sets_agree():
    conditional, plain = part(1, conditioned_on=["angle"]), part(2, conditioned_on=())
    assert conditional.concatenate(part(3, conditioned_on=["angle"])).conditioned_on == ("angle",)
    assert conditional.concatenate(plain).conditioned_on is None
    assert conditional.select([0]).rebin(2).conditioned_on == ("angle",)


def test_later_sets_may_hold_larger_counts_and_longer_words():
    one = part(1)
    two = replace(part(2), counts=part(2).counts.astype(int) + 300)
    assert one.concatenate(two).counts.max() >= 300


# --- padding ------------------------------------------------------------------------------------------------------


def test_padding_is_free_up_to_four_times_the_valid_bins():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_padding(np.array([1, 1, 1, 1, 1, 1, 12]), 100, 0.1)
        check_padding(np.array([10**7] * 3), 100, 0.1)  # large, but no padding
        check_padding(np.array([], np.int64), 3, 0.1)


def test_one_trial_a_thousand_times_as_long_is_named_then_refused():
    lengths = np.array([*[100] * 50, 100_000])
    with pytest.warns(PaddingWarning, match=r"longest of 51 trials lasts 1000 s, the median 1 s: 97.9%.*Cut"):
        check_padding(lengths, 2, 0.01)
    with pytest.raises(DataError, match=r"--every"):
        check_padding(lengths, 100, 0.01)
    assert LARGE < 51 * 100_000 * 100


def test_pooling_refuses_what_would_multiply_memory():
    short, long = Trials(np.ones((60, 50, 60), int), 0.01), Trials(np.ones((1, 50_000, 60), int), 0.01)
    with pytest.raises(DataError, match="padded to the length of the longest"):
        short.concatenate(long)
    pieces = short.concatenate(long.cut(0.5))
    assert pieces.counts.shape == (1060, 50, 60)


def test_training_refuses_batches_that_are_mostly_padding():
    lengths = np.array([*[50] * 20, 50_000])
    counts = np.zeros((21, 50_000, 1), np.uint8)
    counts[:, 0] = 1
    trials = Trials(counts, 0.01, lengths=lengths)
    with pytest.raises(DataError, match=r"Trials\.cut"):
        check_fit(trials, None)
    assert check_fit(trials.cut(0.5), None) is None
    with pytest.warns(PaddingWarning):
        check_fit(Trials(counts[:, :2000], 0.01, lengths=np.minimum(lengths, 2000)), None)


def test_arrays_that_are_mostly_padding_come_in_with_a_warning():
    with pytest.warns(PaddingWarning):
        Trials.from_array(
            np.ones((10, 100, 1), int), axes="trial time neuron", bin_width=0.1, lengths=np.array([1] * 9 + [100])
        )


def test_pooled_trials_name_all_their_sources():
    parts = [Trials(np.ones((2, 3, 1), int), 0.1, source=source) for source in ("a.nwb", "b.nwb", "a.nwb")]
    assert parts[0].concatenate(*parts[1:]).source == "a.nwb, b.nwb"


def test_pieces_that_are_no_whole_number_of_bins_are_said():
    trials = Trials(np.ones((2, 200, 1), int), 0.05)
    with pytest.warns(PieceLengthWarning, match=r"Pieces last 2 s instead of 2\.01 s"):
        assert trials.cut(2.01).lengths[0] == 40
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trials.cut(2.0)
