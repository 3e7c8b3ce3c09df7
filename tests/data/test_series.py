"""Series of a file: read when needed, in parts, and on the circle where they are angles."""

import resource
import subprocess
import sys
import time
import warnings
from pathlib import Path

import h5py
import numpy as np
import pynwb
import pytest

from spikeloom.data import sampling
from spikeloom.data.notes import AngleWarning
from spikeloom.data.nwb import read_nwb
from spikeloom.data.recording import Recording
from spikeloom.data.series import Series
from spikeloom.errors import SettingError
from spikeloom.models.common.named_condition import NamedCondition
from spikeloom.trials import Trials
from tests.helpers.nwb_session import session

TABLE = {"start_time": np.array([0.0, 5.0]), "stop_time": np.array([4.0, 9.0])}
SPIKES = [np.arange(0.05, 10, 0.1)]
CLOCK = np.arange(0, 10, 0.01)
TURNING = 100.0 * CLOCK + 5.5  # degrees, three turns


def binned(values, unit="", name="x", *, width=0.1, description="", times=CLOCK, **words):
    recording = Recording(SPIKES, behavior={name: Series(times, values, unit, description)}, trial_table=TABLE)
    return recording.bin(width, behavior=[name], **words)


def around(first, second, period):
    """Distance on the circle."""
    return np.abs((np.asarray(first) - second + period / 2) % period - period / 2)


# --- angles ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "period"),
    [("deg", 360.0), ("degrees", 360.0), ("Degree", 360.0), ("°", 360.0), ("rad", 2 * np.pi), ("radians", 2 * np.pi)],
)
@pytest.mark.parametrize("low", [0.0, -0.5])
def test_angles_are_averaged_on_the_circle(unit, period, low):
    values = (TURNING / 360 - low) % 1 * period + low * period
    trials = binned(values, unit)
    truth = (TURNING[:400].reshape(40, 10).mean(1)) / 360 * period
    result = trials.behavior["x"][0, :, 0]
    assert around(result, truth, period).max() < 1e-9
    assert result.min() >= low * period - 1e-9
    assert result.max() < (1 + low) * period + 1e-9
    assert trials.units["x"] == unit


@pytest.mark.parametrize(("unit", "period"), [("deg", 360.0), ("rad", 2 * np.pi)])
def test_angles_are_interpolated_on_the_shorter_arc(unit, period):
    sparse = np.arange(0, 10.1, 0.3)
    values = (100.0 * sparse % 360) / 360 * period
    result = binned(values, unit, times=sparse).behavior["x"][0, :, 0]
    truth = 100.0 * (np.arange(40) + 0.5) * 0.1 / 360 * period
    assert (
        around(result, truth, period).max() < 5.01 / 360 * period
    )  # a sample in a bin may lie 5 degrees off its centre
    between = np.abs(np.diff(np.unwrap(result * 2 * np.pi / period)))
    assert between.max() < 0.4  # never through the middle of the circle


@pytest.mark.parametrize(
    ("name", "unit", "description", "angle"),
    [
        ("heading", "", "", True),
        ("head_direction", "n/a", "", True),
        ("HeadDirection", "unknown", "", True),
        ("orientation_deg", "", "", True),
        ("x", "", "angle of the wrist", True),
        ("x", "m", "angle of the wrist", False),
        ("angular_velocity", "", "", False),
        ("heading_speed", "", "", False),
        ("x", "deg/s", "", False),
        ("x", "degrees Celsius", "", False),
        ("triangles", "", "", False),
        ("x", "", "", False),
    ],
)
def test_a_unit_name_or_description_says_what_is_an_angle(name, unit, description, angle):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AngleWarning)
        result = binned(TURNING % 360, unit, name, description=description).behavior[name][0, :, 0]
    truth = TURNING[:400].reshape(40, 10).mean(1)
    assert (around(result, truth, 360.0).max() < 1e-6) == angle


def test_an_angle_without_a_unit_gets_one_with_a_note():
    with pytest.warns(AngleWarning, match="theta has no unit. It is treated as an angle in deg"):
        trials = binned(TURNING % 360, name="theta", angles=["theta"])
    assert trials.units["theta"] == "deg"
    with pytest.warns(AngleWarning, match="in rad"):
        trials = binned(np.deg2rad(TURNING) % (2 * np.pi), name="theta", angles="theta")
    assert trials.units["theta"] == "rad"
    with pytest.raises(SettingError, match="--behavior theta"):
        binned(TURNING, angles=["theta"])


def test_angles_that_do_not_wrap_keep_their_mean_and_turns_are_counted_on():
    eye = 20 * np.sin(CLOCK)
    np.testing.assert_allclose(binned(eye, "deg").behavior["x"], binned(eye, "m").behavior["x"], atol=1e-9)
    wheel = TURNING  # goes on beyond a turn
    np.testing.assert_allclose(binned(wheel, "deg").behavior["x"], binned(wheel, "m").behavior["x"], atol=1e-9)


def test_angles_of_a_file_and_the_option(tmp_path):
    def add(file):
        module = file.create_processing_module("behavior", "d")
        for name, unit, stored in (("hd", "radians", np.deg2rad(TURNING % 360)), ("theta", "n/a", TURNING % 360)):
            module.add(pynwb.TimeSeries(name=name, data=stored, unit=unit, rate=100.0))

    path = session(tmp_path / "x.nwb", starts=np.array([0.0, 5.0]), more=add)
    with pytest.warns(AngleWarning):
        trials = read_nwb(path).bin(0.1, behavior=["hd", "theta"], angles=["theta"])
    truth = TURNING[:200].reshape(20, 10).mean(1)
    assert around(trials.behavior["hd"][0, :, 0], np.deg2rad(truth), 2 * np.pi).max() < 1e-9
    assert around(trials.behavior["theta"][0, :, 0], truth, 360.0).max() < 1e-9


# --- read when needed --------------------------------------------------------------------------------------------


def test_reading_in_parts_gives_the_same_as_at_once(monkeypatch, tmp_path):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(6000, 2))
    values[rng.random(6000) < 0.05] = np.nan
    stamps = np.sort(rng.uniform(0, 60, 6000))

    def add(file):
        module = file.create_processing_module("behavior", "d")
        module.add(pynwb.TimeSeries(name="stamped", data=values, unit="m", timestamps=stamps, conversion=0.01))
        module.add(pynwb.TimeSeries(name="steady", data=values, unit="m", rate=99.0, starting_time=0.3))

    path = session(tmp_path / "x.nwb", more=add)
    recording = read_nwb(path)
    memory = {name: Series(one.times, one.values, one.unit) for name, one in recording.behavior.items()}
    plain = Recording(recording.spikes, behavior=memory, trial_table=recording.trial_table)
    for lag in (0.0, 0.15):
        words = {"behavior": list(memory), "lag": lag}
        full = plain.bin(0.02, **words)
        monkeypatch.setattr(sampling, "MOST", 500)
        parts = recording.bin(0.02, **words)
        monkeypatch.undo()
        for name in memory:
            np.testing.assert_array_equal(parts.behavior[name], full.behavior[name])


HOUR = """
import sys
from spikeloom import cli
try:
    cli.main(sys.argv[1:])
except SystemExit as end:
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))  # ru_maxrss would count the parent's too
    print("REPORT", end.code, int(status["VmHWM"].split()[0]) / 1024)
"""


def peak(*words):
    """Memory in MB and seconds of CPU that a command takes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    out = subprocess.run([sys.executable, "-c", HOUR, *map(str, words)], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    code, megabytes = out.stdout.rsplit("REPORT", 1)[1].split()
    assert code == "0", out.stderr
    return float(megabytes), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from Linux's /proc")
def test_an_hour_of_analogue_data_costs_neither_inspect_nor_bin(tmp_path):
    """Eight channels of 30 kHz for an hour, 1.7 GB of numbers, in a file whose chunks are hardly written."""
    path = session(
        tmp_path / "x.nwb",
        more=lambda f: f.add_acquisition(
            pynwb.TimeSeries(name="analogue", data=np.zeros((10, 8), np.int16), unit="V", rate=30_000.0)
        ),
    )
    with h5py.File(path, "a") as file:
        attributes = dict(file["acquisition/analogue/data"].attrs)
        del file["acquisition/analogue/data"]
        data = file["acquisition/analogue"].create_dataset("data", (30_000 * 3600, 8), "i2", chunks=(65_536, 8))
        data.attrs.update(attributes)
    started = time.process_time()
    recording = read_nwb(path)
    assert recording.behavior["analogue"].n_samples == 108_000_000
    trials = recording.bin(0.02, behavior=["analogue"])
    assert trials.behavior["analogue"].shape[2] == 8
    assert time.process_time() - started < 60
    for words in (("inspect", path), ("bin", path, "--bin-width", 0.02, "--out", tmp_path / "t.h5")):
        megabytes, seconds = peak(*words)
        assert megabytes < 400, words
        assert seconds < 5, words


# --- angles in tables -------------------------------------------------------------------------------------------------


def test_columns_of_tables_carry_that_they_are_angles(tmp_path):
    angles = 45.0 * (np.arange(4) % 8)

    def add(file):
        for name, text in (
            ("orientation", "direction of motion in degrees"),
            ("phase", "phase of the grating, radians"),
            ("eccentricity", "degrees of visual angle"),
            ("spatial_frequency", "cycles per degree"),
            ("theta", "what was shown"),
        ):
            file.add_trial_column(name, text)
        for trial, start in enumerate(np.array([0.0, 5.0, 10.0, 15.0])):
            row = {"phase": np.deg2rad(angles[trial]), "eccentricity": 5.0, "spatial_frequency": 0.1}
            file.add_trial(
                start_time=start, stop_time=start + 2, orientation=angles[trial], theta=int(angles[trial]), **row
            )

    path = session(tmp_path / "x.nwb", starts=None, more=add)
    names = ["orientation", "phase", "eccentricity", "spatial_frequency", "theta"]
    trials = read_nwb(path).bin(0.1, conditions=names)
    assert trials.units == {"orientation": "degrees", "phase": "radians"}
    with pytest.warns(AngleWarning, match="theta .* angle in deg"):
        trials = read_nwb(path).bin(0.1, conditions=names, angles=["theta"])
    trials.save(tmp_path / "t.h5")
    again = Trials.load(tmp_path / "t.h5")
    assert again.units == {"orientation": "degrees", "phase": "radians", "theta": "deg"}
    kinds = {name: NamedCondition.fit(again, name).kind for name in names}
    assert [name for name, kind in kinds.items() if kind == "circular"] == ["orientation", "phase", "theta"]
