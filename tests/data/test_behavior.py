"""Behaviour series of every supported type."""

import numpy as np
import pandas as pd
import pytest
import quantities as pq

from spikeloom.data.load import load
from spikeloom.data.series import Series
from spikeloom.errors import DataError, ShapeError

TIMES = np.arange(0, 5, 0.01)
SPEED = 3 * TIMES


class Tsd:
    """A stand-in with the attributes of pynapple's Tsd."""

    values = SPEED
    time_support = None

    def times(self):
        return TIMES


def analog_signal():
    neo = pytest.importorskip("neo")
    return neo.AnalogSignal(SPEED * pq.cm / pq.s, sampling_rate=0.1 * pq.kHz)


def irregular_signal():
    neo = pytest.importorskip("neo")
    return neo.IrregularlySampledSignal(1000 * TIMES * pq.ms, SPEED * pq.cm / pq.s)


def time_series():
    pynwb = pytest.importorskip("pynwb")
    return pynwb.TimeSeries(name="speed", data=SPEED * 10, conversion=0.1, unit="cm/s", timestamps=TIMES)


KINDS = {
    "series": lambda: Series(TIMES, SPEED),
    "pair": lambda: (TIMES, SPEED),
    "list": lambda: [TIMES.tolist(), SPEED.tolist()],
    "pair in ms": lambda: (1000 * TIMES * pq.ms, SPEED * pq.cm / pq.s),
    "column": lambda: (TIMES[:, None], SPEED[:, None]),
    "dict": lambda: {"times": TIMES, "values": SPEED, "unit": "cm/s"},
    "Tsd": Tsd,
    "pandas": lambda: pd.Series(SPEED, index=TIMES),
    "pandas frame": lambda: pd.DataFrame({"v": SPEED}, index=pd.to_timedelta(TIMES, unit="s")),
    "neo": analog_signal,
    "neo irregular": irregular_signal,
    "pynwb": time_series,
}


@pytest.mark.parametrize("kind", KINDS)
def test_series_of_every_kind_are_the_same(kind):
    recording = load([[0.5, 1.5]], trial_table=[(1.0, 2.0), (3.0, 4.0)], behavior={"speed": KINDS[kind]()})
    trials = recording.bin(0.25, behavior=["speed"])
    start = np.array([[1.0], [3.0]]) + np.arange(4) * 0.25
    np.testing.assert_allclose(trials.behavior["speed"][:, :, 0], 3 * (start + 0.12))
    assert trials.units["speed"] in ("", "cm/s")
    assert (trials.units["speed"] == "cm/s") == (kind in ("pair in ms", "dict", "neo", "neo irregular", "pynwb"))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (SPEED, "needs a time for every sample"),
        (pd.Series(SPEED), "numbers the rows"),
        ((TIMES, np.full(len(TIMES), "a")), "must hold numbers"),
        ((TIMES * pq.mV, SPEED), "unit is mV"),
        ((TIMES.astype(str), SPEED), "text"),
        ({"times": TIMES}, "needs a time for every sample"),
        ((TIMES[::-1], SPEED), "sorted"),
    ],
)
def test_what_is_no_series_is_refused(value, message):
    with pytest.raises(DataError, match=message):
        load([[0.5, 1.5]], behavior={"speed": value})


def test_lengths_must_fit():
    with pytest.raises(ShapeError, match="one time"):
        load([[0.5, 1.5]], behavior={"speed": (TIMES[1:], SPEED)})


def test_the_real_tsd():
    nap = pytest.importorskip("pynapple")
    recording = load(
        [[0.5, 1.5]], behavior={"speed": nap.Tsd(TIMES, SPEED), "xy": nap.TsdFrame(TIMES, np.stack([SPEED] * 2, 1))}
    )
    assert recording.behavior["xy"].values.shape == (500, 2)
