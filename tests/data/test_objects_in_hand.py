"""Objects that `load` and `Recording` must accept, or refuse without a traceback."""

import numpy as np
import pytest

from spikeloom.data.load import load
from spikeloom.data.recording import Recording
from tests.helpers.nwb_session import session, spike_trains

TABLE = {"start_time": 3.0 * np.arange(20), "stop_time": 3.0 * np.arange(20) + 2}


def test_spike_times_in_an_object_array_of_columns_as_matlab_gives_them():
    trains = spike_trains()
    cells = np.empty(len(trains), object)
    cells[:] = [times[:, None] for times in trains]
    expected = Recording(trains, trial_table=TABLE).bin(0.02)
    np.testing.assert_array_equal(Recording(cells, trial_table=TABLE).bin(0.02).counts, expected.counts)


def test_spike_times_as_tensors():
    torch = pytest.importorskip("torch")
    trains = spike_trains()
    tensors = [torch.from_numpy(times) for times in trains]
    expected = Recording(trains, trial_table=TABLE).bin(0.02)
    np.testing.assert_array_equal(Recording(tensors, trial_table=TABLE).bin(0.02).counts, expected.counts)


def test_a_table_in_memory_beside_a_file(tmp_path):
    pandas = pytest.importorskip("pandas")
    path = session(tmp_path / "s.nwb")
    table = pandas.DataFrame({"start_time": [1.0, 5.0], "stop_time": [2.0, 6.0], "side": ["left", None]})
    recording = load(path, trial_table=table)
    assert recording.bin(0.1).lengths.tolist() == [10, 10]
    for other in ({name: table[name].to_numpy() for name in ("start_time", "stop_time")}, "trials"):
        assert len(load(path, trial_table=other).bin(0.1)) == (20 if other == "trials" else 2)
