"""Statistics of a live session: durations, and numbers of late, missed and refused messages."""

import math
from dataclasses import dataclass, field

from spikeloom.text import counted

SHORTEST = 1e-6
"""Shortest duration that is resolved, s."""

STEP = math.log(1.01)
"""Logarithm of the ratio between the durations of two neighbouring cells of the histogram.

With a ratio of 1.01, the error of a quantile is at most 1 %.
"""


class Durations:
    """Quantiles of durations, from a histogram whose cells grow by 1 %.

    Attributes:
        number: Number of durations.
        largest: Longest duration, s.
    """

    def __init__(self) -> None:
        self.number = 0
        self.largest = 0.0
        self._cells: dict[int, int] = {}

    def add(self, seconds: float) -> None:
        """Add a duration; a negative one counts as 0."""
        cell = math.ceil(math.log(max(seconds, SHORTEST) / SHORTEST) / STEP)
        self._cells[cell] = self._cells.get(cell, 0) + 1
        self.number += 1
        self.largest = max(self.largest, seconds)

    def quantile(self, fraction: float) -> float:
        """Return the quantile of the durations, s; NaN if there are none."""
        rank = fraction * self.number
        cumulative = 0
        for cell in sorted(self._cells):
            cumulative += self._cells[cell]
            if cumulative >= rank:
                return min(SHORTEST * math.exp(cell * STEP), self.largest)
        return math.nan

    def __str__(self) -> str:
        if not self.number:
            return "none"
        quantiles = ", ".join(
            f"p{100 * fraction:g} {1e6 * self.quantile(fraction):.0f}" for fraction in (0.5, 0.99, 0.999)
        )
        return f"{quantiles}, largest {1e6 * self.largest:.0f} µs"


@dataclass
class LiveStatistics:
    """Statistics of a live session.

    Args:
        steps: Time to generate each bin.
        delays: Time from the end of each bin on the clock until its spikes were sent (jitter).
        missed: Number of bins that were sent later than one bin after their end.
        late: Number of samples that came after their bin was generated.
        refused: Number of messages that were refused.
        dropped: Number of messages that a client did not get because it reads too slowly, or that were too large.
    """

    steps: Durations = field(default_factory=Durations)
    delays: Durations = field(default_factory=Durations)
    missed: int = 0
    late: int = 0
    refused: int = 0
    dropped: int = 0

    def sent(self, delay: float, *, bin_width: float) -> None:
        """Count a bin that was sent `delay` seconds after its end."""
        self.delays.add(delay)
        self.missed += delay > bin_width

    def __str__(self) -> str:
        lines = [f"{counted(self.steps.number, 'bin')}; time of a step: {self.steps}"]
        if self.delays.number:
            lines.append(f"delay after the end of a bin: {self.delays}; {counted(self.missed, 'bin')} missed")
        lines.append(
            f"{counted(self.late, 'late sample')}, {counted(self.refused, 'message')} refused, "
            f"{counted(self.dropped, 'message')} not delivered"
        )
        return "\n".join(lines)
