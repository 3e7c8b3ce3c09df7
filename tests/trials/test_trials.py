"""`Trials`: valid arguments, results of the methods, and padding without influence."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeloom.errors import ConditionError, DataError, ShapeError
from spikeloom.trials import Trials

few = settings(deadline=None, max_examples=30)
shapes = st.tuples(st.integers(1, 4), st.integers(1, 12), st.integers(1, 5))


def example(seed: int = 0, trials: int = 4, time: int = 12, neurons: int = 3) -> Trials:
    rng = np.random.default_rng(seed)
    return Trials(
        rng.poisson(1.0, (trials, time, neurons)),
        0.005,
        lengths=rng.integers(min(3, time), time + 1, trials),
        behavior={"vel": rng.normal(size=(trials, time, 2))},
        units={"vel": "m/s"},
        conditions={"angle": np.arange(trials) * 45.0, "name": np.array(["a", "bb", "c", "d"])[:trials]},
        neuron_table={"tetrode": np.arange(neurons)},
        rates=rng.random((trials, time, neurons)),
        latents=rng.normal(size=(trials, time, 2)),
        codes=rng.normal(size=(trials, 5)),
        start_times=np.arange(trials) * 2.0,
        source="test",
    )


# --- what may come in --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "word"), [(-1.0, "-1"), (0.5, "0.5"), (np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")]
)
def test_counts_that_are_no_counts_are_named(value, word):
    counts = np.zeros((2, 3, 4))
    counts[1, 2, 3] = counts[1, 2, 0] = value
    with pytest.raises(DataError, match=f"2 of 24 are not; the first is {word} at trial 1, bin 2, neuron 0"):
        Trials(counts, 0.1)


def test_negative_integers_are_refused():
    with pytest.raises(DataError, match="-3 at trial 0, bin 1, neuron 0"):
        Trials(np.array([[[0], [-3]]]), 0.1)


@pytest.mark.parametrize("shape", [(3,), (3, 4), (1, 2, 3, 4)])
def test_counts_of_other_axes_are_refused(shape):
    with pytest.raises(ShapeError, match="from_array"):
        Trials(np.zeros(shape), 0.1)


def test_text_is_refused():
    with pytest.raises(DataError, match="must be numbers"):
        Trials(np.array([[["1"]]]), 0.1)


@pytest.mark.parametrize("width", [0.0, -0.005, float("nan"), float("inf")])
def test_a_bin_width_must_be_positive(width):
    with pytest.raises(DataError, match="positive number of seconds"):
        Trials(np.zeros((1, 1, 1)), width)


@pytest.mark.parametrize("lengths", [[0, 1], [1, 4], [1], [1.5, 2], [[1, 2]], [np.nan, 1]])
def test_lengths_must_fit(lengths):
    with pytest.raises(ShapeError, match="lengths"):
        Trials(np.zeros((2, 3, 1)), 0.1, lengths=np.array(lengths))


@pytest.mark.parametrize(
    "field",
    [
        {"rates": np.zeros((2, 3, 2))},
        {"latents": np.zeros((2, 4, 2))},
        {"latents": np.zeros((2, 3))},
        {"codes": np.zeros((3, 2))},
        {"start_times": np.zeros(3)},
        {"behavior": {"vel": np.zeros((3, 2, 1))}},
        {"behavior": {"vel": np.zeros((2, 3, 1, 1))}},
        {"conditions": {"angle": np.zeros(3)}},
        {"neuron_table": {"tetrode": np.zeros(2)}},
    ],
)
def test_fields_must_have_the_axes_of_the_counts(field):
    with pytest.raises(ShapeError, match="axes of"):
        Trials(np.zeros((2, 3, 1)), 0.1, **field)


def test_counts_are_kept_small_and_read_only():
    trials = Trials(np.array([[[0.0], [255.0]]]), 0.1)
    assert trials.counts.dtype == np.uint8
    assert Trials(np.array([[[0], [256]]]), 0.1).counts.dtype == np.uint16
    assert Trials(np.array([[[True], [False]]]), 0.1).counts.sum() == 1
    with pytest.raises(ValueError, match="read-only"):
        trials.counts[0, 0, 0] = 1


def test_conditions_of_python_text_become_text():
    trials = Trials(np.zeros((2, 1, 1)), 0.1, conditions={"go": np.array(["left", "right"], object)})
    assert trials.conditions["go"].dtype.kind == "U"
    with pytest.raises(DataError, match="numbers or text"):
        Trials(np.zeros((1, 1, 1)), 0.1, conditions={"odd": np.array([{}], object)})


@few
@given(st.permutations(["trial", "time", "neuron"]), shapes)
def test_any_order_of_axes_comes_in_by_name(order, shape):
    rng = np.random.default_rng(0)
    counts = rng.poisson(1.0, shape)
    mixed = counts.transpose([["trial", "time", "neuron"].index(axis) for axis in order])
    np.testing.assert_array_equal(Trials.from_array(mixed, axes=" ".join(order), bin_width=0.1).counts, counts)


@pytest.mark.parametrize("axes", ["trial time", "trial time cell", "trial trial time", "neuron time"])
def test_axes_must_be_named_once_each(axes):
    with pytest.raises(ShapeError, match="neuron trial time"):
        Trials.from_array(np.zeros((1, 2, 3)), axes=axes, bin_width=0.1)


def test_one_trial_needs_no_trial_axis():
    assert Trials.from_array(np.zeros((5, 9)), axes="neuron time", bin_width=0.1).counts.shape == (1, 9, 5)


# --- padding ------------------------------------------------------------------------------------------------------


def test_padding_is_zero_whatever_came_in():
    trials = example()
    for value in (trials.counts, trials.rates, trials.latents, trials.behavior["vel"]):
        assert not value[~trials.mask].any()
    nan = Trials(np.zeros((1, 3, 1)), 0.1, lengths=np.array([1]), behavior={"x": np.array([[1.0, np.nan, np.nan]])})
    np.testing.assert_array_equal(nan.behavior["x"][0, :, 0], [1, 0, 0])


def test_mean_rates_do_not_see_padding():
    counts = np.ones((2, 4, 1), int)
    trials = Trials(counts, 0.5, lengths=np.array([1, 2]))
    np.testing.assert_allclose(trials.mean_rates_hz(), [2.0])


# --- new trials from these ----------------------------------------------------------------------------------------


@few
@given(st.integers(0, 99), shapes)
def test_batches_and_concatenate_are_inverse(seed, shape):
    trials = example(seed, *shape)
    first, *others = trials.batches(2)
    again = first.concatenate(*others)
    for name in ("counts", "lengths", "rates", "latents", "codes", "start_times"):
        np.testing.assert_array_equal(getattr(again, name), getattr(trials, name))
    np.testing.assert_array_equal(again.behavior["vel"], trials.behavior["vel"])
    np.testing.assert_array_equal(again.conditions["name"], trials.conditions["name"])


def test_concatenate_pads_and_keeps_what_all_have():
    long, short = example(), Trials(np.ones((1, 2, 3), int), 0.005)
    both = short.concatenate(long)
    assert both.counts.shape == (5, 12, 3)
    assert both.lengths[0] == 2
    assert both.rates is None
    assert not both.behavior
    with pytest.raises(ShapeError, match="rebin"):
        long.concatenate(Trials(np.ones((1, 2, 3), int), 0.01))
    with pytest.raises(ShapeError, match="same neurons"):
        long.concatenate(Trials(np.ones((1, 2, 4), int), 0.005))


@few
@given(st.integers(0, 99), st.floats(0.1, 0.9))
def test_split_parts_are_disjoint_whole_and_repeatable(seed, fraction):
    trials = Trials(np.arange(10).reshape(10, 1, 1), 0.1)
    one, two = trials.split(fraction, seed=seed)
    assert len(one) == round(10 * fraction)
    assert sorted([*one.counts.ravel(), *two.counts.ravel()]) == list(range(10))
    assert (np.diff(one.counts.ravel().astype(int)) > 0).all()
    np.testing.assert_array_equal(one.counts, trials.split(fraction, seed=seed)[0].counts)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -1.0, 2.0, float("nan"), 0.01])
def test_a_split_leaves_trials_on_each_side(fraction):
    with pytest.raises(DataError, match="at least one trial"):
        example().split(fraction)


@few
@given(st.integers(0, 99), st.integers(1, 3))
def test_rebin_keeps_every_spike_of_whole_wide_bins(seed, factor):
    trials = example(seed)
    wide = trials.rebin(factor)
    assert wide.bin_width == pytest.approx(trials.bin_width * factor)
    np.testing.assert_array_equal(wide.lengths, trials.lengths // factor)
    for k in range(len(trials)):
        used = wide.lengths[k] * factor
        np.testing.assert_array_equal(wide.counts[k].sum(0), trials.counts[k, :used].sum(0))
        np.testing.assert_allclose(wide.behavior["vel"][k, 0], trials.behavior["vel"][k, :factor].mean(0))
        np.testing.assert_allclose(wide.rates[k].sum(0), trials.rates[k, :used].sum(0), rtol=1e-5)


def test_rebin_refuses_bins_wider_than_a_trial():
    with pytest.raises(DataError, match="shortest trial"):
        example().rebin(13)
    with pytest.raises(DataError, match="shortest trial"):
        example().rebin(0)


def test_select_takes_slices_indices_and_masks():
    trials = example()
    for rows in (slice(1, 3), [1, 2], np.array([False, True, True, False])):
        part = trials.select(rows)
        np.testing.assert_array_equal(part.counts, trials.counts[1:3])
        np.testing.assert_array_equal(part.conditions["angle"], [45.0, 90.0])
    neurons = trials.select_neurons([2, 0])
    np.testing.assert_array_equal(neurons.counts, trials.counts[:, :, [2, 0]])
    np.testing.assert_array_equal(neurons.neuron_table["tetrode"], [2, 0])


def test_an_unknown_condition_lists_those_there_are():
    with pytest.raises(ConditionError, match=r"\['angle', 'name'\]"):
        example().condition("direction")
    assert "4 trials" in repr(example())


# --- when trials begin -------------------------------------------------------------------------------------------


def test_start_times_follow_their_trials():
    trials = example()
    np.testing.assert_array_equal(trials.select([3, 1]).start_times, [6.0, 2.0])
    np.testing.assert_array_equal(trials.rebin(2).start_times, trials.start_times)
    one, two = trials.split(0.5)
    assert sorted([*one.start_times, *two.start_times]) == [0.0, 2.0, 4.0, 6.0]


def test_concatenate_marks_unknown_start_times():
    expected, unknown = example(), Trials(np.ones((1, 2, 3), int), 0.005)
    np.testing.assert_array_equal(expected.concatenate(unknown).start_times, [0, 2, 4, 6, np.nan])
    np.testing.assert_array_equal(unknown.concatenate(expected).start_times, [np.nan, 0, 2, 4, 6])
    assert unknown.concatenate(unknown).start_times is None


@pytest.mark.parametrize("starts", [[np.inf], ["a"], [True]])
def test_start_times_must_be_seconds(starts):
    with pytest.raises(DataError, match="seconds"):
        Trials(np.ones((1, 2, 3), int), 0.1, start_times=np.array(starts))


# --- pieces and joint labels --------------------------------------------------------------------------------------


@few
@given(st.integers(0, 99), shapes, st.integers(1, 12))
def test_cut_gives_every_bin_of_whole_pieces_once(seed, shape, size):
    trials = example(seed, *shape)
    if size > trials.lengths.max():
        with pytest.raises(DataError, match="longest trial"):
            trials.cut(size * trials.bin_width)
        return
    pieces = trials.cut(size * trials.bin_width)
    assert (pieces.lengths == size).all()
    assert pieces.n_bins == size
    position = 0
    for row, length in enumerate(trials.lengths.tolist()):
        for piece in range(length // size):
            span = slice(piece * size, (piece + 1) * size)
            np.testing.assert_array_equal(pieces.counts[position], trials.counts[row, span])
            np.testing.assert_array_equal(pieces.rates[position], trials.rates[row, span])
            np.testing.assert_array_equal(pieces.behavior["vel"][position], trials.behavior["vel"][row, span])
            assert pieces.conditions["name"][position] == trials.conditions["name"][row]
            assert pieces.start_times[position] == pytest.approx(trials.start_times[row] + span.start * 0.005)
            position += 1
    assert position == len(pieces)
    assert pieces.codes is None


def test_cut_takes_the_nearest_whole_number_of_bins():
    trials = Trials(np.ones((1, 100, 1), int), 0.03)
    assert trials.cut(0.1).n_bins == 3
    assert trials.cut(0.11).n_bins == 4
    for every in (0.01, 0.0, -1.0, 3.2, float("nan"), float("inf")):
        with pytest.raises(DataError, match="Pieces must last"):
            trials.cut(every)


def test_joint_labels_tell_every_combination_apart():
    trials = Trials(
        np.ones((6, 1, 1), int),
        0.1,
        conditions={
            "left": np.array([0, 0, 1, 1, 0, 1]),
            "right": np.array([0.0, 0.1, 0.0, 0.1, -0.0, np.nan]),
            "side": np.array(["L", "L", "L", "R", "L", "L"]),
            "target": np.zeros((6, 2)),
        },
    )
    both = trials.with_joint_condition(["left", "right"]).conditions["left,right"]
    assert both.tolist() == ["0,0", "0,0.1", "1,0", "1,0.1", "0,0", ""]
    assert trials.with_joint_condition(["right", "side"]).condition("right,side")[3] == "0.1,R"
    assert trials.with_joint_condition(["left"]) is trials
    with pytest.raises(ConditionError, match="shape"):
        trials.with_joint_condition(["left", "target"])
    with pytest.raises(ConditionError, match="must be one of"):
        trials.with_joint_condition(["left", "middle"])


def test_joint_labels_agree_between_types_of_numbers():
    real = Trials(np.ones((2, 1, 1), int), 0.1, conditions={"a": np.array([0, 1]), "b": np.array([0.1, 0.25])})
    fake = Trials(
        np.ones((2, 1, 1), int), 0.1, conditions={"a": np.array([0.0, 1.0]), "b": np.array([0.1, 0.25], np.float32)}
    )
    one, two = (trials.with_joint_condition(["a", "b"]).conditions["a,b"] for trials in (real, fake))
    np.testing.assert_array_equal(one, two)
