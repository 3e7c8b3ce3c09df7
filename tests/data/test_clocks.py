"""Times on any clock: counts are correct, or there is an error or a warning with the likely cause."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeloom.data.binning import Ticks
from spikeloom.data.notes import FewSpikesWarning
from spikeloom.data.nwb import read_nwb
from spikeloom.data.recording import Recording
from spikeloom.data.series import Series
from spikeloom.errors import DataError, SettingError
from spikeloom.trials import Trials
from tests.helpers.nwb_session import N_TRIALS, STARTS, session, spike_trains

GO_CUE = 0.5 + 0.01 * (np.arange(N_TRIALS) % 3)


def plain(shift: float = 0.0, scale: float = 1.0, **fields) -> Recording:
    """Spikes on a grid of 1 ms, half a millisecond off the edges of bins, and twenty trials."""
    rng = np.random.default_rng(0)
    spikes = [(np.sort(rng.choice(60_000, 600, replace=False)) + 0.5) * 1e-3 for _ in range(3)]
    table = {"start_time": STARTS * scale + shift, "stop_time": (STARTS + 2.0) * scale + shift}
    return Recording([times * scale + shift for times in spikes], trial_table=table, **fields)


# --- any offset -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [86_400.0, 1e7, 1.7e9, 1e10, 2.0**33, -1.7e9])
def test_an_offset_of_the_clock_changes_no_count(shift):
    observed = np.array([[0.0, 60.0]])
    here = plain(observed=observed).bin(0.02)
    there = plain(shift, observed=observed + shift).bin(0.02)
    np.testing.assert_array_equal(there.counts, here.counts)
    np.testing.assert_allclose(there.start_times - shift, here.start_times, atol=1e-5)


@settings(deadline=None, max_examples=25)
@given(st.integers(-(10**10), 10**10), st.sampled_from([0.005, 0.02, 0.1]))
def test_no_whole_offset_changes_a_count(shift, width):
    observed = np.array([[0.0, 60.0]])
    there = plain(float(shift), observed=observed + shift).bin(width)
    np.testing.assert_array_equal(there.counts, plain(observed=observed).bin(width).counts)


def test_spikes_on_edges_in_unix_time_open_their_bins():
    """float64 resolves 0.24 us at 1.7e9 s; a spike written at an edge still belongs to the bin that it begins."""
    start = 1_700_000_000.05
    edges = np.array([float(f"1700000000.{5 + k:02d}") for k in range(90)])
    recording = Recording([edges], trial_table={"start_time": np.array([start]), "stop_time": np.array([start + 0.9])})
    counts = recording.bin(0.01).counts[0, :, 0]
    np.testing.assert_array_equal(counts, np.ones(len(counts)))


@pytest.mark.parametrize(
    ("scale", "shift", "unit"), [(1e3, 1.7e12, "milliseconds"), (1e9, 1.7e18, "nanoseconds"), (1e6, 1.7e15, "micro")]
)
def test_unix_time_in_other_units_is_refused(scale, shift, unit):
    with pytest.raises(SettingError, match=f"float64 resolves.*probably {unit}.*Convert the times to seconds"):
        plain(shift, scale).bin(0.005)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1e300), (-1e18, 1e18), (0.0, 9.3e9), (1.7e18, 1.7e18 + 60)])
def test_ticks_never_overflow(low, high):
    ticks = Ticks.between(low, high).of(np.array([low, high]))
    assert ticks[1] >= ticks[0]
    assert np.abs(ticks.astype(float)).max() < 2**53


def test_negative_times_count_where_something_states_that_start():
    spikes = [np.array([-0.2, 0.1]), np.array([-0.3])]
    window = {"align": "on", "window": (-0.5, 0.5)}
    table = {"on": np.array([0.0])}
    stated = (
        {"observed": np.array([[-0.5, 2.0]])},
        {"observed_each": [np.array([[-0.5, 2.0]])] * 2},
        {"behavior": {"x": Series(np.array([-0.5, 2.0]), np.zeros(2))}},
    )
    for fields in stated:
        trials = Recording(spikes, trial_table=table, **fields).bin(0.1, **window)
        np.testing.assert_array_equal(np.argwhere(trials.counts[0]), [[2, 1], [3, 0], [6, 0]])
    full = {"start_time": np.array([-0.5]), "stop_time": np.array([0.5])}
    assert Recording(spikes, trial_table=full).bin(0.1).counts.sum() == 3
    with pytest.raises(DataError, match=r"neuron 0 must be >= 0 seconds.*-0\.2"):
        Recording(spikes, trial_table=table)


# --- two clocks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scale", "shift", "cause"),
    [
        (30_000, 0, "spike times are in samples"),
        (24_414.0625, 0, "spike times are in samples"),
        (1000, 0, "spike times are in milliseconds"),
        (1e6, 0, "spike times are in microseconds"),
        (1e9, 0, "spike times are in nanoseconds"),
        (1, 1.7e9, "s before the first spike"),
        (1, -100.0, "s after the first spike"),
    ],
)
def test_spikes_on_another_clock_than_trials_are_noticed(tmp_path, scale, shift, cause):
    spikes = [times * scale + shift for times in spike_trains()]
    observed = [np.array([[-100.0, 60.0]])] * 5 if shift < 0 else None
    path = session(tmp_path / "x.nwb", spikes=spikes, observed=observed)
    with pytest.warns(FewSpikesWarning, match=r"between 0 and 59 s, the spikes between .*") as caught:
        read_nwb(path).bin(0.02)
    assert any(cause in str(each.message) for each in caught)


def test_trials_in_other_units_than_spikes_are_noticed(tmp_path):
    for scale, cause in ((1000, "trials are in milliseconds"), (30_000, "trials are in samples")):
        path = session(tmp_path / f"{scale}.nwb", starts=STARTS * scale + 70 * scale)
        with pytest.warns(FewSpikesWarning, match=f"no spike.*{cause}"):
            read_nwb(path).bin(0.02)


def test_hardly_any_spikes_are_noticed_and_normal_trials_are_not():
    quiet = Recording(
        [np.concatenate([np.arange(0, 100, 0.01), np.array([150.0])])],
        trial_table={"start_time": np.array([140.0]), "stop_time": np.array([190.0])},
        observed=np.array([[0.0, 200.0]]),
    )
    with pytest.warns(FewSpikesWarning, match="hold 1 spike .*silent in these trials"):
        quiet.bin(0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain().bin(0.02)


# --- alignment relative to the trial --------------------------------------------------------------------------------


def test_an_alignment_column_relative_to_its_trial_is_refused_and_relative_reads_it(tmp_path):
    path = session(tmp_path / "x.nwb", trial_columns={"go_cue_time": GO_CUE})
    recording = read_nwb(path)
    with pytest.raises(DataError, match=r"go_cue_time.*19 of 20 lie outside their own trial.*--relative"):
        recording.bin(0.02, align="go_cue_time", window=(-0.2, 0.4))
    trials = recording.bin(0.02, align="go_cue_time", window=(-0.2, 0.4), relative=True)
    np.testing.assert_allclose(trials.start_times, STARTS + GO_CUE - 0.2)
    full = recording.bin(0.02)
    np.testing.assert_array_equal(trials.counts[0], full.counts[0, 15:45])
    assert len(recording.bin(0.02, align="go_cue_time", window=(-0.2, 0.4), relative=False)) == 20


def test_relative_times_in_milliseconds_are_refused(tmp_path):
    path = session(tmp_path / "x.nwb", trial_columns={"cue": 1000 * GO_CUE})
    with pytest.raises(DataError, match=r"relative to their trials.*cue is 500 after its start.*seconds\?"):
        read_nwb(path).bin(0.02, align="cue", window=(0.0, 0.4), relative=True)


def test_a_column_on_the_clock_with_a_few_times_outside_is_fine(tmp_path):
    cue = STARTS + 0.5
    cue[:4] += 5
    path = session(tmp_path / "x.nwb", trial_columns={"cue": cue})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*share spikes")
        assert len(read_nwb(path).bin(0.02, align="cue", window=(0.0, 0.4))) == 20


# --- bins that cannot be ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("width", "words", "rule"),
    [
        (1e-12, {}, "at least a nanosecond"),
        (1e-30, {}, "at least a nanosecond"),
        (1e-9, {}, r"fit into memory.*20 trials of up to 2e\+09 bins"),
        (1e-3, {"align": "start_time", "window": (0.0, 1e9)}, r"fit into memory.*1e\+12 bins"),
    ],
)
def test_absurd_bins_are_one_sentence(width, words, rule):
    huge = plain(observed=np.array([[0.0, 1e10]]))
    with pytest.raises(SettingError, match=rule):
        huge.bin(width, **words)


def test_start_times_are_kept_in_files(tmp_path):
    trials = plain().bin(0.02)
    trials.save(tmp_path / "t.h5")
    np.testing.assert_array_equal(Trials.load(tmp_path / "t.h5").start_times, STARTS)
