"""`CountCourse`: trials whose counts are drawn from rates, bin after bin.

The counts of a piece of the trials are drawn in three steps:

1. Random numbers are drawn, the same number for every bin, from the random stream of the trial.
2. The rates are multiplied by the shared noise.
3. One bin after another, the earlier counts change the drive, and the counts of the bin are drawn.

The counts do not depend on how many bins are drawn in one call, or on the other trials of a batch: the bins are
computed one after another in the same loop, and the numbers of a trial depend on this trial only. Rates are in single
precision. Uniform numbers, and the quantiles of the few bins that can hold a spike, are in double precision.
"""

from collections.abc import Mapping
from typing import TypeVar, final

import numpy as np
import scipy.special
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray

from spikeloom.observation.links import SMALLEST_UNIFORM, array, drive_of, rates_of
from spikeloom.observation.slots import LARGEST_NOISE, CountDistribution, History, Memory, Noise, batches
from spikeloom.seeds import Streams
from spikeloom.shapes import Array, TrialCounts, TrialRates

ROUNDING = 1e-6
"""Relative margin for rounding in single precision. A bin is skipped only if it is empty even with this margin."""

Number = TypeVar("Number", bound=np.generic)
"""Type of the numbers of an array."""

Rates = Float[NDArray[np.float32], "trial time neuron"]
"""Expected counts in single precision, spikes/bin."""

Index = Int[NDArray[np.int64], " entry"]
"""Whole number of each entry that holds spikes: its index in the flattened array, or its count."""


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
        self.half_variance = 0 if noise is None else array(noise.variance() / 2).astype(np.float32)
        self.memory: Memory = {}  # state of the noise
        self.past = None if history is None else history.begin(len(streams.generators))

    def advance(self, rates: TrialRates) -> TrialCounts:
        """Draw the counts of the next bins of all trials.

        Args:
            rates: Expected counts (trial, bins, neuron) without history and noise, spikes/bin.
        """
        rates = np.asarray(rates, np.float32)
        n_trials, n_bins, n_neurons = rates.shape
        counts = np.empty(rates.shape, np.int32)
        for piece in batches(n_bins, n_trials * n_neurons):
            counts[:, piece] = self._piece(rates[:, piece])
        return counts

    def state(self) -> dict[str, Array]:
        """Return all values on which the next counts depend, besides the model, as arrays (trial, ...)."""
        state: dict[str, Array] = {"spikes": self.streams.state()}
        if self.past is not None:
            state["past"] = self.past.state()
        return state | {f"memory {name}": value.copy() for name, value in self.memory.items()}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Continue from a state of the same model and number of trials. Further entries of the state are ignored."""
        self.streams.restore(state["spikes"].astype(np.uint64))
        if self.past is not None:
            self.past.restore(state["past"].astype(np.float32))
        memory = {name: value for name, value in state.items() if name.startswith("memory ")}
        self.memory = {name.removeprefix("memory "): value.astype(np.float64) for name, value in memory.items()}

    def _piece(self, rates: Rates) -> TrialCounts:
        """Draw the counts of a few bins. Their arrays are small enough for the cache of a processor."""
        normal, uniform = self._random_numbers(*rates.shape)
        if self.noise is not None:
            series = self.noise.series(normal, self.memory).astype(np.float32)
            rates = rates * np.exp(np.minimum(series, LARGEST_NOISE) - self.half_variance)
        rates = _by_time(rates)  # from here on (time, trial, neuron), so that a bin is contiguous in memory
        uniform = _by_time(uniform)
        counts = np.zeros(rates.shape, np.int32)
        if self.history is None or self.past is None:
            entries, spike_counts = self._spikes(rates, uniform)
            counts.reshape(-1)[entries] = spike_counts
            return _by_time(counts)
        drive = torch.from_numpy(drive_of(rates, self.distribution.link))
        present = self.history.present(drive, self.distribution).numpy()
        for counts_now, drive_now, uniform_now in zip(counts, present, uniform, strict=True):
            expected = rates_of(drive_now + self.past.change(), self.distribution.link)
            entries, spike_counts = self._spikes(expected, uniform_now)
            counts_now.reshape(-1)[entries] = spike_counts
            self.past.add(entries, spike_counts)
        return _by_time(counts)

    def _random_numbers(
        self, n_trials: int, n_bins: int, n_neurons: int
    ) -> tuple[Float[NDArray[np.float64], "trial time number"], Float[NDArray[np.float64], "trial time neuron"]]:
        """Return the standard normal numbers of the noise, and a uniform number for every count."""
        n_noise = 0 if self.noise is None else self.noise.n_numbers
        uniform = np.empty((n_trials, n_bins, n_noise + n_neurons))
        for numbers_of_trial, rng in zip(uniform, self.streams.generators, strict=True):
            rng.random(out=numbers_of_trial)
        # normal quantiles of uniform numbers are normal numbers
        normal = scipy.special.ndtri(np.maximum(uniform[..., :n_noise], SMALLEST_UNIFORM))
        return normal, uniform[..., n_noise:]

    def _spikes(
        self, expected: Float[NDArray[np.float32], "*axes neuron"], uniform: Float[NDArray[np.float64], "*axes neuron"]
    ) -> tuple[Index, Index]:
        """Return the entries of the flattened arrays that hold spikes, and their counts.

        A count is at least 1 with a probability of at most its mean (Markov's inequality). So only bins whose uniform
        number is above 1 - mean can hold a spike, and only these few quantiles are computed.
        """
        entries = np.flatnonzero(uniform >= 1 - expected * np.float64(1 + ROUNDING))
        rates = expected.reshape(-1)[entries].astype(np.float64)
        neurons = entries % expected.shape[-1]
        counts = self.distribution.quantile(rates, uniform.reshape(-1)[entries], neurons)
        if self.history is not None and self.history.ceiling is not None:
            counts = np.minimum(counts, self.history.ceiling)
        fired = np.flatnonzero(counts)
        return entries[fired], counts[fired]


def _by_time(values: NDArray[Number]) -> NDArray[Number]:
    """Swap the axes of trials and time: (trial, time, neuron) to (time, trial, neuron), or back."""
    return np.ascontiguousarray(values.swapaxes(0, 1))
