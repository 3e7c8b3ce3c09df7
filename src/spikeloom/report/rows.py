"""`Row`: the value of one metric, with its noise floor and its baselines.

The value of the generated trials is compared with two others. The **baseline** is the value of independent Poisson
spikes with the right mean rates. The **noise floor** is the value of one half of the recorded trials against the other
half. No generator can be shown to be better than the noise floor. Let d be the distance of a value from the ideal value
of the metric. The **distance closed** is

    closed = (d(baseline) - d(value)) / (d(baseline) - d(floor)).

It is 0 for a model at the baseline, 1 for a model at the noise floor, and negative for a model that is worse than the
baseline. If baseline and floor differ by less than two standard deviations of the floor, the metric cannot discriminate
between models on these data, and the distance closed is None.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from spikeloom.metrics.panel import Metric

LEARNED = "recorded, learned rates"
"""Column of recorded trials whose mean rates have the sampling error of the training trials."""

AT_FLOOR = 2.0
"""Number of standard deviations within which a value counts as being at the floor."""


@dataclass(frozen=True)
class Row:
    """One metric of the panel with its value, noise floor and baselines.

    Args:
        metric: The metric.
        values: Value of each set of generated trials, name -> value. Sets without a value are left out.
        value: Mean of `values`; None if there is no value.
        sd: Standard deviation over the sets of generated trials, if there are several sets. Otherwise the standard
            deviation over random splits of the trials, or None if there are no splits.
        floor: Noise floor, the mean over random splits of the recorded trials into halves.
        floor_sd: Standard deviation of the noise floor over the splits.
        baselines: Value of each baseline, name -> value or None, in the order of the columns.
        baseline: Value of the baseline at which `closed` is 0.
        note: Reason for a missing value, or the number of neurons or pairs that were used.
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

        It is always False for metrics of memorisation, because baselines do not copy training trials.
        """
        if self.baseline is None or self.floor is None or self.metric.group == "memorisation":
            return False
        gap = self.metric.distance(self.baseline) - self.metric.distance(self.floor)
        return gap > max(AT_FLOOR * (self.floor_sd or 0.0), 1e-9)  # a smaller gap is a rounding error

    @property
    def closed(self) -> float | None:
        """Distance closed: 0 at the baseline, 1 at the floor, above 1 if the value is better than the floor."""
        if self.value is None or not self.discriminates or self.baseline is None or self.floor is None:
            return None
        of_baseline = self.metric.distance(self.baseline)
        of_value = self.metric.distance(self.value)
        of_floor = self.metric.distance(self.floor)
        return (of_baseline - of_value) / (of_baseline - of_floor)

    @property
    def at_floor(self) -> bool | None:
        """True if the value is better than the floor, or differs from it by at most two standard deviations.

        The standard deviation is that of the difference between value and floor. Without a value or a floor, the
        result is None.
        """
        if self.value is None or self.floor is None:
            return None
        tolerance = AT_FLOOR * float(np.hypot(self.floor_sd or 0.0, self.sd or 0.0)) + 1e-12  # for rounding errors
        return self.metric.distance(self.value) <= self.metric.distance(self.floor) + tolerance

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
