"""`Row`: one metric between its noise floor and its baselines.

Every number stands between two others: what independent Poisson spikes with the right mean rates reach (the baseline),
and what one part of the recorded trials reaches against another (the noise floor: no generator can be shown to be
better). With the distance d of each from the ideal, the share of the distance that is closed is

    closed = (d(baseline) - d(value)) / (d(baseline) - d(floor)),

0 for a model no better than the baseline, 1 for one that is as close to real trials as they are to each other, negative
for one that is worse than the baseline. Where baseline and floor do not differ by more than two standard deviations of
the floor, the metric cannot tell models apart on these data, and no share is given.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from spikeloom.metrics.panel import Metric

AT_FLOOR = 2.0
"""Standard deviations of value and floor together within which a value counts as being at the floor."""


@dataclass(frozen=True)
class Row:
    """One metric of the panel with everything it is judged by.

    Args:
        metric: What is measured.
        values: Value of each fake, by its name; only those that could be computed.
        value: Their mean; None where none could be computed.
        sd: Spread of the fakes where there are several (seeds), else of the random splits; None without either.
        floor: Real half against real half, mean over random splits.
        floor_sd: Its standard deviation over the splits.
        baselines: Value of each baseline, by its name, in the order of the columns; None where it has none.
        trivial: The value of the baseline that `closed` is counted from.
        note: Why there is no number, or how many neurons or pairs were used.
    """

    metric: Metric
    values: Mapping[str, float]
    value: float | None
    sd: float | None
    floor: float | None
    floor_sd: float | None
    baselines: Mapping[str, float | None]
    trivial: float | None
    note: str = ""

    @property
    def discriminates(self) -> bool:
        """True if baseline and floor differ by more than two standard deviations of the floor.

        Never for memorisation: baselines do not copy training trials.
        """
        if self.trivial is None or self.floor is None or self.metric.group == "memorisation":
            return False
        gap = self.metric.distance(self.trivial) - self.metric.distance(self.floor)
        return gap > max(AT_FLOOR * (self.floor_sd or 0.0), 1e-9)

    @property
    def closed(self) -> float | None:
        """Share of the distance from baseline to floor that is closed; above 1 where the value is beyond the floor."""
        if self.value is None or not self.discriminates or self.trivial is None or self.floor is None:
            return None
        far = self.metric.distance(self.trivial)
        return (far - self.metric.distance(self.value)) / (far - self.metric.distance(self.floor))

    @property
    def at_floor(self) -> bool | None:
        """True if the value is beyond the floor or within two standard deviations of it; None if it cannot be said."""
        if self.value is None or self.floor is None:
            return None
        room = AT_FLOOR * float(np.hypot(self.floor_sd or 0.0, self.sd or 0.0)) + 1e-12
        return self.metric.distance(self.value) <= self.metric.distance(self.floor) + room

    def entry(self) -> dict[str, float | str | None]:
        """The row as it stands in metrics.json."""
        return {
            "value": self.value,
            "floor": self.floor,
            "floor_sd": self.floor_sd,
            "trivial": self.trivial,
            "ideal": self.metric.ideal,
            "unit": self.metric.unit,
            "closed": self.closed,
            "note": self.note,
        }


@dataclass(frozen=True, eq=False)
class ProtocolRow:
    """One number of the published LDNS protocol: title, unit, value and spread over its five resamples."""

    name: str
    title: str
    unit: str
    value: float | None
    sd: float | None
    baselines: Mapping[str, float | None] = field(default_factory=dict)
