"""Units, valid times and tables of NWB files, and damaged files."""

import os
import subprocess
import sys
import warnings

import h5py
import numpy as np
import pynwb
import pytest

from spikeloom.cli.describe import describe
from spikeloom.data.load import load
from spikeloom.data.notes import DroppedTrialsWarning, LeftOverWarning, OverlappingTrialsWarning
from spikeloom.data.nwb import DamagedUnitsWarning, UnreadSeriesWarning, read_nwb
from spikeloom.errors import CorruptFileError, DataError, FileError, SettingError
from spikeloom.trials import Trials
from tests.helpers.command import run
from tests.helpers.nwb_session import N_TRIALS, STARTS, new_file, session, spike_trains, table, write

IDS = [3, 5, 6, 7, 12]
COLUMNS = {"quality": ["good", "mua", "good", "good", "noise"], "depth": [100.0, 200.0, np.nan, 400.0, 500.0]}


# --- which neurons --------------------------------------------------------------------------------------------------


def test_unit_ids_and_columns_reach_the_trials_file(tmp_path):
    path = session(tmp_path / "x.nwb", ids=IDS, unit_columns=COLUMNS)
    read_nwb(path).bin(0.02).save(tmp_path / "t.h5")
    trials = Trials.load(tmp_path / "t.h5")
    np.testing.assert_array_equal(trials.neuron_table["id"], IDS)
    assert list(trials.neuron_table["quality"]) == COLUMNS["quality"]
    trials.to_nwb(tmp_path / "again.nwb")
    np.testing.assert_array_equal(read_nwb(tmp_path / "again.nwb").neuron_table["id"], IDS)


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        (["--keep", "quality == good"], [3, 6, 7]),
        (["--keep", "quality != good"], [5, 12]),
        (["--keep", "quality in good,mua", "--keep", "depth >= 200"], [5, 7]),
        (["--units", "3,5-7"], [3, 5, 6, 7]),
        (["--units", "12"], [12]),
        (["--units", "3-12", "--keep", "depth < 450"], [3, 5, 7]),
    ],
)
def test_neurons_are_chosen_on_the_command_line(tmp_path, words, ids):
    path = session(tmp_path / "x.nwb", ids=IDS, unit_columns=COLUMNS)
    assert run("bin", path, "--bin-width", 0.02, *words, "--out", tmp_path / "t.h5") == 0
    trials = Trials.load(tmp_path / "t.h5")
    np.testing.assert_array_equal(trials.neuron_table["id"], ids)
    rows = np.isin(IDS, ids)
    np.testing.assert_array_equal(trials.counts, read_nwb(path).bin(0.02).counts[:, :, rows])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--keep", "quality == great"], "good, mua, noise"),
        (["--keep", "area == CA1"], "quality"),
        (["--keep", "quality"], "quality == good"),
        (["--keep", "__import__('os').system('true')"], "COLUMN OP VALUE"),
        (["--units", "4"], "3, 5, 6, 7, 12"),
        (["--units", "5", "--keep", "quality == good"], "None of the units 5"),
    ],
)
def test_a_choice_that_is_not_there_lists_what_is(tmp_path, capsys, words, message):
    path = session(tmp_path / "x.nwb", ids=IDS, unit_columns=COLUMNS)
    assert run("bin", path, "--bin-width", 0.02, *words, "--out", tmp_path / "t.h5") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "t.h5").exists()


# --- which times are valid ------------------------------------------------------------------------------------------


def test_a_unit_that_was_lost_is_named_with_the_trials_it_costs(tmp_path):
    spans = [np.array([[0.0, 60.0]])] * 4 + [np.array([[0.0, 5.0]])]
    recording = read_nwb(session(tmp_path / "x.nwb", ids=IDS, observed=spans))
    with pytest.warns(DroppedTrialsWarning, match=r"18 of 20.*unit 12 in 2 of 20; the others in 20.*--units or --keep"):
        assert len(recording.bin(0.02)) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(recording.bin(0.02, units=IDS[:4])) == 20
    with pytest.warns(LeftOverWarning, match=r"55 s are left out because not all units.*unit 12 for 5 s"):
        assert len(recording.bin(0.02, every=1.0)) == 5


def test_several_lost_units_are_all_named(tmp_path):
    spans = [np.array([[0.0, 60.0]])] * 3 + [np.array([[0.0, 11.5]]), np.array([[45.0, 60.0]])]
    with pytest.raises(DataError, match=r"2 of 5 units were observed in fewer trials.*unit 3 in 4 of 20, 4 in 5 of 20"):
        read_nwb(session(tmp_path / "x.nwb", observed=spans)).bin(0.02)


def test_missing_times_are_left_out_with_a_note(tmp_path):
    spikes = spike_trains()
    good = read_nwb(session(tmp_path / "good.nwb")).bin(0.02)
    spikes[2] = np.concatenate([[-1.0, -1.0], spikes[2]])
    with pytest.warns(DamagedUnitsWarning, match=r"2 of \d+ spike times of unit 2 \(id 2\) were left out: -1"):
        trials = read_nwb(session(tmp_path / "x.nwb", spikes=spikes)).bin(0.02)
    np.testing.assert_array_equal(trials.counts, good.counts)
    spikes[2] = np.append(spike_trains()[2], [np.nan, np.inf])
    with pytest.warns(DamagedUnitsWarning, match="left out: inf, nan"):
        trials = read_nwb(session(tmp_path / "y.nwb", spikes=spikes)).bin(0.02)
    np.testing.assert_array_equal(trials.counts, good.counts)


def test_a_file_that_begins_before_zero_keeps_its_spikes(tmp_path):
    spikes = [times - 30.0 for times in spike_trains()]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trials = read_nwb(session(tmp_path / "x.nwb", spikes=spikes, starts=STARTS - 30.0)).bin(0.02)
    np.testing.assert_array_equal(trials.counts, read_nwb(session(tmp_path / "y.nwb")).bin(0.02).counts)


def test_invalid_times_are_honoured_and_said(tmp_path, capsys):
    path = session(
        tmp_path / "x.nwb", more=lambda file: file.add_invalid_time_interval(start_time=10.0, stop_time=13.5)
    )
    recording = read_nwb(path)
    with pytest.warns(DroppedTrialsWarning, match="2 overlapping times that the recording marks as invalid"):
        trials = recording.bin(0.02)
    np.testing.assert_array_equal(trials.start_times, np.delete(STARTS, [3, 4]))
    with pytest.warns(LeftOverWarning, match="3.5 s are left out because the recording marks them as invalid"):
        starts = recording.bin(0.02, every=0.5).start_times
    assert not ((starts > 9.5) & (starts < 13.5)).any()
    assert run("inspect", path) == 0
    assert "3.5 s in 1 interval are invalid" in capsys.readouterr().out


# --- tables ---------------------------------------------------------------------------------------------------------


def stimuli(file):
    table(file, "gratings_presentations", [(1.0, 3.0), (4.0, 6.0)], orientation=[0.0, 90.0])
    table(file, "flashes_presentations", [(7.0, 8.0), (9.0, 10.0), (11.0, 12.0)], color=["black", "white", "black"])
    file.add_epoch(20.0, 40.0, ["run"])
    file.add_epoch(45.0, 60.0, ["rest"])


def test_every_table_is_listed_and_usable(tmp_path, capsys):
    path = session(tmp_path / "x.nwb", starts=None, more=stimuli)
    assert run("inspect", path) == 0
    out = capsys.readouterr().out
    for text in ("gratings_presentations, 2 rows", "flashes_presentations, 3 rows", "epochs, 2 rows", "orientation"):
        assert text in out
    words = ["--bin-width", 0.1, "--trials", "flashes_presentations", "--condition", "color"]
    assert run("bin", path, *words, "--out", tmp_path / "t.h5") == 0
    trials = Trials.load(tmp_path / "t.h5")
    assert list(trials.conditions["color"]) == ["black", "white", "black"]
    again = load(path, trial_table="flashes_presentations").bin(0.1)
    np.testing.assert_array_equal(again.counts, trials.counts)
    with pytest.raises(DataError, match="There are epochs, flashes_presentations, gratings_presentations"):
        load(path, trial_table="movies")
    assert run("bin", path, "--bin-width", 0.1, "--trials", "movies", "--out", tmp_path / "u.h5") == 2
    assert "gratings_presentations" in capsys.readouterr().err


def test_without_trials_the_message_says_what_can_be_done_and_names_no_column(tmp_path):
    recording = read_nwb(session(tmp_path / "x.nwb", starts=None, more=stimuli))
    with pytest.raises(DataError, match=r"--trials: epochs, flashes_presentations.*--every 2") as caught:
        recording.bin(0.1)
    assert "alignment" not in str(caught.value)
    with pytest.raises(DataError, match=r"no trial table.*cut the whole recording into pieces") as caught:
        read_nwb(session(tmp_path / "y.nwb", starts=None)).bin(0.1)
    assert "alignment" not in str(caught.value)
    outside = read_nwb(session(tmp_path / "z.nwb", observed=[np.array([[0.0, 1.0]])] * 5))
    with pytest.raises(DataError, match="20 of 20 trials were left out") as caught:
        outside.bin(0.1)
    assert "alignment" not in str(caught.value)


# --- continuous recordings ------------------------------------------------------------------------------------------


def test_a_continuous_recording_is_cut_into_pieces(tmp_path, capsys):
    path = session(tmp_path / "x.nwb", starts=None, observed=[np.array([[0.0, 21.0], [30.0, 39.5]])] * 5)
    assert run("bin", path, "--bin-width", 0.02, "--every", 2.0, "--out", tmp_path / "t.h5") == 0
    assert "2.5 s at the ends of intervals are shorter than a piece of 2 s" in capsys.readouterr().err
    trials = Trials.load(tmp_path / "t.h5")
    np.testing.assert_allclose(trials.start_times, [*np.arange(0, 20, 2.0), 30, 32, 34, 36])
    spikes = spike_trains()
    expected = [[((t >= start) & (t < start + 2)).sum() for t in spikes] for start in trials.start_times]
    np.testing.assert_array_equal(trials.counts.sum(1), expected)


def test_pieces_inside_a_table_have_its_columns(tmp_path):
    def add(file):
        table(file, "states", [(0.0, 7.0), (20.0, 26.0), (55.0, 70.0)], state=["rem", "wake", "rem"])

    observed = [np.array([[0.0, 59.0]])] * 5
    recording = read_nwb(session(tmp_path / "x.nwb", starts=None, observed=observed, more=add))
    with pytest.warns(LeftOverWarning, match="10 pieces inside 3 intervals; 2 s at the ends"):
        trials = recording.bin(0.02, every=1.5, trials="states", conditions="state")
    np.testing.assert_allclose(trials.start_times, [0, 1.5, 3, 4.5, 20, 21.5, 23, 24.5, 55, 56.5])
    assert list(trials.conditions["state"][:5]) == ["rem"] * 4 + ["wake"]
    with pytest.raises(SettingError, match=r"only inside the intervals of a table.*tables are states"):
        recording.bin(0.02, every=1.5, conditions="state")


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        ({"every": 0.03}, "whole number of bins.*Give --every 0.04"),
        ({"every": -1.0}, "whole number of bins"),
        ({"every": float("nan")}, "whole number of bins"),
        ({"every": 1.0, "align": "start_time", "window": (0, 1)}, "no alignment and no window"),
        ({"relative": True}, "relative applies to an alignment column"),
    ],
)
def test_settings_that_do_not_go_together(tmp_path, words, rule):
    with pytest.raises(SettingError, match=rule):
        read_nwb(session(tmp_path / "x.nwb")).bin(0.02, **words)
    with pytest.raises(DataError, match="shorter --every"):
        read_nwb(session(tmp_path / "x.nwb")).bin(0.02, every=100.0)


def test_trials_that_share_spikes_are_noted(tmp_path, capsys):
    back_to_back = 1.0 * np.arange(49) + 1
    path = session(tmp_path / "x.nwb", starts=back_to_back)
    words = ["--bin-width", 0.05, "--align", "start_time", "--window", -0.5, 1.5, "--out", tmp_path / "t.h5"]
    assert run("bin", path, *words) == 0
    err = capsys.readouterr().err
    assert "49 of 49 trials share spikes with another trial" in err
    assert "split --blocks" in err
    apart = np.array([1.0, 5.0, 9.0, 10.0])
    with pytest.warns(OverlappingTrialsWarning, match="2 of 4 trials"):
        read_nwb(session(tmp_path / "y.nwb", starts=apart)).bin(0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_nwb(session(tmp_path / "z.nwb", starts=apart * 2)).bin(0.1)


# --- damaged files --------------------------------------------------------------------------------------------------


def test_units_and_series_may_both_be_absent(tmp_path, capsys):
    path = write(new_file(), tmp_path / "x.nwb")
    assert run("inspect", path) == 0
    out = capsys.readouterr().out
    assert "no spike times" in out
    assert "nothing can be binned" in out
    assert run("bin", path, "--bin-width", 0.1, "--out", tmp_path / "t.h5") == 2
    only_trials = session(tmp_path / "y.nwb", spikes=[])
    assert run("inspect", only_trials) == 0


def replace_data(path, name, values):
    with h5py.File(path, "a") as file:
        attributes = dict(file[name].attrs)
        del file[name]
        file.create_dataset(name, data=values).attrs.update(attributes)


def test_a_cut_column_of_spike_times_is_refused_with_its_numbers(tmp_path):
    path = session(tmp_path / "x.nwb")
    with h5py.File(path) as file:
        times, ends = file["units/spike_times"][:], file["units/spike_times_index"][:]
    replace_data(path, "units/spike_times", times[:700])
    with pytest.raises(CorruptFileError, match=f"spike_times has 700 entries, its index goes to {len(times)}"):
        read_nwb(path)
    replace_data(path, "units/spike_times", times)
    for wrong, message in (
        (ends[[0, 2, 1, 3, 4]], rf"its index falls from {ends[2]} to {ends[1]} at unit 2"),
        (np.minimum(ends, 700), rf"has {len(times)} entries, its index ends at 700"),
    ):
        replace_data(path, "units/spike_times_index", wrong)
        with pytest.raises(CorruptFileError, match=message):
            read_nwb(path)
    replace_data(path, "units/spike_times_index", np.array([700, len(times)]))
    with pytest.raises(CorruptFileError, match="spike_times has 2 units, but id 5"):
        read_nwb(path)
    with h5py.File(path, "a") as file:
        del file["units/spike_times_index"]
    with pytest.raises(CorruptFileError, match="needs the index"):
        read_nwb(path)


def series(file):
    module = file.create_processing_module("behavior", "d")
    for name in ("good", "bad", "short"):
        data, stamps = np.arange(600.0), np.arange(600) * 0.1
        module.add(pynwb.TimeSeries(name=name, data=data, unit="m", timestamps=stamps))


def test_a_bad_series_is_named_and_the_others_are_read(tmp_path, capsys):
    path = session(tmp_path / "x.nwb", more=series)
    replace_data(path, "processing/behavior/bad/timestamps", np.zeros((600, 2)))
    replace_data(path, "processing/behavior/short/timestamps", np.arange(10.0))
    with pytest.warns(UnreadSeriesWarning) as caught:
        recording = read_nwb(path)
    assert ["behavior/bad" in str(caught[0].message), "behavior/short" in str(caught[1].message)] == [True, True]
    assert set(recording.behavior) == {"good"}
    assert run("bin", path, "--bin-width", 0.1, "--behavior", "good", "--out", tmp_path / "t.h5") == 0
    err = capsys.readouterr().err
    assert "shape (600, 2)" in err
    assert len(err) < 1000
    assert "builder" not in err.lower()


def test_a_series_that_is_bad_in_the_middle_is_refused_when_read(tmp_path):
    path = session(tmp_path / "x.nwb", more=series)
    with h5py.File(path, "a") as file:
        file["processing/behavior/bad/timestamps"][300] = np.nan
    recording = read_nwb(path)
    assert recording.bin(0.1, behavior="good").behavior["good"].shape[0] == N_TRIALS
    with pytest.raises(DataError, match="behavior/bad/data cannot be used"):
        recording.bin(0.1, behavior="bad")


def test_a_file_that_went_away_says_so(tmp_path):
    path = session(tmp_path / "x.nwb", more=series)
    recording = read_nwb(path)
    path.unlink()
    with pytest.raises(CorruptFileError, match="Leave the file where it was"):
        recording.bin(0.1, behavior="good")


# --- what is no such file -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [".zgroup", "zarr.json"])
def test_zarr_is_recognised_and_its_export_shown(tmp_path, capsys, name):
    folder = tmp_path / "x.nwb.zarr"
    folder.mkdir()
    (folder / name).write_text("{}")
    for command in (["inspect", folder], ["bin", folder, "--bin-width", 0.1, "--out", tmp_path / "t.h5"]):
        assert run(*command) == 2
        err = capsys.readouterr().err
        assert "stored as Zarr" in err
        assert "NWBZarrIO" in err


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p.symlink_to("nowhere.nwb"), "link to nowhere.nwb, which does not exist"),
        (lambda p: p.symlink_to(".git/annex/objects/Xx/MD5E-s1--0.nwb"), "git annex get"),
        (lambda p: p.write_text("/annex/objects/MD5E-s99--0123.nwb\n"), "git annex get"),
        (lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"), "git lfs pull"),
        (lambda p: p.write_text(""), "is empty"),
        (lambda p: p.write_text("<html>404</html>"), "is not HDF5"),
        (lambda p: p.mkdir(), "is a folder"),
    ],
)
def test_what_stands_in_place_of_a_file_is_said(tmp_path, capsys, make, message):
    path = tmp_path / "x.nwb"
    make(path)
    assert run("bin", path, "--bin-width", 0.1, "--out", tmp_path / "t.h5") == 2
    assert message in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path):
    path = session(tmp_path / "x.nwb")
    path.chmod(0)
    with pytest.raises(FileError, match=r"Permission denied.*chmod"):
        read_nwb(path)


@pytest.mark.parametrize("as_attribute", [True, False])
def test_older_versions_are_named(tmp_path, as_attribute):
    path = tmp_path / "x.nwb"
    with h5py.File(path, "w") as file:
        if as_attribute:
            file.attrs["nwb_version"] = "1.0.6"
        else:
            file["nwb_version"] = b"NWB-1.0.6"
    with pytest.raises(FileError, match=r"version 2\. .*has version 1\.0\.6"):
        read_nwb(path)


def test_a_file_that_another_program_holds_open_is_read(tmp_path):
    path = session(tmp_path / "x.nwb")
    code = "import sys, h5py; f = h5py.File(sys.argv[1], 'a'); print('open', flush=True); sys.stdin.read()"
    holder = subprocess.Popen([sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"open\n"
        assert read_nwb(path).n_neurons == 5
    finally:
        holder.communicate()


def test_a_file_that_is_being_written_is_not_called_damaged(tmp_path):
    path = tmp_path / "x.nwb"
    code = (
        "import sys, h5py; f = h5py.File(sys.argv[1], 'w', libver='latest'); f.attrs['nwb_version'] = '2.6.0';"
        "f.flush(); print('open', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(FileError, match="open for writing in another program") as caught:
            read_nwb(path)
        assert not isinstance(caught.value, CorruptFileError)
    finally:
        holder.communicate()


def test_inspect_describes_every_real_recording(recordings):
    folder = recordings("README.md").parent
    for path in sorted(folder.iterdir()):
        if path.suffix in (".nwb", ".h5"):
            assert "neurons" in describe(path), path.name
