"""Resample samples of conditions, which arrive at any rate, to the bins of a trial.

The value of a bin is the mean of the samples whose times lie in it: the circular mean of angles, and the last sample of
a category. A bin without samples gets no value, so the trial keeps the value of the previous bin.

A sample is late if its bin has been generated already. Late samples are counted. If the time of a late sample is later
than the times of all earlier samples, the sample is used for the next bin. Otherwise it is dropped.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from spikeloom.angles import circular_mean
from spikeloom.errors import ConditionError, DataError
from spikeloom.live.protocol import Value
from spikeloom.models.common.named_condition import NamedCondition
from spikeloom.shapes import Numbers
from spikeloom.text import counted

LONGEST_AHEAD = 10.0
"""Longest time by which a sample may be ahead of the present bin, s. It limits the memory for waiting samples."""

MOST_PER_BIN = 4096
"""Largest number of samples of a condition that one bin keeps. Further samples are not used."""

ROUNDING = 1e-6
"""Tolerance for rounded times, as a fraction of a bin. A sample that lies less than this before a bin belongs to it."""


class BinnedSamples:
    """Samples of conditions that wait for their bin; see the module.

    Args:
        conditions: Conditions that a sample may set.
        bin_width: Width of a bin, s.

    Attributes:
        next_bin: Number of the bin that `take` returns next.
        late: Number of late samples so far.
    """

    def __init__(self, conditions: tuple[NamedCondition, ...], *, bin_width: float) -> None:
        self.named = {condition.name: condition for condition in conditions}
        self.bin_width = bin_width
        self.next_bin = 0
        self.late = 0
        self._newest = -math.inf  # largest time of a sample so far, s
        self._waiting: dict[int, dict[str, list[Value]]] = {}  # bin -> name of a condition -> its samples

    def check(self, condition: Mapping[str, Value]) -> None:
        """Raise a ConditionError if a name is unknown, or a value is not valid for its condition."""
        for name, value in condition.items():
            if name not in self.named:
                names = ", ".join(self.named) or "none"
                raise ConditionError(f"{name!r} is no condition of this trial.", f"Its conditions: {names}.", "")
            self._check_value(self.named[name], value)

    def add(self, time: float, condition: Mapping[str, Value]) -> None:
        """Add a sample that `check` has accepted.

        Args:
            time: Time of the sample, s since the beginning of bin 0.
            condition: Name -> value.

        Raises:
            DataError: if the sample is further ahead than `LONGEST_AHEAD`.
        """
        position = time / self.bin_width + ROUNDING  # in bins
        if position >= self.next_bin + LONGEST_AHEAD / self.bin_width + 1:
            raise DataError(
                f"The time of a sample must be at most {LONGEST_AHEAD:g} s ahead of the present bin.",
                f"It was {time - self.next_bin * self.bin_width:.3g} s ahead.",
                "Send times in seconds of one clock.",
            )
        bin_number = math.floor(position)
        is_newest = time > self._newest
        if bin_number < self.next_bin:
            self.late += 1
            if not is_newest:
                return
            bin_number = self.next_bin
        self._newest = max(time, self._newest)
        samples_of_bin = self._waiting.setdefault(bin_number, {})
        for name, value in condition.items():
            values = samples_of_bin.setdefault(name, [])
            if len(values) < MOST_PER_BIN:
                values.append(value)

    def take(self) -> dict[str, Numbers | str]:
        """Return the values of the conditions that have samples in the next bin, and advance by one bin."""
        samples_of_bin = self._waiting.pop(self.next_bin, {})
        self.next_bin += 1
        return {name: bin_value(self.named[name], values) for name, values in samples_of_bin.items()}

    def _check_value(self, condition: NamedCondition, value: Value) -> None:
        """Raise a ConditionError if a value is not valid for this condition."""
        array = np.asarray(value)
        if condition.kind == "category":
            condition.encode(array.reshape(-1) if array.size == 1 else array)  # raises the error
        elif array.dtype.kind not in "fiu" or array.size != condition.size:
            raise ConditionError(
                f"{condition.name} needs {counted(condition.size, 'number')}.", f"It was {str(value)[:80]!r}.", ""
            )


def bin_value(condition: NamedCondition, values: Sequence[Value] | Numbers) -> Numbers | str:
    """Return the value of a condition in a bin from the samples in this bin; see the module.

    Args:
        condition: The condition.
        values: Samples in the order of their arrival.

    Returns:
        A category, one number, or an array (dim,).
    """
    if condition.kind == "category":
        last = values[-1]
        return last if isinstance(last, str) else np.asarray(last)
    rows = np.array(values, np.float64).reshape(len(values), condition.size)  # (sample, dim)
    if condition.kind == "circular":
        mean = np.array(circular_mean(rows, condition.period, low=condition.origin))
    else:
        mean = rows.mean(0)
    one_number_per_trial = condition.size == 1 and not condition.per_bin
    return mean.reshape(()) if one_number_per_trial else mean
