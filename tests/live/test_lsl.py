"""Streams of the Lab Streaming Layer, with the real pylsl."""

import time

import numpy as np
import pytest

from spikeloom.errors import SettingError
from spikeloom.live import Background, Session

pylsl = pytest.importorskip("pylsl", exc_type=ImportError)

from spikeloom.live import lsl  # noqa: E402
from spikeloom.live.lsl import Lsl  # noqa: E402


def outlet(name: str, *, channels: int = 1) -> "pylsl.StreamOutlet":
    info = pylsl.StreamInfo(name, "behavior", channels, pylsl.IRREGULAR_RATE, pylsl.cf_double64, f"test {name}")
    return pylsl.StreamOutlet(info)


def inlet(kind: str) -> "pylsl.StreamInlet":
    (info, *_) = pylsl.resolve_byprop("type", kind, timeout=10)
    result = pylsl.StreamInlet(info)
    result.open_stream(timeout=10)
    return result


@pytest.fixture(autouse=True)
def own_names(monkeypatch):
    """A name that no other program on the network uses."""
    monkeypatch.setattr(lsl, "NAME", f"spikeloom test {time.monotonic_ns()}")


def test_counts_follow_a_stream(fitted):
    live, wave = fitted.live(4, condition="wave"), outlet("wave")
    with Background(Session(fitted, seed=4), Lsl()) as server:
        spikes = inlet("counts")
        assert spikes.info().name() == server.address.removeprefix("LSL stream ")
        assert spikes.channel_count == fitted.n_neurons
        assert wave.wait_for_consumers(20)
        wave.push_sample([0.5], pylsl.local_clock())
        rows, times = [], []
        while len(rows) < 20:
            row, stamp = spikes.pull_sample(timeout=20)
            rows.append(row)
            times.append(stamp)
    np.testing.assert_array_equal(rows, [live.step([0.5]) for _ in range(20)])
    np.testing.assert_allclose(np.diff(times), 0.01, atol=1e-6)  # the times are those of the bins, without jitter


def test_the_offset_of_a_clock_does_not_depend_on_interruptions():
    interruptions = iter([0.02, 0.03, 0.0, 0.05] * lsl.N_READINGS)

    def clock():
        time.sleep(next(interruptions))
        return time.monotonic() + 7.0

    assert lsl.offset_of(clock) == pytest.approx(7.0, abs=2e-3)


def test_spike_times_are_samples_of_their_own(fitted):
    live = fitted.live(4)
    counts = np.sum([live.step() for _ in range(200)], 0)
    with Background(Session(fitted, seed=4, condition={}, spike_times=True), Lsl()):
        spikes = inlet("spikes")
        (neuron,), first = spikes.pull_sample(timeout=20)
        (_,), second = spikes.pull_sample(timeout=20)
    assert counts[neuron] > 0
    assert 0 <= second - first < 1.0


def test_a_stream_of_another_size_is_counted_as_refused(fitted):
    wrong = outlet("wave", channels=3)
    with Background(Session(fitted), Lsl()) as server:
        deadline = time.monotonic() + 20
        while not server.session.statistics.refused and time.monotonic() < deadline:
            time.sleep(0.05)
        assert server.session.waiting == {"wave"}
    assert server.session.statistics.refused == 1
    del wrong


def test_streams_without_pylsl_name_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pylsl", None)
    with pytest.raises(SettingError, match=r"spikeloom\[lsl\]"):
        Lsl()
