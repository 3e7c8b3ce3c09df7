"""Generated trials as spike times give the same counts when they are binned again."""

import resource

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spikeloom.data.nwb import read_nwb
from spikeloom.errors import DataError, FileError
from spikeloom.trials import Trials


def some_trials(seed: int, trials: int, time: int, neurons: int, bin_width: float, rate: float) -> Trials:
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rate, (trials, time, neurons))
    counts[0, 0, 0] = max(counts[0, 0, 0], 1)  # a recording holds at least one spike
    return Trials(
        counts,
        bin_width,
        lengths=rng.integers(1, time + 1, trials),
        behavior={
            "hand_vel": rng.normal(size=(trials, time, 2)),
            "lick": rng.random((trials, time, 1)) < 0.5,
            "reward": rng.integers(0, 9, (trials, time, 1)),
            "small": rng.normal(size=(trials, time, 3)).astype(np.float32),
        },
        units={"hand_vel": "m/s", "reward": "µl", "angle": "deg", "target": "m", "number": "ms", "name": "a word"},
        conditions={
            "angle": rng.integers(0, 8, trials) * 45.0,
            "target": rng.normal(size=(trials, 2)),
            "name": rng.choice(["left", "rechts", "µ"], trials),
            "number": np.arange(trials),
            "go": rng.random(trials) < 0.5,
        },
        conditioned_on=[["angle", "hand_vel"], [], None][seed % 3],
        neuron_table={"tetrode": rng.integers(0, 9, neurons), "area": rng.choice(["M1", "PMd"], neurons)},
        source="a test",
    )


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32),
    shape=st.tuples(st.integers(1, 4), st.integers(1, 12), st.integers(1, 5)),
    bin_width=st.sampled_from([0.001, 0.005, 0.02, 0.05, 0.1, 1 / 3, 0.0333, 1.0, 7.7]),
    rate=st.sampled_from([0.1, 1.0, 30.0]),
)
def test_binning_the_file_gives_the_same_trials(seed, shape, bin_width, rate, tmp_path):
    trials = some_trials(seed, *shape, bin_width, rate)
    path = tmp_path / "t.nwb"
    trials.to_nwb(path)
    recording = read_nwb(path)
    again = recording.bin(trials.bin_width, conditions=tuple(trials.conditions), behavior=tuple(trials.behavior))
    time = int(trials.lengths.max())
    np.testing.assert_array_equal(again.lengths, trials.lengths)
    np.testing.assert_array_equal(again.counts, trials.counts[:, :time])
    for name, value in trials.conditions.items():
        np.testing.assert_array_equal(again.conditions[name], value)
    for name, value in trials.behavior.items():
        np.testing.assert_array_equal(again.behavior[name], value[:, :time])
    for name, value in trials.neuron_table.items():
        np.testing.assert_array_equal(again.neuron_table[name], value)
    assert again.units == trials.units
    assert again.conditioned_on == trials.conditioned_on
    shortest = int(trials.lengths.min())
    aligned = recording.bin(trials.bin_width, align="align_time", window=(0.0, shortest * trials.bin_width))
    np.testing.assert_array_equal(aligned.counts, trials.counts[:, :shortest])


def test_the_clock_leaves_a_gap_and_spikes_avoid_edges(tmp_path):
    trials = Trials(np.full((3, 10, 2), 4), 0.1, lengths=np.array([10, 5, 10]))
    trials.to_nwb(tmp_path / "t.nwb")
    recording = read_nwb(tmp_path / "t.nwb")
    starts, stops = recording.trial_table["start_time"], recording.trial_table["stop_time"]
    np.testing.assert_array_equal(starts, [0, 2, 4])
    assert (starts[1:] - stops[:-1] >= 1 - 1e-9).all()
    np.testing.assert_allclose(recording.spikes[0][:5], [0.02, 0.04, 0.06, 0.08, 0.12])
    np.testing.assert_allclose(recording.intervals, np.stack([starts, stops], 1))


def test_a_standard_reader_accepts_the_file(tmp_path):
    pynwb = pytest.importorskip("pynwb")
    trials = Trials(np.ones((2, 5, 3), int), 0.01, conditions={"go": np.array([True, False])}, source="LDNS")
    trials.to_nwb(tmp_path / "t.nwb")
    with pynwb.NWBHDF5IO(tmp_path / "t.nwb", "r") as file:
        assert not pynwb.validate(io=file)
        session = file.read()
        assert "LDNS" in session.session_description
        assert session.units["spike_times"][2].shape == (10,)
        assert list(session.trials["go"][:]) == [True, False]


@pytest.mark.parametrize(
    "fields", [{"conditions": {"start_time": np.zeros(1)}}, {"behavior": {"a/b": np.zeros((1, 2))}}]
)
def test_names_that_mean_something_in_nwb_are_refused(tmp_path, fields):
    with pytest.raises(DataError, match="Rename"):
        Trials(np.ones((1, 2, 1), int), 0.1, **fields).to_nwb(tmp_path / "t.nwb")
    assert not list(tmp_path.iterdir())


def test_nothing_half_written_is_left(tmp_path):
    trials = Trials(np.ones((50, 100, 20), int), 0.01)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(FileError, match=r"t\.nwb"):
            trials.to_nwb(tmp_path / "t.nwb")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with pytest.raises(FileError, match="absent"):
        trials.to_nwb(tmp_path / "absent" / "t.nwb")
    assert not list(tmp_path.iterdir())
