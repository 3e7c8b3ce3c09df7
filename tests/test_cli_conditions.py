"""Conditions on the command line: values, categories and drawn paths, right and wrong."""

import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from spikeloom.cli.app import app
from spikeloom.trials import Trials

sys.path.insert(0, str(Path(__file__).parent / "models"))
from small_ldns import toy_model, toy_trials

TOLD = ["--condition", "angle_deg=45", "--condition", "side=left"]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    toy_model(updates=2, condition=("angle_deg", "side", "wave")).fit(toy_trials(), out=folder, progress=False)
    return folder


def sample(run: Path, out: Path, *words: str):
    return CliRunner().invoke(app, ["sample", str(run), "--trials", "3", "--out", str(out), *words])


def path(folder: Path, text: str) -> str:
    file = folder / "path.csv"
    file.write_text(text)
    return f"wave={file}"


def test_a_drawn_path_is_resampled_to_bins_and_sets_the_length(run, tmp_path):
    drawn = path(tmp_path, "time,x (m)\n1.0,0\n1.2,1\n")
    done = sample(run, tmp_path / "f.h5", *TOLD, "--condition", drawn)
    assert done.exit_code == 0, done.output
    fake = Trials.load(tmp_path / "f.h5")
    np.testing.assert_allclose(fake.behavior["wave"][1, :, 0], (np.arange(20) + 0.5) / 20, atol=1e-6)  # 10 ms bins
    assert fake.conditions["angle_deg"].tolist() == [45, 45, 45]
    assert fake.conditions["side"].tolist() == ["left"] * 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time,x (mm)\n0,0\n1,1\n", "must be in m"),
        ("time,x,y\n0,0,0\n1,1,1\n", "time (s, rising) and 1 more"),
        ("x,time\n0,0\n1,1\n", "Write a header"),
        ("time,x\n0,0\n0,1\n", "rising"),
        ("time,x\n0,a\n1,1\n", "must hold numbers"),
        ("", "Write a header"),
    ],
)
def test_a_wrong_path_gets_one_message(run, tmp_path, text, message):
    done = CliRunner().invoke(
        app, ["sample", str(run), "--trials", "1", "--condition", path(tmp_path, text), "--out", str(tmp_path / "f.h5")]
    )
    assert message in str(done.exception)
    assert not (tmp_path / "f.h5").exists()


def test_many_trials_are_written_in_parts(run, tmp_path, monkeypatch):
    words = [*TOLD, "--condition", path(tmp_path, "time,x\n0,0\n0.1,1\n"), "--seed", "4"]
    assert sample(run, tmp_path / "whole.h5", *words).exit_code == 0
    monkeypatch.setattr("spikeloom.cli.model.TRIALS_IN_MEMORY", 2)
    assert sample(run, tmp_path / "parts.h5", *words).exit_code == 0
    whole, parts = (Trials.load(tmp_path / name) for name in ("whole.h5", "parts.h5"))
    np.testing.assert_array_equal(parts.counts, whole.counts)
    assert parts.conditions["side"].tolist() == whole.conditions["side"].tolist()
