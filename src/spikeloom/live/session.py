"""`Session`: a live trial, the samples that its clients send, and its statistics. It opens no connections.

Times of clients are times of their own clocks. The first sample of a client is taken to arrive at its own time, which
gives the difference between both clocks; the same difference is used for all later samples. So clocks need not agree.
(A clock that runs fast or slow drifts away; streams of the Lab Streaming Layer correct that.)
"""

import time
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from spikeloom.errors import ConditionError, DataError, SettingError, SpikeloomError
from spikeloom.live.protocol import Bin, Sample, counts_message, greeting, read_sample, spikes_message
from spikeloom.live.samples import BinnedSamples
from spikeloom.live.statistics import LiveStatistics
from spikeloom.models.common.base import Model
from spikeloom.models.common.course import State
from spikeloom.shapes import Array

FIRST_SAMPLE = 0.1
"""Position of the first sample in its bin, from 0 to 1.

Rates of samples are often multiples of the rate of bins. Samples then keep this distance from the end of a bin, where a
small delay would make them late.
"""


class Source:
    """Clock of one client. See the module.

    Args:
        offset: Time of this machine minus time of the client, s. `None` sets it with the first sample.
    """

    def __init__(self, offset: float | None = None) -> None:
        self._offset = offset

    def local(self, sample_time: float | None, now: float) -> float:
        """Return the time of a sample on this machine's clock, s.

        Args:
            sample_time: Time of the sample on the client's clock, s. `None` stands for the time of arrival.
            now: Time of arrival on this machine's clock, s.
        """
        if sample_time is None:
            return now
        if self._offset is None:
            self._offset = now - sample_time
        return sample_time + self._offset


class Session:
    """One trial that is generated live. All clients share it.

    Args:
        model: A trained model that can generate live.
        seed: Random seed.
        condition: Name -> value before the first sample, or None for a value that samples bring. By default all
            conditions of the model come from samples; an empty mapping generates without conditions.
        guidance: Strength of the condition. `None` uses the model's guidance.
        spike_times: Send the time of each spike instead of counts.

    Attributes:
        start: Time at which bin 0 begins or would have begun, s of this machine's clock; None before the trial begins.
        waiting: Names of the conditions without a value so far. The trial cannot begin before it is empty.

    Raises:
        ConditionError: if the model was not trained with such a condition, or a value is wrong.
        SettingError: if the model cannot generate live.
    """

    def __init__(
        self,
        model: Model,
        *,
        seed: int = 0,
        condition: Mapping[str, ArrayLike | None] | None = None,
        guidance: float | None = None,
        spike_times: bool = False,
    ) -> None:
        check_causal(model)
        facts = model.facts
        initial = dict.fromkeys(facts.conditions.names) if condition is None else dict(condition)
        self.live = model.live(seed, condition=initial, guidance=guidance)
        followed = tuple(one for one in facts.conditions.each if one.name in initial)
        self.n_neurons = model.n_neurons
        self.bin_width = facts.bin_width
        self.spike_times = spike_times
        self.samples = BinnedSamples(followed, bin_width=facts.bin_width)
        self.statistics = LiveStatistics()
        self.start: float | None = None
        self.waiting = {one.name for one in followed if one.per_bin and initial[one.name] is None}
        sizes = {one.name: one.size for one in followed}
        self.greeting = greeting(n_neurons=model.n_neurons, bin_width=facts.bin_width, conditions=sizes)

    def begin(self, now: float) -> None:
        """Begin the next bin (bin 0, or the one that follows a restore) at this time of this machine's clock, s."""
        self.start = now - self.samples.next_bin * self.bin_width

    @property
    def due(self) -> float:
        """Time at which the next bin ends, s of this machine's clock."""
        if self.start is None:
            raise DataError("The trial has not begun.", f"It waits for {sorted(self.waiting)}.", "")
        return self.start + (self.samples.next_bin + 1) * self.bin_width

    def receive(self, packet: bytes, source: Source, now: float) -> None:
        """Take a message of a client. The trial begins with the message after which every condition has a value.

        Raises:
            SpikeloomError: if the message is refused. It is counted.
        """
        try:
            self.add(self._read(packet), source, now)
        except SpikeloomError:
            self.statistics.refused += 1
            raise

    def add(self, message: Sample, source: Source, now: float) -> None:
        """Take a sample of a client that arrived at the time `now` of this machine's clock, s."""
        local = source.local(message.time, now)
        if self.start is None:
            self.samples.add(self.samples.next_bin * self.bin_width, message.condition)
            self.waiting -= set(message.condition)
            if not self.waiting:
                self.begin(local - FIRST_SAMPLE * self.bin_width)
        else:
            self.samples.add(local - self.start, message.condition)

    def request(self, packet: bytes) -> Bin:
        """Generate a bin with the condition of a client's message.

        Raises:
            SpikeloomError: if the message is refused. It is counted, and the trial does not change.
        """
        try:
            sample = self._read(packet)
            if sample.time is not None:
                raise DataError("A message that requests a bin has no time.", f"It was {sample.time:g}.", "")
            missing = self.waiting - set(sample.condition)
            if missing:
                raise ConditionError("The first bin needs every condition.", f"There is no {sorted(missing)}.", "")
        except SpikeloomError:
            self.statistics.refused += 1
            raise
        self.waiting = set()
        self.samples.add(self.samples.next_bin * self.bin_width, sample.condition)
        return self.step()

    def step(self) -> Bin:
        """Generate the next bin from the samples that lie in it."""
        number = self.samples.next_bin
        late = self.samples.late - self.statistics.late
        began = time.perf_counter()
        counts = self.live.step(self.samples.take())
        self.statistics.steps.add(time.perf_counter() - began)
        self.statistics.late += late
        return Bin(number, round(number * self.bin_width, 9), np.asarray(counts), late)

    def message(self, one: Bin) -> bytes:
        """Return the message of a bin, with counts or spike times."""
        return spikes_message(one, bin_width=self.bin_width) if self.spike_times else counts_message(one)

    def state(self) -> dict[str, Array]:
        """Return everything on which the next bins depend, besides the model, as arrays."""
        return self.live.state()

    def restore(self, state: State) -> None:
        """Continue from a state of a session of the same model and conditions.

        Raises:
            DataError: if the state is of another model, or of other conditions.
        """
        self.live.restore(state)
        self.samples.next_bin = self.live.bins
        self.waiting -= {name.removeprefix("condition ") for name in state if name.startswith("condition ")}

    def _read(self, packet: bytes) -> Sample:
        """Return the checked sample of a message. Raise a SpikeloomError if it is invalid."""
        sample = read_sample(packet)
        self.samples.check(sample.condition)
        return sample


def check_causal(model: Model) -> None:
    """Raise a SettingError if a bin of the model depends on later conditions."""
    if not model.capabilities.live:
        raise SettingError(
            "Spikes that follow samples as they arrive need a model that is causal.",
            f"{type(model).__name__} is not causal.",
            "Use a run of an AutoregressiveLDNS or an LFADS.",
        )
