"""Simulated reaching and traversals by command: from an arm to a page, and a message for every mistake."""

import numpy as np
import pytest

from spikeloom.simulate.reaching_task import read_controller
from spikeloom.trials import Trials
from tests.helpers.command import run


@pytest.fixture(scope="module")
def arm(tmp_path_factory):
    """A folder with simulated reaches, those to held-out targets apart, and a model of them."""
    folder = tmp_path_factory.mktemp("arm")
    both = ["--out", folder / "train.h5", "--held-out-to", folder / "unseen.h5"]
    assert run("simulate", "reaching", "--trials", 144, "--seed", 1, *both) == 0
    quick = ["--set", "plan.updates=60", "--set", "signal_settings.of=rates"]
    assert run("fit", "gnocchi-tiny", "--data", folder / "train.h5", *quick, "--out", folder / "run") == 0
    return folder


def traversal(arm, tmp_path, *more, run_folder=None, data="train.h5", span=("-0.02", "0.02")):
    options = ["--data", arm / data, "--along", "target_x", "--span", *span, "--out", tmp_path / "traversal.h5"]
    return run("traverse", run_folder or arm / "run", *options, *more)


def test_held_out_targets_are_apart(arm):
    train, unseen = (Trials.load(arm / name) for name in ("train.h5", "unseen.h5"))
    where = lambda trials: {
        (x, y) for x, y in zip(trials.conditions["target_x"], trials.conditions["target_y"], strict=True)
    }
    assert len(train) + len(unseen) == 144
    assert len(where(train)) == 30
    assert len(where(unseen)) == 6
    assert not where(train) & where(unseen)


def test_a_traversal_becomes_trials_and_a_page(arm, tmp_path, capsys):
    page = tmp_path / "traversal.html"
    more = ["--points", 3, "--trials", 6, "--report", page, "--reference", arm / "train.h5"]
    assert traversal(arm, tmp_path, *more, data="unseen.h5") == 0
    made = Trials.load(tmp_path / "traversal.h5")
    assert len(made) == 18
    np.testing.assert_allclose(np.unique(made.conditions["traversal"]), [-0.02, 0, 0.02], atol=1e-12)
    text = page.read_text()
    assert text.count("<svg") == 3 + 9  # paths, ends, changes; nine neurons
    assert "hand_position (m)" in text
    assert "traversal.html" in capsys.readouterr().out


def test_encode_and_sample_by_command(arm, tmp_path):
    assert run("encode", arm / "run", "--data", arm / "unseen.h5", "--out", tmp_path / "codes.h5") == 0
    assert Trials.load(tmp_path / "codes.h5").codes.shape == (24, 8)
    assert run("sample", arm / "run", "--trials", 5, "--out", tmp_path / "fake.h5") == 0
    assert Trials.load(tmp_path / "fake.h5").codes.shape == (5, 8)


def test_leaving_the_training_codes_is_a_note(arm, tmp_path, capsys):
    assert traversal(arm, tmp_path, "--trials", 2, span=("-5", "5")) == 0
    assert "standard deviations from the mean of the training codes" in capsys.readouterr().err


def test_mistakes_exit_with_2_and_one_message(arm, tmp_path, capsys):
    assert traversal(arm, tmp_path, "--behavior", "nose", "--report", tmp_path / "x.html") == 2
    assert "nose" in capsys.readouterr().err
    words = ["--data", arm / "train.h5", "--span", "-1", "1", "--out", tmp_path / "traversal.h5"]
    assert run("traverse", arm / "run", "--along", "target_z", *words) == 2
    assert "target_z" in capsys.readouterr().err
    assert run("simulate", "reaching", "--trials", 4, "--held-out", "7,1", "--out", tmp_path / "t.h5") == 2
    assert "row and a column" in capsys.readouterr().err
    none = ["--held-out", "none", "--held-out-to", tmp_path / "u.h5", "--out", tmp_path / "t.h5"]
    assert run("simulate", "reaching", "--trials", 4, *none) == 2
    assert "0 of 4 are held out" in capsys.readouterr().err
    assert not (tmp_path / "t.h5").exists()


def test_traversals_need_codes(arm, tmp_path, capsys):
    quick = ["--set", "autoencoder_plan.updates=1", "--set", "diffusion_plan.updates=1"]
    assert run("fit", "ldns-tiny", "--data", arm / "unseen.h5", *quick, "--out", tmp_path / "ldns") == 0
    assert traversal(arm, tmp_path, run_folder=tmp_path / "ldns") == 2
    assert "gnocchi-small" in capsys.readouterr().err


def test_a_controller_is_trained_by_command(tmp_path, monkeypatch, capsys):
    true = __import__("spikeloom.simulate.controller", fromlist=["x"]).train_controller
    monkeypatch.setattr("spikeloom.simulate.controller.train_controller", lambda seed: true(seed=seed, updates=2))
    path = tmp_path / "controller.safetensors"
    assert run("simulate", "controller", "--out", path) == 0
    assert "cm from the target" in capsys.readouterr().out
    assert set(read_controller(path)) == set(read_controller())
    assert run("simulate", "reaching", "--trials", 3, "--controller", path, "--out", tmp_path / "t.h5") == 0


def test_contents_of_codes_by_command(arm, tmp_path, capsys):
    quick = ["--set", "plan.updates=2", "--set", "signal_settings.of=rates"]
    assert run("fit", "gnocchi-tiny", "--data", arm / "train.h5", *quick, "--out", tmp_path / "again") == 0
    words = ["--data", arm / "unseen.h5", "--reference", arm / "train.h5", "--out", tmp_path / "contents.html"]
    assert run("codes", arm / "run", tmp_path / "again", *words) == 0
    shown = capsys.readouterr().out
    assert "hand_position.0.start" in shown
    assert "canonical correlations" in shown
    assert "Stability of codes" in (tmp_path / "contents.html").read_text()
    assert run("codes", arm / "run", arm / "run", *words) == 2
    assert "Name another run." in capsys.readouterr().err
