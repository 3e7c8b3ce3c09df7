"""Times of every kind become seconds, or are refused with their type."""

import datetime as dt
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import quantities as pq
import torch

from spikeloom import clock
from spikeloom.errors import DataError, SettingError, ShapeError

DAY = 1767225600.0
"""2026-01-01 in seconds since 1970."""

PYNAPPLE = SimpleNamespace(times=lambda: np.array([0.3, 1.5]), time_support=None)


def seconds(times):
    return clock.seconds(times, what="Times").tolist()


class Xarray:
    """A stand-in with the attributes of a DataArray."""

    dims = ("spike",)

    def __init__(self):
        self.attrs = {"units": "ms"}

    def __array__(self, dtype=None, copy=None):
        return np.array([300.0, 1500.0])


class Pint:
    """A stand-in with the attributes of a quantity of pint."""

    def __init__(self, magnitude, units="ms"):
        self.magnitude, self.units, self.dimensionality = magnitude, units, "[time]"

    def to(self, unit):
        assert unit == "s"
        if self.units != "ms":
            raise ValueError("cannot convert")
        return Pint(self.magnitude * 0.001, "s")


class Astropy(np.ndarray):
    """A stand-in with the attributes of an astropy quantity."""

    unit = SimpleNamespace(to=lambda unit: 1e-3, __str__=lambda self: "ms")

    @property
    def value(self):
        return np.asarray(self)

    def to_value(self, unit):
        return np.asarray(self) / 1000


@pytest.mark.parametrize(
    "times",
    [
        [0.3, 1.5],
        (0.3, 1.5),
        [np.float64(0.3), Fraction(3, 2)],
        [Decimal("0.3"), 1.5],
        iter([0.3, 1.5]),
        np.array([0.3, 1.5], ">f8"),
        torch.tensor([0.3, 1.5], dtype=torch.float64, requires_grad=True),
        pd.Series([0.3, 1.5], index=[7, 3]),
        np.array([0.3, 1.5], object),
        [300, 1500] * pq.ms,
        [300000, 1500000] * pq.us,
        [300 * pq.ms, 1.5 * pq.s],
        np.array([0.3 * pq.s, 1500 * pq.ms], object),
        np.array([300, 1500], "m8[ms]"),
        np.array([300_000_000, 1_500_000_000], "m8[ns]"),
        pd.to_timedelta([300, 1500], unit="ms"),
        pd.Series(pd.to_timedelta([300, 1500], unit="ms")),
        [dt.timedelta(milliseconds=300), dt.timedelta(seconds=1.5)],
        [pd.Timedelta("300ms"), np.timedelta64(1500, "ms")],
        PYNAPPLE,
        Xarray(),
        Pint(np.array([300.0, 1500.0])),
        np.array([300.0, 1500.0]).view(Astropy),
    ],
    ids=lambda value: type(value).__module__.split(".")[0] + "." + type(value).__name__,
)
def test_times_of_every_kind_are_the_very_seconds_that_one_would_type(times):
    assert seconds(times) == [0.3, 1.5]


@pytest.mark.parametrize(
    "dates",
    [
        np.array(["2026-01-01T00:00:00.3"], "M8[ms]"),
        pd.DatetimeIndex(["2026-01-01 00:00:00.3"]),
        pd.DatetimeIndex(["2026-01-01 01:00:00.3"], tz="Europe/Berlin"),
        pd.Series(pd.to_datetime(["2026-01-01 01:00:00.3"])).dt.tz_localize("Europe/Berlin"),
        [pd.Timestamp("2026-01-01 00:00:00.3")],
        [dt.datetime(2026, 1, 1, 0, 0, 0, 300_000)],
        [dt.datetime(2026, 1, 1, 0, 0, 0, 300_000, tzinfo=dt.UTC)],
    ],
    ids=str,
)
def test_dates_are_seconds_since_1970(dates):
    assert seconds(dates) == [DAY + 0.3]
    assert clock.dated(dates)


def test_nanoseconds_of_a_calendar_clock_are_not_rounded_twice():
    ticks = np.int64(1_700_000_000_123_456_789) + np.arange(0, 2000, 7)
    exact = [float(Fraction(int(tick), 10**9)) for tick in ticks]
    np.testing.assert_array_equal(seconds(ticks.astype("M8[ns]")), exact)


@pytest.mark.parametrize(
    "times",
    [
        [0.3, None],
        [0.3, np.nan],
        np.ma.masked_array([0.3, 7.0], [False, True]),
        pd.Series([0.3, None], dtype="Float64"),
        pd.Series(pd.to_timedelta([300, None], unit="ms")),
        np.array(["300", "NaT"], "m8[ms]"),
        [pd.Timedelta("300ms"), pd.NaT],
        [300 * pq.ms, None],
    ],
    ids=str,
)
def test_missing_times_are_nan(times):
    np.testing.assert_array_equal(seconds(times), [0.3, np.nan])


@pytest.mark.parametrize(
    ("times", "came"),
    [
        (["0.1", "1.5"], "text, such as '0.1'"),
        (np.array(["0.1"]), "text"),
        (np.array([b"0.1"]), "text"),
        (pd.Series(["0.1"]), "text"),
        ("abc", "text"),
        ([0.1, "1.5"], "text"),
        ([True, False], "true or false"),
        (np.array([True]), "true or false"),
        (np.array([1j]), "complex"),
        ([1, 2] * pq.mV, "unit is mV"),
        ([1 * pq.ms, 2 * pq.mV], "unit is mV"),
        ([1, 2] * pq.dimensionless, "unit is dimensionless"),
        (Pint(np.zeros(2), "mV"), "unit is mV"),
        (np.array([1, 2], "m8"), "timedelta64"),
        (np.array([1, 2], "m8[Y]"), "timedelta64"),
        ({"a": 1.0}, "mapping"),
        ([object()], "objects of type object"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_is_no_time_is_refused(times, came):
    with pytest.raises(DataError, match=f"Times must (be|have).*{came}"):
        seconds(times)


def test_a_unit_that_is_not_known_is_never_dropped():
    class Strange(np.ndarray):
        units = "fortnight"

    with pytest.raises(DataError, match="fortnight"):
        seconds(np.zeros(2).view(Strange))


@pytest.mark.parametrize(("unit", "seconds_of_5"), [("2s", 10.0), ("3us", 15e-6), ("25us", 125e-6), ("7h", 126000.0)])
def test_steps_of_several_units(unit, seconds_of_5):
    np.testing.assert_array_equal(seconds(np.array([5], f"m8[{unit}]")), [seconds_of_5])
    many_steps = np.array([333_333], f"m8[{unit}]")  # more than one second of steps of 3 us
    assert seconds(many_steps)[0] == pytest.approx(seconds_of_5 / 5 * 333_333, rel=1e-12)


def test_flat_seconds():
    np.testing.assert_array_equal(clock.flat_seconds(np.array([[1.0], [2.0]]), what="Times"), [1, 2])
    np.testing.assert_array_equal(clock.flat_seconds(np.array([[1.0, 2.0]]), what="Times"), [1, 2])
    np.testing.assert_array_equal(clock.flat_seconds(1.5, what="Times"), [1.5])
    assert clock.flat_seconds(np.zeros((1, 0)), what="Times").shape == (0,)
    with pytest.raises(ShapeError, match="one axis"):
        clock.flat_seconds(np.ones((2, 3)), what="Times")


@pytest.mark.parametrize(
    "width",
    [0.005, 5 * pq.ms, dt.timedelta(milliseconds=5), pd.Timedelta("5ms"), np.timedelta64(5, "ms"), Fraction(1, 200)],
)
def test_durations(width):
    assert clock.duration(width, what="A bin width") == 0.005


@pytest.mark.parametrize("width", ["0.005", True, [1, 2], 5 * pq.mV, pd.Timestamp("2026-01-01"), {}])
def test_durations_that_are_none(width):
    with pytest.raises(SettingError, match="A bin width must be"):
        clock.duration(width, what="A bin width")


def test_windows():
    assert clock.window((-0.2, 0.5)) == clock.window([-200, 500] * pq.ms) == (-0.2, 0.5)
    assert clock.window((-200 * pq.ms, pd.Timedelta("0.5s"))) == (-0.2, 0.5)
    for wrong in (0.5, "ab", (1, 2, 3), (1 * pq.mV, 2 * pq.mV), ("0", "1")):
        with pytest.raises(SettingError):
            clock.window(wrong)


def test_intervals():
    neo = pytest.importorskip("neo")
    expected = [[0.0, 0.5], [1.0, 1.5]]
    for value in (
        expected,
        np.array(expected) * 1000 * pq.ms,
        pd.DataFrame({"start": [0.0, 1.0], "end": [0.5, 1.5]}),
        {"start_time": [0, 1000] * pq.ms, "stop_time": [0.5, 1.5]},
        neo.Epoch([0, 1] * pq.s, [500, 500] * pq.ms),
        SimpleNamespace(start=np.array([0.0, 1.0]), end=np.array([0.5, 1.5])),
    ):
        np.testing.assert_array_equal(clock.intervals(value, what="Times observed"), expected)
    np.testing.assert_array_equal(clock.intervals((0, 5), what="Times observed"), [[0, 5]])
    with pytest.raises(DataError, match="Interval 1 goes from 3 to 2 s"):
        clock.intervals([(0, 1), (3, 2)], what="Times observed")
    with pytest.raises(ShapeError, match="intervals of two times"):
        clock.intervals([1.0, 2.0, 3.0], what="Times observed")


def test_dates_and_seconds_do_not_mix():
    dates = pd.DatetimeIndex(["2026-01-01"])
    clock.check_one_clock({"spikes": dates, "trials": [dt.datetime(2026, 1, 1)]})
    with pytest.raises(DataError, match="trials are dates, spikes are seconds"):
        clock.check_one_clock({"spikes": [1.0], "trials": dates})
