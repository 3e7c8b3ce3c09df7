"""`Session`: a live trial, the samples that its clients send, and its statistics. It opens no connections.

Each client sends times of its own clock, which may differ from the clock of this machine. The offset between the two
clocks is computed from the first sample of the client, whose delay is taken to be 0. The same offset is used for all
later samples. If the clock of a client runs faster or slower, the times of its samples become wrong over time. Only
streams of the Lab Streaming Layer correct this drift.
"""

import time
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from spikeloom.errors import ConditionError, DataError, SettingError, SpikeloomError
from spikeloom.live.protocol import BinSpikes, Sample, counts_message, greeting, read_sample, spikes_message
from spikeloom.live.samples import BinnedSamples
from spikeloom.live.statistics import LiveStatistics
from spikeloom.models.common.base import Model
from spikeloom.models.common.course import State
from spikeloom.shapes import Array

FIRST_SAMPLE = 0.1
"""Position of the first sample in its bin, from 0 to 1.

Clients often send a fixed number of samples per bin. Then samples have the same positions in all bins. This position
keeps them away from the end of a bin, where a small delay would make them late.
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
        condition: Maps the name of a condition to its value before the first sample, or to None if it has no value
            until the first sample arrives. By default all conditions of the model are included, without a value. With
            an empty mapping, the trial is generated without conditions.
        guidance: Strength of the condition. `None` uses the model's guidance.
        spike_times: Send the time of each spike instead of counts.

    Attributes:
        start: Time at which bin 0 began, s of this machine's clock; None before the trial begins. After a restore, the
            time at which bin 0 would have begun without the interruption.
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
        conditions = tuple(named for named in facts.conditions.each if named.name in initial)
        self.n_neurons = model.n_neurons
        self.bin_width = facts.bin_width
        self.spike_times = spike_times
        self.samples = BinnedSamples(conditions, bin_width=facts.bin_width)
        self.statistics = LiveStatistics()
        self.start: float | None = None
        self.waiting = {named.name for named in conditions if named.per_bin and initial[named.name] is None}
        sizes = {named.name: named.size for named in conditions}
        self.greeting = greeting(n_neurons=model.n_neurons, bin_width=facts.bin_width, conditions=sizes)

    def begin(self, now: float) -> None:
        """Begin the next bin at the time `now` of this machine's clock, s.

        The next bin is bin 0, or, after a restore, the bin that follows the restored ones.
        """
        self.start = now - self.samples.next_bin * self.bin_width

    @property
    def due(self) -> float:
        """Time at which the next bin ends, s of this machine's clock."""
        if self.start is None:
            raise DataError("The trial has not begun.", f"It waits for {sorted(self.waiting)}.", "")
        return self.start + (self.samples.next_bin + 1) * self.bin_width

    def receive(self, packet: bytes, source: Source, now: float) -> None:
        """Take a message of a client. The trial begins with the message after which every condition has a value.

        Args:
            packet: The message.
            source: Clock of the client.
            now: Time of arrival on this machine's clock, s.

        Raises:
            SpikeloomError: if the message is refused. Refused messages are counted.
        """
        try:
            self.add(self._read(packet), source, now)
        except SpikeloomError:
            self.statistics.refused += 1
            raise

    def add(self, message: Sample, source: Source, now: float) -> None:
        """Take a sample of a client that arrived at the time `now` of this machine's clock, s.

        Before the trial begins, samples go to its next bin. The trial begins once every condition has a value.

        Args:
            message: The sample.
            source: Clock of the client.
            now: Time of arrival on this machine's clock, s.
        """
        local = source.local(message.time, now)
        if self.start is None:
            self.samples.add(self.samples.next_bin * self.bin_width, message.condition)
            self.waiting -= set(message.condition)
            if not self.waiting:
                self.begin(local - FIRST_SAMPLE * self.bin_width)
        else:
            self.samples.add(local - self.start, message.condition)

    def request(self, packet: bytes) -> BinSpikes:
        """Generate a bin with the condition of a client's message.

        Raises:
            SpikeloomError: if the message is refused. Refused messages are counted, and do not change the trial.
        """
        try:
            sample = self._read(packet)
            if sample.time is not None:
                raise DataError("A message that requests a bin has no time.", f"It had the time {sample.time:g}.", "")
            missing = self.waiting - set(sample.condition)
            if missing:
                raise ConditionError("The first bin needs every condition.", f"{sorted(missing)} has no value.", "")
        except SpikeloomError:
            self.statistics.refused += 1
            raise
        self.waiting = set()
        self.samples.add(self.samples.next_bin * self.bin_width, sample.condition)
        return self.step()

    def step(self) -> BinSpikes:
        """Generate the next bin from the samples that lie in it."""
        number = self.samples.next_bin
        late = self.samples.late - self.statistics.late  # late samples since the previous bin
        start = time.perf_counter()
        counts = self.live.step(self.samples.take())
        self.statistics.steps.add(time.perf_counter() - start)
        self.statistics.late += late
        return BinSpikes(number, round(number * self.bin_width, 9), np.asarray(counts), late)

    def message(self, spikes: BinSpikes) -> bytes:
        """Return the message of a bin, with counts or spike times."""
        return spikes_message(spikes, bin_width=self.bin_width) if self.spike_times else counts_message(spikes)

    def state(self) -> dict[str, Array]:
        """Return the state of the trial as arrays: with the model, they determine all later bins."""
        return self.live.state()

    def restore(self, state: State) -> None:
        """Continue from a state of a session of the same model and conditions.

        Raises:
            DataError: if the state is of another model, or of other conditions.
        """
        self.live.restore(state)
        self.samples.next_bin = self.live.bins
        # a state holds the value of each condition under the name "condition NAME"
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
            "Live generation needs a causal model.",
            f"{type(model).__name__} is not causal.",
            "Use a run of an AutoregressiveLDNS or an LFADS.",
        )
