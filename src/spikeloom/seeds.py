"""Random numbers: every draw is a pure function of (seed, purpose, update, trial).

A generator belongs to one trial, never to a batch or a process, so trial 17 gets the same numbers alone,
in a batch of 64, or on another machine. Numbers come from NumPy in the order of time, hence the first 100 bins
of a trial do not depend on how many bins follow.

A loss or sampler draws all its numbers from the same generators, in the order of its code. So a new draw in the middle
of a loss changes the numbers of all later draws; the fingerprints of the tests show such a change. Separate generators
for each draw would avoid this, but they are slow: it takes 1.6 ms to make generators for 64 trials, and 0.1 ms to draw
from them.
"""

import copy
import math
from collections.abc import Callable, Sequence
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Purpose(IntEnum):
    """Purpose of a stream of random numbers. Streams of different purpose never overlap."""

    ORDER = 0
    TRAIN = 1
    VALIDATION = 2
    SAMPLE = 3
    SPIKES = 4
    SPLIT = 5
    SIMULATE = 6
    EVALUATE = 7
    INIT = 8
    CALIBRATE = 9
    STAGE = 10
    SEARCH = 11


def generator(seed: int, *key: int) -> np.random.Generator:
    """Return a generator that depends only on the seed and on its key (purpose, update, trial, ...)."""
    # as plain entropy, (seed, 6) and (seed, 6, 0, 0) would give the same numbers; as spawn_key they differ
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))


class Streams:
    """Random streams of a batch: one generator per trial.

    Args:
        seed: Random seed, a whole number >= 0.
        purpose: Purpose of the numbers.
        update: Number of the optimiser update, 0 if there is no update.
        trials: Trials of the batch, by their number in the data set or in the request.
    """

    def __init__(self, seed: int, purpose: Purpose, update: int, trials: Sequence[int] | NDArray[np.integer]) -> None:
        self.update = update
        self.generators = [generator(seed, int(purpose), update, int(trial)) for trial in trials]

    def select(self, rows: NDArray[np.intp]) -> "Streams":
        """Return the streams of the trials in these rows of the batch. They share their generators with this object."""
        selected = copy.copy(self)
        selected.generators = [self.generators[row] for row in rows]
        return selected

    def state(self) -> NDArray[np.uint64]:
        """Return the states of all generators, six numbers of 64 bits each (trial, 6)."""
        return np.array([_numbers_of(rng) for rng in self.generators], np.uint64)

    def restore(self, state: NDArray[np.uint64]) -> None:
        """Set all generators to states that `state` returned."""
        for rng, row in zip(self.generators, state.tolist(), strict=True):
            # two numbers of 128 bits, each from its upper and its lower 64 bits
            inner = {"state": row[0] << 64 | row[1], "inc": row[2] << 64 | row[3]}
            rng.bit_generator.state = {
                "bit_generator": "PCG64",
                "state": inner,
                "has_uint32": row[4],  # whether half of a draw of 64 bits is left over, and this half
                "uinteger": row[5],
            }

    def normal(self, *shape: int) -> NDArray[np.float32]:
        """Draw standard normal numbers (trial, *shape)."""
        return self._fill(shape, lambda rng, out: rng.standard_normal(out=out, dtype=np.float32))

    def uniform(self, *shape: int) -> NDArray[np.float32]:
        """Draw numbers uniform in [0, 1), (trial, *shape)."""
        return self._fill(shape, lambda rng, out: rng.random(out=out, dtype=np.float32))

    def series(self, lengths: Sequence[int] | NDArray[np.integer], channels: int) -> NDArray[np.float32]:
        """Draw a standard normal series of the length of each trial, padded with zeros (trial, longest, channels).

        Args:
            lengths: Number of bins of each trial.
            channels: Number of channels of the series.
        """
        out = np.zeros((len(self.generators), int(max(lengths)), channels), np.float32)
        for row, length, rng in zip(out, lengths, self.generators, strict=True):
            rng.standard_normal(out=row[:length], dtype=np.float32)
        return out

    def _fill(self, shape: tuple[int, ...], fill: Callable[..., object]) -> NDArray[np.float32]:
        """Return numbers (trial, *shape). `fill(rng, row)` draws the numbers of one trial into an array."""
        out = np.empty((len(self.generators), math.prod(shape)), np.float32)
        for row, rng in zip(out, self.generators, strict=True):
            fill(rng, row)
        return out.reshape(len(self.generators), *shape)


def _numbers_of(rng: np.random.Generator) -> list[int]:
    """Return the state of a generator as six whole numbers of 64 bits; `Streams.restore` reads them."""
    state = rng.bit_generator.state
    # two numbers of 128 bits, each as its upper and its lower 64 bits
    halves = [half for name in ("state", "inc") for half in divmod(state["state"][name], 2**64)]
    return [*halves, state["has_uint32"], state["uinteger"]]
