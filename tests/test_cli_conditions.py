"""Conditions on the command line: values, categories and drawn paths, right and wrong."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from spikeloom.cli.app import app
from spikeloom.errors import SpikeloomError
from spikeloom.trials import Trials
from tests.helpers.small_ldns import toy_model, toy_trials

CONDITIONS = ["--condition", "angle_deg=45", "--condition", "side=left"]


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
    done = sample(run, tmp_path / "f.h5", *CONDITIONS, "--condition", drawn)
    assert done.exit_code == 0, done.output
    fake = Trials.load(tmp_path / "f.h5")
    np.testing.assert_allclose(fake.behavior["wave"][1, :, 0], (np.arange(20) + 0.5) / 20, atol=1e-6)  # 10 ms bins
    assert fake.conditions["angle_deg"].tolist() == [45, 45, 45]
    assert fake.conditions["side"].tolist() == ["left"] * 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time,x (mm)\n0,0\n1,1\n", "must be in m"),
        ("time,x,y\n0,0,0\n1,1,1\n", "time (s) and 1 more"),
        ("x,time\n0,0\n1,1\n", "Write a header"),
        ("time,x\n0,0\n0,1\n", "increase. Row 2"),
        ("time,x\n0,a\n1,1\n", "must hold numbers"),
        ("time,x\n0,0\n0.1\n", "must hold numbers"),
        ("time,x\n0,0\n", "at least two points"),
        ("time,x\n0,0\n1,nan\n", "finite numbers. Row 2"),
        ("time,x\n", "Write a header"),
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
    words = [*CONDITIONS, "--condition", path(tmp_path, "time,x\n0,0\n0.1,1\n"), "--seed", "4"]
    assert sample(run, tmp_path / "whole.h5", *words).exit_code == 0
    monkeypatch.setattr("spikeloom.cli.model.TRIALS_IN_MEMORY", 2)
    assert sample(run, tmp_path / "parts.h5", *words).exit_code == 0
    full, parts = (Trials.load(tmp_path / name) for name in ("whole.h5", "parts.h5"))
    np.testing.assert_array_equal(parts.counts, full.counts)
    assert parts.conditions["side"].tolist() == full.conditions["side"].tolist()


def test_conditions_are_drawn_unless_the_command_says_otherwise(tmp_path):
    train, test = toy_trials(), toy_trials(20, seed=5)
    model = toy_model(updates=2, condition=("angle_deg",)).fit(train, out=tmp_path / "run", progress=False)
    test.save(tmp_path / "test.h5")
    for name, words in (("drawn", []), ("free", ["--unconditional"])):
        done = sample(tmp_path / "run", tmp_path / f"{name}.h5", "--bins", "24", "--seed", "2", *words)
        assert done.exit_code == 0, done.output
    drawn, free = (Trials.load(tmp_path / f"{name}.h5") for name in ("drawn", "free"))
    assert set(drawn.conditions["angle_deg"]) <= set(train.conditions["angle_deg"])
    assert (drawn.conditioned_on, free.conditioned_on) == (("angle_deg",), ())
    np.testing.assert_array_equal(free.counts, model.sample(3, n_bins=24, condition=(), seed=2).counts)
    words = ["--data", str(tmp_path / "test.h5"), "--samples", "1", "--out", str(tmp_path / "both")]
    compared = CliRunner().invoke(app, ["compare", str(tmp_path / "run"), *words, "--unconditional"])
    assert compared.exit_code == 0, compared.output
    both = sample(tmp_path / "run", tmp_path / "f.h5", "--condition", "angle_deg=45", "--unconditional")
    assert "Remove one of the two options" in str(both.exception)


WRONG = [
    (["--condition", "angle_deg=45"], "There is no value for ['side', 'wave']"),
    ([*CONDITIONS, "--condition", "wave"], "needs values"),
    (["--condition", "angle_deg=45", "--condition", "side=up", "PATH"], "must be one of ['left', 'right']"),
    (["--condition", "angle_deg=east", "--condition", "side=left", "PATH"], "angle_deg must be 1 number"),
    (["--condition", "angle_deg=nan", "--condition", "side=left", "PATH"], "NaN"),
    (["--condition", "angle_deg=1,2", "--condition", "side=left", "PATH"], "angle_deg must be 1 number"),
    ([*CONDITIONS, "--condition", "colour=3", "PATH"], "names ['colour']"),
    ([*CONDITIONS, "PATH", "--bins", "40"], "lasts 0.2 s, 20 bins"),
    ([*CONDITIONS, "--condition", "wave=absent.csv"], "No such file"),
    ([*CONDITIONS, "PATH", "--guidance", "nan"], "guidance strength must be a finite number"),
]


@pytest.mark.parametrize(("words", "message"), WRONG)
def test_a_wrong_condition_gets_one_message(run, tmp_path, words, message):
    drawn = ["--condition", path(tmp_path, "time,x (m)\n0,0\n0.2,0.5\n")]
    words = [part for word in words for part in (drawn if word == "PATH" else [word])]
    done = sample(run, tmp_path / "f.h5", *words)
    assert isinstance(done.exception, SpikeloomError)  # exit code 2, without a traceback
    assert message in str(done.exception)
    assert not (tmp_path / "f.h5").exists()


def test_a_path_longer_than_the_trials_is_cut(run, tmp_path):
    drawn = ["--condition", path(tmp_path, "time,x (m)\n0,0\n0.2,0.8\n"), "--bins", "5"]
    assert sample(run, tmp_path / "f.h5", *CONDITIONS, *drawn).exit_code == 0
    wave = Trials.load(tmp_path / "f.h5").behavior["wave"][0, :, 0]
    np.testing.assert_allclose(wave, (np.arange(5) + 0.5) / 25, atol=1e-6)


def test_a_path_shorter_than_the_trials_to_be_like_is_refused(run, tmp_path):
    toy_trials().save(tmp_path / "like.h5")
    drawn = path(tmp_path, "time,x (m)\n0,0\n0.2,0.5\n")
    words = [*CONDITIONS, "--condition", drawn, "--like", str(tmp_path / "like.h5"), "--out", str(tmp_path / "f.h5")]
    done = CliRunner().invoke(app, ["sample", str(run), *words])
    assert "24 bins" in str(done.exception)


def test_a_stream_is_one_trial_in_pieces(run, tmp_path):
    drawn = ["--condition", path(tmp_path, "time,x (m)\n0,0\n2,0.5\n"), "--seed", "3"]
    done = sample(run, tmp_path / "s.h5", *CONDITIONS, *drawn, "--stream", "--bins", "50")
    assert done.exit_code == 0, done.output
    pieces = Trials.load(tmp_path / "s.h5")
    assert pieces.counts.shape == (3, 50, 6)
    one = CliRunner().invoke(
        app,
        ["sample", str(run), "--trials", "1", "--bins", "150", *CONDITIONS, *drawn, "--out", str(tmp_path / "one.h5")],
    )
    assert one.exit_code == 0, one.output
    full = Trials.load(tmp_path / "one.h5")
    np.testing.assert_array_equal(np.concatenate(pieces.counts), full.counts[0])
    np.testing.assert_allclose(np.concatenate(pieces.behavior["wave"]), full.behavior["wave"][0], atol=1e-12)
    assert pieces.conditions["side"].tolist() == ["left"] * 3
    assert set(pieces.conditioned_on) == set(full.conditioned_on) == {"angle_deg", "side", "wave"}


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--like", "like.h5"], "--like like.h5"), (["--sampler", "Heun:4"], "once per step")],
)
def test_what_a_stream_cannot_do(run, tmp_path, words, message):
    done = sample(run, tmp_path / "s.h5", "--stream", *words)
    assert isinstance(done.exception, SpikeloomError)
    assert message in str(done.exception)


def test_a_path_drawn_by_hand_is_in_the_report(run, tmp_path):
    for name, seed in (("real", 5), ("train", 6)):
        toy_trials(60, seed=seed).save(tmp_path / f"{name}.h5")
    real, train, page = str(tmp_path / "real.h5"), str(tmp_path / "train.h5"), tmp_path / "report"
    copied = ["--condition", "angle_deg", "--condition", "side", "--condition", "wave", "--like", real]
    done = CliRunner().invoke(app, ["sample", str(run), *copied, "--out", str(tmp_path / "fake.h5")])
    assert done.exit_code == 0, done.output
    drawn = path(tmp_path, "time,x (m)\n0,0\n0.24,0.9\n")
    assert sample(run, tmp_path / "ramp.h5", *CONDITIONS, "--condition", drawn).exit_code == 0
    words = ["--real", real, "--fake", str(tmp_path / "fake.h5"), "--reference", train, "--out", str(page)]
    done = CliRunner().invoke(app, ["evaluate", *words, "--drawn", str(tmp_path / "ramp.h5")])
    assert done.exit_code == 0, done.output
    text = (page / "report.html").read_text()
    assert "Requested and decoded directions" in text
    assert "wave, requested and decoded" in text
    assert "Drawn: ramp" in text
