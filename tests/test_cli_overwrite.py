"""No command replaces its input, or a file that spikeloom did not write."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from spikeloom.cli.judge import _contenders, _name
from spikeloom.errors import FileError, SettingError
from spikeloom.files import sha256
from spikeloom.simulate import lorenz
from spikeloom.trials import Trials
from tests.helpers.command import run


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A folder with trials, their NWB file, and a model."""
    folder = tmp_path_factory.mktemp("house")
    trials = lorenz(12, n_neurons=3, n_bins=12, seed=0)
    trials.save(folder / "t.h5")
    trials.to_nwb(folder / "t.nwb")
    plans = [f"--set={stage}_plan.updates=2" for stage in ("autoencoder", "diffusion")]
    assert run("fit", "ldns-tiny", "--data", folder / "t.h5", *plans, "--out", folder / "run") == 0
    return folder


@pytest.fixture
def room(house, tmp_path, monkeypatch):
    """A working folder with copies of the trials, and several names of them."""
    for name in ("t.h5", "t.nwb"):
        shutil.copy(house / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    os.symlink("t.h5", "symbolic.h5")
    os.link("t.h5", "hard.h5")
    (tmp_path / "inside").mkdir()
    return tmp_path


SAME = ["t.h5", "./inside/../t.h5", "symbolic.h5", "hard.h5"]


@pytest.mark.parametrize("name", SAME)
@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_an_input_is_never_replaced(room, house, capsys, name, overwrite):
    before = sha256("t.h5")
    shutil.copy("t.h5", "copy.h5")
    for words in (
        ["split", "t.h5", "--out", name, "other.h5"],
        ["split", "t.h5", "--out", "other.h5", name],
        ["concatenate", "t.h5", "copy.h5", "--out", name],
        ["select", "t.h5", "--min-rate", "1", "--out", name],
        ["encode", house / "run", "--data", "t.h5", "--out", name],
        ["sample", house / "run", "--like", "t.h5", "--out", name],
    ):
        assert run(*words, *overwrite) == 2
        assert "is an input of this command" in capsys.readouterr().err
    assert sha256("t.h5") == before
    assert not Path("other.h5").exists()
    assert Path("symbolic.h5").is_symlink()


def test_a_recording_is_not_replaced_by_generated_trials(room, house, capsys):
    with h5py.File("session.nwb", "w") as file:  # as any other program writes it
        file["session_description"] = "a recording"
    recorded, split = sha256("session.nwb"), sha256("t.h5")
    assert run("sample", house / "run", "--trials", 2, "--out", "session.nwb") == 2
    assert "spikeloom did not write it" in capsys.readouterr().err
    assert run("sample", house / "run", "--trials", 2, "--out", "t.h5") == 2  # ours, but recorded trials
    assert "holds trials from lorenz, not from LDNS" in capsys.readouterr().err
    assert run("sample", house / "run", "--trials", 2, "--out", "t.nwb") == 2
    assert (sha256("session.nwb"), sha256("t.h5")) == (recorded, split)
    for name in ("session.nwb", "t.h5", "t.nwb"):
        assert run("sample", house / "run", "--trials", 2, "--out", name, "--overwrite") == 0


@pytest.mark.parametrize("name", ["fake.h5", "fake.nwb"])
def test_a_command_can_be_given_again(room, house, name):
    for seed in (0, 1):
        assert run("sample", house / "run", "--trials", 2, "--seed", seed, "--out", name) == 0
    for _ in range(2):
        assert run("split", "t.h5", "--out", "a.h5", "b.h5") == 0
        assert run("encode", house / "run", "--data", "t.h5", "--out", "e.h5") == 0
        assert run("simulate", "lorenz", "--trials", 3, "--neurons", 2, "--bins", 8, "--out", "l.h5") == 0


def foreign(path):
    """A file of the user's own."""
    path.write_bytes(b"mine")
    return sha256(path)


def test_files_of_others_are_refused_by_every_command(room, house, capsys):
    before = foreign(Path("mine.h5"))
    for words in (
        ["simulate", "lorenz", "--out", "mine.h5"],
        ["simulate", "reaching", "--out", "mine.h5"],
        ["simulate", "reaching", "--out", "r.h5", "--held-out-to", "mine.h5"],
        ["bin", "t.nwb", "--bin-width", "0.01", "--out", "mine.h5"],
        ["split", "t.h5", "--out", "a.h5", "mine.h5"],
        ["encode", house / "run", "--data", "t.h5", "--out", "mine.h5"],
        ["sample", house / "run", "--trials", 2, "--out", "mine.h5"],
        ["published", "maze", "t.nwb", "--out", "a.h5", "b.h5", "mine.h5"],
        ["published", "speech", room, "--out", "mine.h5", "b.h5", "c.h5"],
        ["traverse", house / "run", "--data", "t.h5", "--along", "x", "--span", "0", "1", "--out", "mine.h5"],
    ):
        capsys.readouterr()
        assert run(*words) == 2, words
        assert "mine.h5 exists, and spikeloom did not write it." in capsys.readouterr().err
    assert sha256("mine.h5") == before
    weights = foreign(Path("mine.safetensors"))
    assert run("simulate", "controller", "--out", "mine.safetensors") == 2
    assert sha256("mine.safetensors") == weights


def test_two_outputs_differ(room, capsys):
    os.symlink("new.h5", "link.h5")
    assert run("split", "t.h5", "--out", "new.h5", "link.h5") == 2
    assert "must differ" in capsys.readouterr().err
    assert run("published", "maze", "t.nwb", "--out", "a.h5", "b.h5", "a.h5") == 2
    assert run("simulate", "reaching", "--trials", 3, "--out", "a.h5", "--held-out-to", "./a.h5") == 2


@pytest.mark.parametrize("name", ["report.html", "metrics.json", "figures"])
def test_files_of_others_in_a_report_folder_stay(room, capsys, name):
    words = ["evaluate", "--real", "t.h5", "--fake", "hard.h5", "--out", "inside"]
    before = foreign(room / "inside" / name)
    assert run(*words) == 2
    assert f"{name} exists" in capsys.readouterr().err
    assert sha256(room / "inside" / name) == before


@pytest.mark.parametrize("name", ["recipe.toml", "model", "log.txt", "history.jsonl"])
def test_fit_leaves_the_files_of_others_alone(room, capsys, name):
    before = foreign(room / "inside" / name)
    assert run("fit", "ldns-tiny", "--data", "t.h5", "--out", "inside") == 2
    assert name in capsys.readouterr().err
    assert sha256(room / "inside" / name) == before
    assert not Path("inside/run.json").exists()


def test_python_refuses_files_of_others_too(room):
    trials, before = Trials.load("t.h5"), foreign(Path("mine.h5"))
    for write in (trials.save, trials.to_nwb):
        with pytest.raises(FileError, match="did not write it"):
            write("mine.h5")
        assert sha256("mine.h5") == before
    trials.save("t.h5")
    trials.to_nwb("t.nwb")
    trials.save("mine.h5", overwrite=True)
    assert np.array_equal(Trials.load("mine.h5").counts, trials.counts)
    Path("empty.h5").touch()
    replace(trials, source="").save("empty.h5")


def test_a_folder_named_after_its_settings_can_be_compared(room):
    for name in ("lr=0.01,seed=1", "lr=0.01,seed=2"):
        Path(name).mkdir()
    result = _contenders(["lr=0.01,seed=1", "B=lr=0.01,seed=2", "C=t.h5,hard.h5"])
    assert result == {
        "lr=0.01,seed=1": [Path("lr=0.01,seed=1")],
        "B": [Path("lr=0.01,seed=2")],
        "C": [Path("t.h5"), Path("hard.h5")],
    }
    assert _name(Path("lr=0.01,seed=1/model")) == "lr=0.01,seed=1"
    with pytest.raises(SettingError):
        _contenders(["A=", "t.h5"])
