"""`Row`: one metric between its noise floor and its baselines.

Every value is compared with two others: the value of independent Poisson spikes with the right mean rates (the
baseline), and the value of one half of the recorded trials against the other (the noise floor: no generator can be
shown to be better). With d, the distance from the ideal, the distance closed is

    closed = (d(baseline) - d(value)) / (d(baseline) - d(floor)),

It is 0 for a model that equals the baseline, 1 for a model that is as close to real trials as they are to each other,
and negative for a model that is worse than the baseline. If baseline and floor differ by less than two standard
deviations of the floor, the metric cannot discriminate between models on these data, and the distance closed is None.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from spikeloom.metrics.panel import Metric

AT_FLOOR = 2.0
"""A value is at the floor within this multiple of the combined standard deviation of value and floor."""


@dataclass(frozen=True)
class Row:
    """One metric of the panel with its value, noise floor and baselines.

    Args:
        metric: The metric.
        values: Name of each set of generated trials -> value; sets without a value are left out.
        value: Mean of `values`; None if there is no value.
        sd: Standard deviation over the sets if there are several (seeds), else over the splits; None without either.
        floor: Noise floor: real half against real half, mean over the splits.
        floor_sd: Standard deviation of the noise floor over the splits.
        baselines: Name of each baseline -> value, in the order of the columns; None if it has no value.
        baseline: Value of the baseline at which `closed` is 0.
        note: Reason for a missing value, or the number of neurons or pairs used.
    """

    metric: Metric
    values: Mapping[str, float]
    value: float | None
    sd: float | None
    floor: float | None
    floor_sd: float | None
    baselines: Mapping[str, float | None]
    baseline: float | None
    note: str = ""

    @property
    def discriminates(self) -> bool:
        """True if baseline and floor differ by more than two standard deviations of the floor.

        Always False for memorisation: baselines do not copy training trials.
        """
        if self.baseline is None or self.floor is None or self.metric.group == "memorisation":
            return False
        gap = self.metric.distance(self.baseline) - self.metric.distance(self.floor)
        return gap > max(AT_FLOOR * (self.floor_sd or 0.0), 1e-9)

    @property
    def closed(self) -> float | None:
        """Distance closed: 0 at the baseline, 1 at the floor, above 1 if the value is better than the floor."""
        if self.value is None or not self.discriminates or self.baseline is None or self.floor is None:
            return None
        far = self.metric.distance(self.baseline)
        return (far - self.metric.distance(self.value)) / (far - self.metric.distance(self.floor))

    @property
    def at_floor(self) -> bool | None:
        """True if the value is better than the floor or within two standard deviations; None without value or floor."""
        if self.value is None or self.floor is None:
            return None
        room = AT_FLOOR * float(np.hypot(self.floor_sd or 0.0, self.sd or 0.0)) + 1e-12
        return self.metric.distance(self.value) <= self.metric.distance(self.floor) + room

    def entry(self) -> dict[str, float | str | None]:
        """Return the entry of this row in metrics.json."""
        return {
            "value": self.value,
            "floor": self.floor,
            "floor_sd": self.floor_sd,
            "baseline": self.baseline,
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
