"""Files of matrices: the possible roles of each variable, and reading of each role."""

import itertools

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from spikeloom.data.load import load
from spikeloom.data.matrices import read_matrix, read_variables
from spikeloom.data.recording import Recording
from spikeloom.errors import CorruptFileError, DataError, FileError, SettingError, ShapeError
from spikeloom.trials import Trials
from tests.helpers.command import run

COUNTS = np.random.default_rng(0).poisson(1.0, (4, 6, 3))  # trial, time, neuron
TIMES = [[[0.1, 0.2], [0.3]], [[0.1], [0.2, 0.45]], [[], [0.01]]]
BINNED = [[[2, 0], [0, 1]], [[1, 1], [0, 1]], [[0, 1], [0, 0]]]
TRAINS = [np.arange(0.05, 6, 0.1), np.array([1.0, 2.5, 4.2])]


def cells(rows, column=True):
    out = np.empty((len(rows), len(rows[0])), object)
    for index in np.ndindex(out.shape):
        times = np.array(rows[index[0]][index[1]], float)
        out[index] = times[:, None] if column else times[None]
    return out


def cell_row(parts):
    out = np.empty((1, len(parts)), object)
    out[0] = [np.asarray(part)[None] if np.ndim(part) == 1 else part for part in parts]
    return out


def save_v73(path, **variables):
    """A file as MATLAB 7.3 writes it: HDF5 with a header of text, axes reversed, cells as references."""
    with h5py.File(path, "w", userblock_size=512) as file:
        refs, number = file.create_group("#refs#"), itertools.count()

        def write(group, name, value):
            if isinstance(value, dict):
                made = group.create_group(name)
                for field, inner in value.items():
                    write(made, field, inner)
                made.attrs["MATLAB_class"] = np.bytes_(b"struct")
            elif isinstance(value, np.ndarray) and value.dtype == object:
                pointers = np.empty(value.shape[::-1], h5py.ref_dtype)
                for index in np.ndindex(value.shape):
                    inner = f"r{next(number)}"
                    write(refs, inner, value[index])
                    pointers[index[::-1]] = refs[inner].ref
                made = group.create_dataset(name, data=pointers, dtype=h5py.ref_dtype)
                made.attrs["MATLAB_class"] = np.bytes_(b"cell")
            elif not np.size(value):
                made = group.create_dataset(name, data=np.array(np.atleast_2d(value).shape, np.uint64))
                made.attrs["MATLAB_class"], made.attrs["MATLAB_empty"] = np.bytes_(b"double"), np.uint8(1)
            else:
                made = group.create_dataset(name, data=np.atleast_2d(value).T)
                made.attrs["MATLAB_class"] = np.bytes_(b"double")

        for name, value in variables.items():
            write(file, name, value)
    with open(path, "r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file")
    return path


def save_v5(path, **variables):
    savemat(path, variables)
    return path


SAVERS = {"v5": save_v5, "v7.3": save_v73}
mat = pytest.mark.parametrize("save", SAVERS.values(), ids=SAVERS)


@mat
def test_counts_of_matlab(tmp_path, save):
    path = save(tmp_path / "c.mat", spikes=COUNTS.transpose(2, 0, 1).astype(float), note=np.ones((2, 2)) * 0.5)
    trials = load(path, axes="neuron trial time", bin_width=0.01)
    np.testing.assert_array_equal(trials.counts, COUNTS)
    assert run("bin", path, "--axes", "neuron trial time", "--bin-width", 0.01, "--out", tmp_path / "t.h5") == 0
    np.testing.assert_array_equal(Trials.load(tmp_path / "t.h5").counts, COUNTS)


@mat
def test_cells_of_times_by_trial(tmp_path, save):
    path = save(tmp_path / "s.mat", spikes=cells(TIMES))
    trials = load(path, axes="trial neuron", window=(0, 0.5), bin_width=0.25)
    assert trials.counts.tolist() == BINNED
    assert (
        run("bin", path, "--axes", "trial neuron", "--window", 0, 0.5, "--bin-width", 0.25, "--out", tmp_path / "t.h5")
        == 0
    )
    assert Trials.load(tmp_path / "t.h5").counts.tolist() == BINNED
    turned = save(tmp_path / "n.mat", spikes=cells(TIMES, column=False).T)
    assert load(turned, axes="neuron trial", window=(0, 0.5), bin_width=0.25).counts.tolist() == BINNED
    deep = np.empty((len(TIMES), 1), object)
    for trial, row in enumerate(TIMES):
        deep[trial, 0] = cells([row])
    nested = save(tmp_path / "d.mat", spikes=deep)
    assert load(nested, axes="trial neuron", window=(0, 0.5), bin_width=0.25).counts.tolist() == BINNED
    turned = load(nested, axes="neuron trial", window=(0, 0.5), bin_width=0.25).counts
    np.testing.assert_array_equal(turned, np.transpose(BINNED, (2, 1, 0)))
    with pytest.raises(SettingError, match="the names of their axes"):
        load(nested, window=(0, 0.5), bin_width=0.25)


@mat
def test_cells_of_a_whole_recording_with_a_trial_table(tmp_path, save):
    path = save(tmp_path / "r.mat", units=cell_row(TRAINS), start_time=np.array([1.0, 3.0]), cue=np.array([7.0, 8.0]))
    recording = load(path)
    assert isinstance(recording, Recording)
    np.testing.assert_array_equal(recording.spikes[1], TRAINS[1])
    assert recording.trial_table["cue"].tolist() == [7, 8]
    out = tmp_path / "t.h5"
    assert (
        run(
            "bin",
            path,
            "--align",
            "start_time",
            "--window",
            0,
            1,
            "--condition",
            "cue",
            "--bin-width",
            0.5,
            "--out",
            out,
        )
        == 0
    )
    np.testing.assert_array_equal(Trials.load(out).counts[:, :, 0], [[5, 5], [5, 5]])
    assert run("bin", path, "--every", 2, "--bin-width", 0.5, "--out", tmp_path / "p.h5") == 0
    assert len(Trials.load(tmp_path / "p.h5")) == 2


@mat
def test_cells_of_counts(tmp_path, save):
    path = save(tmp_path / "c.mat", c=cell_row([COUNTS[0], COUNTS[1, :4]]))
    trials = load(path, axes="time neuron", bin_width=0.01)
    assert trials.lengths.tolist() == [6, 4]
    np.testing.assert_array_equal(trials.counts[1, :4], COUNTS[1, :4])
    with pytest.raises(SettingError, match="--axes"):
        load(path, bin_width=0.01)


@mat
def test_fields_of_structs_are_variables(tmp_path, capsys, save):
    table = {"start_time": np.array([1.0, 3.0]), "cue": np.array([7.0, 8.0])}
    path = save(tmp_path / "s.mat", session={"unit": {"spikes": cell_row(TRAINS)}, "trials": table}, fs=np.array([3e4]))
    recording = load(path)
    np.testing.assert_array_equal(recording.spikes[1], TRAINS[1])
    assert recording.trial_table["cue"].tolist() == [7, 8]
    assert load(path, variable="session.unit.spikes").n_neurons == 2
    assert run("inspect", path) == 0
    assert "--variable session.unit.spikes" in capsys.readouterr().out
    lengths = np.array([6, 6, 5, 6])
    counted = save(
        tmp_path / "c.mat", a={"x": COUNTS, "lengths": lengths, "bin_width": np.array([0.01])}, b={"x": COUNTS}
    )
    with pytest.raises(DataError, match=r"a\.x: .*b\.x: .*--variable a\.x"):
        load(counted)
    trials = load(counted, variable="a.x")
    assert trials.lengths.tolist() == lengths.tolist()
    with pytest.raises(SettingError, match="axes"):
        load(save(tmp_path / "n.mat", cut={"spikes": cells(TIMES)}), window=(0, 0.5), bin_width=0.25)


def test_a_struct_array_with_one_unit_per_element(tmp_path):
    units = np.zeros((1, 2), [("spikes", object), ("name", object)])
    for column, times in enumerate(TRAINS):
        units[0, column] = (times[:, None], f"u{column}")
    savemat(tmp_path / "u.mat", {"unit": units})
    np.testing.assert_array_equal(load(tmp_path / "u.mat").spikes[0], TRAINS[0])


def test_arrays_of_spike_times(tmp_path):
    flat, ends = np.concatenate(TRAINS), np.cumsum([len(times) for times in TRAINS])
    np.savez(tmp_path / "i.npz", spike_times=flat, spike_times_index=ends)
    order = np.argsort(flat, kind="stable")
    owner = np.repeat([4, 9], [len(times) for times in TRAINS])
    np.savez(tmp_path / "c.npz", spike_times=flat[order], spike_clusters=owner[order])
    rows = np.full((2, 60), np.nan)
    rows[0], rows[1, :3] = TRAINS[0][:60], TRAINS[1]
    np.save(tmp_path / "r.npy", rows)
    for name in ("i.npz", "c.npz", "r.npy"):
        spikes = load(tmp_path / name).spikes
        for result, expected in zip(spikes, TRAINS, strict=True):
            np.testing.assert_array_equal(result, expected)
    assert load(tmp_path / "c.npz").neuron_table["id"].tolist() == [4, 9]
    np.savez(tmp_path / "cut.npz", spike_times=flat[:-1], spike_times_index=ends)
    with pytest.raises(DataError, match="There are 62 spike times, the index ends at 63"):
        load(tmp_path / "cut.npz")


def test_bin_widths_of_the_file_and_of_the_command(tmp_path):
    np.savez(tmp_path / "c.npz", counts=COUNTS, bin_width=0.01, lengths=[6, 6, 5, 6])
    assert load(tmp_path / "c.npz").lengths.tolist() == [6, 6, 5, 6]
    wide = load(tmp_path / "c.npz", bin_width=0.02)
    assert (wide.n_bins, wide.bin_width) == (3, 0.02)
    with pytest.raises(SettingError, match=r"bins of 0\.01 s; 0\.015 s were requested"):
        load(tmp_path / "c.npz", bin_width=0.015)


def save_npz(path, **variables):
    np.savez(path.with_suffix(".npz"), **variables)
    return path.with_suffix(".npz")


@pytest.mark.parametrize("save", [save_npz, save_v5, save_v73])
def test_axes_are_never_guessed_from_the_name_of_the_variable(tmp_path, capsys, save):
    turned = COUNTS.transpose(2, 0, 1)  # as many labs keep counts: neuron, trial, time
    path = save(tmp_path / "c.mat", counts=turned, bin_width=np.array([0.01]))
    assert run("bin", path, "--bin-width", 0.01, "--out", tmp_path / "t.h5") == 2
    assert "Counts need the names of their axes" in " ".join(capsys.readouterr().err.split())
    assert run("bin", path, "--bin-width", 0.01, "--axes", "neuron trial time", "--out", tmp_path / "t.h5") == 0
    np.testing.assert_array_equal(Trials.load(tmp_path / "t.h5").counts, COUNTS)


@pytest.mark.parametrize("save", [save_npz, save_v5])
def test_a_file_may_name_the_axes_of_its_counts(tmp_path, save):
    turned = COUNTS.transpose(2, 0, 1)
    for number, axes in enumerate(("neuron trial time", np.array(["neuron", "trial", "time"], object))):
        axes = axes if save is save_v5 else np.asarray(axes, str)
        path = save(tmp_path / f"{number}.mat", x=turned, bin_width=0.01, axes=axes)
        np.testing.assert_array_equal(load(path).counts, COUNTS)
        with pytest.raises(ShapeError, match="axes must name each axis"):
            load(path, axes="time neuron")


def test_lengths_determine_the_axes_if_they_fit_one_order_only(tmp_path):
    np.savez(tmp_path / "a.npz", counts=COUNTS.transpose(1, 2, 0), bin_width=0.01, lengths=[6, 6, 5, 6])
    trials = load(tmp_path / "a.npz")
    assert trials.lengths.tolist() == [6, 6, 5, 6]
    np.testing.assert_array_equal(trials.counts[0], COUNTS[0])
    np.savez(tmp_path / "b.npz", counts=COUNTS[:, :, [0, 1, 2, 0, 1, 2]], bin_width=0.01, lengths=[6, 6, 5, 6])
    with pytest.raises(SettingError, match="Counts need the names of their axes"):
        load(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", counts=COUNTS, bin_width=0.01, lengths=[5, 5, 5, 5])
    with pytest.raises(SettingError, match="Counts need the names of their axes"):
        load(tmp_path / "c.npz")


def test_one_message_for_each_mistake(tmp_path, capsys):
    np.savez(tmp_path / "two.npz", a=COUNTS, b=COUNTS)
    np.save(tmp_path / "one.npy", COUNTS)
    np.savez(tmp_path / "none.npz", speed=np.array([0.5, 0.25]))
    np.savez(tmp_path / "o.npz", spikes=np.array([TRAINS[0], TRAINS[1]], object))
    savemat(tmp_path / "c.mat", {"s": cells(TIMES)})
    (tmp_path / "bad.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(600))
    (tmp_path / "cut.mat").write_bytes(save_v73(tmp_path / "whole.mat", x=COUNTS).read_bytes()[:1200])
    cases = [
        ("two.npz", {}, DataError, "could be counts; b: .*--variable a"),
        ("two.npz", {"variable": "c"}, DataError, "has no variable 'c'. Its variables are a, b"),
        ("one.npy", {"bin_width": 0.1}, SettingError, "Counts need the names of their axes"),
        ("one.npy", {"bin_width": 0.1, "axes": "time neuron"}, Exception, "axes must name each axis"),
        ("one.npy", {"bin_width": 0.1, "axes": "neuron trial bins"}, Exception, "axes must name each axis"),
        ("one.npy", {"axes": "trial time neuron"}, SettingError, "Counts need the width"),
        ("none.npz", {}, DataError, r"holds speed: 2 numbers \(float64\)"),
        ("none.npz", {"variable": "speed"}, DataError, "must hold counts or spike times"),
        ("o.npz", {}, DataError, "does not unpickle"),
        ("c.mat", {}, SettingError, "3 by 2 cells.*neuron trial"),
        ("c.mat", {"axes": "trial neuron"}, SettingError, "--window START END"),
        ("bad.mat", {}, CorruptFileError, "not a readable MATLAB file"),
        ("cut.mat", {}, CorruptFileError, "not a readable MATLAB file"),
        ("gone.mat", {}, FileError, "There is no"),
        ("gone.npz", {}, FileError, "There is no"),
    ]
    for name, options, error, message in cases:
        with pytest.raises(error, match=message):
            read_matrix(tmp_path / name, **options)
    assert run("bin", tmp_path / "two.npz", "--bin-width", 0.1, "--out", tmp_path / "t.h5") == 2
    assert "--variable a" in " ".join(capsys.readouterr().err.split())
    np.savez(tmp_path / "ok.npz", counts=COUNTS)
    assert (
        run(
            "bin",
            tmp_path / "ok.npz",
            "--bin-width",
            0.1,
            "--axes",
            "trial time neuron",
            "--align",
            "go",
            "--window",
            0,
            1,
            "--out",
            tmp_path / "t.h5",
        )
        == 2
    )
    assert "--align" in capsys.readouterr().err
    words = ("--bin-width", 0.1, "--axes", "trial time neuron", "--out", tmp_path / "t.h5")
    for option in ("--relative", "--absolute", "--every=0", "--units="):
        assert run("bin", tmp_path / "ok.npz", *words, option) == 2
        message = " ".join(capsys.readouterr().err.split())
        assert f"{option.partition('=')[0]} would have no effect: the data are already cut into trials." in message
    assert run("bin", tmp_path / "ok.npz", *words) == 0


def test_inspect_lists_variables_and_what_they_could_be(tmp_path, capsys):
    savemat(tmp_path / "c.mat", {"s": cells(TIMES), "x": COUNTS, "speed": np.array([0.5, 0.25]), "who": "me"})
    assert run("inspect", tmp_path / "c.mat") == 0
    output = capsys.readouterr().out
    for text in (
        "3 by 2 cells: could be spike times cut by trial",
        "4 by 6 by 3 whole numbers (int64): could be counts",
        "--variable s --axes",
        "speed",
    ):
        assert text in output
    np.savez(tmp_path / "none.npz", speed=np.array([0.5, 0.25]))
    assert run("inspect", tmp_path / "none.npz") == 0
    assert "nothing can be binned" in capsys.readouterr().out
    assert [each.role for each in read_variables(tmp_path / "none.npz")] == [""]
