"""`Trials`: binned spikes of many neurons over many trials, with behaviour and conditions.

All parts of the package use this class: a recording is binned into `Trials`, a model is fitted to `Trials`, `sample`
returns `Trials`, and a metric compares two of them. The axes are always (trial, time, neuron). Trials of different
length are padded with zeros at the end. Losses, statistics and metrics ignore the padding; bins that are not padding
are called valid.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spikeloom import clock, html, objects
from spikeloom.errors import ConditionError, DataError, ShapeError
from spikeloom.files import refuse_foreign
from spikeloom.objects import Foreign
from spikeloom.shapes import Array, Fields, Numbers, TrialMask, mask_of
from spikeloom.text import counted
from spikeloom.trials import hdf5, plot, splits
from spikeloom.trials.bins import PER_BIN, pieces, rebinned
from spikeloom.trials.by_trial import count_by_trial
from spikeloom.trials.checks import checked_fields
from spikeloom.trials.choose import trials_where
from spikeloom.trials.identity import natural_order, note_order, order_like
from spikeloom.trials.labels import joint_label, on_one_turn
from spikeloom.trials.padding import check_padding
from spikeloom.trials.pooling import pooled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Trials:
    """Spike counts of trials, with lengths, behaviour and conditions. Arrays are read-only.

    Args:
        counts: Spikes in each bin (trial, time, neuron): whole numbers >= 0, as integers or floats. They are stored in
            the smallest unsigned integer type that holds them.
        bin_width: Width of a bin in seconds.
        lengths: Number of valid bins of each trial (trial,). By default, bins at the end of a trial that are NaN or
            masked for all neurons are padding, and all other bins are valid.
        behavior: Series sampled at the bins, name -> (trial, time, dim).
        units: Unit of each behaviour series, and of conditions that have one, name -> text such as "m/s" or "deg".
        conditions: One value per trial, name -> (trial, ...); numbers or text.
        neuron_table: One value per neuron, name -> (neuron,).
        rates: Expected spikes/bin (trial, time, neuron), if available, from a simulation or a model.
        latents: Latents (trial, time, latent), if available.
        codes: Codes (trial, code), if available.
        start_times: Time at which the first bin of each trial begins (trial,), in seconds on the recording's clock; NaN
            if unknown. Trials that were cut from one recording may overlap in time.
        conditioned_on: Names of the conditions and series that generated trials were conditioned on. It is empty for
            trials that were generated without conditions, and None for recorded trials or if it is unknown.
        source: Origin of the trials, such as the name of a file, "lorenz" or "LDNS".

    Raises:
        DataError: if counts are negative, fractional or not finite, or the bin width is not positive.
        ShapeError: if axes disagree.

    Example:
        >>> import spikeloom as sl
        >>> import numpy as np
        >>> trials = sl.Trials(np.zeros((10, 40, 6), int), bin_width=0.01)
        >>> train, test = trials.split(0.8, seed=0)
        >>> len(train), len(test)
        (8, 2)
    """

    # The types allow any array, because arguments may have any shape. The stored arrays have the axes named above.
    counts: Array
    bin_width: float
    lengths: Array = None  # type: ignore[assignment]  # filled below; never None afterwards
    behavior: Mapping[str, Array] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    conditions: Mapping[str, Array] = field(default_factory=dict)
    neuron_table: Mapping[str, Array] = field(default_factory=dict)
    rates: Array | None = None
    latents: Array | None = None
    codes: Array | None = None
    start_times: Array | None = None
    conditioned_on: Sequence[str] | None = None
    source: str = ""

    def __post_init__(self) -> None:
        for name, value in checked_fields(self).items():
            object.__setattr__(self, name, value)  # the way to set a field of a frozen dataclass

    # --- contents ------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def n_neurons(self) -> int:
        """Number of neurons."""
        return self.counts.shape[2]

    @property
    def n_bins(self) -> int:
        """Number of bins of the longest trial, the padded time axis."""
        return self.counts.shape[1]

    @property
    def mask(self) -> TrialMask:
        """Mask of valid bins (trial, time), which is True for bins before the end of their trial."""
        return mask_of(self.lengths, self.n_bins)

    @property
    def n_valid_bins(self) -> int:
        """Number of valid bins of all trials together."""
        return int(self.lengths.sum())

    def mean_rates_hz(self) -> NDArray[np.float64]:
        """Return the mean rate of each neuron over all valid bins (neuron,), in spikes/s."""
        return self.counts.sum((0, 1), dtype=np.float64) / (self.n_valid_bins * self.bin_width)

    def condition(self, name: str) -> Array:
        """Return the values of one condition (trial, ...).

        Angles are reduced to one turn from 0, so that -10 and 350 degrees are one value. `conditions` holds the
        original values.

        Raises:
            ConditionError: if there is no such condition; the message lists all names.
        """
        if name not in self.conditions:
            raise ConditionError(
                f"The condition must be one of {sorted(self.conditions) or 'none: these trials have no conditions'}.",
                f"It was {name!r}.",
                "Keep a column of the recording with --condition NAME when binning.",
            )
        return on_one_turn(name, self.conditions[name], self.units.get(name, ""))

    def __repr__(self) -> str:
        return (
            f"Trials({counted(len(self), 'trial')}, {self._lengths_as_text()} of {1000 * self.bin_width:g} ms, "
            f"{counted(self.n_neurons, 'neuron')}, conditions {sorted(self.conditions)}, "
            f"behavior {sorted(self.behavior)}, source {self.source!r})"
        )

    def _repr_html_(self) -> str:
        """Return a table for notebooks."""
        rows = {
            "trials": str(len(self)),
            "length": f"{self._lengths_as_text()} of {1000 * self.bin_width:g} ms",
            "neurons": str(self.n_neurons),
            "conditions": ", ".join(self.conditions) or "none",
            "behavior": ", ".join(f"{name} ({self.units[name] or 'no unit'})" for name in self.behavior) or "none",
            "with": ", ".join(name for name in ("rates", "latents", "codes") if getattr(self, name) is not None),
            "conditioned on": self.conditioned_on_in_words(),
            "source": self.source or "unknown",
        }
        return html.table("Trials", rows)

    def conditioned_on_in_words(self) -> str:
        """Return the names in `conditioned_on` as text: "nothing" if there are none, and "" if it is None."""
        return "" if self.conditioned_on is None else ", ".join(self.conditioned_on) or "nothing"

    def _lengths_as_text(self) -> str:
        """Return the number of bins of the trials as text, such as "40 bins" or "20 to 40 bins"."""
        if not len(self):
            return counted(0, "bin")
        shortest = int(self.lengths.min())
        longest = counted(int(self.lengths.max()), "bin")
        return longest if shortest == self.lengths.max() else f"{shortest} to {longest}"

    def plot(self, *, trial: int = 0) -> "Figure":
        """Draw one trial: spikes, firing rates (if available) and behaviour, on one time axis.

        Args:
            trial: Number of the trial, from 0.

        Returns:
            A matplotlib figure.

        Raises:
            DataError: if there is no such trial.
            SettingError: if matplotlib is not installed.
        """
        return plot.plot(self, trial=trial)

    # --- new trials from these -----------------------------------------------------------------------------------

    def select(self, trials: slice | Sequence[int] | Numbers) -> "Trials":
        """Return a subset of the trials (a slice, indices, or a mask of trials), in the order of the indices."""
        rows = np.arange(len(self))[trials if isinstance(trials, slice) else np.asarray(trials)]
        names = (*PER_BIN, "codes", "start_times")
        arrays = {name: value[rows] for name in names if (value := getattr(self, name)) is not None}
        return replace(
            self,
            **arrays,
            lengths=self.lengths[rows],
            behavior={name: value[rows] for name, value in self.behavior.items()},
            conditions={name: value[rows] for name, value in self.conditions.items()},
        )

    def select_neurons(self, neurons: slice | Sequence[int] | Numbers) -> "Trials":
        """Return a subset of the neurons (a slice, indices, or a mask of neurons), in the order of the indices."""
        columns = np.arange(self.n_neurons)[neurons if isinstance(neurons, slice) else np.asarray(neurons)]
        return replace(
            self,
            counts=self.counts[:, :, columns],
            rates=None if self.rates is None else self.rates[:, :, columns],
            neuron_table={name: value[columns] for name, value in self.neuron_table.items()},
        )

    def split(self, fraction: float, *, seed: int = 0, n_stretches: int | None = None) -> tuple["Trials", "Trials"]:
        """Divide the trials into two parts, and keep the order of the trials in each part.

        Args:
            fraction: Fraction of the trials in the first part.
            seed: Random seed of the choice.
            n_stretches: `None` chooses trials at random. A number divides time into this number of stretches, and
                splits each stretch into an early and a late block. Neighbouring trials then stay together; see
                `trials.splits`.

        Returns:
            The first and the second part.

        Raises:
            DataError: if a part would be empty.

        Warns:
            OverlapWarning: if trials of the two parts overlap in time and so share spikes. With stretches such trials
                are left out, and the warning gives their number.
        """
        if n_stretches is not None:
            first, second = splits.block_rows(self, fraction, n_stretches)
        else:
            first, second = splits.random_rows(len(self), fraction, seed)
            splits.note_overlaps(self, first, second)
        return self.select(first), self.select(second)

    def split_by(self, rule: str) -> tuple["Trials", "Trials"]:
        """Divide the trials into those that satisfy an expression such as "split == train", and the others.

        The expression compares a condition, or `start_time` in seconds on the recording's clock; see `trials.choose`.

        Raises:
            SettingError: if the expression cannot be read or names no condition.
            DataError: if a part would be empty.

        Warns:
            OverlapWarning: if trials of the two parts overlap in time and so share spikes.
        """
        satisfied = trials_where(self, [rule])
        if satisfied.all():
            raise DataError(
                "A split must leave at least one trial on each side.",
                f"{rule!r} holds for all {len(self)} trials.",
                "Name another value.",
            )
        splits.note_overlaps(self, np.flatnonzero(satisfied), np.flatnonzero(~satisfied))
        return self.select(satisfied), self.select(~satisfied)

    def concatenate(self, *others: "Trials", sources: Sequence[str] | None = None) -> "Trials":
        """Return these trials followed by others of the same neurons and bin width; see `trials.pooling`.

        Args:
            others: Trials of the same neurons, matched by name or id where both have them.
            sources: Names of the sets, beginning with the name of these trials. The condition `source` then holds the
                name of the set of each trial. Trials that already have this condition keep their values.

        Raises:
            ShapeError: if neurons or bin widths differ.
            DataError: if trial lengths differ so much that a large array would be mostly padding.

        Warns:
            NeuronOrderWarning: if neurons come in different orders.
            LeftOutWarning: if fields were left out, because only some sets have them.
        """
        parts = (self, *(self.match(other) for other in others))
        return replace(self, **pooled(parts, sources))

    def rebin(self, factor: int) -> "Trials":
        """Return trials with wider bins. Counts and rates are summed, behaviour and latents are averaged.

        Bins at the end of a trial that do not fill a wide bin are dropped.

        Args:
            factor: Number of bins that become one wide bin.

        Raises:
            DataError: if the factor is no whole number, or a trial is shorter than one wide bin.
        """
        return replace(self, **rebinned(self, factor))

    def cut(self, every: float) -> "Trials":
        """Cut each trial into consecutive pieces of `every` seconds, in the order of the trials.

        All pieces have the same length, so nothing is padded. Bins at the end of a trial that do not fill a piece, and
        trials shorter than a piece, are left out. Each piece has the conditions of its trial, and its own start time if
        the start time of the trial is known. Codes describe complete trials and are left out.

        Args:
            every: Length of a piece in seconds. It is rounded to a whole number of bins.

        Raises:
            DataError: if a piece would be shorter than one bin or longer than the longest trial.

        Warns:
            PieceLengthWarning: if `every` is not a whole number of bins.
        """
        return replace(self, **pieces(self, every))

    def with_joint_condition(self, names: Sequence[str]) -> "Trials":
        """Return these trials with one more condition, the joint label of several columns.

        The new condition is named after its columns, such as "contrast_left,contrast_right". Its values are text such
        as "0.5,0": two trials have the same label if they agree in every column. The label is "" if one of the columns
        is missing (NaN or empty text). Numbers are rounded to six decimals, so that integers, floats, and floats in
        single precision agree. With a single name, the trials are returned unchanged.

        Args:
            names: Conditions with one value per trial.

        Raises:
            ConditionError: if a name is unknown, or its condition has several values per trial.
        """
        if len(names) == 1:
            self.condition(names[0])
            return self
        label = joint_label({name: self.condition(name) for name in names})
        return replace(self, conditions={**self.conditions, ",".join(names): label})

    def batches(self, size: int) -> Iterator["Trials"]:
        """Yield consecutive parts of at most `size` trials."""
        for start in range(0, len(self), size):
            yield self.select(slice(start, start + size))

    def match(self, other: "Trials", *, name: str = "the first trials", other_name: str = "the others") -> "Trials":
        """Return other trials with their neurons in the order of these trials; see `trials.identity`.

        Neurons without names and ids keep their order.

        Args:
            other: Trials of the same neurons in bins of the same width.
            name: Name of these trials in messages.
            other_name: Name of the other trials in messages.

        Raises:
            ShapeError: if bin widths, numbers of neurons, or the neurons' names or ids differ.

        Warns:
            NeuronOrderWarning: if the others hold the same neurons in another order.
        """
        order = order_like(other.neuron_table, self.neuron_table, name=other_name, like_name=name)
        if self.n_neurons != other.n_neurons or not math.isclose(self.bin_width, other.bin_width, rel_tol=1e-6):
            raise ShapeError(
                "Both sets of trials must have the same neurons and the same bin width.",
                f"They have {self.n_neurons} and {other.n_neurons} neurons, in bins of {self.bin_width:g} and "
                f"{other.bin_width:g} s.",
                "Bin both from the same neurons with the same --bin-width, or use rebin.",
            )
        if order is None:  # the same order, or neurons without names and ids
            return other
        note_order(other_name, name)
        return other.select_neurons(order)

    def sort_neurons(self) -> "Trials":
        """Return these trials with neurons sorted by name or id, "unit2" before "unit10".

        Without names and ids the order stays as it is.
        """
        order = natural_order(self.neuron_table)
        return self if order is None else self.select_neurons(order)

    # --- in and out ----------------------------------------------------------------------------------------------

    @classmethod
    def from_array(cls, array: Foreign, *, axes: str, bin_width: object, **fields: Foreign) -> "Trials":
        """Return trials from an array whose axes may come in any order.

        Args:
            array: Counts in an array of NumPy, torch, SciPy, pandas or xarray. Without a trial axis it is one trial.
            axes: The array's axes as words, such as "neuron trial time".
            bin_width: Width of a bin, in seconds or with a unit.
            fields: Other arguments of `Trials`, such as `lengths` or `behavior`, with the axes (trial, time, ...).

        Raises:
            ShapeError: if `axes` does not name the axes of the array.
        """
        counts = objects.plain(array)
        names = axes.split()
        if sorted(names) not in (["neuron", "time", "trial"], ["neuron", "time"]) or counts.ndim != len(names):
            raise ShapeError(
                'axes must name each axis of the array once, with the words "trial", "time" and "neuron".',
                f"It was {axes!r}, and the array has shape {counts.shape}.",
                'For (neuron, trial, time) give axes="neuron trial time".',
            )
        if "trial" not in names:
            counts = counts[None]
            names = ["trial", *names]
        counts = counts.transpose([names.index(name) for name in ("trial", "time", "neuron")])
        trials = cls(counts, clock.duration(bin_width, what="A bin width"), **{"source": "array", **fields})
        lengths = np.asarray(trials.lengths, np.int64)
        # with this limit there is a warning but no error, because the array is in memory already
        check_padding(lengths, trials.n_neurons, trials.bin_width, large=counts.size)
        return trials

    @classmethod
    def from_spike_times(
        cls, times: Foreign, *, window: object, bin_width: object, axes: str = "trial neuron", **fields: Foreign
    ) -> "Trials":
        """Return trials from spike times that are already cut into trials, each trial on its own clock.

        Args:
            times: Spike times. ``times[trial][neuron]`` holds the spike times of one neuron in one trial, in seconds or
                with a unit. Nested lists, object arrays (cell arrays of MATLAB), lists of dicts by neuron, and a neo
                `Block` with one segment per trial are accepted. Segments that do not cover the window are left out.
            window: Start and end on the clock of each trial, such as (0, 1).
            bin_width: Width of a bin, in seconds or with a unit.
            axes: Order of the two levels of nesting, "trial neuron" or "neuron trial".
            fields: Other arguments of `Trials`, such as `behavior`, with one row for each trial of `times`.

        Raises:
            SettingError: if the window does not hold a whole number of bins.
            ShapeError: if trials have different neurons, or the times are not nested by trial and neuron.
            DataError: if the values are not times, or no trial is left.

        Examples:
            >>> trials = Trials.from_spike_times([[[0.1, 0.2], [0.3]], [[0.1], []]], window=(0, 0.5), bin_width=0.25)
            >>> trials.counts[0].tolist()
            [[2, 0], [0, 1]]
        """
        counted_fields, kept = count_by_trial(times, window=window, bin_width=bin_width, axes=axes)
        trials = cls(**{**counted_fields, **fields})
        return trials if len(kept) == len(trials) else trials.select(kept)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "Trials":
        """Read a trials file (`.h5`).

        Raises:
            FileError: if there is no such file, or it is not a trials file.
            CorruptFileError: if the file is damaged.
        """
        return cls(**hdf5.read(path))

    def save(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write a trials file (`.h5`). If writing fails, an older file stays as it is.

        Args:
            path: Path of the file. A trials file of that name is replaced.
            overwrite: True to replace a file of another kind, too.

        Raises:
            FileError: if a file of another kind is there, or it cannot be written.
        """
        refuse_foreign(path, hdf5.written_source, overwrite=overwrite)
        hdf5.write(path, self.fields())

    def to_nwb(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write an NWB file with spike times, trial table, conditions and behaviour.

        Spikes are placed such that binning the file with the same bin width gives the same counts; see `trials.nwb`.

        Args:
            path: Path of the file. An NWB file that this method wrote is replaced.
            overwrite: True to replace any other file, too, such as a recording.

        Raises:
            FileError: if another file is there, or it cannot be written.
        """
        from spikeloom.trials import nwb  # pynwb is an extra

        refuse_foreign(path, nwb.written_source, overwrite=overwrite)
        nwb.write(path, self.fields())

    def fields(self) -> Fields:
        """Return the constructor's arguments by name."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}
