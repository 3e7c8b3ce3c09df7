"""Live spikes over the Lab Streaming Layer (pylsl, extra `lsl`).

The server reads one numeric stream for each condition. The stream has the name of the condition, such as `hand_vel`,
and one channel for each dimension. It may start later than the server, and may be interrupted. LSL corrects its clock.

The server writes one stream, `spikeloom`. A stream of counts has the type `counts`, one channel per neuron, and one
sample per bin at the time of the bin's end. A stream of spike times has the type `spikes`, and one sample per spike at
the time of the spike; its only channel holds the number of the neuron.
"""

import time
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

from spikeloom.errors import SpikeloomError, missing_extra
from spikeloom.live.protocol import BinSpikes, Sample, spikes_of
from spikeloom.live.server import Receive, Transport
from spikeloom.live.session import Session, Source

if TYPE_CHECKING:
    from pylsl import ContinuousResolver, StreamInfo, StreamInlet, StreamOutlet

NAME = "spikeloom"
"""Name of the stream of spikes. It is also its source id, by which readers find the stream again after a restart."""

MOST_SAMPLES = 4096
"""Largest number of samples that are fetched from a stream at once."""

N_READINGS = 16
"""Number of times that two clocks are read to find their offset."""


def import_pylsl() -> ModuleType:
    """Return the module pylsl, or raise an error that names the extra."""
    try:
        import pylsl
    except (ImportError, RuntimeError) as error:  # RuntimeError: the package without its binary library
        raise missing_extra("Streams of the Lab Streaming Layer need", "pylsl", "lsl") from error
    return pylsl


def offset_of(clock: Callable[[], float]) -> float:
    """Return by how many seconds a clock is ahead of `time.monotonic`.

    The operating system may interrupt the process between the readings of the two clocks. So they are read several
    times, and the result comes from the readings that took the shortest time.

    Args:
        clock: Returns the time of the clock in seconds.
    """
    readings = []
    for _ in range(N_READINGS):
        start = time.monotonic()
        clock_time = clock()
        end = time.monotonic()
        readings.append((end - start, clock_time - (start + end) / 2))  # duration, offset
    _, offset = min(readings)
    return offset


class Lsl(Transport):
    """Streams of the Lab Streaming Layer; see the module.

    Raises:
        SettingError: if pylsl is not installed.
    """

    def __init__(self) -> None:
        self._pylsl = import_pylsl()
        self._resolvers: dict[str, ContinuousResolver] = {}
        self._inlets: dict[str, StreamInlet] = {}
        self._outlet: StreamOutlet | None = None
        self._refused: set[str] = set()

    async def open(self, session: Session, receive: Receive) -> None:
        """Make the stream of spikes, and look for the streams of conditions; see `Transport.open`."""
        del receive  # samples of LSL are numbers, not messages
        self._session = session
        self._resolvers = {name: self._pylsl.ContinuousResolver("name", name) for name in session.samples.named}
        self._offset = offset_of(self._pylsl.local_clock)
        self._source = Source(-self._offset)  # seconds that are added to a time of LSL
        self._outlet = self._pylsl.StreamOutlet(self._info(session))
        self.address = f"LSL stream {NAME}"

    def send(self, spikes: BinSpikes) -> None:
        """Push a bin into the stream; see `Transport.send`."""
        session = self._session
        if self._outlet is None or session.start is None:
            return
        start = session.start + self._offset  # beginning of bin 0 on the clock of LSL
        if session.spike_times:
            for neuron, spike_time in zip(*spikes_of(spikes, bin_width=session.bin_width), strict=True):
                self._outlet.push_sample([neuron], start + spike_time)
        else:
            self._outlet.push_sample(spikes.counts.tolist(), start + spikes.start + session.bin_width)

    def poll(self) -> None:
        """Fetch the samples of all streams; see `Transport.poll`."""
        for name, resolver in self._resolvers.items():
            if name not in self._inlets:
                self._find(name, resolver)
            if name in self._inlets:
                rows, times = self._inlets[name].pull_chunk(timeout=0.0, max_samples=MOST_SAMPLES)
                for row, stamp in zip(rows, times, strict=True):
                    self._add(name, row, stamp)

    def close(self) -> None:
        """Close all streams; see `Transport.close`."""
        for inlet in self._inlets.values():
            inlet.close_stream()
        self._inlets = {}
        self._resolvers = {}
        self._outlet = None

    def _add(self, name: str, row: list[float], stamp: float) -> None:
        """Take a sample of the stream of a condition, or count it as refused.

        Args:
            name: Name of the condition.
            row: Value of each dimension.
            stamp: Time of the sample on the clock of LSL, s.
        """
        try:
            sample = Sample(time=stamp, condition={name: row})
            self._session.samples.check(sample.condition)
            self._session.add(sample, self._source, time.monotonic())
        except (SpikeloomError, ValueError):
            self._session.statistics.refused += 1

    def _find(self, name: str, resolver: "ContinuousResolver") -> None:
        """Connect to the stream of a condition if it has appeared.

        A stream with another number of channels is counted as refused.
        """
        for info in resolver.results():
            size_fits = info.channel_count() == self._session.samples.named[name].size
            if size_fits and info.channel_format() != self._pylsl.cf_string:
                flags = self._pylsl.proc_clocksync  # LSL converts times to the clock of this machine
                # LSL keeps the samples of the last 10 s until they are fetched
                self._inlets[name] = self._pylsl.StreamInlet(info, max_buflen=10, processing_flags=flags)
                self._inlets[name].open_stream(timeout=1.0)  # s
                return
            if info.uid() not in self._refused:
                self._refused.add(info.uid())
                self._session.statistics.refused += 1

    def _info(self, session: Session) -> "StreamInfo":
        """Return the description of the stream of spikes: name, type, number of channels, rate, format, source id."""
        pylsl = self._pylsl
        n_neurons = session.n_neurons
        if session.spike_times:
            return pylsl.StreamInfo(NAME, "spikes", 1, pylsl.IRREGULAR_RATE, pylsl.cf_int32, NAME)
        return pylsl.StreamInfo(NAME, "counts", n_neurons, 1 / session.bin_width, pylsl.cf_int32, NAME)
