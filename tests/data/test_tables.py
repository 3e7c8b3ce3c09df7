"""Trial tables of every supported type."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
import quantities as pq

from spikeloom.data.load import load
from spikeloom.data.tables import UnreadColumnWarning, read_table
from spikeloom.errors import DataError

SPIKES = [np.arange(0.05, 6, 0.1), np.array([1.0, 2.5])]


class IntervalSet:
    """A stand-in with the attributes of pynapple's IntervalSet."""

    metadata_columns = ("cue",)
    start, end = np.array([1.0, 3.0]), np.array([2.0, 4.0])

    def __getitem__(self, name):
        return {"cue": np.array(["left", "right"])}[name]


def neo_epoch():
    neo = pytest.importorskip("neo")
    return neo.Epoch([1000, 3000] * pq.ms, [1, 1] * pq.s, labels=["left", "right"])


FRAME = pd.DataFrame({"start_time": [1.0, 3.0], "stop_time": [2.0, 4.0], "cue": ["left", "right"]})

TABLES = {
    "DataFrame": FRAME,
    "DataFrame with other names": FRAME.rename(columns={"start_time": "start", "stop_time": "end"}),
    "DataFrame of timedeltas": FRAME.assign(
        start_time=pd.to_timedelta(FRAME.start_time, unit="s"), stop_time=pd.to_timedelta(FRAME.stop_time, unit="s")
    ),
    "DataFrame with another index": FRAME.set_index(pd.Index([7, 3])),
    "categories": FRAME.assign(cue=FRAME.cue.astype("category")),
    "quantities": {"start_time": [1000, 3000] * pq.ms, "stop_time": [2, 4] * pq.s, "cue": ["left", "right"]},
    "lists of quantities": {"start_time": [1 * pq.s, 3000 * pq.ms], "stop_time": [2.0, 4.0], "cue": ["left", "right"]},
    "timedelta": {
        "start_time": [dt.timedelta(seconds=1), dt.timedelta(seconds=3)],
        "stop_time": [2, 4],
        "cue": list("lr"),
    },
    "rows": [dict(start_time=1.0, stop_time=2.0, cue="left"), dict(start_time=3.0, stop_time=4.0, cue="right")],
    "structured": np.array([(1.0, 2.0, "left"), (3.0, 4.0, "right")], "f8,f8,U5").astype(
        [("start_time", "f8"), ("stop_time", "f8"), ("cue", "U5")]
    ),
    "IntervalSet": IntervalSet(),
    "pairs": [(1.0, 2.0), (3.0, 4.0)],
    "pairs in ms": np.array([[1000, 2000], [3000, 4000]]) * pq.ms,
}


@pytest.mark.parametrize("kind", [*TABLES, "Epoch"])
def test_tables_of_every_kind_give_the_same_trials(kind):
    table = neo_epoch() if kind == "Epoch" else TABLES[kind]
    trials = load(SPIKES, trial_table=table).bin(0.5)
    np.testing.assert_array_equal(trials.counts[:, :, 0], [[5, 5], [5, 5]])
    np.testing.assert_array_equal(trials.counts[:, :, 1], [[1, 0], [0, 0]])


def test_dates_go_with_dates():
    zero = pd.Timestamp("2026-01-01")
    dates = FRAME.assign(
        start_time=zero + pd.to_timedelta(FRAME.start_time, unit="s"), stop_time=zero + pd.Timedelta("4s")
    )
    spikes = [zero + pd.to_timedelta(times, unit="s") for times in SPIKES]
    trials = load(spikes, trial_table=dates).bin(0.5, align="start_time", window=(0.0, 1.0))
    np.testing.assert_array_equal(trials.counts[:, :, 0], [[5, 5], [5, 5]])
    with pytest.raises(DataError, match=r"are dates.*are seconds"):
        load(SPIKES, trial_table=dates)


def test_missing_text_is_missing_and_not_a_category():
    for column in (
        ["left", None],
        ["left", np.nan],
        np.array(["left", np.nan]),
        pd.Series(["left", pd.NA], dtype="string"),
    ):
        recording = load(SPIKES, trial_table={"start_time": [1.0, 3.0], "stop_time": [2.0, 4.0], "cue": column})
        with pytest.warns(UserWarning, match="1 without cue"):
            trials = recording.bin(0.5, conditions=["cue"])
        assert trials.conditions["cue"].tolist() == ["left"]


def test_missing_numbers_and_vectors():
    columns, _ = read_table(
        {
            "angle": [1.0, None],
            "number": pd.Series([1, None], dtype="Int64"),
            "hit": pd.Series([True, None], dtype="boolean"),
            "target": [[0.0, 1.0], [1.0, 0.0]],
            "masked": np.ma.masked_array([3, 4], [False, True]),
            "bytes": np.array([b"a", b"b"]),
        }
    )
    for name in ("angle", "number", "hit", "masked"):
        assert np.isnan(columns[name][1]), name
    assert columns["target"].shape == (2, 2)
    assert columns["bytes"].tolist() == ["a", "b"]


def test_units_other_than_time_are_kept_beside_the_column():
    table = {"start_time": [1.0, 3.0], "stop_time": [2.0, 4.0], "speed": [10.0, 20.0] * pq.cm / pq.s}
    recording = load(SPIKES, trial_table=table)
    assert recording.bin(0.5, conditions=["speed"]).conditions["speed"].tolist() == [10, 20]
    with pytest.raises(DataError, match="'speed' holds cm/s"):
        recording.bin(0.5, align="speed", window=(0.0, 0.5))


def test_columns_that_are_neither_numbers_nor_text_are_left_out_with_a_note():
    with pytest.warns(UnreadColumnWarning, match="'licks' was left out"):
        columns, _ = read_table({"start_time": [1.0, 2.0], "licks": [[0.1, 0.2], [0.3]]})
    assert list(columns) == ["start_time"]
    with pytest.raises(DataError, match="unit is mV"):
        read_table({"start_time": [1.0, 2.0], "stop_time": [1.0, 2.0] * pq.mV})
    with pytest.raises(DataError, match="must be a dict of columns"):
        read_table(3)
    with pytest.raises(DataError, match="text"):
        load(SPIKES, trial_table={"start_time": ["1.0", "3.0"], "stop_time": ["2.0", "4.0"]})


def test_the_real_interval_set():
    nap = pytest.importorskip("pynapple")
    trials = load(SPIKES, trial_table=nap.IntervalSet([1.0, 3.0], [2.0, 4.0])).bin(0.5)
    np.testing.assert_array_equal(trials.counts[:, :, 0], [[5, 5], [5, 5]])


@pytest.mark.parametrize(
    ("table", "options", "words"),
    [
        (
            {"cue_time": [1.0, 3.0]},
            {},
            "no column start_time, the time at which each trial begins.*--align COLUMN.*cue",
        ),
        ({"start_time": [1.0, 3.0]}, {}, "no column stop_time, the time at which each trial ends.*Rename the column"),
        ({"cue_time": [0.1, 0.1]}, {"align": "cue_time", "window": (0, 1), "relative": True}, "no column start_time"),
        ({"kind": ["a", "b"]}, {}, "no column start_time.*there is none"),
    ],
)
def test_a_trial_table_without_times_of_trials_is_named(table, options, words):
    recording = load([[0.5, 1.5, 3.5]], trial_table=table)
    with pytest.raises(DataError, match=words):
        recording.bin(0.1, **options)
