"""The command line: from simulation to report, a killed fit that resumes, and a message for every mistake."""

import datetime
import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pynwb
import pytest

from spikeloom import files
from spikeloom.trials import Trials
from tests.helpers.command import run

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
QUICK = ["--set", "autoencoder_plan.updates=6", "--set", "diffusion_plan.updates=6", "--set", "n_latents=4"]


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A folder with simulated trials, split, and a model trained on them by the commands."""
    folder = tmp_path_factory.mktemp("house")
    data = folder / "lorenz.h5"
    assert run("simulate", "lorenz", "--trials", 60, "--neurons", 8, "--bins", 30, "--seed", 1, "--out", data) == 0
    assert run("split", data, "--fraction", 0.5, "--out", folder / "train.h5", folder / "test.h5") == 0
    assert run("fit", "ldns-tiny", "--data", folder / "train.h5", *QUICK, "--out", folder / "run") == 0
    return folder


# --- the main job ----------------------------------------------------------------------------------------------------


def test_sample_encode_evaluate_compare(house, tmp_path, capsys):
    assert run("sample", house / "run", "--like", house / "test.h5", "--seed", 1, "--out", tmp_path / "fake.h5") == 0
    fake, test = Trials.load(tmp_path / "fake.h5"), Trials.load(house / "test.h5")
    assert fake.counts.shape == test.counts.shape
    assert fake.rates is not None
    assert run("encode", house / "run", "--data", house / "test.h5", "--out", tmp_path / "encoded.h5") == 0
    encoded = Trials.load(tmp_path / "encoded.h5")
    assert encoded.latents.shape == (*test.counts.shape[:2], 4)
    words = ["--reference", house / "train.h5", "--out", tmp_path / "report"]
    assert run("evaluate", "--real", house / "test.h5", "--fake", tmp_path / "fake.h5", *words) == 0
    assert json.loads((tmp_path / "report" / "metrics.json").read_text())["format"] == "spikeloom-metrics"
    assert "<svg" in (tmp_path / "report" / "report.html").read_text()
    out = capsys.readouterr().out
    assert "report.html" in out
    assert "Fano" in out
    words = ["--data", house / "test.h5", "--samples", 1, "--out", tmp_path / "both"]
    assert run("compare", house / "run", tmp_path / "fake.h5", *words) == 0
    assert (tmp_path / "both" / "compare.html").exists()


def test_baselines_on_the_latents_stand_in_both_tables(house, tmp_path):
    names = ["Gaussian on the latents", "linear autoregression on the latents"]
    assert run("sample", house / "run", "--like", house / "test.h5", "--out", tmp_path / "fake.h5") == 0
    words = ["--reference", house / "train.h5", "--out", tmp_path / "one"]
    fake = ["--fake", tmp_path / "fake.h5", "--model", house / "run"]
    assert run("evaluate", "--real", house / "test.h5", *fake, *words) == 0
    panel = json.loads((tmp_path / "one" / "metrics.json").read_text())["panel_detail"]
    assert list(panel["mean_rate_r"]["baselines"])[-2:] == names
    words = ["--data", house / "test.h5", "--reference", house / "train.h5", "--samples", 1, "--out", tmp_path / "both"]
    assert run("compare", house / "run", tmp_path / "fake.h5", *words) == 0
    panel = json.loads((tmp_path / "both" / "compare.json").read_text())["panel"]
    assert list(panel["mean_rate_r"]["baselines"]) == [f"{name} of run" for name in names]


def test_sampling_is_repeatable_and_longer_trials_are_nwb(house, tmp_path):
    for name in ("a.h5", "b.h5"):
        assert run("sample", house / "run", "--trials", 5, "--seed", 3, "--out", tmp_path / name) == 0
    assert np.array_equal(Trials.load(tmp_path / "a.h5").counts, Trials.load(tmp_path / "b.h5").counts)
    long = tmp_path / "long.nwb"
    words = ["--trials", 3, "--bins", 200, "--sampler", "DDIM:4", "--out", long]
    assert run("sample", house / "run", *words) == 0
    width = Trials.load(tmp_path / "a.h5").bin_width
    assert run("bin", long, "--bin-width", width, "--out", tmp_path / "again.h5") == 0
    assert Trials.load(tmp_path / "again.h5").counts.shape == (3, 200, 8)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("test.h5", "30 trials|30, from"),
        ("run", "LDNS"),
        ("run/model", r"latents = 4"),
        ("run/model/recipe.toml", "ldns"),
    ],
)
def test_inspect_knows_every_kind(house, capsys, name, words):
    assert run("inspect", house / name) == 0
    assert re.search(words, capsys.readouterr().out)


def test_a_finished_run_is_loaded_and_another_recipe_refused(house, capsys):
    before = files.sha256(house / "run" / "model" / "model.safetensors")
    words = ["fit", "ldns-tiny", "--data", house / "train.h5", *QUICK, "--out", house / "run"]
    assert run(*words) == 0
    assert files.sha256(house / "run" / "model" / "model.safetensors") == before
    for change in (["--set", "autoencoder_settings.width=16"], ["--seed", "5"]):
        capsys.readouterr()
        assert run(*words, *change) == 2
        assert "another folder" in capsys.readouterr().err
    assert files.sha256(house / "run" / "model" / "model.safetensors") == before


def test_a_killed_fit_goes_on_to_the_same_weights(house, tmp_path):
    words = ["fit", "ldns-tiny", "--data", str(house / "train.h5"), "--set", "diffusion_plan.updates=6"]
    words += ["--set", "autoencoder_plan.updates=60", "--set", "autoencoder_plan.validate_every=3"]
    killed, complete = tmp_path / "killed", tmp_path / "whole"
    program = [sys.executable, "-m", "spikeloom", *words, "--out"]
    process = subprocess.Popen([*program, str(killed)], env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list((killed / "checkpoints").glob("autoencoder*")) and time.monotonic() < deadline:
        assert process.poll() is None, "the fit ended before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed / "model").exists()
    assert run("sample", killed, "--trials", 2, "--out", tmp_path / "fake.h5") == 2  # says that the run is unfinished
    subprocess.run([*program, str(killed)], env=ENVIRONMENT, check=True, stderr=subprocess.DEVNULL)
    assert run(*words, "--out", complete) == 0
    names = [folder / "model" / "model.safetensors" for folder in (killed, complete)]
    assert files.sha256(names[0]) == files.sha256(names[1])


def test_ctrl_c_ends_with_130_and_says_how_to_go_on(house, tmp_path, monkeypatch, capsys):
    from spikeloom.models.common.base import Model

    def interrupted(*_words, **_more):
        raise KeyboardInterrupt

    monkeypatch.setattr(Model, "fit", interrupted)
    assert run("fit", "ldns-tiny", "--data", house / "train.h5", "--out", tmp_path / "run") == 130
    assert "resumes" in capsys.readouterr().err


# --- help ------------------------------------------------------------------------------------------------------------

COMMANDS = [
    "bin",
    "split",
    "concatenate",
    "select",
    "inspect",
    "recipes",
    "fit",
    "sample",
    "encode",
    "evaluate",
    "compare",
    "demo",
]


@pytest.mark.parametrize("command", [*([name] for name in COMMANDS), ["simulate", "lorenz"]])
def test_every_command_explains_itself_with_an_example(command, capsys):
    assert run(*command, "--help") == 0
    assert f"Example: spikeloom {' '.join(command)} " in re.sub(r"\s+", " ", capsys.readouterr().out)


def test_version(capsys):
    from spikeloom import __version__

    assert run("--version") == 0
    assert capsys.readouterr().out == f"spikeloom {__version__}\n"


def test_recipes_are_listed_and_shown(capsys):
    assert run("recipes") == 0
    assert "ldns-small" in capsys.readouterr().out
    assert run("recipes", "ldns-tiny", "--set", "n_latents=4") == 0
    assert "latents = 4" in capsys.readouterr().out


# --- mistakes --------------------------------------------------------------------------------------------------------


@pytest.fixture
def mistake(tmp_path, capsys):
    """Return a function that runs a command and returns its error, after checking exit code and files."""

    def call(*words):
        capsys.readouterr()
        before = sorted(tmp_path.rglob("*"))
        assert run(*words) == 2
        output = capsys.readouterr()
        assert not output.out
        assert "Traceback" not in output.err
        assert len(re.findall(r"^spikeloom: |^Error: ", output.err, re.M)) == 1
        assert sorted(tmp_path.rglob("*")) == before
        return output.err

    return call


def recording(path, *, spikes=((0.1, 0.5, 1.2), (0.3, 2.0)), counts=None):
    """An NWB file of two neurons and two trials."""
    file = pynwb.NWBFile("toy", "toy", datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
    for times in spikes:
        file.add_unit(spike_times=np.array(times, float))
    file.add_trial_column("cue_time", "when the cue came")
    for start in (0.0, 2.0):
        file.add_trial(start_time=start, stop_time=start + 2, cue_time=start + 0.5)
    if counts is not None:
        times = 0.1 * np.arange(len(counts))
        file.add_acquisition(pynwb.TimeSeries(name="counts", data=np.asarray(counts), unit="spikes", timestamps=times))
    with pynwb.NWBHDF5IO(path, "w") as out:
        out.write(file)
    return path


@pytest.fixture
def session(tmp_path):
    return recording(tmp_path / "session.nwb")


def test_binning_the_toy_session(session, tmp_path):
    words = ["--bin-width", 0.5, "--align", "cue_time", "--window", -0.5, 1, "--condition", "cue_time"]
    assert run("bin", session, *words, "--out", tmp_path / "t.h5") == 0
    trials = Trials.load(tmp_path / "t.h5")
    assert trials.counts[:, :, 0].tolist() == [[1, 1, 1], [0, 0, 0]]
    assert trials.counts[:, :, 1].tolist() == [[1, 0, 0], [1, 0, 0]]


def test_quiet_neurons_can_be_left_out(session, tmp_path, capsys):
    words = ["--bin-width", 0.5, "--align", "cue_time", "--window", -0.5, 1, "--min-rate", 0.8]
    assert run("bin", session, *words, "--out", tmp_path / "t.h5") == 0
    assert Trials.load(tmp_path / "t.h5").counts[:, :, 0].tolist() == [[1, 1, 1], [0, 0, 0]]  # 3 spikes in 3 s
    assert Trials.load(tmp_path / "t.h5").n_neurons == 1
    assert "removed 1 of 2 neurons: rates below 0.8 spikes/s" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--bin-width", 0], "positive"),
        (["--bin-width", -0.005], "positive"),
        (["--bin-width", "nan"], "positive"),
        (["--bin-width", "wide"], "valid number"),
        (["--bin-width", 0.1, "--align", "go_time", "--window", 0, 1], "cue_time"),
        (["--bin-width", 0.1, "--align", "cue_time", "--window", 50, 51], "left out"),
        (["--bin-width", 0.1, "--align", "cue_time", "--window", 1, 0], "end after it begins"),
        (["--bin-width", 0.1, "--align", "cue_time"], "window"),
        (["--bin-width", 0.1, "--condition", "colour"], "cue_time"),
        (["--bin-width", 0.1, "--behavior", "hand"], "hand"),
        (["--bin-width", 0.1, "--counts", "nowhere"], "nowhere"),
        ([], "bin-width"),
    ],
)
def test_mistakes_of_binning(session, tmp_path, mistake, words, message):
    assert message in mistake("bin", session, *words, "--out", tmp_path / "t.h5")


@pytest.mark.parametrize(
    ("spikes", "message"),
    [
        ((), "spike times"),
        (((), ()), "spike"),
        (((2.0, 1.0),), "not sorted (1 s follows 2 s)"),
        (((np.nan,),), "left out: nan"),
        (((-1.0,),), "left out: -1"),
    ],
)
def test_recordings_with_impossible_spikes(tmp_path, mistake, spikes, message):
    session = recording(tmp_path / "bad.nwb", spikes=spikes)
    assert message in mistake("bin", session, "--bin-width", 0.5, "--out", tmp_path / "t.h5")


@pytest.mark.parametrize(
    "counts",
    [-np.ones((40, 2)), np.full((40, 2), 0.5), np.full((40, 2), np.nan), np.ones((40, 2, 3))],
    ids=["negative", "fractional", "NaN", "three axes"],
)
def test_impossible_counts(tmp_path, mistake, counts):
    session = recording(tmp_path / "bad.nwb", spikes=(), counts=counts)
    mistake("bin", session, "--bin-width", 0.1, "--counts", "counts", "--out", tmp_path / "t.h5")


def test_damaged_and_foreign_files(session, house, tmp_path, mistake):
    complete = {"nwb": session.read_bytes(), "h5": (house / "test.h5").read_bytes()}
    wrong = {"empty": b"", "cut": None, "text": b"these are not spikes\n" * 50}
    for ending, command in {
        "nwb": ["bin", "--bin-width", "0.1", "--out", tmp_path / "t.h5"],
        "h5": ["inspect"],
    }.items():
        for name, content in wrong.items():
            path = tmp_path / f"{name}.{ending}"
            path.write_bytes(complete[ending][: len(complete[ending]) // 2] if content is None else content)
            assert path.name in mistake(*command, path)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    mistake("inspect", tmp_path / "other.h5")
    mistake("inspect", tmp_path / "absent.nwb")
    mistake("bin", house / "test.h5", "--bin-width", 0.1, "--out", tmp_path / "t.h5")


def test_mistakes_about_models(house, tmp_path, mistake):
    data, out = house / "train.h5", tmp_path / "out.h5"
    assert "Did you mean ldns-tiny" in mistake("fit", "ldns-tyni", "--data", data, "--out", tmp_path / "run")
    words = ["fit", "ldns-tiny", "--data", data, "--out", tmp_path / "run"]
    assert "smoothness" in mistake(*words, "--set", "autoencoder_settings.smothness=1")
    assert "less than 1" in mistake(*words, "--set", "autoencoder_settings.dropout=1.5")
    assert "neurons" in mistake(*words, "--validation", other_neurons(house, tmp_path))
    assert "neurons" in mistake("encode", house / "run", "--data", tmp_path / "other.h5", "--out", out)
    assert "holds none" in mistake("sample", tmp_path, "--trials", 3, "--out", out)
    assert "--trials" in mistake("sample", house / "run", "--out", out)
    assert "trials" in mistake("sample", house / "run", "--trials", 0, "--out", out)
    assert "DDIM" in mistake("sample", house / "run", "--trials", 1, "--sampler", "DIM:4", "--out", out)
    assert "steps" in mistake("sample", house / "run", "--trials", 1, "--sampler", "DDIM", "--out", out)
    assert ".h5 or .nwb" in mistake("sample", house / "run", "--trials", 1, "--out", tmp_path / "fake.csv")


def other_neurons(house, folder):
    """Path of trials that have one neuron less."""
    Trials.load(house / "test.h5").select_neurons(slice(0, 7)).save(folder / "other.h5")
    return folder / "other.h5"


def test_silent_or_too_few_trials_cannot_be_fitted(tmp_path, mistake):
    Trials(np.zeros((5, 6, 3), int), 0.01).save(tmp_path / "silent.h5")
    Trials(np.ones((1, 6, 3), int), 0.01).save(tmp_path / "one.h5")
    for name in ("silent.h5", "one.h5"):
        assert "spikes" in mistake("fit", "ldns-tiny", "--data", tmp_path / name, "--out", tmp_path / "run")


def test_a_flipped_bit_in_a_model_is_noticed(house, tmp_path, mistake):
    for name in ("model.safetensors", "config.json"):
        folder = tmp_path / name
        folder.mkdir()
        for file in (house / "run" / "model").iterdir():
            content = bytearray(file.read_bytes())
            if file.name == name:
                content[len(content) // 2] ^= 1
            (folder / file.name).write_bytes(content)
        assert "SHA-256" in mistake("sample", folder, "--trials", 2, "--out", tmp_path / "fake.h5")


def test_outputs_are_tried_before_the_work(house, tmp_path, mistake, monkeypatch):
    (tmp_path / "file").write_text("")
    below = tmp_path / "file" / "t.h5"
    assert "is a file" in mistake("simulate", "lorenz", "--trials", 9, "--out", below)
    assert "is a file" in mistake("fit", "ldns-tiny", "--data", house / "train.h5", "--out", below)
    assert "is a folder" in mistake(
        "encode", house / "run", "--data", house / "test.h5", "--out", folder_named(tmp_path)
    )
    if Path("/proc/self").exists():
        assert "/proc" in mistake("split", house / "test.h5", "--out", "/proc/a.h5", "/proc/b.h5")
    assert "differ" in mistake("split", house / "test.h5", "--out", tmp_path / "a.h5", tmp_path / "a.h5")

    def full(*_words):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    message = mistake("split", house / "test.h5", "--fraction", 0.5, "--out", tmp_path / "a.h5", tmp_path / "b.h5")
    assert "No space left" in message


def folder_named(folder):
    (folder / "x.h5").mkdir()
    return folder / "x.h5"


def test_evaluating_what_cannot_be_compared(house, tmp_path, mistake):
    words = ["evaluate", "--real", house / "test.h5", "--out", tmp_path / "report"]
    assert "neurons" in mistake(*words, "--fake", other_neurons(house, tmp_path))
    mistake(*words, "--fake", house / "test.h5")
    mistake(*words, "--fake", tmp_path / "absent.h5")
    assert "different names" in mistake(
        "compare", house / "run", house / "run", "--data", house / "test.h5", "--out", tmp_path / "report"
    )


def test_splits_that_leave_a_side_empty(house, tmp_path, mistake):
    for fraction in (0, 1, "nan", 1.5):
        words = ["--fraction", fraction, "--out", tmp_path / "a.h5", tmp_path / "b.h5"]
        assert "at least one trial" in mistake("split", house / "test.h5", *words)
