"""`load` reads every kind of file and object, and refuses arguments that do not apply."""

from types import SimpleNamespace

import numpy as np
import pytest

from spikeloom.data.load import load
from spikeloom.data.recording import Recording
from spikeloom.errors import CorruptFileError, DataError, FileError, SettingError, ShapeError
from spikeloom.trials import Trials

TABLE = {"start_time": np.array([0.0]), "stop_time": np.array([2.0])}


def test_spike_times_in_lists_and_dicts():
    times = [np.array([0.1, 1.2]), np.array([]), [0.5]]
    trials = load(times, trial_table=TABLE).bin(1.0)
    np.testing.assert_array_equal(trials.counts[0], [[1, 0, 1], [1, 0, 0]])
    named = load({"a": [0.1], "b": [0.2, 1.9]}, trial_table=TABLE).bin(1.0)
    assert list(named.neuron_table["name"]) == ["a", "b"]
    assert isinstance(load(times), Recording)


def test_counts_in_arrays_and_ragged_lists():
    counts = np.random.default_rng(0).poisson(1.0, (2, 5, 3))
    np.testing.assert_array_equal(
        load(counts, axes="neuron time trial", bin_width=0.1).counts, counts.transpose(2, 1, 0)
    )
    ragged = load([counts[0], counts[1, :2]], bin_width=0.1)
    np.testing.assert_array_equal(ragged.lengths, [5, 2])
    np.testing.assert_array_equal(ragged.counts[1, :2], counts[1, :2])
    with pytest.raises(DataError, match="bin_width"):
        load([counts[0]])
    with pytest.raises(DataError, match="axes="):
        load(counts)
    with pytest.raises(ShapeError, match="same neurons"):
        load([np.zeros((4, 2)), np.zeros((4, 3))], bin_width=0.1)


def test_trials_and_recordings_pass():
    trials = Trials(np.ones((1, 2, 1), int), 0.1)
    assert load(trials) is trials


def test_files(tmp_path):
    trials = Trials(np.ones((2, 3, 4), int), 0.1, lengths=np.array([3, 1]))
    trials.save(tmp_path / "t.h5")
    np.testing.assert_array_equal(load(tmp_path / "t.h5").lengths, [3, 1])
    trials.to_nwb(tmp_path / "t.nwb")
    np.testing.assert_array_equal(load(str(tmp_path / "t.nwb")).bin(0.1).lengths, [3, 1])
    np.savez(tmp_path / "t.npz", counts=trials.counts, bin_width=0.1, lengths=[3, 1])
    np.testing.assert_array_equal(load(tmp_path / "t.npz").counts, trials.counts)
    np.save(tmp_path / "t.npy", trials.counts)
    assert load(tmp_path / "t.npy", axes="neuron trial time", bin_width=0.5).counts.shape == (3, 4, 2)


def test_files_that_are_none(tmp_path):
    for name in ("t.h5", "t.nwb", "t.npz"):
        with pytest.raises(FileError):
            load(tmp_path / name)
    (tmp_path / "t.npz").write_text("nothing")
    with pytest.raises(CorruptFileError, match="plain NumPy arrays"):
        load(tmp_path / "t.npz")
    np.save(tmp_path / "object.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(CorruptFileError, match="plain NumPy arrays"):
        load(tmp_path / "object.npy", axes="time neuron", bin_width=0.1)
    np.savez(tmp_path / "other.npz", spikes=np.zeros(3))
    with pytest.raises(DataError, match="holds spikes"):
        load(tmp_path / "other.npz")
    with pytest.raises(FileError, match=r"\.nwb"):
        load(tmp_path / "session.plx")
    with pytest.raises(DataError, match="It got int"):
        load(3)


def test_arguments_that_nobody_reads_are_refused(tmp_path):
    with pytest.raises(SettingError, match="bin_width"):
        load(tmp_path / "t.nwb", bin_width=0.1)
    with pytest.raises(SettingError, match="axes"):
        load([np.zeros(1)], axes="trial time neuron")


def test_pynapple_groups_bring_their_time_support():
    """A stand-in with the attributes of pynapple's TsGroup; pynapple itself needs 361 MB."""

    class Group(dict):
        time_support = SimpleNamespace(start=np.array([0.0, 5.0]), end=np.array([2.0, 9.0]))

    train = lambda times: SimpleNamespace(times=lambda: np.array(times))
    recording = load(Group({3: train([0.5, 6.0]), 7: train([1.5])}), trial_table=TABLE)
    np.testing.assert_array_equal(recording.intervals, [[0, 2], [5, 9]])
    np.testing.assert_array_equal(recording.bin(1.0).neuron_table["name"], [3, 7])


def test_neo_objects_come_in_seconds():
    neo = pytest.importorskip("neo")
    trains = [
        neo.SpikeTrain([100.0, 1200.0], units="ms", t_start=0, t_stop=2500),
        neo.SpikeTrain([0.5], units="s", t_start=0, t_stop=2.5),
    ]
    segment = neo.Segment()
    segment.spiketrains.extend(trains)
    block = neo.Block()
    block.segments.append(segment)
    for item in (trains, segment, block):
        recording = load(item, trial_table=TABLE)
        np.testing.assert_array_equal(recording.bin(1.0).counts[0], [[1, 1], [1, 0]])
        np.testing.assert_allclose(recording.intervals, [[0, 2.5]])
    block.segments.append(neo.Segment())
    with pytest.raises(DataError, match="one segment"):
        load(block)
