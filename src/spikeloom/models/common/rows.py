"""`Rows`, the trials of a sample that one call generates: all of them, or a part of a large request."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from spikeloom.seeds import Purpose, Streams
from spikeloom.shapes import Array


@dataclass(frozen=True, eq=False)
class Rows:
    """Trials of a sample that one call generates. Trial k does not depend on the other trials of the call.

    Args:
        numbers: Numbers of the trials in the sample (trial,).
        lengths: Bins of each of these trials (trial,).
        longest: Bins to which all trials of the sample are padded.
        n_trials: Number of trials of the sample.
        seed: Random seed of the sample.
    """

    numbers: np.ndarray
    lengths: np.ndarray
    longest: int
    n_trials: int
    seed: int

    @classmethod
    def whole(cls, lengths: np.ndarray, *, seed: int) -> "Rows":
        """Return all trials of a sample with these lengths."""
        return cls(np.arange(len(lengths)), lengths, int(lengths.max()), len(lengths), seed)

    @cached_property
    def uniform(self) -> Array:
        """Number in [0, 1) for each trial, which chooses the training trial whose conditions the trial gets."""
        # 2 distinguishes this use of random numbers from others
        return Streams(self.seed, Purpose.SAMPLE, 2, self.numbers).uniform()
