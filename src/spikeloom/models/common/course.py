"""`Course`: generation of trials bin by bin, for samples, streams and live trials.

A model that generates a bin from earlier bins and the present condition alone is causal. Its method `Model.begin`
returns a course, whose method `advance` generates the next bins. A sample requests all bins at once, a stream a few at
a time, and a live trial one at a time. All three get the same numbers.

If a model is not causal but generates streams, its live trial is a `StreamedCourse`, which returns the bins of a
stream. All conditions are passed to the stream at its beginning, because a bin depends on conditions of later bins.
"""

import abc
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import final

import torch

from spikeloom.diffusion.sampler import Sampler
from spikeloom.errors import ConditionError, SettingError
from spikeloom.models.common.results import Generated, end_to_end
from spikeloom.models.common.streaming import StreamConditions, StreamRequest
from spikeloom.nn.condition import Condition
from spikeloom.seeds import Streams
from spikeloom.shapes import Array

State = Mapping[str, Array]
"""State of a course: name -> array."""


@dataclass(frozen=True, eq=False)
class Start:
    """Random streams and settings with which a course begins.

    Args:
        noise: Random streams of each trial for latents and codes.
        spikes: Random streams of each trial for the counts.
        conditional: Whether every bin comes with a condition.
        guidance: Strength of the condition; 1 is the plain conditional model.
        sampler: Sampler that replaces the model's sampler, or None.
    """

    noise: Streams
    spikes: Streams
    conditional: bool = False
    guidance: float = 1.0
    sampler: Sampler | None = None


class Course(abc.ABC):
    """Trials whose next bins are generated on demand. It has three abstract methods.

    Attributes:
        lookahead: Largest number of later bins on whose condition a bin depends; 0 for causal models.
    """

    lookahead: int = 0

    @abc.abstractmethod
    def advance(self, n_bins: int, condition: Condition | None = None) -> Generated:
        """Generate the next bins of all trials, (trial, bins, ...).

        Args:
            n_bins: Number of bins.
            condition: Encoded condition: a vector for all of these bins, a sequence with a row for each, or both.
        """

    @abc.abstractmethod
    def state(self) -> dict[str, Array]:
        """Return all values on which the next bins depend, besides the model, as arrays."""

    @abc.abstractmethod
    def restore(self, state: State) -> None:
        """Continue from a state of a course of the same model and number of trials."""


def pieces(course: Course, request: StreamRequest, *, size: int) -> Iterator[Generated]:
    """Yield a stream of one trial in pieces of `size` bins; it ends with its conditions or after `request.n_bins`."""
    done = 0
    while request.n_bins is None or done < request.n_bins:
        n_bins = size if request.n_bins is None else min(size, request.n_bins - done)
        condition = request.conditions.read(n_bins)
        if condition is not None and condition.sequence is not None:
            n_bins = condition.sequence.shape[1]
        if not n_bins:  # the series of the conditions have ended
            return
        yield course.advance(n_bins, condition)
        done += n_bins


@final
class StreamedCourse(Course):
    """One trial of a stream that is returned bin by bin.

    Args:
        stream: Consecutive pieces (1, bins, ...) of the trial.
        conditions: Conditions of the trial, which the stream reads.
        lookahead: Largest number of later bins on whose condition a bin depends.
    """

    def __init__(self, stream: Iterator[Generated], conditions: StreamConditions, *, lookahead: int) -> None:
        self.stream = stream
        self.conditions = conditions
        self.lookahead = lookahead
        self.waiting: Generated | None = None  # bins that are generated, but were not yet returned

    @torch.no_grad()
    def advance(self, n_bins: int, condition: Condition | None = None) -> Generated:
        """Return the next bins of the trial; see `Course.advance`. The stream reads its conditions itself.

        Raises:
            ConditionError: if a series among the conditions ends before these bins.
        """
        if condition is not None:
            raise ValueError("a stream reads its conditions itself")
        while self.waiting is None or self.waiting.counts.shape[1] < n_bins:
            piece = next(self.stream, None)
            if piece is None:
                raise ConditionError(
                    "A live trial ends with the series of its conditions.",
                    "The series has no further bins.",
                    "Pass a longer series, or an iterator without end.",
                )
            self.waiting = piece if self.waiting is None else end_to_end([self.waiting, piece])
        self.conditions.labels(n_bins)  # a live trial returns no labels: this call frees their memory
        result = self.waiting.bins(0, n_bins)
        self.waiting = self.waiting.bins(n_bins, self.waiting.counts.shape[1])
        return result

    def state(self) -> dict[str, Array]:
        """Raise a SettingError: the unfinished windows of a stream are not saved."""
        raise SettingError(
            "A live trial can be saved if its model is causal, such as AutoregressiveLDNS or LFADS.",
            f"This one is generated up to {self.lookahead} bins ahead.",
            "Begin again with the same seed and conditions, which gives the same trial.",
        )

    def restore(self, state: State) -> None:
        """Raise a SettingError, as `state` does."""
        raise SettingError(
            "A live trial can be restored if its model is causal, such as AutoregressiveLDNS or LFADS.",
            f"This one is generated up to {self.lookahead} bins ahead; the state has {sorted(state)}.",
            "Begin again with the same seed and conditions, which gives the same trial.",
        )
