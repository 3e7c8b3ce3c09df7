"""`Recording`: events in seconds, as the file has them; `bin` makes `Trials` of it.

A recording is what happened when: the spike times of each neuron (or, in some files, only counts in bins of a fixed
width), behaviour series with their own time stamps, tables with one row per trial or other interval, and the times in
which anything was observed at all. Nothing is aligned or binned until `bin` is called, and what cannot be binned is
named, never guessed: trials whose window leaves the observed times, or that lack an alignment time, a condition or
behaviour, are left out with a `DroppedTrialsWarning` that counts them and says why.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Integer
from numpy.typing import NDArray

from spikeloom import clock, objects
from spikeloom.angles import period_of
from spikeloom.data import binning, cutting, notes, sampling
from spikeloom.data.behavior import read_series
from spikeloom.data.cutting import Spans
from spikeloom.data.layout import OUTSIDE, Kept, Layout, Times, lay_on_bins, lay_on_spikes
from spikeloom.data.notes import (
    AngleWarning,
    DroppedTrialsWarning,
    FewSpikesWarning,
    LeftOverWarning,
    MaskedTimesWarning,
    OverlappingTrialsWarning,
)
from spikeloom.data.series import BinnedCounts, Series, StoredSeries, check_times
from spikeloom.data.tables import raw_times, read_table
from spikeloom.errors import DataError, SettingError, ShapeError
from spikeloom.shapes import Array
from spikeloom.trials import Trials
from spikeloom.trials.choose import rows_of_units, rows_where


@dataclass(frozen=True, eq=False)
class Recording:
    """Events of one session, in seconds on one clock.

    Times may come with a unit, as `spikeloom.clock` describes, and are kept in seconds.

    Args:
        spikes: Spike times of each neuron, sorted; None when there are none. Times before zero are allowed
            from the earliest time on that `observed`, the trial table or a behaviour series states.
        binned: Counts in bins, in place of spike times.
        behavior: Series by name, of any kind that `spikeloom.data.behavior` describes.
        trial_table: Columns by name, one row per trial (trial, ...); `start_time` and `stop_time` as in NWB. A
            DataFrame or another table that `spikeloom.data.tables` describes is turned into columns.
        tables: Further tables of intervals by name, such as epochs or stimuli, each like the trial table.
        trial_units: Units of columns of the trial table that hold other quantities than times.
        neuron_table: Columns by name, one row per neuron (neuron,).
        observed: Intervals (interval, 2) in seconds in which all neurons were observed; if absent, everything from the
            first event of any kind to the last.
        observed_each: Intervals (interval, 2) in seconds in which each neuron was observed, in place of `observed`. A
            neuron without intervals is taken to be observed whenever the others are.
        invalid: Intervals (interval, 2) in seconds that must not be used.
        source: Where it comes from.

    Raises:
        DataError: if neurons have no spikes at all, or times are NaN, infinite, unsorted or before the earliest stated.
        ShapeError: if the columns of a table differ in length.

    Example:
        >>> import spikeloom as sl
        >>> import numpy as np
        >>> spikes = [np.array([0.11, 0.52]), np.array([0.13, 0.48, 0.9])]
        >>> recording = sl.Recording(spikes, trial_table={"go_time": [0.2, 0.5]})
        >>> recording.bin(0.1, align="go_time", window=(0.0, 0.3)).counts.shape
        (2, 3, 2)
    """

    # Annotated loosely, for what comes in may be of any library; what is kept are arrays and series, as said above.
    spikes: Sequence[Any] | None = None
    binned: BinnedCounts | None = None
    behavior: Mapping[str, Any] = field(default_factory=dict)
    trial_table: Any = field(default_factory=dict)
    tables: Mapping[str, Any] = field(default_factory=dict)
    trial_units: Mapping[str, str] = field(default_factory=dict)
    neuron_table: Mapping[str, Any] = field(default_factory=dict)
    observed: Any = None
    observed_each: Sequence[Any] | None = None
    invalid: Any = None
    source: str = ""

    def __post_init__(self) -> None:
        if self.spikes is not None and self.binned is not None:
            raise DataError("A recording has spike times or binned counts.", "It has both.", "Leave one of them out.")
        self._to_seconds()
        rows = {name: len(column) for name, column in self.trial_table.items()}
        if len(set(rows.values())) > 1:
            raise ShapeError(
                "Every column of a trial table must have one row per trial.",
                f"The rows are {rows}.",
                "Give all columns the same length.",
            )
        if self.spikes is not None:
            for neuron, times in enumerate(self.spikes):
                check_times(f"Spike times of neuron {neuron}", times, earliest=self._earliest())
        if self.spike_count == 0 and (self.spikes is not None or self.binned is not None):
            raise DataError(
                "A recording must hold at least one spike.",
                f"{self.source or 'It'} has {self.n_neurons} neurons and none.",
                "Check that this is the right file, and that its units were exported with their spike times.",
            )

    def _to_seconds(self) -> None:
        """Replace what came in by plain arrays, with all times in seconds."""
        trains = list(self.spikes or ())
        dates = next((times for times in trains if clock.dated(times)), trains[:1])
        sources = {"the spike times": dates} if trains else {}
        sources |= {f"{name} of the trials": times for name, times in raw_times(self.trial_table).items()}
        clock.check_one_clock(sources if self.observed is None else {**sources, "the times observed": self.observed})
        table, units = read_table(self.trial_table)
        fields: dict[str, Any] = {
            "trial_table": table,
            "trial_units": {**self.trial_units, **units},
            "behavior": {str(name): read_series(name, series) for name, series in self.behavior.items()},
            "neuron_table": {str(name): objects.column(column) for name, column in self.neuron_table.items()},
        }
        for name, what in (("observed", "The times observed"), ("invalid", "The invalid times")):
            if (rows := getattr(self, name)) is not None:
                fields[name] = binning.joined(clock.intervals(rows, what=what))
        if self.observed_each is not None:
            each = enumerate(self.observed_each)
            what = "The times observed of neuron"
            fields["observed_each"] = tuple(clock.intervals(rows, what=f"{what} {neuron}") for neuron, rows in each)
        if self.spikes is not None:
            fields["spikes"] = tuple(_train(neuron, times) for neuron, times in enumerate(trains))
        for name, value in fields.items():
            object.__setattr__(self, name, value)  # we are frozen

    # --- what is in it -------------------------------------------------------------------------------------------

    @property
    def n_neurons(self) -> int:
        """Number of neurons."""
        if self.spikes is not None:
            return len(self.spikes)
        return 0 if self.binned is None else self.binned.counts.shape[1]

    @property
    def n_trials(self) -> int:
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
        """Observed times (interval, 2) in seconds, without invalid ones.

        Those given, or those that all neurons have in common, or from the first event of any kind to the last.
        """
        return binning.without(self._observed(), self._invalid())

    @property
    def neuron_names(self) -> list[str]:
        """Name of each neuron for messages: its id or name where there is one, else its position."""
        column = next((self.neuron_table[name] for name in ("id", "name") if name in self.neuron_table), None)
        return [str(name) for name in (range(self.n_neurons) if column is None else column)]

    def __repr__(self) -> str:
        what = "binned counts of " if self.spikes is None else ""
        return (
            f"Recording({what}{self.n_neurons} neurons, {self.spike_count} spikes, {self.n_trials} trials, "
            f"behavior {sorted(self.behavior)}, source {self.source!r})"
        )

    def _observed(self) -> Float[np.ndarray, "_ 2"]:
        """Observed times, invalid ones included."""
        if self.observed is not None:
            return self.observed
        if self.observed_each is not None and any(map(len, self.observed_each)):
            return binning.common_intervals([rows for rows in self.observed_each if len(rows)])
        if self.binned is not None:
            return binning.joined(self.binned.edges)
        ends = [time for times in self.spikes or () if len(times) for time in (times[0], times[-1])]
        ends += [time for series in self.behavior.values() for time in series.span]
        for name in ("start_time", "stop_time"):
            if name in self.trial_table:
                ends += self._times(name).tolist()
        every = np.array(ends, np.float64)
        every = every[np.isfinite(every)]
        return np.array([[every.min(), every.max()]]) if len(every) else np.zeros((0, 2))

    def _invalid(self) -> Float[np.ndarray, "_ 2"]:
        return np.zeros((0, 2)) if self.invalid is None else self.invalid

    def _earliest(self) -> float:
        """Earliest time that something other than spikes states, or 0 where that is later."""
        stated = [series.span[0] for series in self.behavior.values()]
        stated += [float(rows[:, 0].min()) for rows in (self.observed, *(self.observed_each or ())) if _some(rows)]
        column = np.asarray(self.trial_table.get("start_time", ()))
        if column.dtype.kind in "iuf":
            stated += column[np.isfinite(column)].min(initial=0.0, keepdims=True).tolist()
        return min([0.0, *(time for time in stated if math.isfinite(time))])

    # --- other recordings from this one --------------------------------------------------------------------------

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
        return replace(
            self, spikes=None, binned=binned, behavior=rest, neuron_table={}, observed=None, observed_each=None
        )

    def choose(
        self, *, units: str | Sequence[int] | Sequence[str] | None = None, keep: str | Sequence[str] = ()
    ) -> "Recording":
        """The same recording with only some of its neurons.

        Args:
            units: Ids of neurons, such as "3,5-9" or [3, 5]. They are names where neurons have no ids, and positions
                from 0 where they have neither.
            keep: Conditions on columns of the neuron table, such as "quality == good"; several must all hold.

        Raises:
            SettingError: if an id or column is not there, or a condition cannot be read.
            DataError: if no neuron fulfils the conditions.
        """
        self._check_neurons()
        kept = rows_where(self.neuron_table, _names(keep), self.n_neurons)
        if units is not None:
            listed = units if isinstance(units, str) else ",".join(map(str, units))
            kept = kept & rows_of_units(self.neuron_table, listed, self.n_neurons)
        if not kept.any():
            raise SettingError(
                "At least one neuron must be left.",
                f"None of the units {units} fulfils {' and '.join(map(repr, _names(keep)))}.",
                "Loosen the condition, or name other units.",
            )
        rows = np.flatnonzero(kept)
        chosen = {name: np.asarray(column)[rows] for name, column in self.neuron_table.items()}
        each = None if self.observed_each is None else [self.observed_each[row] for row in rows.tolist()]
        spikes = None if self.spikes is None else [self.spikes[row] for row in rows.tolist()]
        binned = None if self.binned is None else replace(self.binned, counts=self.binned.counts[:, rows])
        return replace(self, spikes=spikes, binned=binned, neuron_table=chosen, observed_each=each)

    # --- to trials -----------------------------------------------------------------------------------------------

    def bin(
        self,
        bin_width: Any,
        *,
        align: str | None = None,
        window: Any = None,
        every: Any = None,
        trials: str | None = None,
        relative: bool | None = None,
        conditions: Sequence[str] = (),
        behavior: Sequence[str] = (),
        angles: Sequence[str] = (),
        lag: Any = 0.0,
        counts: str | None = None,
        units: str | Sequence[int] | Sequence[str] | None = None,
        keep: str | Sequence[str] = (),
    ) -> Trials:
        """Spike counts of every trial, with the conditions and behaviour asked for.

        With `align` and `window`, trials are equally long: bins from `window[0]` to `window[1]` around the time in the
        column. With `every`, the observed times are cut into consecutive pieces of equal length; pieces do not cross
        gaps, and what is shorter than a piece at the end of an observed interval is left out. Without these, a trial
        lasts from its `start_time` to its `stop_time`, in all whole bins that fit.

        Bin k holds the events of [start + k w, start + (k + 1) w); see `spikeloom.data.binning` for events on edges.
        A recording of binned counts keeps its own bins: a window begins at the bin that begins nearest, a whole trial
        has the bins that begin inside it, and wider bins are sums of neighbours.

        Args:
            bin_width: In seconds, or with a unit, as all times here may be; for binned counts, theirs or a whole
                multiple.
            align: Column of the trial table with a time in seconds, such as "target_on_time".
            window: From and to, in seconds relative to it, such as (-0.2, 0.5); a whole number of bins.
            every: Length of the pieces of a continuous recording in seconds; a whole number of bins.
            trials: Table whose rows are the trials, such as "epochs"; the trial table if absent. With `every`, the
                table inside whose rows the pieces lie; all observed times if absent.
            relative: Whether the times in the alignment column count from the start of each trial. By default they
                are times on the recording's clock, and refused if most lie outside their trial; False uses them as
                they are.
            conditions: Columns of the trial table to keep.
            behavior: Series to keep, sampled at the bins: the mean of the samples in a bin, else the line between
                neighbouring samples; both on the circle for angles.
            angles: Series and columns among these that are angles although their unit does not say so.
            lag: Seconds by which behaviour is read later than the spikes beside which it is put.
            counts: Series of binned counts to use in place of spike times, such as "ecephys/counts_50ms".
            units: Ids of the neurons to keep, such as "3,5-9"; all if absent. See `choose`.
            keep: Conditions on columns of the neuron table, such as "quality == good"; several must all hold.

        Returns:
            Trials with the start of each on the recording's clock in `start_times`.

        Raises:
            SettingError: if a bin width, window, id or condition is not possible, or settings do not go together.
            DataError: if there are no neurons, a column or series is missing, or no trial is left.

        Warns:
            DroppedTrialsWarning: if some trials were left out, with their number and the reasons.
            FewSpikesWarning: if the trials hold hardly any of the recording's spikes.
            OverlappingTrialsWarning: if trials share spikes.
            LeftOverWarning: if part of a continuous recording belongs to no piece.
        """
        bin_width = clock.duration(bin_width, what="A bin width")
        cutting.check_bin_width(bin_width)
        if every is not None and trials is None and conditions:
            raise SettingError(
                "Pieces of a continuous recording have conditions only inside the intervals of a table.",
                f"Asked for were {', '.join(_names(conditions))}, without a table.",
                f"Add --trials NAME (in Python trials=). {self._known_tables()}",
            )
        lag = clock.duration(lag, what="A lag")
        window = None if window is None else clock.window(window)
        every = None if every is None else clock.duration(every, what="The length of pieces")
        _check_together(align, window, every, relative)
        if counts is not None:
            self = self.counted(counts)  # everything below is the same for both kinds
        self._check_neurons()
        if units is not None or keep:
            self = self.choose(units=units, keep=keep)
        if trials is not None:
            self = replace(self, trial_table=self._table(trials))
        series = {name: self._series(name) for name in _names(behavior)}
        said = self._angle_units(series, _names(conditions), _names(angles))
        spans = self._spans(bin_width, align, window, every, trials is not None, relative)
        kept = Kept(len(spans.starts))
        table = self._conditions(_names(conditions), spans, kept)
        layout = self._layout(bin_width, spans, align, kept)
        sampled = {}
        for name, one in series.items():
            values = sampling.sample(name, one, layout, lag=lag, unit=said[name])
            kept.drop(np.isnan(values).any((1, 2)), f"they have bins without {name}")
            sampled[name] = values
        self._report(kept, layout, align, bin_width)
        rows, lengths = kept.rows, layout.lengths[kept.rows]
        time = lengths.max()
        result = Trials(
            self._counts(layout, rows)[:, :time],
            bin_width,
            lengths=lengths,
            behavior={name: values[rows, :time] for name, values in sampled.items()},
            units=said,
            conditions={name: column[rows] for name, column in table.items()},
            neuron_table=self.neuron_table,
            start_times=layout.spans[rows, 0],
            source=self.source,
        )
        self._note_doubts(result, layout.spans[rows])
        return result

    def _spans(
        self,
        bin_width: float,
        align: str | None,
        window: tuple[float, float] | None,
        every: float | None,
        inside_table: bool,
        relative: bool | None,
    ) -> Spans:
        """The spans that become trials."""
        if every is not None:
            bins = cutting.bins_of_piece(bin_width, every)
            table = np.stack([self._times("start_time"), self._times("stop_time")], 1) if inside_table else None
            spans, rest = cutting.pieces(self.intervals, table, bins, bin_width)
            self._note_left_over(spans, rest, every, table)
            return spans
        if align is None or window is None:
            return Spans(self._times("start_time"), self._times("stop_time"))
        bins = cutting.bins_of_window(bin_width, window)
        at = self._times(align)
        if {"start_time", "stop_time"} <= set(self.trial_table):
            starts = self._times("start_time")
            at = at + starts if relative else at
            if relative is not False:
                cutting.check_alignment(align, at, starts, self._times("stop_time"), relative=relative)
        elif relative:
            at = at + self._times("start_time")
        return Spans(at + window[0], at + window[1], bins)

    def _conditions(self, names: Sequence[str], spans: Spans, kept: Kept) -> dict[str, Array]:
        """Columns of the trial table, one entry per span; spans that lack one are dropped."""
        table = {}
        for name in names:
            column = self._column(name, "condition")
            column = column if spans.rows is None else column[spans.rows]
            if column.dtype.kind in "fU":
                gone = np.asarray(np.isnan(column) if column.dtype.kind == "f" else column == "")
                kept.drop(np.asarray(gone.reshape(len(column), -1).any(1)), f"they have no {name}")
            table[name] = column
        return table

    def _layout(self, bin_width: float, spans: Spans, align: str | None, kept: Kept) -> Layout:
        """Where the bins of each trial lie."""
        cutting.drop_without(kept, spans, f"they have no {align or 'start_time or stop_time'}")
        times = Times(self._observed(), self._invalid(), self._ticks(spans), self.n_neurons)
        starts, stops, bins = spans.starts, spans.stops, spans.bins
        if self.binned is None:
            return lay_on_spikes(starts, stops, bin_width, times, bins=bins, kept=kept)
        own = self.binned.bin_width
        factor = round(bin_width / own)
        if factor < 1 or not math.isclose(factor * own, bin_width, rel_tol=1e-3):
            raise SettingError(
                f"This recording holds counts in bins of {own:g} s; the bin width must be that or a whole multiple.",
                f"It was {bin_width:g}.",
                f"Give --bin-width {max(factor, 1) * own:g}.",
            )
        return lay_on_bins(starts, stops, self.binned.edges, times, factor=factor, bins=bins, kept=kept)

    def _ticks(self, spans: Spans) -> binning.Ticks:
        """Ticks that are fine enough for the bins and coarse enough for the times of trials and spikes."""
        ends = [*self._spike_range(), *spans.starts[np.isfinite(spans.starts)], *spans.stops[np.isfinite(spans.stops)]]
        return binning.Ticks.between(min(ends), max(ends))

    def _spike_range(self) -> tuple[float, float]:
        """Times of the first and the last spike in seconds; of the first and last bin for binned counts."""
        if self.binned is not None:
            return float(self.binned.edges[0, 0]), float(self.binned.edges[-1, 1])
        busy = [times for times in self.spikes or () if len(times)]
        return min(float(times[0]) for times in busy), max(float(times[-1]) for times in busy)

    def _counts(self, layout: Layout, rows: NDArray[np.int64]) -> Integer[np.ndarray, "trial time neuron"]:
        if self.binned is None or layout.first is None:
            return binning.count_spikes(self.spikes or (), layout.edges[rows], layout.lengths[rows], layout.ticks)
        time = layout.edges.shape[1] - 1
        place = layout.first[rows, None] + np.arange(time * layout.factor)
        own = self.binned.counts
        counts = own[place.clip(max=len(own) - 1)]  # Trials blank what is too long
        return counts.reshape(len(rows), time, layout.factor, self.n_neurons).sum(2, dtype=np.int64)

    def _angle_units(
        self, series: Mapping[str, Series | StoredSeries], conditions: Sequence[str], chosen: Sequence[str]
    ) -> dict[str, str]:
        """Units of the series and columns that are kept; angles without one get theirs, with a note."""
        absent = [name for name in chosen if name not in series and name not in conditions]
        if absent:
            raise SettingError(
                "An angle must be one of the behaviour series or conditions that are kept.",
                f"{', '.join(absent)} is not.",
                f"Add --behavior {absent[0]} or --condition {absent[0]}.",
            )
        before = {name: one.unit.strip() for name, one in series.items()}
        before |= {name: self.trial_units.get(name, "") for name in conditions}
        found = {name: sampling.angle_unit(name, one, chosen=name in chosen) for name, one in series.items()}
        for name in conditions:
            found[name] = before[name]
            if name in chosen and period_of(name, before[name]) is None:
                found[name] = sampling.unit_of_angles(self._column(name, "condition"))
        for name, unit in found.items():
            if unit != before[name]:
                text = f"{name} has no unit and is taken for an angle in {unit}, which wraps around."
                warnings.warn(text, AngleWarning, stacklevel=3)
        return found

    # --- what is said about it -----------------------------------------------------------------------------------

    def _check_neurons(self) -> None:
        if self.n_neurons == 0:
            likely = [name for name, series in self.behavior.items() if series.countlike]
            raise DataError(
                "A recording must hold units with spike times, or counts in bins.",
                f"{self.source or 'This one'} has no units with spike times.",
                f"If a time series holds counts, name it with --counts; it may be {', '.join(likely)}."
                if likely
                else "None of its time series holds counts; choose another file.",
            )

    def _report(self, kept: Kept, layout: Layout, align: str | None, bin_width: float) -> None:
        """Warn of the trials that were left out; a DataError if none is left."""
        message = f"{kept.total - len(kept.rows)} of {kept.total} trials were left out: {kept.reasons()}."
        if OUTSIDE in kept.dropped and self.observed is None and self.observed_each is not None:
            tried = np.isfinite(layout.spans).all(1) & (layout.spans[:, 1] > layout.spans[:, 0])
            slack = binning.SLACK * bin_width
            costly = notes.costly_units(layout.spans, tried, self.observed_each, self.neuron_names, slack)
            message = f"{message} {costly}".rstrip()
        if not len(kept.rows):
            spans = ", ".join(f"{start:g} to {stop:g} s" for start, stop in self.intervals[:3])
            more = f" and {len(self.intervals) - 3} more spans" if len(self.intervals) > 3 else ""
            raise DataError(
                "At least one trial must be left.",
                message if kept.total else f"There are none in {self.source or 'this recording'}.",
                f"{self._remedy(kept, align)}Observed were {spans}{more}.",
            )
        if kept.dropped:
            warnings.warn(message, DroppedTrialsWarning, stacklevel=3)

    def _remedy(self, kept: Kept, align: str | None) -> str:
        if not kept.total:
            return "Give a shorter --every, or another table. "
        if align is not None:
            return f"Choose another window or alignment column ({self._candidates()}). "
        cause = ""
        if OUTSIDE in kept.dropped and {"start_time", "stop_time"} <= set(self.trial_table):
            ends = np.concatenate([self._times("start_time"), self._times("stop_time")])
            if np.isfinite(ends).any():
                cause = f"The trials lie between {np.nanmin(ends):g} and {np.nanmax(ends):g} s. "
        return f"{cause}Bin around an event with --align and --window, or cut pieces with --every. "

    def _note_left_over(
        self, spans: Spans, rest: float, every: float, table: Float[np.ndarray, "row 2"] | None
    ) -> None:
        """Say which part of a continuous recording belongs to no piece."""
        said = []
        if rest > 1e-6 * every:
            said.append(f"{rest:.4g} s at the ends of intervals are shorter than a piece of {every:g} s and left out")
        if self.invalid is not None and len(self.invalid):
            lost = float(np.diff(self._observed()).sum() - np.diff(self.intervals).sum())
            said.append(f"{lost:.4g} s are left out because the recording calls them invalid")
        if self.observed is None and self.observed_each is not None:
            each = [rows for rows in self.observed_each if len(rows)]
            seconds = np.array([np.diff(binning.joined(rows)).sum() for rows in each])
            lost = float(seconds.max(initial=0.0) - np.diff(self._observed()).sum())
            if lost > 1e-6 * every:
                names = [name for name, rows in zip(self.neuron_names, self.observed_each, strict=True) if len(rows)]
                least = int(seconds.argmin())
                said.append(
                    f"{lost:.4g} s are left out because not all units were observed in them (unit {names[least]} for "
                    f"{seconds[least]:.4g} s; leave such units out with --units or --keep)"
                )
        if said:
            where = "" if table is None else f" inside {len(table)} intervals"
            text = f"{len(spans.starts)} pieces{where}; " + "; ".join(said) + "."
            warnings.warn(text, LeftOverWarning, stacklevel=4)

    def _note_doubts(self, trials: Trials, spans: Float[np.ndarray, "trial 2"]) -> None:
        """Warn of trials that hold hardly any spikes, or share them."""
        seconds = float(np.diff(self.intervals).sum())
        text = notes.few_spikes(
            int(trials.counts.sum(dtype=np.int64)),
            trials.n_valid_bins * trials.bin_width,
            self.spike_count / seconds if seconds else math.inf,
            self._spike_range(),
            spans,
            self.n_neurons,
        )
        if text:
            warnings.warn(text, FewSpikesWarning, stacklevel=3)
        text = notes.overlap_note(spans, binning.SLACK * trials.bin_width)
        if text:
            warnings.warn(text, OverlappingTrialsWarning, stacklevel=3)

    # --- parts by name -------------------------------------------------------------------------------------------

    def _candidates(self) -> str:
        """Columns one can align to, as text."""
        plain = [name for name, column in self.trial_table.items() if column.ndim == 1 and column.dtype.kind in "iuf"]
        timed = [name for name in plain if "time" in name]
        return "there are " + ", ".join(timed or plain) if plain else "there is none"

    def _known_tables(self) -> str:
        if not self.tables:
            return "There is no table of intervals."
        return f"There are the tables {', '.join(self.tables)}."

    def _table(self, name: str) -> Mapping[str, Array]:
        if name in self.tables:
            return self.tables[name]
        if name == "trials" and self.trial_table:
            return self.trial_table
        raise DataError(
            "The trials must be a table of intervals in the recording.",
            f"It was {name!r}, in {self.source or 'this recording'}.",
            self._known_tables(),
        )

    def _column(self, name: str, role: str) -> Array:
        if name in self.trial_table:
            return np.asarray(self.trial_table[name])
        where = self.source or "this recording"
        if not self.trial_table:
            others = [table for table in self.tables if table != "trials"]
            use = f"Use one of its tables with --trials: {', '.join(others)}. " if others else ""
            raise DataError(
                "Trials need a trial table with start_time and stop_time.",
                f"There is no trial table in {where}.",
                f"{use}Or cut the whole recording into pieces, such as --every 2.",
            )
        raise DataError(
            f"The {role} must be a column of the trial table.",
            f"It was {name!r}, in {where}.",
            f"There are {', '.join(self.trial_table)}.",
        )

    def _times(self, name: str) -> Float[np.ndarray, " trial"]:
        role = "column" if name in ("start_time", "stop_time") else "alignment column"
        column = self._column(name, role)
        if column.ndim != 1 or column.dtype.kind not in "iuf":
            raise DataError(
                f"{'A' if role == 'column' else 'An'} {role} of times must hold one time in seconds per trial.",
                f"{name!r} holds {'text' if column.dtype.kind == 'U' else column.dtype} of shape {column.shape}.",
                f"Choose another: {self._candidates()}.",
            )
        if name in self.trial_units:
            raise DataError(
                "An alignment column must hold times.",
                f"{name!r} holds {self.trial_units[name]}.",
                f"Choose another: {self._candidates()}.",
            )
        return column.astype(np.float64)

    def _series(self, name: str) -> Series | StoredSeries:
        if name not in self.behavior:
            raise DataError(
                "Behaviour must be one of the recording's series.",
                f"It was {name!r}, in {self.source or 'this recording'}.",
                f"There are {', '.join(self.behavior)}." if self.behavior else "There is no behaviour.",
            )
        return self.behavior[name]


def _check_together(
    align: str | None, window: tuple[float, float] | None, every: float | None, relative: bool | None
) -> None:
    """Raise SettingError if settings do not go together."""
    if every is not None and (align is not None or window is not None):
        raise SettingError(
            "Pieces of a continuous recording have no alignment and no window.",
            f"There was every={every:g} with {'align' if align is not None else 'window'}.",
            "Leave one of them out.",
        )
    if (align is None) != (window is None):
        raise SettingError(
            "An alignment column and a window belong together.",
            f"There was only {'a window' if align is None else 'an alignment column'}.",
            "Give both, such as align='start_time', window=(0, 0.5), or neither for whole trials.",
        )
    if relative is not None and align is None:
        raise SettingError(
            "relative says how to read an alignment column.",
            "There is none.",
            "Give align and window, or leave it out.",
        )


def _some(rows: Array | None) -> bool:
    return rows is not None and len(rows) > 0


def _train(neuron: int, times: Any) -> NDArray[np.float64]:
    """Spike times of one neuron in seconds; masked ones are left out with a note."""
    if isinstance(times, np.ma.MaskedArray) and (masked := int(np.ma.count_masked(times))):
        times = times.compressed()
        warnings.warn(
            f"{masked} masked spike times of neuron {neuron} were left out.", MaskedTimesWarning, stacklevel=5
        )
    return clock.train(times, what=f"Spike times of neuron {neuron}")


def _names(names: Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)
