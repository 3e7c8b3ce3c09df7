"""The NLB layout, on a small file written in exactly that layout: held-out units, splits, lag, units, and parts."""

import datetime

import numpy as np
import pytest
from typer.testing import CliRunner

from spikeloom.cli.app import app
from spikeloom.data.nlb import paper_split, read_nlb
from spikeloom.errors import DataError
from spikeloom.trials import Trials

pynwb = pytest.importorskip("pynwb")

TRAIN, VAL, TRIAL = 12, 9, 1.5
"""Trials of each split, and how far they lie apart, s."""


def angle(trial: int) -> float:
    """Direction of the hand 100 ms after onset, degrees."""
    return (40.0 * trial) % 360


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """Units spike 3 ms after each onset; the hand moves at 300 mm/s in the trial's direction from 50 ms after onset."""
    path = tmp_path_factory.mktemp("nlb") / "sub-Toy_desc-train_behavior+ecephys.nwb"
    file = pynwb.NWBFile("toy", "toy", datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
    splits = ["none", *["train", "val"] * VAL, *["train"] * (TRAIN - VAL)]
    onset = 0.6 + TRIAL * np.arange(len(splits))
    file.add_unit_column("heldout", "withheld in the benchmark")
    for unit in range(5):
        spikes = onset + 0.003 + 0.005 * unit
        file.add_unit(spike_times=spikes, obs_intervals=[[0.0, TRIAL * len(splits)]], heldout=unit >= 3)
    for name in ("move_onset_time", "split", "trial_type"):
        file.add_trial_column(name, name)
    for trial, split in enumerate(splits):
        row = dict(start_time=onset[trial] - 0.6, stop_time=onset[trial] + 0.8, split=split, trial_type=trial % 3)
        file.add_trial(move_onset_time=onset[trial], **row)
    times = np.arange(0, TRIAL * len(splits), 0.001)
    trial = (times // TRIAL).astype(int).clip(max=len(splits) - 1)
    speed = np.where(times % TRIAL >= 0.65, 300.0, 0.0)
    theta = np.radians([angle(t) for t in trial])
    velocity = speed[:, None] * np.stack([np.cos(theta), np.sin(theta)], 1)
    module = file.create_processing_module("behavior", "hand")
    module.add(pynwb.TimeSeries(name="hand_vel", data=velocity, unit="mm/s", timestamps=times))
    module.add(pynwb.TimeSeries(name="hand_pos", data=velocity.cumsum(0) / 1000, unit="mm", timestamps=times))
    with pynwb.NWBHDF5IO(path, "w") as out:
        out.write(file)
    return path


def test_trials_are_those_of_the_benchmark(session):
    trials = read_nlb(session)
    assert trials.counts.shape == (TRAIN + VAL, 140, 5)  # 700 ms of 5 ms; the split "none" is left out
    assert trials.conditions["split"].tolist() == ["train", "val"] * VAL + ["train"] * (TRAIN - VAL)
    assert trials.neuron_table["heldout"].tolist() == [False] * 3 + [True] * 2
    expected = np.zeros((140, 5), int)
    expected[50 + np.arange(5), np.arange(5)] = 1  # 3 ms after onset, each unit a bin later
    np.testing.assert_array_equal(trials.counts, np.broadcast_to(expected, trials.counts.shape))


def test_behaviour_follows_by_the_lag_in_metres(session):
    trials = read_nlb(session, behavior=["hand_vel", "hand_pos"])
    assert trials.units == {"hand_vel": "m/s", "hand_pos": "m"}
    speed = np.linalg.norm(trials.behavior["hand_vel"], axis=2)
    np.testing.assert_allclose(speed[:, 41:], 0.3, atol=1e-6)  # moves 50 ms after onset, read 100 ms later: bin 40
    np.testing.assert_allclose(speed[:, :40], 0, atol=1e-6)
    unshifted = np.linalg.norm(read_nlb(session, lag=0.0).behavior["hand_vel"], axis=2)
    np.testing.assert_allclose(unshifted[:, :60], 0, atol=1e-6)
    assert "100 ms after spikes" in trials.source
    expected = [angle(trial + 1) for trial in range(len(trials))]
    np.testing.assert_allclose(trials.conditions["angle_deg"], expected, atol=1e-4)


def test_the_papers_split(session):
    trials = read_nlb(session)
    train, validation, test = paper_split(trials)
    assert (len(train), len(validation), len(test)) == (
        TRAIN + 5,
        1,
        3,
    )  # 9 validation trials: 5 train; of 4, 1 is for validation
    assert set(train.conditions["split"]) == {"train", "val"}
    assert (np.sort(train.conditions["angle_deg"][train.conditions["split"] == "val"])).tolist() == pytest.approx(
        sorted(trials.conditions["angle_deg"][trials.conditions["split"] == "val"][:5].tolist())
    )
    parts = np.concatenate([part.behavior["hand_vel"].sum((1, 2)) for part in (train, validation, test)])
    np.testing.assert_allclose(np.sort(parts), np.sort(trials.behavior["hand_vel"].sum((1, 2))))  # each trial once
    numbers = Trials(np.ones((2295, 1, 1), int), 0.005, conditions={"split": np.repeat(["train", "val"], [1721, 574])})
    assert [len(part) for part in paper_split(numbers)] == [2008, 71, 216]  # MC_Maze


def test_the_command_writes_three_files(session, tmp_path):
    names = [str(tmp_path / f"{name}.h5") for name in ("train", "validation", "test")]
    done = CliRunner().invoke(app, ["published", "maze", str(session), "--lag", "0.12", "--out", *names])
    assert done.exit_code == 0, done.output
    assert [len(Trials.load(name)) for name in names] == [TRAIN + 5, 1, 3]
    assert "120 ms" in Trials.load(names[0]).source


def test_another_layout_is_refused(tmp_path, recordings):
    with pytest.raises(DataError, match="has no split, heldout"):
        read_nlb(recordings("shenoy_delayed_reach_train.nwb"))
    with pytest.raises(DataError, match="at least eight validation trials"):
        paper_split(Trials(np.ones((9, 1, 1), int), 0.005))
