"""`Result`: the value of a metric with the arrays behind it, or no value and the reason."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from spikeloom.shapes import Numbers


@dataclass(frozen=True, eq=False)
class Result:
    """Result of a metric.

    Args:
        value: Value of the metric; None if it cannot be computed.
        note: Reason for a missing value, or the number of neurons, pairs or trials used ("83 of 97 neurons").
        detail: Arrays behind the scalar, for figures: "real" and "fake" (one entry per neuron, pair, bin or lag, of
            equal shape), and their indices: "neuron", "pair" (pair, 2), "lag" (s), "frequency" (Hz), "count",
            "time" (s).
    """

    value: float | None
    note: str = ""
    detail: Mapping[str, Numbers] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # NaN and infinity become a missing value with a reason; a frozen class sets its fields this way
        if self.value is not None and not np.isfinite(self.value):
            object.__setattr__(self, "value", None)
            object.__setattr__(self, "note", self.note or "the data do not determine this value")
