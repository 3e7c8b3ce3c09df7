"""Series in time: behaviour with time stamps and a unit, and spike counts that a file holds in bins.

A series is in memory (`Series`) or in its file (`StoredSeries`, which reads only the required part). Both have the same
properties, and `part` returns a range of samples as a `Series`.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import h5py
import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from spikeloom import clock, objects
from spikeloom.errors import CorruptFileError, DataError, ShapeError
from spikeloom.objects import Foreign
from spikeloom.shapes import Array
from spikeloom.trials import whole_counts

HEAD = 1000
"""Number of samples at the beginning of a series that decide whether it could be spike counts."""


@dataclass(frozen=True, eq=False)
class Series:
    """A behaviour series in memory.

    Args:
        times: Time of each sample (event,), in seconds, sorted.
        values: The samples (event, dim) or (event,); NaN if missing.
        unit: Unit of the values as text, such as "m/s".
        description: Description of the series in words.

    Raises:
        ShapeError: if there is not one time per sample.
        DataError: if times are not finite and sorted.
    """

    times: Foreign
    values: Foreign
    unit: str = ""
    description: str = ""

    def __post_init__(self) -> None:
        times = clock.flat_seconds(self.times, what="The times of a series")
        values = objects.plain(self.values)
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
    def n_samples(self) -> int:
        """Number of samples."""
        return len(self.times)

    @property
    def n_dims(self) -> int:
        """Number of values of each sample."""
        return self.values.shape[1]

    @property
    def span(self) -> tuple[float, float]:
        """First and last time in seconds; NaN without samples."""
        return (float(self.times[0]), float(self.times[-1])) if len(self.times) else (np.nan, np.nan)

    @property
    def step(self) -> float:
        """Median time between samples in seconds; 0 with fewer than two samples."""
        return float(np.median(np.diff(self.times))) if len(self.times) > 1 else 0.0

    @property
    def countlike(self) -> bool:
        """True if the series could be spike counts: it has several columns and begins with whole numbers >= 0."""
        return could_be_counts(self)

    def index(self, seconds: Float[np.ndarray, " _"]) -> NDArray[np.int64]:
        """Return the number of samples before each time."""
        return np.searchsorted(self.times, seconds)

    def part(self, first: int, last: int) -> "Series":
        """Return the samples `first` to `last` - 1."""
        return replace(self, times=self.times[first:last], values=self.values[first:last])


@dataclass(frozen=True, eq=False)
class StoredSeries:
    """A behaviour series in an HDF5 file. Nothing is kept open; each reading opens the file again.

    Args:
        path: The file.
        data: Path of the values inside the file, (event,) or (event, dim).
        shape: Samples and values of each sample.
        unit: Unit of the values after scaling, as text.
        timestamps: Path of the time stamps inside the file; None for a series with a rate.
        seconds_in_stamp: Seconds in one unit of the time stamps.
        start: First time in seconds.
        stop: Last time in seconds.
        rate: Samples per second; 0 for a series with time stamps.
        conversion: Factor from stored values to `unit`.
        offset: Offset that is added after the factor.
        description: Description of the series in words.
    """

    path: str
    data: str
    shape: tuple[int, int]
    unit: str = ""
    timestamps: str | None = None
    seconds_in_stamp: float = 1.0
    start: float = 0.0
    stop: float = 0.0
    rate: float = 0.0
    conversion: float = 1.0
    offset: float = 0.0
    description: str = ""

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return self.shape[0]

    @property
    def n_dims(self) -> int:
        """Number of values of each sample."""
        return self.shape[1]

    @property
    def span(self) -> tuple[float, float]:
        """First and last time in seconds."""
        return self.start, self.stop

    @property
    def step(self) -> float:
        """Median time between samples in seconds; 0 with fewer than two samples."""
        if self.rate:
            return 1 / self.rate
        return float(np.median(np.diff(self._stamps))) if self.n_samples > 1 else 0.0

    @property
    def countlike(self) -> bool:
        """True if the series could be spike counts: it has several columns and begins with whole numbers >= 0."""
        return could_be_counts(self)

    @property
    def times(self) -> Float[np.ndarray, " event"]:
        """All times in seconds; each access reads the file."""
        return self._times(0, self.n_samples)

    @property
    def values(self) -> Array:
        """All values (event, dim); each access reads the file."""
        return self.part(0, self.n_samples).values

    def index(self, seconds: Float[np.ndarray, " _"]) -> NDArray[np.int64]:
        """Return the number of samples before each time. For a series with a rate, rounding can change it by one."""
        if not self.rate:
            return np.searchsorted(self._stamps, seconds)
        return np.ceil((seconds - self.start) * self.rate).clip(0, self.n_samples).astype(np.int64)

    def part(self, first: int, last: int) -> Series:
        """Read samples `first` to `last` - 1.

        Raises:
            DataError: if the times are not finite and sorted.
            CorruptFileError: if the file is gone, changed or damaged.
        """
        values = self._read(self.data, first, last)
        if self.conversion != 1.0 or self.offset != 0.0:
            values = values.astype(np.float64) * self.conversion + self.offset
        try:
            return Series(self._times(first, last), values, self.unit, self.description)
        except DataError as error:
            raise DataError(f"The series {self.data} cannot be used.", error.args[1], error.args[2]) from error

    @cached_property
    def _stamps(self) -> Float[np.ndarray, " event"]:
        """All time stamps in seconds, read once."""
        return self._read_stamps(0, self.n_samples)

    def _times(self, first: int, last: int) -> Float[np.ndarray, " event"]:
        """Return the times of samples `first` to `last` - 1 in seconds."""
        if self.rate:
            return self.start + np.arange(first, min(last, self.n_samples)) / self.rate
        if "_stamps" in self.__dict__:  # all stamps have been read already, and are cached
            return self._stamps[first:last]
        return self._read_stamps(first, last)

    def _read_stamps(self, first: int, last: int) -> Float[np.ndarray, " event"]:
        """Read the time stamps of samples `first` to `last` - 1, and convert them to seconds."""
        stored = self._read(str(self.timestamps), first, last).astype(np.float64)
        return stored if self.seconds_in_stamp == 1 else objects.scaled(stored, self.seconds_in_stamp)

    def _read(self, name: str, first: int, last: int) -> Array:
        """Read entries `first` to `last` - 1 of a dataset of the file. Raise a CorruptFileError if that fails."""
        try:
            with h5py.File(self.path, "r", locking=False) as file:
                return np.asarray(file[name][first:last])
        except (OSError, KeyError, RuntimeError) as error:
            raise CorruptFileError(
                f"{name} in {self.path} could not be read.",
                "A series is read from its file on first use.",
                "Leave the file where it was when it was loaded. If it is there, it is damaged: copy it again.",
            ) from error


def could_be_counts(series: Series | StoredSeries) -> bool:
    """Return whether a series could be spike counts: it has several columns and begins with whole numbers >= 0."""
    if series.n_dims < 2:
        return False
    head = series.part(0, HEAD).values.astype(np.float64)
    return bool((np.isfinite(head) & (head >= 0) & (head == np.floor(head))).all())


@dataclass(frozen=True, eq=False)
class BinnedCounts:
    """Counts in bins, of a recording that has no spike times.

    Args:
        times: Start of each bin (bin,), s.
        counts: Spikes of each neuron in each bin (bin, neuron).
        bin_width: Width of a bin, s.
    """

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
        one_trial = np.asarray(self.counts)[None]  # `whole_counts` checks counts of trials
        object.__setattr__(self, "counts", whole_counts(one_trial)[0])

    @property
    def edges(self) -> Float[np.ndarray, "bin 2"]:
        """Start and end of each bin in seconds. A bin ends where the next begins, unless there is a gap."""
        # a bin ends at the next stamp and not after its width, because stamps are often rounded
        times = self.times.astype(np.float64)
        gap = np.diff(times) > 1.5 * self.bin_width  # the next bin is late by more than half a bin
        ends = np.where(gap, times[:-1] + self.bin_width, times[1:])
        return np.stack([times, np.append(ends, times[-1:] + self.bin_width)], 1)

    @classmethod
    def of(cls, series: Series | StoredSeries) -> "BinnedCounts":
        """Convert a series of counts (event, neuron). The bin width is the median step of the time stamps, to 1 ns."""
        if len(series.times) < 2:
            raise ShapeError(
                "Binned counts must have at least two bins.",
                f"There are {len(series.times)}.",
                "Choose another series.",
            )
        return cls(series.times, series.values, round(float(np.median(np.diff(series.times))), 9))


def check_times(what: str, times: NDArray[np.floating], *, earliest: float = -np.inf) -> None:
    """Raise a DataError unless times are finite, sorted and not before `earliest`.

    Args:
        what: Name of the times for messages.
        times: The times, s.
        earliest: Earliest time that is permitted, s.
    """
    if times.ndim != 1:
        raise ShapeError(f"{what} must have one axis.", f"The shape is {times.shape}.", "Give one array per neuron.")
    faults = {  # each rule, and a mask of the times that break it
        "finite": ~np.isfinite(times),
        f">= {earliest:g}": times < earliest,
        "sorted": np.diff(times, prepend=times[:1]) < 0,
    }
    for must, bad in faults.items():
        if bad.any():
            first = int(np.flatnonzero(bad)[0])
            raise DataError(
                f"{what} must be {must} seconds.",
                f"{int(bad.sum())} of {len(times)} are not; number {first} is {times[first]:g}"
                + (f" after {times[first - 1]:g}." if must == "sorted" else "."),
                "If the recording began before zero, pass observed=[(start, stop)]."
                if must.startswith(">=") and earliest == 0
                else "Repair them in the file, or leave the damaged times out.",
            )
