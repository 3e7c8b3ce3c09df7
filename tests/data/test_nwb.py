"""Real NWB recordings against the plain arrays they were made from, and files that are no recordings."""

import datetime

import h5py
import numpy as np
import pytest

from spikeloom.data.load import load
from spikeloom.data.notes import DroppedTrialsWarning
from spikeloom.data.nwb import DamagedUnitsWarning, UnreadSeriesWarning, read_nwb
from spikeloom.errors import CorruptFileError, DataError, FileError
from spikeloom.trials import Trials


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "t.nwb"
    Trials(np.ones((3, 5, 2), int), 0.1).to_nwb(path)
    return path


# --- real recordings -----------------------------------------------------------------------------------------------


def test_reaches_bin_to_the_published_spikes(recordings):
    recording = read_nwb(recordings("shenoy_delayed_reach_train.nwb"))
    trials = recording.bin(0.001, align="target_on_time", window=(-0.2, 0.5), conditions=["angle_deg", "direction"])
    plain = np.load(recordings("shenoy_delayed_reach_train.npz"))
    counts = np.zeros((728, 700, 97), np.uint8)
    np.add.at(counts, (plain["spk_trial"], plain["spk_ms"], plain["spk_unit"]), 1)
    np.testing.assert_array_equal(trials.counts, counts)
    np.testing.assert_array_equal(trials.conditions["direction"], plain["trial_dir"])
    np.testing.assert_array_equal(trials.conditions["angle_deg"], plain["trial_angle_deg"])
    wide = recording.bin(0.005, align="target_on_time", window=(-0.2, 0.5), behavior=["hand_vel"])
    np.testing.assert_array_equal(wide.counts, counts.reshape(728, 140, 5, 97).sum(2))
    assert wide.units == {"hand_vel": "m/s"}
    assert wide.mean_rates_hz().mean() == pytest.approx(9.8, abs=0.1)


def test_spikes_outside_the_observed_times_are_not_invented(recordings):
    recording = read_nwb(recordings("shenoy_delayed_reach_train.nwb"))
    assert recording.intervals.shape == (728, 2)
    with pytest.raises(DataError, match="728 of 728 trials were left out"):
        recording.bin(0.005, align="target_on_time", window=(-0.3, 0.5))
    with pytest.raises(DataError, match="728 not entirely within the observed times"):
        recording.bin(0.005)


def test_whole_reaches_in_their_own_bins(recordings):
    recording = load(recordings("shenoy_delayed_reach_train.nwb"), counts="ecephys/counts_100ms")
    trials = recording.bin(0.1, behavior=["hand_vel"])
    plain = np.load(recordings("shenoy_delayed_reach_train.npz"))
    np.testing.assert_array_equal(trials.lengths, np.diff(plain["reach_trial_offsets"]))
    np.testing.assert_array_equal(trials.counts[trials.mask], plain["reach_counts"])
    np.testing.assert_allclose(trials.behavior["hand_vel"][trials.mask] * 1000, plain["reach_vel_mm_s"], atol=1e-2)


def test_binned_counts_of_variable_length(recordings):
    path = recordings("stevenson2011_center_out.nwb")
    with pytest.raises(DataError, match=r"no units.*--counts; it may be counts_50ms"):
        load(path).bin(0.05)
    trials = load(path, counts="ecephys/counts_50ms").bin(0.05, behavior=["hand_pos", "hand_vel"])
    plain = np.load(recordings("stevenson2011_center_out.npz"))
    begin, end = plain["trial_start_bin"].copy(), plain["trial_end_bin"].copy()
    end[-1] -= 1  # the session is cut off: the last trial stops at the time of the last bin
    np.testing.assert_array_equal(trials.lengths, end - begin)
    rows = np.concatenate([np.arange(a, b) for a, b in zip(begin, end, strict=True)])
    np.testing.assert_array_equal(trials.counts[trials.mask], plain["counts"][rows])
    np.testing.assert_array_equal(trials.behavior["hand_vel"][trials.mask], plain["hand_vel_m_s"][rows])


def test_alignment_that_never_happened(recordings):
    recording = load(recordings("stevenson2011_center_out.nwb"), counts="counts_50ms")
    with pytest.warns(DroppedTrialsWarning, match="1 without center_on_time"):
        trials = recording.bin(0.1, align="center_on_time", window=(-0.2, 1.0))
    assert trials.counts.shape == (179, 12, 196)


def test_sparse_spikes_of_very_unequal_trials(recordings):
    recording = read_nwb(recordings("kemere_ca1_linear_track.nwb"))
    assert (recording.n_neurons, recording.spike_count, recording.n_trials) == (31, 28829, 47)
    trials = recording.bin(0.025, conditions=["direction"])
    plain = np.load(recordings("kemere_ca1_linear_track.npz"))
    start, stop = plain["trial_start"], plain["trial_end"]
    np.testing.assert_array_equal(trials.lengths, np.floor((stop - start) / 0.025 + 1e-3))
    assert (trials.lengths * 0.025).min() > 2.9
    assert (trials.lengths * 0.025).max() < 66
    spikes = np.split(plain["spike_times"], plain["spike_times_index"][:-1])
    inside = [
        ((times >= a) & (times < a + length * 0.025)).sum()
        for a, length in zip(start, trials.lengths, strict=True)
        for times in spikes
    ]
    np.testing.assert_array_equal(trials.counts.sum(1).ravel(), inside)
    np.testing.assert_array_equal(trials.neuron_table["tetrode"], plain["unit_tetrode"])


def test_generated_trials_of_a_real_shape_come_back(recordings, tmp_path):
    recording = read_nwb(recordings("shenoy_delayed_reach_train.nwb"))
    trials = recording.bin(0.005, align="target_on_time", window=(-0.2, 0.5), conditions=["direction"])
    trials.to_nwb(tmp_path / "again.nwb")
    again = read_nwb(tmp_path / "again.nwb").bin(0.005, conditions=["direction"])
    np.testing.assert_array_equal(again.counts, trials.counts)


def test_what_else_nwb_files_hold(tmp_path):
    """A session as laboratories write them: rates, factors, references, ragged columns, raw data, equal names."""
    pynwb = pytest.importorskip("pynwb")
    utc = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    file = pynwb.NWBFile(session_description="d", identifier="i", session_start_time=utc)
    device = file.create_device("probe")
    group = file.create_electrode_group("shank", description="d", location="CA1", device=device)
    for _ in range(2):
        file.add_electrode(group=group, location="CA1")
    file.add_unit_column("quality", "good or not")
    spans = np.array([[0.0, 4.0], [5.0, 9.0]])
    file.add_unit(spike_times=[0.5, 6.0], obs_intervals=spans, electrodes=[0], quality="good")
    file.add_unit(spike_times=[], obs_intervals=spans[:1], electrodes=[0, 1], quality="mua")
    file.add_trial_column("side", "left or right")
    file.add_trial(start_time=0.0, stop_time=3.0, side="left", tags=["a", "b"])
    file.add_trial(start_time=6.0, stop_time=8.0, side="right", tags=[])
    region = file.create_electrode_table_region([0, 1], "all")
    raw = pynwb.ecephys.ElectricalSeries(name="raw", data=np.zeros((9, 2)), electrodes=region, rate=1.0)
    file.add_acquisition(raw)
    file.add_acquisition(pynwb.TimeSeries(name="eye", data=np.arange(100), unit="deg", rate=10.0, conversion=0.5))
    module = file.create_processing_module("behavior", "d")
    module.add(pynwb.TimeSeries(name="eye", data=np.arange(100.0), unit="deg", rate=10.0, starting_time=1.0))
    module.add(pynwb.TimeSeries(name="bad", data=np.zeros(2), unit="m", timestamps=[1.0, np.nan]))
    with pynwb.NWBHDF5IO(tmp_path / "t.nwb", "w") as out:
        out.write(file)
    with pytest.warns(UnreadSeriesWarning, match=r"behavior/bad was left out.*finite"):
        recording = read_nwb(tmp_path / "t.nwb")
    assert set(recording.behavior) == {"eye", "behavior/eye"}
    assert recording.behavior["eye"].values.max() == 49.5
    assert recording.behavior["behavior/eye"].times[0] == 1.0
    assert set(recording.trial_table) == {"start_time", "stop_time", "side", "tags"}
    assert list(recording.trial_table["tags"]) == ["a,b", ""]
    assert list(recording.neuron_table["quality"]) == ["good", "mua"]
    np.testing.assert_array_equal(recording.intervals, [[0, 4]])  # the second was observed by one neuron only
    with pytest.warns(DroppedTrialsWarning, match="1 not entirely within the observed times"):
        trials = recording.bin(1.0, conditions=["side"])
    assert list(trials.conditions["side"]) == ["left"]
    np.testing.assert_array_equal(trials.counts[0], [[1, 0], [0, 0], [0, 0]])


# --- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.95])
def test_truncated_or_empty_files(written, part):
    full = written.read_bytes()
    written.write_bytes(full[: int(part * len(full))])
    with pytest.raises(CorruptFileError, match=r"t\.nwb is (damaged: it is cut short|damaged|empty)"):
        read_nwb(written)


def test_files_of_another_kind(tmp_path):
    (tmp_path / "text.nwb").write_text("a text, and a long one at that")
    with pytest.raises(FileError, match="not HDF5"):
        read_nwb(tmp_path / "text.nwb")
    with h5py.File(tmp_path / "plain.nwb", "w") as file:
        file["counts"] = np.zeros(3)
    with pytest.raises(FileError, match="no nwb_version"):
        read_nwb(tmp_path / "plain.nwb")
    with pytest.raises(FileError, match="No such file"):
        read_nwb(tmp_path / "absent.nwb")
    with pytest.raises(FileError, match=r"is a folder\. It holds plain\.nwb, text\.nwb; give one of them"):
        read_nwb(tmp_path)


def test_a_file_without_units_or_counts(written):
    with h5py.File(written, "a") as file:
        del file["units"]
    with pytest.raises(DataError, match="None of its time series holds counts"):
        read_nwb(written).bin(0.1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -3.0])
def test_times_that_are_none_are_left_out_and_named(written, value):
    with h5py.File(written, "a") as file:
        file["units/spike_times"][13] = value
    with pytest.warns(DamagedUnitsWarning, match=rf"1 of 15 spike times of unit 0 \(id 0\) was left out.* {value:g}"):
        recording = read_nwb(written)
    assert [len(times) for times in recording.spikes] == [14, 15]


def test_a_unit_with_unsorted_times_is_left_out_and_named(written):
    with h5py.File(written, "a") as file:
        file["units/spike_times"][13] = 0.001
    with pytest.warns(DamagedUnitsWarning, match=r"Unit 0 \(id 0\) was left out.*0.001 s follows"):
        recording = read_nwb(written)
    assert list(recording.neuron_table["id"]) == [1]
    with h5py.File(written, "a") as file:
        file["units/spike_times"][28] = 0.001
    with pytest.raises(DataError, match=r"at least one usable spike time. Unit 0 .* The same holds for 1 more unit"):
        read_nwb(written)


def test_no_spikes(written):
    with h5py.File(written, "a") as file:
        index = file["units/spike_times_index"]
        index[:] = 0
        attributes = dict(file["units/spike_times"].attrs)
        del file["units/spike_times"]
        file["units"].create_dataset("spike_times", data=np.zeros(0)).attrs.update(attributes)
    with pytest.raises(DataError, match="at least one spike"):
        read_nwb(written)
