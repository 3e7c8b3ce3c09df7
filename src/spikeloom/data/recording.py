"""`Recording`: events in seconds, as the file has them; `bin` makes `Trials` of it.

A recording is what happened when: the spike times of each neuron (or, in some files, only counts in bins of a fixed
width), behaviour series with their own time stamps, a table with one row per trial, and the times in which anything was
observed at all. Nothing is aligned or binned until `bin` is called, and what cannot be binned is named, never guessed:
trials whose window leaves the observed times, or that lack an alignment time, a condition or behaviour, are left out
with a `DroppedTrialsWarning` that counts them and says why.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float, Integer
from numpy.typing import NDArray

from spikeloom.data import binning
from spikeloom.data.layout import Kept, Layout, lay_on_bins, lay_on_spikes
from spikeloom.data.series import BinnedCounts, Series, check_times
from spikeloom.errors import DataError, SettingError, ShapeError, SpikeloomWarning
from spikeloom.shapes import Array
from spikeloom.trials import Trials


class DroppedTrialsWarning(SpikeloomWarning):
    """Some trials could not be binned and were left out; the message says how many, and why."""


@dataclass(frozen=True, eq=False)
class Recording:
    """Events of one session, in seconds on one clock.

    Args:
        spikes: Spike times of each neuron in seconds, sorted, >= 0; None when there are none.
        binned: Counts in bins, in place of spike times.
        behavior: Series by name.
        trial_table: Columns by name, one row per trial (trial, ...); `start_time` and `stop_time` as in NWB.
        neuron_table: Columns by name, one row per neuron (neuron,).
        observed: Intervals (interval, 2) in seconds in which all neurons were observed; if absent, everything from the
            first event of any kind to the last.
        source: Where it comes from.

    Raises:
        DataError: if neurons have no spikes at all, or times are NaN, infinite, negative or unsorted.
        ShapeError: if the columns of a table differ in length.
    """

    spikes: Sequence[Array] | None = None
    binned: BinnedCounts | None = None
    behavior: Mapping[str, Series] = field(default_factory=dict)
    trial_table: Mapping[str, Array] = field(default_factory=dict)
    neuron_table: Mapping[str, Array] = field(default_factory=dict)
    observed: Array | None = None
    source: str = ""

    def __post_init__(self) -> None:
        if self.spikes is not None and self.binned is not None:
            raise DataError("A recording has spike times or binned counts.", "It has both.", "Leave one of them out.")
        if self.spikes is not None:
            spikes = tuple(np.asarray(times, np.float64) for times in self.spikes)
            for neuron, times in enumerate(spikes):
                check_times(f"Spike times of neuron {neuron}", times, negative=False)
            object.__setattr__(self, "spikes", spikes)
        if self.spike_count == 0 and (self.spikes is not None or self.binned is not None):
            raise DataError(
                "A recording must hold at least one spike.",
                f"{self.source or 'It'} has {self.neurons} neurons and none.",
                "Check that this is the right file, and that its units were exported with their spike times.",
            )
        rows = {name: len(column) for name, column in self.trial_table.items()}
        if len(set(rows.values())) > 1:
            raise ShapeError(
                "Every column of a trial table must have one row per trial.",
                f"The rows are {rows}.",
                "Give all columns the same length.",
            )
        if self.observed is not None:
            object.__setattr__(self, "observed", binning.joined(np.asarray(self.observed, np.float64)))

    # --- what is in it -------------------------------------------------------------------------------------------

    @property
    def neurons(self) -> int:
        """Number of neurons."""
        if self.spikes is not None:
            return len(self.spikes)
        return 0 if self.binned is None else self.binned.counts.shape[1]

    @property
    def trials(self) -> int:
        """Number of trials in the trial table."""
        return len(next(iter(self.trial_table.values()), ()))

    @property
    def spike_count(self) -> int:
        """Spikes of all neurons together."""
        if self.spikes is not None:
            return sum(map(len, self.spikes))
        return 0 if self.binned is None else int(self.binned.counts.sum(dtype=np.int64))

    @property
    def intervals(self) -> Float[np.ndarray, "_ 2"]:
        """Observed times (interval, 2) in seconds: those given, or from the first event of any kind to the last."""
        if self.observed is not None:
            return self.observed
        if self.binned is not None:
            return binning.joined(self.binned.edges)
        events = [*(self.spikes or ()), *(series.times for series in self.behavior.values())]
        events += [self._times(name) for name in ("start_time", "stop_time") if name in self.trial_table]
        every = np.concatenate([np.zeros(0), *events])
        every = every[np.isfinite(every)]
        return np.array([[every.min(), every.max()]]) if len(every) else np.zeros((0, 2))

    def __repr__(self) -> str:
        what = "binned counts of " if self.spikes is None else ""
        return (
            f"Recording({what}{self.neurons} neurons, {self.spike_count} spikes, {self.trials} trials, "
            f"behavior {sorted(self.behavior)}, source {self.source!r})"
        )

    def counted(self, counts: str) -> "Recording":
        """The same recording with one of its series, such as "ecephys/counts_50ms", as binned counts of its neurons.

        Raises:
            DataError: if there is no such series, or its values are not counts.
        """
        found = [
            name for name in self.behavior if f"/{counts}".endswith(f"/{name}") or f"/{name}".endswith(f"/{counts}")
        ]
        if not found:
            raise DataError(
                "Counts must be a time series of the recording.",
                f"It was {counts!r}, in {self.source or 'this recording'}.",
                f"There are {', '.join(self.behavior)}." if self.behavior else "There is no time series.",
            )
        rest = {name: series for name, series in self.behavior.items() if name != found[0]}
        binned = BinnedCounts.of(self.behavior[found[0]])
        return replace(self, spikes=None, binned=binned, behavior=rest, neuron_table={}, observed=None)

    # --- to trials -----------------------------------------------------------------------------------------------

    def bin(
        self,
        bin_width: float,
        *,
        align: str | None = None,
        window: tuple[float, float] | None = None,
        conditions: Sequence[str] = (),
        behavior: Sequence[str] = (),
        lag: float = 0.0,
        counts: str | None = None,
    ) -> Trials:
        """Spike counts of every trial, with the conditions and behaviour asked for.

        With `align` and `window`, trials are equally long: bins from `window[0]` to `window[1]` around the time in the
        column. Without both, a trial lasts from its `start_time` to its `stop_time`, in as many whole bins as fit.
        Bin k holds the events of [start + k w, start + (k + 1) w); see `spikeloom.data.binning` for events on edges.
        A recording of binned counts keeps its own bins: a window begins at the bin that begins nearest, a whole trial
        has the bins that begin inside it, and wider bins are sums of neighbours.

        Args:
            bin_width: Seconds; for binned counts, theirs or a whole multiple.
            align: Column of the trial table with a time in seconds, such as "target_on_time".
            window: From and to, in seconds relative to it, such as (-0.2, 0.5); a whole number of bins.
            conditions: Columns of the trial table to keep.
            behavior: Series to keep, sampled at the bins: the mean of the samples in a bin, else the line between
                neighbouring samples.
            lag: Seconds by which behaviour is read later than the spikes beside which it is put.
            counts: Series of binned counts to use in place of spike times, such as "ecephys/counts_50ms".

        Raises:
            SettingError: if the bin width or window is not possible, or only one of align and window is given.
            DataError: if there are no neurons, a column or series is missing, or no trial is left.

        Warns:
            DroppedTrialsWarning: if some trials were left out, with their number and the reasons.
        """
        bins = _bins_of(bin_width, align, window)
        if counts is not None:
            self = self.counted(counts)  # everything below is the same for both kinds
        self._check_neurons()
        table = {name: self._column(name, "condition") for name in _names(conditions)}
        series = {name: self._series(name) for name in _names(behavior)}
        kept = Kept(self.trials)
        for name, column in table.items():
            if column.dtype.kind == "f":
                kept.drop(np.isnan(column.reshape(len(column), -1)).sum(1) > 0, f"they have no {name}")
        layout = self._layout(bin_width, bins, align, window, kept)
        sampled = {}
        for name, each in series.items():
            values = binning.resample(each.times, each.values.astype(np.float64), layout.edges, layout.lengths, lag=lag)
            kept.drop(np.isnan(values).any((1, 2)), f"they have bins without {name}")
            sampled[name] = values
        self._report(kept)
        rows, lengths = kept.rows, layout.lengths[kept.rows]
        time = lengths.max()
        return Trials(
            self._counts(layout, rows)[:, :time],
            bin_width,
            lengths=lengths,
            behavior={name: values[rows, :time] for name, values in sampled.items()},
            units={name: each.unit for name, each in series.items()},
            conditions={name: column[rows] for name, column in table.items()},
            neuron_table=self.neuron_table,
            source=self.source,
        )

    def _layout(
        self, bin_width: float, bins: int | None, align: str | None, window: tuple[float, float] | None, kept: Kept
    ) -> Layout:
        """Where the bins of each trial lie."""
        if align is not None and window is not None:
            at = self._times(align)
            kept.drop(~np.isfinite(at), f"they have no {align}")
            starts, stops = at + window[0], at + window[1]
        else:
            starts, stops = self._times("start_time"), self._times("stop_time")
            kept.drop(~(np.isfinite(starts) & np.isfinite(stops)), "they have no start_time or stop_time")
        if self.binned is None:
            return lay_on_spikes(starts, stops, bin_width, self.intervals, bins=bins, kept=kept)
        own = self.binned.bin_width
        factor = round(bin_width / own)
        if factor < 1 or not math.isclose(factor * own, bin_width, rel_tol=1e-3):
            raise SettingError(
                f"This recording holds counts in bins of {own:g} s; the bin width must be that or a whole multiple.",
                f"It was {bin_width:g}.",
                f"Give --bin-width {max(factor, 1) * own:g}.",
            )
        return lay_on_bins(starts, stops, self.binned.edges, factor=factor, bins=bins, kept=kept)

    def _counts(self, layout: Layout, rows: NDArray[np.int64]) -> Integer[np.ndarray, "trial time neuron"]:
        if layout.first is None:
            return binning.count_spikes(self.spikes or (), layout.edges[rows], layout.lengths[rows])
        time = layout.edges.shape[1] - 1
        place = layout.first[rows, None] + np.arange(time * layout.factor)
        own = self.binned.counts  # type: ignore[union-attr]  # a layout with `first` comes from binned counts
        counts = own[place.clip(max=len(own) - 1)]  # Trials blank what is too long
        return counts.reshape(len(rows), time, layout.factor, self.neurons).sum(2, dtype=np.int64)

    def _check_neurons(self) -> None:
        if self.neurons == 0:
            likely = [name for name, series in self.behavior.items() if series.countlike]
            raise DataError(
                "A recording must hold units with spike times, or counts in bins.",
                f"{self.source or 'This one'} has no units with spike times.",
                f"If a time series holds counts, name it with --counts; it may be {', '.join(likely)}."
                if likely
                else "None of its time series holds counts; choose another file.",
            )

    def _report(self, kept: Kept) -> None:
        """Warn of the trials that were left out; a DataError if none is left."""
        message = f"{kept.total - len(kept.rows)} of {kept.total} trials were left out: {kept.reasons()}."
        if not len(kept.rows):
            spans = ", ".join(f"{start:g} to {stop:g} s" for start, stop in self.intervals[:3])
            more = f" and {len(self.intervals) - 3} more spans" if len(self.intervals) > 3 else ""
            raise DataError(
                "At least one trial must be left.",
                message,
                f"Choose another window or alignment column ({self._candidates()}); observed were {spans}{more}.",
            )
        if kept.dropped:
            warnings.warn(message, DroppedTrialsWarning, stacklevel=3)

    def _candidates(self) -> str:
        """Columns one can align to, as text."""
        plain = [name for name, column in self.trial_table.items() if column.ndim == 1 and column.dtype.kind in "iuf"]
        timed = [name for name in plain if "time" in name]
        return "there are " + ", ".join(timed or plain) if plain else "there is none"

    def _column(self, name: str, role: str) -> Array:
        if name not in self.trial_table:
            raise DataError(
                f"The {role} must be a column of the trial table.",
                f"It was {name!r}, in {self.source or 'this recording'}.",
                f"There are {', '.join(self.trial_table)}." if self.trial_table else "There is no trial table.",
            )
        return np.asarray(self.trial_table[name])

    def _times(self, name: str) -> Float[np.ndarray, " trial"]:
        column = self._column(name, "alignment column")
        if column.ndim != 1 or column.dtype.kind not in "iuf":
            raise DataError(
                "An alignment column must hold one time in seconds per trial.",
                f"{name!r} holds {column.dtype} of shape {column.shape}.",
                f"Choose another: {self._candidates()}.",
            )
        return column.astype(np.float64)

    def _series(self, name: str) -> Series:
        if name not in self.behavior:
            raise DataError(
                "Behaviour must be one of the recording's series.",
                f"It was {name!r}, in {self.source or 'this recording'}.",
                f"There are {', '.join(self.behavior)}." if self.behavior else "There is no behaviour.",
            )
        return self.behavior[name]


def _bins_of(bin_width: float, align: str | None, window: tuple[float, float] | None) -> int | None:
    """Bins of the window, or None for whole trials; SettingError if they make no sense."""
    if not (math.isfinite(bin_width) and bin_width > 0):
        raise SettingError(
            "A bin width must be a positive number of seconds.", f"It was {bin_width}.", "For 5 ms give 0.005."
        )
    if (align is None) != (window is None):
        raise SettingError(
            "An alignment column and a window belong together.",
            f"There was only {'a window' if align is None else 'an alignment column'}.",
            "Give both, such as align='start_time', window=(0, 0.5), or neither for whole trials.",
        )
    if window is None:
        return None
    start, stop = window
    bins = (stop - start) / bin_width
    if not (math.isfinite(bins) and bins > 0.5 and abs(bins - round(bins)) < binning.SLACK):
        enough = start + max(math.ceil(bins - binning.SLACK), 1) * bin_width if math.isfinite(bins) else math.nan
        raise SettingError(
            "A window must end after it begins, and hold a whole number of bins.",
            f"From {start:g} to {stop:g} s there are {bins:.6g} bins of {bin_width:g} s.",
            f"Give --window {start:g} {enough:.6g}." if math.isfinite(enough) else "Give two numbers of seconds.",
        )
    return round(bins)


def _names(names: Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)
