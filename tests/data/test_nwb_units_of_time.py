"""NWB files with times in other units than seconds, tags of epochs, and their description by `inspect`."""

import h5py
import numpy as np
import pytest

from spikeloom.cli.describe import describe
from spikeloom.data.load import load
from spikeloom.errors import DataError
from tests.helpers.nwb_session import new_file, session, spike_trains, write


def with_position(file):
    import pynwb

    times = np.arange(0, 60, 0.1)
    file.add_acquisition(pynwb.TimeSeries(name="position", data=times.copy(), unit="m", timestamps=times))


@pytest.mark.parametrize(("unit", "factor"), [("ms", 1e3), ("Milliseconds", 1e3), ("us", 1e6), ("seconds", 1.0)])
def test_an_attribute_with_the_unit_of_times_is_honoured_everywhere(tmp_path, unit, factor):
    path = session(tmp_path / "s.nwb", more=with_position, observed=[np.array([[0.0, 60.0]])] * 5)
    expected = load(path).bin(0.02, behavior="position")
    with h5py.File(path, "a") as file:
        places = ["units/spike_times", "units/obs_intervals", "intervals/trials/start_time"]
        for name in [*places, "intervals/trials/stop_time", "acquisition/position/timestamps"]:
            file[name][...] = file[name][...] * factor
            file[name].attrs["unit"] = unit
    result = load(path).bin(0.02, behavior="position")
    np.testing.assert_array_equal(result.counts, expected.counts)
    np.testing.assert_allclose(result.behavior["position"], expected.behavior["position"], atol=1e-9)


def test_times_in_something_else_are_refused(tmp_path):
    path = session(tmp_path / "s.nwb")
    with h5py.File(path, "a") as file:
        file["units/spike_times"].attrs["unit"] = "samples"
    with pytest.raises(DataError, match=r"another unit of time\. Their unit is 'samples'"):
        load(path)


def test_tags_of_epochs_are_a_condition(tmp_path):
    file = new_file()
    for unit in spike_trains():
        file.add_unit(spike_times=unit)
    for start, tags in ((0.0, ["run"]), (20.0, ["sleep", "dark"]), (40.0, [])):
        file.add_epoch(start, start + 10, tags)
    recording = load(write(file, tmp_path / "s.nwb"))
    trials = recording.bin(0.1, trials="epochs", every=2.0, conditions=["tags"])
    assert trials.conditions["tags"].tolist() == ["run"] * 5 + ["sleep,dark"] * 5  # pieces without tags are left out


def test_inspect_lists_the_trials_once_and_says_how_to_bin_without_them(tmp_path):
    text = describe(session(tmp_path / "s.nwb"))
    assert "trial table   20 trials" in text
    assert "--trials trials" not in text
    bare = describe(session(tmp_path / "bare.nwb", starts=None))
    assert "there is no trial table: to bin, cut pieces with --every" in bare
    assert "only 0 trials" not in bare
