"""`spikeloom tune`: a search that is killed and resumed, and a message for every mistake."""

import csv
import os
import signal
import subprocess
import sys
import time

import pytest

from spikeloom import files
from spikeloom.simulate.lorenz_system import lorenz
from tests.helpers.command import run

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
SMALL = [
    "n_codes=3",
    "network_settings.encoder=4",
    "network_settings.generator=6",
    "network_settings.factors=3",
    "plan.updates=20",
]
QUICK = [word for change in (*SMALL, "plan.validate_every=5") for word in ("--set", change)]
VARY = ["--vary", "plan.learning_rate=1e-4..2e-2 log", "--vary", "network_settings.dropout=0..0.5"]


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A folder with trials to train and to validate on."""
    folder = tmp_path_factory.mktemp("house")
    for seed, name in enumerate(("train.h5", "validation.h5")):
        lorenz(24, n_neurons=5, n_bins=20, seed=seed).save(folder / name)
    return folder


def command(house, out, *more):
    """Return the words of a command."""
    data = ["--data", house / "train.h5", "--validation", house / "validation.h5", "--out", out]
    return [str(word) for word in ("tune", "lfads-tiny", *data, *VARY, *QUICK, *more)]


def rows(folder):
    """Return the rows of trials.csv without times."""
    return [row | {"seconds": ""} for row in csv.DictReader((folder / "trials.csv").open())]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_search_goes_on_and_ends_as_one_that_was_not(house, tmp_path, capsys):
    killed, full = tmp_path / "killed", tmp_path / "whole"
    program = [sys.executable, "-m", "spikeloom", *command(house, killed, "--trials", 2)]
    process = subprocess.Popen(program, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    under_way, deadline = killed / "trials" / "0001" / "history.jsonl", time.monotonic() + 120
    while not (under_way.exists() and under_way.read_text()) and time.monotonic() < deadline:
        assert process.poll() is None, "the search ended before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert len(rows(killed)) == 1
    assert run(*command(house, killed, "--trials", 2)) == 0
    out = capsys.readouterr().out
    assert "2 complete, 0 pruned, 0 failed" in out
    assert "best.toml" in out
    assert run(*command(house, full, "--trials", 2)) == 0
    assert rows(killed) == rows(full)
    for name in ("best.toml", "model/model.safetensors"):
        assert files.sha256(killed / name) == files.sha256(full / name)
    assert run("sample", full, "--trials", 2, "--out", tmp_path / "fake.h5") == 0
    words = ["--data", house / "train.h5", "--validation", house / "validation.h5", "--out", tmp_path / "best"]
    assert run("fit", full / "best.toml", *words) == 0
    name = "model/model.safetensors"
    assert files.sha256(tmp_path / "best" / name) == files.sha256(full / name)


def test_ctrl_c_says_how_to_go_on(house, tmp_path, capsys, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("spikeloom.models.common.base.Model.fit", stop)
    assert run(*command(house, tmp_path, "--trials", 2)) == 130
    assert "The same command resumes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], "--trials"),
        (["--trials", 2, "--population", 2], "It got both"),
        (["--trials", 2, "--generations", 2], "--population"),
        (["--trials", 2, "--vary", "plan.learning_rat=1e-3..1e-2"], "Did you mean learning_rate"),
        (["--trials", 2, "--vary", "network_settings.dropout=0..1..2"], "high"),
        (["--trials", 2, "--vary", "n_codes=0.1..0.9"], "integer"),
        (["--trials", 2, "--space", "lfads"], "lfads-published"),
        (["--trials", 2, "--set", "nonsense=1"], "nonsense"),
        (["--trials", 0], "--trials"),
        (["--trials", 2, "--objective", "best"], "--objective"),
    ],
)
def test_mistakes_have_one_message(house, tmp_path, capsys, more, said):
    assert run(*command(house, tmp_path / "out", *more)) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err


def test_an_extra_that_is_missing_is_named(house, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for more, extra in ((["--trials", 2], "spikeloom[tune]"), (["--population", 2], "spikeloom[ray]")):
        assert run(*command(house, tmp_path / "out", *more)) == 2
        assert f"pip install '{extra}'" in capsys.readouterr().err
