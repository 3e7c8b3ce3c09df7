"""Evaluation of continuous recordings in windows: the noise floor compares blocks of time, and the report notes it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeloom.errors import DataError
from spikeloom.evaluation.evaluate import evaluate
from spikeloom.evaluation.splits import continuous, time_blocks
from spikeloom.trials import Trials

WIDTH = 0.05


def recording(seed: int, *, seconds: float = 120.0, pieces: int = 1, drift: float = 0.0, clock: bool = True) -> Trials:
    """A rhythm of 4 s shared by ten neurons; `drift` is the relative change of all rates from beginning to end."""
    rng = np.random.default_rng(seed)
    bins = round(seconds / WIDTH)
    time = np.arange(bins) * WIDTH
    phase = rng.uniform(0, 2 * np.pi)
    rhythm = np.exp(np.sin(2 * np.pi * time / 4 + phase)[:, None] * np.linspace(-1, 1, 10))
    rates = 0.3 * rhythm * (1 + drift * time / seconds)[:, None]
    counts = rng.poisson(rates).reshape(pieces, bins // pieces, 10)
    starts = np.arange(pieces) * (seconds / pieces) if clock else None
    return Trials(counts, WIDTH, start_times=starts, source=f"rhythm {seed}")


def test_a_single_long_trial_is_judged_in_windows():
    with pytest.raises(DataError, match="--every"):
        evaluate(recording(1), recording(2), progress=False)
    report = evaluate(recording(1), recording(2), reference=recording(3), every=2.0, progress=False)
    judged = [row for row in report.rows if row.value is not None]
    assert len(judged) >= 30  # of 43
    assert report["pairwise_correlation_r"].at_floor
    assert "blocks of time" in report.facts["trials compared"]
    for row in report.rows:
        assert row.value is not None or row.note, row.metric.name
    assert "no common beginning" in report["psth_r"].note


def test_twelve_pieces_of_ten_seconds_are_cut_further():
    report = evaluate(recording(1, pieces=12), recording(2, pieces=12), every=2.0, progress=False)
    assert report.shown is not None
    assert len(report.shown.real) == 60
    assert not report.shown.aligned
    assert "3 splits into blocks of time" in report.facts["trials compared"]
    assert report["isi_cv_r"].value is not None


def test_drift_is_said_and_its_absence_is_too():
    steady = evaluate(recording(1), recording(2), every=2.0, progress=False)
    drifting = evaluate(recording(1, drift=3.0), recording(2, drift=3.0), every=2.0, progress=False)
    assert "changed during the recording" in drifting.facts["stationarity"]
    assert drifting.facts["stationarity"].count("Population count") >= 2

    def changed(words: str) -> int:
        return int(words.split("on ")[1].split(" of")[0]) if "differ more" in words else 0

    assert changed(steady.facts["stationarity"]) < changed(drifting.facts["stationarity"])


def test_random_halves_stay_where_trials_are_trials():
    trials = replace(recording(1, pieces=40), start_times=np.arange(40) * 7.3)
    assert not continuous(trials)
    report = evaluate(trials, recording(2, pieces=40, clock=False), progress=False)
    assert "random splits" in report.facts["trials compared"]
    assert "stationarity" not in report.facts


def test_windows_of_one_trial_stay_on_one_side():
    trials = replace(recording(1, pieces=40), start_times=np.arange(40) * 7.3)
    numbered = replace(trials, conditions={"number": np.arange(40)})
    report = evaluate(numbered, recording(2, pieces=40, clock=False), every=1.0, progress=False)
    assert "random splits" in report.facts["trials compared"]
    assert report.shown is not None
    assert len(report.shown.real) == 120


def test_windows_are_recognised_also_after_a_random_split():
    pieces = recording(1).cut(2.0)
    assert continuous(pieces)
    assert continuous(pieces.split(0.3, seed=0)[0])
    assert not continuous(replace(pieces, start_times=None))
    assert not continuous(replace(pieces, start_times=4.0 * np.arange(len(pieces))))  # trials 4 s apart, by design


@settings(deadline=None, max_examples=60)
@given(
    st.integers(4, 60), st.integers(1, 3), st.sampled_from([0.5, 1.0, 2.0]), st.integers(1, 3), st.integers(0, 2**16)
)
def test_blocks_are_disjoint_and_apart(number, recordings, every, splits, seed):
    rng = np.random.default_rng(seed)
    starts = np.tile(np.arange(number) * every, recordings)
    counts = np.arange(len(starts))[:, None, None] + np.zeros((1, 4, 1), int)
    labels = rng.integers(0, 2, len(starts))
    trials = Trials(counts, every / 4, start_times=starts, conditions={"side": labels})
    pairs = time_blocks(trials, condition="side", splits=splits)
    assert 1 <= len(pairs) <= splits
    for first, second in pairs:
        mine, theirs = set(first.counts[:, 0, 0].tolist()), set(second.counts[:, 0, 0].tolist())
        assert not mine & theirs
        assert mine
        assert theirs
    if number >= 16 and not labels.any():  # windows next to a border are left out
        first, second = (set(side.counts[:, 0, 0].tolist()) for side in pairs[0])
        assert min(second) - max(one for one in first if one < min(second)) > 1


def test_early_against_late_leaves_a_gap():
    pieces = recording(1).cut(2.0)
    first, second = time_blocks(pieces)[0]
    assert first.start_times is not None
    assert second.start_times is not None
    assert first.start_times.max() + 2.0 + 1.0 <= second.start_times.min()
    assert len(first) == pytest.approx(len(second), abs=1)


def test_the_recording_that_pooled_trials_come_from_is_a_condition_only_if_named():
    bouts = [recording(seed, pieces=12) for seed in (1, 2, 3)]
    real = bouts[0].concatenate(*bouts[1:], sources=["one", "two", "three"])
    fake = recording(4, seconds=360, pieces=36)
    report = evaluate(real, fake, every=2.0, progress=False)
    assert report.facts["condition"].startswith("none")
    assert report["condition_spread"].value is None
    assert "rhythm 1, rhythm 2, rhythm 3 (180 trials" in report.facts["real"]
    report = evaluate(real, fake, every=2.0, condition="source", progress=False)
    assert report.facts["condition"].startswith("source")


def test_few_windows_are_split_once_and_said_so():
    report = evaluate(recording(1, seconds=20), recording(2, seconds=20), every=2.0, progress=False)
    assert "one split into blocks of time, early against late; " in report.facts["trials compared"]
    assert "no spread of the noise floor" in report.facts["trials compared"]
