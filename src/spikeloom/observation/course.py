"""`CountCourse`: trials whose counts are drawn from rates, bin after bin.

The counts of a piece of the trials are drawn in three steps:

1. Random numbers: every bin of a trial takes the same number of them from the stream of the trial.
2. The shared noise multiplies the rates.
3. In the order of time, the earlier counts change the drive of a bin, and its counts are drawn.

A course has the same counts whether it is advanced by all bins at once or by one, alone or in a batch: bins follow each
other in the same loop, and every number of a trial depends on this trial only. Rates are in single precision. Uniform
numbers, and the quantiles of the few bins that can hold a spike, are in double precision.
"""

from collections.abc import Mapping
from typing import final

import numpy as np
import scipy.special
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from spikeloom.observation.links import SMALLEST_UNIFORM, drive_of, rates_of
from spikeloom.observation.slots import CountDistribution, History, Memory, Noise, batches
from spikeloom.seeds import Streams
from spikeloom.shapes import Array, TrialCounts, TrialRates

ROUNDING = 1e-6
"""Relative margin for rounding in single precision, when bins without spikes are excluded."""

Rates = Float[NDArray[np.float32], "trial *time neuron"]
Uniform = Float[NDArray[np.float64], "trial *time neuron"]


@final
class CountCourse:
    """Trials whose counts are drawn in consecutive pieces; see the module.

    Args:
        counts: Distribution of the count of a bin.
        history: Change of a drive by earlier counts, or None.
        noise: Shared factors of the rates, or None.
        streams: Random streams, one per trial.
    """

    def __init__(
        self, counts: CountDistribution, history: History | None, noise: Noise | None, streams: Streams
    ) -> None:
        self.distribution = counts
        self.history = history
        self.noise = noise
        self.streams = streams
        self.memory: Memory = {}  # of the noise
        self.past = None if history is None else history.begin(len(streams.generators))

    def advance(self, rates: TrialRates) -> TrialCounts:
        """Draw the counts of the next bins of all trials.

        Args:
            rates: Expected counts (trial, bins, neuron) without history and noise, spikes/bin.
        """
        rates = np.asarray(rates, np.float32)
        n_trials, n_bins, n_neurons = rates.shape
        counts = np.empty(rates.shape, np.int64)
        for piece in batches(n_bins, n_trials * n_neurons):
            counts[:, piece] = self._piece(rates[:, piece])
        return counts

    def state(self) -> dict[str, Array]:
        """Return everything that the next counts depend on, besides the model, as arrays (trial, ...)."""
        state: dict[str, Array] = {"spikes": self.streams.state()}
        if self.past is not None:
            state["past"] = self.past.state()
        return state | {f"memory {name}": value.copy() for name, value in self.memory.items()}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Continue from a state of a course of the same model and number of trials; other names are ignored."""
        self.streams.restore(state["spikes"].astype(np.uint64))
        if self.past is not None:
            self.past.restore(state["past"].astype(np.float32))
        memory = {name: value for name, value in state.items() if name.startswith("memory ")}
        self.memory = {name.removeprefix("memory "): value.astype(np.float64) for name, value in memory.items()}

    def _piece(self, rates: Rates) -> TrialCounts:
        """Draw the counts of a few bins, whose arrays fit into the cache of a processor."""
        white, uniform = self._numbers(*rates.shape)
        if self.noise is not None:
            rates = rates * self.noise.factors(self.noise.series(white, self.memory))
        if self.history is None or self.past is None:
            return self._drawn(rates, uniform)
        drive = drive_of(rates, self.distribution.link)
        present = self.history.present(torch.from_numpy(drive), self.distribution).numpy()
        counts = np.empty(rates.shape, np.int64)
        for time in range(rates.shape[1]):
            expected = rates_of(present[:, time] + self.past.change(), self.distribution.link)
            drawn = self._drawn(expected, uniform[:, time])
            counts[:, time] = drawn if self.history.ceiling is None else np.minimum(drawn, self.history.ceiling)
            self.past.add(counts[:, time])
        return counts

    def _numbers(
        self, n_trials: int, n_bins: int, n_neurons: int
    ) -> tuple[Float[NDArray[np.float64], "trial time number"], Uniform]:
        """Return the standard normal numbers of the noise, and a uniform number for every count."""
        n_noise = 0 if self.noise is None else self.noise.n_numbers
        uniform = np.empty((n_trials, n_bins, n_noise + n_neurons))
        for numbers, rng in zip(uniform, self.streams.generators, strict=True):
            rng.random(out=numbers)
        white = scipy.special.ndtri(np.maximum(uniform[..., :n_noise], SMALLEST_UNIFORM))
        return white, uniform[..., n_noise:]

    def _drawn(self, expected: Rates, uniform: Uniform) -> TrialCounts:
        """Return the quantiles of uniform numbers under expected counts.

        A count is at least 1 with a probability of at most its mean (Markov's inequality). So only bins whose uniform
        number is above 1 - mean can hold a spike, and only these few quantiles are computed.
        """
        n_neurons = expected.shape[-1]
        counts = np.zeros(expected.size, np.int64)
        entry = np.flatnonzero(1 - uniform <= expected * np.float32(1 + ROUNDING))
        row, neuron = np.divmod(entry, n_neurons)
        rates = expected.reshape(-1, n_neurons)[row, neuron].astype(np.float64)
        counts[entry] = self.distribution.quantile(rates, uniform.reshape(-1, n_neurons)[row, neuron], neuron)
        return counts.reshape(expected.shape)
