"""Binning of recordings: windows, whole trials, binned counts, behaviour, and reasons for leaving trials out."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeloom.data.notes import DroppedTrialsWarning
from spikeloom.data.recording import Recording
from spikeloom.data.series import BinnedCounts, Series
from spikeloom.errors import DataError, SettingError, ShapeError

few = settings(deadline=None, max_examples=30)


def session(**fields) -> Recording:
    """Two neurons, three trials of 1, 2 and 0.5 s, with a 100 Hz series."""
    times = np.arange(0, 10, 0.01)
    defaults = {
        "spikes": [np.arange(0.05, 10, 0.1), np.array([1.0, 1.5, 4.2])],
        "behavior": {"pos": Series(times, np.stack([times, -times], 1), "m")},
        "trial_table": {
            "start_time": np.array([1.0, 3.0, 6.0]),
            "stop_time": np.array([2.0, 5.0, 6.5]),
            "go_time": np.array([1.5, np.nan, 6.2]),
            "angle": np.array([0.0, 90.0, 180.0]),
            "name": np.array(["a", "b", "c"]),
            "target": np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]),
        },
        "observed": np.array([[0.0, 10.0]]),
        "source": "a session",
    }
    return Recording(**{**defaults, **fields})


# --- windows and whole trials --------------------------------------------------------------------------------------


def test_whole_trials_last_from_start_to_stop():
    trials = session().bin(0.1, conditions=["angle", "name", "target"], behavior=["pos"])
    np.testing.assert_array_equal(trials.lengths, [10, 20, 5])
    assert (trials.counts[:, :, 0][trials.mask] == 1).all()
    np.testing.assert_array_equal(np.flatnonzero(trials.counts[0, :, 1]), [0, 5])  # 1.0 and 1.5 open their bins
    np.testing.assert_allclose(trials.behavior["pos"][1, :2, 0], [3.045, 3.145])
    np.testing.assert_array_equal(trials.conditions["target"][2], [1, 1])
    assert (trials.units["pos"], trials.source) == ("m", "a session")


def test_windows_lie_around_the_alignment_and_nan_is_left_out_loudly():
    with pytest.warns(DroppedTrialsWarning, match="1 of 3 trials was left out: 1 without go_time"):
        trials = session().bin(0.1, align="go_time", window=(-0.2, 0.3), conditions="name")
    assert trials.counts.shape == (2, 5, 2)
    np.testing.assert_array_equal(np.flatnonzero(trials.counts[0, :, 1]), [2])  # the spike at 1.5 opens bin 2
    assert list(trials.conditions["name"]) == ["a", "c"]


def test_every_reason_is_counted_once():
    recording = session(observed=np.array([[0.0, 6.3]]))
    with pytest.warns(DroppedTrialsWarning, match="2 of 3.*1 without go_time, 1 not entirely within"):
        trials = recording.bin(0.1, align="go_time", window=(0.0, 0.2))
    assert len(trials) == 1


def test_a_trial_shorter_than_a_bin_is_left_out():
    with pytest.warns(DroppedTrialsWarning, match="1 shorter than one bin"):
        assert len(session().bin(0.6)) == 2


def test_missing_conditions_and_behaviour_are_left_out():
    table = {**session().trial_table, "angle": np.array([0.0, 1.0, np.nan])}
    with pytest.warns(DroppedTrialsWarning, match="without angle"):
        assert len(session(trial_table=table).bin(0.1, conditions=["angle"])) == 2
    times = np.arange(0, 4, 0.01)
    with pytest.warns(DroppedTrialsWarning, match="2 with bins without eye"):
        trials = session(behavior={"eye": Series(times, times)}).bin(0.1, behavior=["eye"])
    assert len(trials) == 1
    assert trials.behavior["eye"].shape == (1, 10, 1)  # padding of the longer trials is gone with them


def test_lag_reads_behaviour_later():
    trials = session().bin(0.1, behavior=["pos"], lag=0.2)
    np.testing.assert_allclose(trials.behavior["pos"][0, 0], [1.245, -1.245])


def test_a_window_outside_every_trial_says_what_was_observed():
    with pytest.raises(DataError, match=r"2 not entirely within the observed times.*go_time.*0 to 10 s"):
        session().bin(0.1, align="go_time", window=(20.0, 21.0))


@pytest.mark.parametrize(
    ("width", "window", "words"),
    [
        (5.0, (-0.2, 0.5), r"for 5 ms give --bin-width 0\.005"),
        (0.1, (0.5, -0.2), r"Give --window -0\.2 0\.5\."),
        (0.2, (0.0, 0.5), r"Give --window 0 0\.6\."),
    ],
)
def test_a_window_of_no_whole_number_of_bins_names_the_likely_correction(width, window, words):
    with pytest.raises(SettingError, match=words):
        session().bin(width, align="go_time", window=window)


def test_bins_longer_than_all_trials_get_a_reminder_of_their_unit():
    with pytest.raises(DataError, match=r"shorter than one bin\. Bin widths are in seconds: for 5 ms give 0\.005"):
        session().bin(5)


def test_without_observed_times_the_events_bound_the_recording():
    recording = session(observed=None)
    np.testing.assert_allclose(recording.intervals, [[0, 9.99]])
    with pytest.raises(DataError, match=r"0 to 9\.99"):
        recording.bin(0.1, align="start_time", window=(20.0, 21.0))


@few
@given(
    st.integers(0, 99),
    st.sampled_from([0.001, 0.005, 0.01, 0.02, 0.1]),
    st.integers(-20, 20),
    st.integers(1, 12),
    st.floats(0.0, 1.0),
)
def test_a_window_holds_the_spikes_between_its_ends(seed, width, first, bins, jitter):
    """The same counts from rounded spike times between rounded edges."""
    rng = np.random.default_rng(seed)
    spikes = np.sort(rng.integers(0, 5000, 60)) * 1e-3 + rng.choice([0.0, jitter])
    align = np.round(rng.uniform(2.2, 3, 3), 3)
    recording = Recording([spikes], trial_table={"on_time": align}, observed=np.array([[0.0, 10.0]]))
    trials = recording.bin(width, align="on_time", window=(first * width, (first + bins) * width))
    for k, at in enumerate(align):
        low, high = (round((at + edge * width) * 1e9) for edge in (first, first + bins))
        inside = [low <= round(t * 1e9) < high for t in spikes]
        assert abs(trials.counts[k].sum() - sum(inside)) <= sum(
            abs(round(t * 1e9) - e) <= 1 for t in spikes for e in (low, high)
        )
    assert trials.counts.shape == (3, bins, 1)


# --- binned counts -------------------------------------------------------------------------------------------------


def binned(times, **fields) -> Recording:
    counts = np.arange(len(times))[:, None] + np.array([0, 100])
    return Recording(binned=BinnedCounts(np.asarray(times), counts, 0.05), **fields)


def test_whole_trials_have_the_bins_that_begin_inside():
    times = 10 + np.arange(100) * 0.05
    table = {"start_time": times[[3, 20]], "stop_time": times[[9, 24]]}
    trials = binned(times, trial_table=table).bin(0.05)
    np.testing.assert_array_equal(trials.lengths, [6, 4])
    np.testing.assert_array_equal(trials.counts[0, :, 0], [3, 4, 5, 6, 7, 8])
    np.testing.assert_array_equal(trials.counts[1, :4, 1], [120, 121, 122, 123])


def test_windows_begin_at_the_nearest_bin_and_wider_bins_are_sums():
    times = 10 + np.arange(100) * 0.05 + np.tile([0, 0.0004], 50)  # rounded stamps
    recording = binned(times, trial_table={"on": np.array([10.52, 11.0])})
    trials = recording.bin(0.1, align="on", window=(-0.1, 0.2))
    np.testing.assert_array_equal(trials.counts[:, :, 0], [[8 + 9, 10 + 11, 12 + 13], [18 + 19, 20 + 21, 22 + 23]])


def test_gaps_between_bins_are_not_crossed():
    times = np.concatenate([10 + np.arange(20) * 0.05, 20 + np.arange(20) * 0.05])
    recording = binned(times, trial_table={"on": np.array([10.0, 10.8, 20.0, 20.9, 15.0])})
    np.testing.assert_allclose(recording.intervals, [[10, 11], [20, 21]])
    with pytest.warns(DroppedTrialsWarning, match="3 not entirely within the observed times"):
        trials = recording.bin(0.05, align="on", window=(0.0, 0.25))
    np.testing.assert_array_equal(trials.counts[:, 0, 0], [0, 20])


def test_series_with_the_stamps_of_the_bins_come_back_sample_by_sample():
    times = np.round(10 + np.arange(40) * 0.05 + np.tile([0, 0.001, -0.001, 0], 10), 3)
    series = Series(times, np.arange(40.0))
    recording = binned(times, behavior={"x": series}, trial_table={"start_time": times[[4]], "stop_time": times[[14]]})
    np.testing.assert_array_equal(recording.bin(0.05, behavior=["x"]).behavior["x"][0, :, 0], np.arange(4, 14))


@pytest.mark.parametrize("width", [0.02, 0.075, 0.051])
def test_a_bin_width_that_is_no_multiple_is_refused(width):
    with pytest.raises(SettingError, match="whole multiple"):
        binned(np.arange(9) * 0.05, trial_table={"start_time": np.zeros(1), "stop_time": np.ones(1)}).bin(width)


def test_counts_are_a_series_until_chosen():
    series = Series(np.arange(9) * 0.05, np.arange(18).reshape(9, 2), "spikes/bin")
    table = {"start_time": np.zeros(1), "stop_time": np.array([0.2])}
    recording = Recording(behavior={"counts_50ms": series}, trial_table=table)
    assert recording.n_neurons == 0
    with pytest.raises(DataError, match="--counts; it may be counts_50ms"):
        recording.bin(0.05)
    for name in ("counts_50ms", "ecephys/counts_50ms"):
        assert recording.bin(0.05, counts=name).counts.sum() == sum(range(8))
    with pytest.raises(DataError, match="The series are counts_50ms"):
        recording.counted("ecephys/other")


# --- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "must"),
    [([0.1, np.nan], "finite"), ([np.inf], "finite"), ([-0.5, 1.0], ">= 0"), ([1.0, 0.5], "sorted")],
)
def test_spike_times_that_are_none_name_the_neuron(times, must):
    with pytest.raises(DataError, match=f"neuron 1 must be {must}"):
        Recording([np.array([1.0]), np.array(times)])


def test_no_spikes_at_all():
    with pytest.raises(DataError, match="at least one spike"):
        Recording([np.zeros(0), np.zeros(0)])
    with pytest.raises(DataError, match="at least one spike"):
        Recording([])


@pytest.mark.parametrize("value", [-1, 0.5, np.nan])
def test_binned_counts_must_be_counts(value):
    with pytest.raises(DataError, match="bin 1, neuron 0"):
        BinnedCounts(np.arange(2.0), np.array([[1.0, 0.0], [value, 0.0]]), 1.0)


def test_shapes_are_checked():
    with pytest.raises(ShapeError, match=r"\(bin, neuron\)"):
        BinnedCounts(np.arange(2.0), np.zeros(2), 1.0)
    with pytest.raises(ShapeError, match="one row of values"):
        Series(np.arange(2.0), np.zeros(3))
    with pytest.raises(ShapeError, match="one row per trial"):
        session(trial_table={"start_time": np.zeros(2), "stop_time": np.zeros(3)})
    with pytest.raises(DataError, match="sorted"):
        Series(np.array([1.0, 0.0]), np.zeros(2))


@pytest.mark.parametrize("width", [0.0, -0.005, float("nan"), float("inf")])
def test_bin_widths_that_make_no_sense(width):
    with pytest.raises(SettingError, match="positive number of seconds"):
        session().bin(width)


@pytest.mark.parametrize("window", [(0.5, 0.5), (0.5, 0.2), (0.0, 0.25), (0.0, float("nan")), (0.0, float("inf"))])
def test_windows_that_make_no_sense(window):
    with pytest.raises(SettingError, match="whole number of bins"):
        session().bin(0.1, align="go_time", window=window)


def test_the_remedy_for_a_window_works():
    with pytest.raises(SettingError) as caught:
        session().bin(0.1, align="start_time", window=(-0.2, 0.25))
    assert "--window -0.2 0.3" in str(caught.value)
    assert session().bin(0.1, align="start_time", window=(-0.2, 0.3)).n_bins == 5


def test_align_and_window_belong_together():
    for half in ({"align": "go_time"}, {"window": (0.0, 0.1)}):
        with pytest.raises(SettingError, match="belong together"):
            session().bin(0.1, **half)


def test_missing_columns_list_those_there_are():
    with pytest.raises(DataError, match="start_time, stop_time, go_time"):
        session().bin(0.1, align="target_on", window=(0.0, 0.1))
    with pytest.raises(DataError, match=r"one time in seconds per trial.*start_time, stop_time, go_time"):
        session().bin(0.1, align="name", window=(0.0, 0.1))
    with pytest.raises(DataError, match="angle, name, target"):
        session().bin(0.1, conditions=["direction"])
    with pytest.raises(DataError, match="There are pos"):
        session().bin(0.1, behavior=["vel"])
    with pytest.raises(DataError, match="no trial table"):
        session(trial_table={}).bin(0.1)


def test_a_recording_that_lost_nothing_says_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        session().bin(0.1)
    assert "2 neurons, 103 spikes, 3 trials" in repr(session())
