"""The commands split, concatenate and select: their files, notes and errors."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spikeloom.trials import Trials
from tests.helpers.command import run


def day(number: int, *, n_trials: int = 20, spacing: float = 1.0) -> Trials:
    rng = np.random.default_rng(number)
    return Trials(
        rng.poisson([0.05, 0.5, 1.0, 2.0], (n_trials, 10, 4)),
        0.1,
        conditions={
            "split": np.where(np.arange(n_trials) % 4 == 0, "test", "train"),
            "feedback": np.arange(n_trials) % 2,
        },
        neuron_table={"id": np.array([3, 5, 6, 12]), "area": np.array(["MOs", "CA1", "MOs", "VISp"])},
        start_times=np.arange(n_trials) * spacing,
        source=f"day {number}",
    )


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    for name, trials in {"a": day(1), "b": day(2), "close": day(3, spacing=0.5)}.items():
        trials.save(tmp_path / f"{name}.h5")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def done(folder, capsys):
    """Return a function that runs a command, which must succeed, and returns its notes."""

    def command(*arguments: str) -> str:
        capsys.readouterr()
        assert run(*arguments) == 0
        return capsys.readouterr().err

    return command


@pytest.fixture
def refused(folder, capsys):
    """Return a function that runs a command, which must fail with code 2 and change no file; it returns its message."""

    def command(*arguments: str) -> str:
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        capsys.readouterr()
        assert run(*arguments) == 2
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
        return capsys.readouterr().err

    return command


def test_concatenate_says_where_each_trial_comes_from(done):
    done("concatenate", "a.h5", "b.h5", "--out", "both.h5")
    both = Trials.load("both.h5")
    assert both.conditions["source"].tolist() == ["a"] * 20 + ["b"] * 20
    np.testing.assert_array_equal(both.counts[20:], Trials.load("b.h5").counts)


def test_concatenate_matches_neurons_and_says_what_is_left_out(done):
    replace(day(2).select_neurons([3, 2, 1, 0]), conditions={"feedback": np.zeros(20, int)}).save("b.h5")
    notes = done("concatenate", "a.h5", "b.h5", "--out", "both.h5")
    assert "note: Neurons have different orders" in notes
    assert "condition 'split' (only in 1 of 2 sets)" in notes
    np.testing.assert_array_equal(Trials.load("both.h5").counts[20:], day(2).counts)


def test_concatenate_refuses_what_does_not_belong_together(refused):
    replace(day(2), bin_width=0.05).save("narrow.h5")
    replace(day(2), neuron_table={"id": np.array([3, 5, 6, 99])}).save("other.h5")
    assert "0.1 and 0.05 s" in refused("concatenate", "a.h5", "narrow.h5", "--out", "x.h5")
    message = refused("concatenate", "a.h5", "other.h5", "--out", "x.h5")
    assert "(99)" in message
    assert "(12)" in message
    assert "two trials files" in refused("concatenate", "a.h5", "--out", "x.h5")
    assert "once" in refused("concatenate", "a.h5", "a.h5", "--out", "x.h5")
    Path("link.h5").symlink_to("a.h5")
    assert "once" in refused("concatenate", "a.h5", "link.h5", "--out", "x.h5")
    assert "is an input of this command" in refused("concatenate", "a.h5", "b.h5", "--out", "b.h5")


def test_split_by_a_column(done, refused):
    done("split", "a.h5", "--by", "split=train", "--out", "x.h5", "y.h5")
    assert set(Trials.load("x.h5").conditions["split"]) == {"train"}
    assert set(Trials.load("y.h5").conditions["split"]) == {"test"}
    assert "train" in refused("split", "a.h5", "--by", "split=val", "--out", "p.h5", "q.h5")
    assert "--fraction" in refused("split", "a.h5", "--by", "split=train", "--fraction", "0.5", "--out", "p.h5", "q.h5")


def test_split_in_blocks(done, refused):
    notes = done("split", "close.h5", "--out", "x.h5", "y.h5")
    assert "note: 20 of 20 trials share spikes with another trial" in notes
    assert "--blocks" in notes
    notes = done("split", "close.h5", "--blocks", "--out", "x.h5", "y.h5")
    assert "note: 1 of 20 trials was left out" in notes
    early, late = Trials.load("x.h5"), Trials.load("y.h5")
    assert early.start_times.max() + 1.0 <= late.start_times.min() + 1e-9
    assert (len(early), len(late)) == (15, 4)
    done("split", "a.h5", "--blocks", "--stretches", "4", "--out", "x.h5", "y.h5")
    assert Trials.load("y.h5").start_times.tolist() == [4, 9, 14, 19]
    assert "--blocks is missing" in refused("split", "a.h5", "--stretches", "4", "--out", "p.h5", "q.h5")


def test_split_never_replaces_its_input(folder, refused):
    assert "is an input of this command" in refused("split", "a.h5", "--out", "a.h5", "y.h5")
    assert "is an input of this command" in refused("split", "a.h5", "--out", "x.h5", "../" + folder.name + "/a.h5")
    assert "differ" in refused("split", "a.h5", "--out", "x.h5", "x.h5")


@pytest.mark.parametrize(
    ("options", "neurons"),
    [
        (["--keep", "area == MOs"], [3, 6]),
        (["--keep", "area=MOs,VISp", "--keep", "id < 10"], [3, 6]),
        (["--units", "3,5-9"], [3, 5, 6]),
        (["--min-rate", "4"], [5, 6, 12]),
        (["--min-rate", "4", "--units", "3-6", "--keep", "area != CA1"], [6]),
    ],
)
def test_select_neurons(done, options, neurons):
    done("select", "a.h5", *options, "--out", "u.h5")
    chosen = Trials.load("u.h5")
    assert chosen.neuron_table["id"].tolist() == neurons
    np.testing.assert_array_equal(chosen.counts, day(1).select_neurons(np.isin([3, 5, 6, 12], neurons)).counts)


def test_select_trials_and_pieces(done):
    done("select", "a.h5", "--where", "feedback == 1", "--where", "split=train", "--out", "u.h5")
    assert len(Trials.load("u.h5")) == 10
    done("select", "a.h5", "--every", "0.5", "--out", "u.h5")
    assert Trials.load("u.h5").counts.shape == (40, 5, 4)


def test_trials_are_chosen_by_when_they_begin(done, refused, capsys):
    done("select", "a.h5", "--where", "start_time >= 5", "--where", "start_time < 7", "--every", "0.5", "--out", "u.h5")
    assert Trials.load("u.h5").start_times.tolist() == [5, 5.5, 6, 6.5]
    done("split", "a.h5", "--by", "start_time < 15", "--out", "x.h5", "y.h5")
    assert [len(Trials.load(name)) for name in ("x.h5", "y.h5")] == [15, 5]
    assert run("inspect", "a.h5") == 0
    assert "begin at 0 to 19 s" in capsys.readouterr().out
    assert "numbers from 0 to 19" in refused("select", "a.h5", "--where", "start_time > 30", "--out", "p.h5")
    named = replace(day(1), conditions={"start_time": np.arange(20) % 2})  # a data set's own column comes first
    named.save("named.h5")
    replace(day(1), start_times=None).save("unknown.h5")
    done("select", "named.h5", "--where", "start_time == 1", "--out", "u.h5")
    assert Trials.load("u.h5").start_times.tolist() == list(range(1, 20, 2))
    assert "no trial column 'start_time'" in refused(
        "select", "unknown.h5", "--where", "start_time > 3", "--out", "p.h5"
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "No neurons or trials were chosen"),
        (["--keep", "area == V1"], "CA1"),
        (["--keep", "region == V1"], "area"),
        (["--keep", "area"], "COLUMN OP VALUE"),
        (["--units", "4"], "3, 5, 6, 12"),
        (["--min-rate", "1000"], "At least one neuron"),
        (["--where", "feedback == 7"], "No trial is left"),
        (["--units", "3", "--keep", "area == CA1"], "At least one neuron"),
        (["--every", "100"], "longest trial"),
    ],
)
def test_select_refuses_with_one_message(refused, options, words):
    assert words in refused("select", "a.h5", *options, "--out", "u.h5")
    assert "is an input of this command" in refused("select", "a.h5", "--units", "3", "--out", "a.h5")
