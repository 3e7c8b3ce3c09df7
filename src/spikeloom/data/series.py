"""Series in time: behaviour with time stamps and a unit, and spike counts in bins that a file came with."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from spikeloom.errors import DataError, ShapeError
from spikeloom.shapes import Array
from spikeloom.trials import whole_counts


@dataclass(frozen=True, eq=False)
class Series:
    """A behaviour series: when (event,) in seconds, sorted; what (event, dim), NaN where missing; its unit as text."""

    times: Array
    values: Array
    unit: str = ""

    def __post_init__(self) -> None:
        times, values = np.asarray(self.times, np.float64), np.asarray(self.values)
        values = values[:, None] if values.ndim == 1 else values
        if times.ndim != 1 or values.ndim != 2 or len(times) != len(values):
            raise ShapeError(
                "A series must have one time and one row of values (event, dim) per sample.",
                f"It has times {times.shape} and values {values.shape}.",
                "Flatten the trailing axes, or leave the series out.",
            )
        check_times("The times of a series", times)
        object.__setattr__(self, "times", times)
        object.__setattr__(self, "values", values)

    @property
    def countlike(self) -> bool:
        """Whether it could be spike counts: at least two columns, and the first rows are whole numbers >= 0."""
        head = self.values[:1000].astype(np.float64)
        return head.shape[1] > 1 and bool((np.isfinite(head) & (head >= 0) & (head == np.floor(head))).all())


@dataclass(frozen=True, eq=False)
class BinnedCounts:
    """Counts of a recording that has no spike times: bins that begin at `times` (bin,), counts (bin, neuron)."""

    times: Array
    counts: Array
    bin_width: float

    def __post_init__(self) -> None:
        if np.ndim(self.counts) != 2 or len(self.times) != len(self.counts):
            raise ShapeError(
                "Binned counts must have two axes (bin, neuron), and one time per bin.",
                f"They have shape {np.shape(self.counts)}, with {len(self.times)} times.",
                "Choose another series, or transpose it in the file.",
            )
        check_times("The times of the bins", np.asarray(self.times))
        object.__setattr__(self, "times", np.asarray(self.times, np.float64))
        object.__setattr__(self, "counts", whole_counts(np.asarray(self.counts)[None])[0])

    @property
    def edges(self) -> Float[np.ndarray, "bin 2"]:
        """Begin and end of each bin in seconds; a bin ends where the next begins, unless there is a gap between."""
        # the next time stamp, not begin + width: stamps are often rounded, and behaviour has the same ones
        times = self.times.astype(np.float64)
        gap = np.diff(times) > 1.5 * self.bin_width
        ends = np.where(gap, times[:-1] + self.bin_width, times[1:])
        return np.stack([times, np.append(ends, times[-1:] + self.bin_width)], 1)

    @classmethod
    def of(cls, series: Series) -> "BinnedCounts":
        """A series of counts (event, neuron) as bins; their width is the median step between time stamps, to 1 ns."""
        if len(series.times) < 2:
            raise ShapeError(
                "Binned counts must have at least two bins.",
                f"There are {len(series.times)}.",
                "Choose another series.",
            )
        return cls(series.times, series.values, round(float(np.median(np.diff(series.times))), 9))


def check_times(what: str, times: NDArray[np.floating], *, negative: bool = True) -> None:
    """DataError unless times are finite, sorted and, if asked, not negative."""
    if times.ndim != 1:
        raise ShapeError(f"{what} must have one axis.", f"The shape is {times.shape}.", "Give one array per neuron.")
    faults = {
        "finite": ~np.isfinite(times),
        ">= 0": times < (-np.inf if negative else 0),
        "sorted": np.r_[False, np.diff(times) < 0] if len(times) else times != times,
    }
    for must, bad in faults.items():
        if bad.any():
            first = int(np.flatnonzero(bad)[0])
            raise DataError(
                f"{what} must be {must} seconds.",
                f"{int(bad.sum())} of {len(times)} are not; number {first} is {times[first]:g}"
                + (f" after {times[first - 1]:g}." if must == "sorted" else "."),
                "Repair them in the file, or leave out what is damaged.",
            )
