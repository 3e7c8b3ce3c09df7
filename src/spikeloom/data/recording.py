"""`Recording`: the spike times, behaviour and trial tables of one session, in seconds. `bin` converts it to `Trials`.

A recording holds four kinds of data: the spike times of each neuron (in some files only counts in bins of a fixed
width), behaviour series with their own time stamps, tables with one row per trial or other interval, and the observed
times. Nothing is aligned or binned until `bin` is called. Trials whose window leaves the observed times, or that lack
an alignment time, a condition or behaviour, are left out with a `DroppedTrialsWarning` that gives their number and the
reasons.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from spikeloom import clock, html, objects
from spikeloom.data import binning
from spikeloom.data.behavior import read_series
from spikeloom.data.notes import MaskedTimesWarning
from spikeloom.data.series import BinnedCounts, Series, StoredSeries, check_times
from spikeloom.data.tables import START, STOP, raw_times, read_table
from spikeloom.data.to_trials import as_names, to_trials
from spikeloom.errors import DataError, SettingError, ShapeError
from spikeloom.objects import Foreign
from spikeloom.shapes import Array
from spikeloom.text import counted, verb
from spikeloom.trials.choose import rows_of_units, rows_where


@dataclass(frozen=True, eq=False)
class Recording:
    """Spikes, behaviour and trials of one session, in seconds on one clock.

    Times may have a unit, as `spikeloom.clock` describes, and are stored in seconds.

    Args:
        spikes: Spike times of each neuron, sorted; None if there are none. Spikes before time zero are allowed if
            `observed`, the trial table or a behaviour series begins at least as early.
        binned: Counts in bins, in place of spike times.
        behavior: Series by name, of any kind that `spikeloom.data.behavior` describes.
        trial_table: Columns by name, one row per trial (trial, ...); `start_time` and `stop_time` as in NWB. A
            DataFrame or another table that `spikeloom.data.tables` describes is turned into columns.
        tables: Further tables of intervals by name, such as epochs or stimuli, each like the trial table.
        trial_units: Units of columns of the trial table that hold quantities other than times.
        neuron_table: Columns by name, one row per neuron (neuron,).
        observed: Intervals (interval, 2) in seconds in which all neurons were observed. By default, one interval from
            the first to the last spike, behaviour sample or trial.
        observed_each: Intervals (interval, 2) in seconds in which each neuron was observed, in place of `observed`. A
            neuron without intervals counts as observed whenever the others are.
        invalid: Intervals (interval, 2) in seconds that must not be used.
        conditioned_on: Conditions of generated trials, as in `Trials`; None for a recording.
        source: Origin of the recording, such as the name of its file.

    Raises:
        DataError: if neurons have no spikes at all, or times are NaN, infinite, unsorted, or earlier than `spikes`
            allows.
        ShapeError: if the columns of a table differ in length.

    Example:
        >>> import spikeloom as sl
        >>> import numpy as np
        >>> spikes = [np.array([0.11, 0.52]), np.array([0.13, 0.48, 0.9])]
        >>> recording = sl.Recording(spikes, trial_table={"go_time": [0.2, 0.5]})
        >>> recording.bin(0.1, align="go_time", window=(0.0, 0.3)).counts.shape
        (2, 3, 2)
    """

    # Annotated loosely, because arguments may be of any library; arrays and series are stored.
    spikes: Foreign = None
    binned: BinnedCounts | None = None
    behavior: Mapping[str, Foreign] = field(default_factory=dict)
    trial_table: Foreign = field(default_factory=dict)
    tables: Mapping[str, Foreign] = field(default_factory=dict)
    trial_units: Mapping[str, str] = field(default_factory=dict)
    neuron_table: Mapping[str, Foreign] = field(default_factory=dict)
    observed: Foreign = None
    observed_each: Sequence[Foreign] | None = None
    invalid: Foreign = None
    conditioned_on: Sequence[str] | None = None
    source: str = ""

    def __post_init__(self) -> None:
        if self.spikes is not None and self.binned is not None:
            raise DataError("A recording has spike times or binned counts.", "It got both.", "Leave one of them out.")
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
                f"{self.source or 'It'} has {counted(self.n_neurons, 'neuron')} and no spikes.",
                "Check that this is the right file, and that its units were exported with their spike times.",
            )

    def _to_seconds(self) -> None:
        """Replace the arguments by plain arrays, with all times in seconds."""
        trains = [] if self.spikes is None else list(self.spikes)
        # a train with dates, if there is one, stands for all trains in the check of the clock
        example = next((times for times in trains if clock.dated(times)), trains[:1])
        sources = {"the spike times": example} if trains else {}
        sources |= {f"{name} of the trials": times for name, times in raw_times(self.trial_table).items()}
        clock.check_one_clock(sources if self.observed is None else {**sources, "the times observed": self.observed})
        table, units = read_table(self.trial_table)
        fields: dict[str, object] = {
            "trial_table": table,
            "trial_units": {**self.trial_units, **units},
            "behavior": {str(name): read_series(name, series) for name, series in self.behavior.items()},
            "neuron_table": {str(name): objects.column(column) for name, column in self.neuron_table.items()},
        }
        for name, what in (("observed", "The times observed"), ("invalid", "The invalid times")):
            if (rows := getattr(self, name)) is not None:
                fields[name] = binning.joined(clock.intervals(rows, what=what))
        if self.observed_each is not None:
            fields["observed_each"] = tuple(
                clock.intervals(rows, what=f"The times observed of neuron {neuron}")
                for neuron, rows in enumerate(self.observed_each)
            )
        if self.spikes is not None:
            fields["spikes"] = tuple(_train(neuron, times) for neuron, times in enumerate(trains))
        for name, value in fields.items():
            object.__setattr__(self, name, value)  # a frozen class sets its own fields this way

    # --- contents ------------------------------------------------------------------------------------------------

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
        """Number of spikes of all neurons together."""
        if self.spikes is not None:
            return sum(map(len, self.spikes))
        return 0 if self.binned is None else int(self.binned.counts.sum(dtype=np.int64))

    def mean_rates_hz(self) -> Float[np.ndarray, " neuron"]:
        """Return the mean rate of each neuron in spikes/s, over the valid times in which it was observed.

        The rate of a neuron that was never observed is NaN.
        """
        if self.binned is not None:
            edges = self.binned.edges
            valid = ~binning.overlapping(edges[:, 0], edges[:, 1], self.invalid_intervals())
            seconds = float(np.diff(edges[valid]).sum())
            return self.binned.counts[valid].sum(0, dtype=np.float64) / (seconds or np.nan)  # no time gives NaN
        valid_each = [self.intervals] * self.n_neurons
        if self.observed is None and self.observed_each is not None:
            # a neuron without intervals was observed whenever the others were
            observed_each = [
                binning.joined(rows) if len(rows) else self.observed_intervals() for rows in self.observed_each
            ]
            valid_each = [binning.without(rows, self.invalid_intervals()) for rows in observed_each]
        rates = np.full(self.n_neurons, np.nan)
        for neuron, (times, rows) in enumerate(zip(self.spikes or (), valid_each, strict=True)):
            ends = np.searchsorted(times, rows[:, 1], side="right")  # the last spike may end the interval
            n_spikes = int((ends - np.searchsorted(times, rows[:, 0])).sum())
            rates[neuron] = n_spikes / (float(np.diff(rows).sum()) or np.nan)
        return rates

    @property
    def intervals(self) -> Float[np.ndarray, "_ 2"]:
        """Observed times (interval, 2) in seconds, without the invalid times.

        The observed times are `observed`, or else the common part of `observed_each`, or else the span of all spikes,
        behaviour and trials.
        """
        return binning.without(self.observed_intervals(), self.invalid_intervals())

    @property
    def neuron_names(self) -> list[str]:
        """Name of each neuron for messages, which is its id, or else its name, or else its position."""
        column = next((self.neuron_table[name] for name in ("id", "name") if name in self.neuron_table), None)
        return [str(name) for name in (range(self.n_neurons) if column is None else column)]

    def __repr__(self) -> str:
        what = "binned counts of " if self.spikes is None else ""
        return (
            f"Recording({what}{counted(self.n_neurons, 'neuron')}, {counted(self.spike_count, 'spike')}, "
            f"{counted(self.n_trials, 'trial')}, "
            f"behavior {sorted(self.behavior)}, source {self.source!r})"
        )

    def _repr_html_(self) -> str:
        """Return a table for notebooks."""
        rows = self.intervals
        pieces = "" if len(rows) == 1 else f" in {len(rows)} intervals"
        binned = "" if self.binned is None else f", in bins of {1000 * self.binned.bin_width:g} ms"
        return html.table(
            "Recording",
            {
                "neurons": str(self.n_neurons),
                "spikes": f"{self.spike_count:,}{binned}",
                "observed": f"{np.diff(rows).sum():,.6g} s{pieces}",
                "trials": str(self.n_trials) if self.n_trials else "none",
                "trial table": ", ".join(self.trial_table),
                "behavior": ", ".join(f"{name} ({series.unit or 'no unit'})" for name, series in self.behavior.items()),
                "other tables": ", ".join(self.tables),
                "neuron table": ", ".join(self.neuron_table),
                "source": self.source or "unknown",
            },
        )

    def observed_intervals(self) -> Float[np.ndarray, "_ 2"]:
        """Return the observed times (interval, 2) in seconds, including the invalid times."""
        if self.observed is not None:
            return self.observed
        if self.observed_each is not None and any(map(len, self.observed_each)):
            return binning.common_intervals([rows for rows in self.observed_each if len(rows)])
        if self.binned is not None:
            return binning.joined(self.binned.edges)
        # no observed times are given: take all times from the first to the last known one
        trains = [times for times in self.spikes or () if len(times)]
        ends = [time for times in trains for time in (times[0], times[-1])]
        ends += [time for series in self.behavior.values() for time in series.span]
        for name in ("start_time", "stop_time"):
            if name in self.trial_table:
                ends += self.times(name).tolist()
        finite = np.array(ends, np.float64)
        finite = finite[np.isfinite(finite)]
        return np.array([[finite.min(), finite.max()]]) if len(finite) else np.zeros((0, 2))

    def invalid_intervals(self) -> Float[np.ndarray, "_ 2"]:
        """Return the times (interval, 2) in seconds that must not be used."""
        return np.zeros((0, 2)) if self.invalid is None else self.invalid

    def _earliest(self) -> float:
        """Return the earliest time (s) at which a spike may lie.

        This is 0, or the first time of behaviour, trials or observed intervals if one of them begins before 0.
        """
        stated = [series.span[0] for series in self.behavior.values()]
        observed = [rows for rows in (self.observed, *(self.observed_each or ())) if rows is not None and len(rows)]
        stated += [float(rows[:, 0].min()) for rows in observed]
        column = np.asarray(self.trial_table.get("start_time", ()))
        if column.dtype.kind in "iuf":
            stated.append(float(column[np.isfinite(column)].min(initial=0.0)))
        return min([0.0, *(time for time in stated if math.isfinite(time))])

    # --- other recordings from this one --------------------------------------------------------------------------

    def counted(self, counts: str) -> "Recording":
        """Return the recording with binned counts in place of spike times.

        Args:
            counts: Name of the series in `behavior` that holds the counts (bin, neuron), or the end of its path in the
                file, such as "ecephys/counts_50ms".

        Raises:
            DataError: if there is no such series, or its values are not counts.
        """
        # a series may be stored under a longer or a shorter path than the user gives
        names = [
            name for name in self.behavior if f"/{counts}".endswith(f"/{name}") or f"/{name}".endswith(f"/{counts}")
        ]
        if not names:
            raise DataError(
                "Counts must be a time series of the recording.",
                f"It was {counts!r}, in {self.source or 'this recording'}.",
                f"The series are {', '.join(self.behavior)}." if self.behavior else "There is no time series.",
            )
        behavior = {name: series for name, series in self.behavior.items() if name != names[0]}
        binned = BinnedCounts.of(self.behavior[names[0]])
        return replace(
            self, spikes=None, binned=binned, behavior=behavior, neuron_table={}, observed=None, observed_each=None
        )

    def choose(
        self, *, units: str | Sequence[int] | Sequence[str] | None = None, keep: str | Sequence[str] = ()
    ) -> "Recording":
        """Return the recording with a subset of its neurons.

        Args:
            units: Ids of neurons, such as "3,5-9" or [3, 5]; names if neurons have no ids, and positions from 0 if they
                have neither.
            keep: Rules on columns of the neuron table, such as "quality == good"; all must hold.

        Raises:
            SettingError: if an id or column does not exist, or a rule cannot be read.
            DataError: if no neuron satisfies the rules.
        """
        self.check_neurons()
        kept = rows_where(self.neuron_table, as_names(keep), self.n_neurons)
        if units is not None:
            listed = units if isinstance(units, str) else ",".join(map(str, units))
            kept = kept & rows_of_units(self.neuron_table, listed, self.n_neurons)
        if not kept.any():
            raise SettingError(
                "At least one neuron must be left.",
                f"None of the units {units} satisfies {' and '.join(map(repr, as_names(keep)))}.",
                "Loosen the rule, or name other units.",
            )
        rows = np.flatnonzero(kept)
        neuron_table = {name: np.asarray(column)[rows] for name, column in self.neuron_table.items()}
        observed_each = None if self.observed_each is None else [self.observed_each[row] for row in rows.tolist()]
        spikes = None if self.spikes is None else [self.spikes[row] for row in rows.tolist()]
        binned = None if self.binned is None else replace(self.binned, counts=self.binned.counts[:, rows])
        return replace(self, spikes=spikes, binned=binned, neuron_table=neuron_table, observed_each=observed_each)

    # --- to trials -----------------------------------------------------------------------------------------------

    bin = to_trials  # becomes a method, whose first argument `recording` is this recording

    def spike_range(self) -> tuple[float, float]:
        """Return the times of the first and the last spike in seconds.

        For binned counts, return the start of the first bin and the end of the last one.
        """
        if self.binned is not None:
            return float(self.binned.edges[0, 0]), float(self.binned.edges[-1, 1])
        trains = [times for times in self.spikes or () if len(times)]
        return min(float(times[0]) for times in trains), max(float(times[-1]) for times in trains)

    # --- checks --------------------------------------------------------------------------------------------------

    def check_neurons(self) -> None:
        """Raise a DataError if the recording has no neurons."""
        if self.n_neurons == 0:
            candidates = [name for name, series in self.behavior.items() if series.countlike]
            raise DataError(
                "A recording must hold units with spike times, or counts in bins.",
                f"{self.source or 'This one'} has no units with spike times.",
                f"If a time series holds counts, name it with --counts; it may be {', '.join(candidates)}."
                if candidates
                else "None of its time series holds counts; choose another file.",
            )

    # --- parts by name -------------------------------------------------------------------------------------------

    def alignment_columns(self) -> str:
        """Return the columns of the trial table to which trials can be aligned, as text for messages."""
        plain = [name for name, column in self.trial_table.items() if column.ndim == 1 and column.dtype.kind in "iuf"]
        timed = [name for name in plain if "time" in name]
        return ", ".join(timed or plain) if plain else "there is none"

    def known_tables(self) -> str:
        """Return the names of all tables of intervals, as text for messages."""
        if not self.tables:
            return "There is no table of intervals."
        return f"The tables are {', '.join(self.tables)}."

    def table(self, name: str) -> Mapping[str, Array]:
        """Return a table of intervals by its name. Raise a DataError if there is no such table."""
        if name in self.tables:
            return self.tables[name]
        if name == "trials" and self.trial_table:
            return self.trial_table
        raise DataError(
            "The trials must be a table of intervals in the recording.",
            f"It was {name!r}, in {self.source or 'this recording'}.",
            self.known_tables(),
        )

    def column(self, name: str, role: str) -> Array:
        """Return a column of the trial table, or raise a DataError. `role` names the column in the message."""
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
        if name in (START, STOP):
            raise DataError(
                f"The trial table has no column {name}, the time at which each trial "
                f"{'begins' if name == START else 'ends'}.",
                f"Its columns are {', '.join(self.trial_table)}, in {where}.",
                f"Rename the column that holds this time to {name}, or cut around an event that has a time: "
                f"--align COLUMN --window START END ({self.alignment_columns()}).",
            )
        raise DataError(
            f"The {role} must be a column of the trial table.",
            f"It was {name!r}, in {where}.",
            f"There are {', '.join(self.trial_table)}.",
        )

    def times(self, name: str) -> Float[np.ndarray, " trial"]:
        """Return a column of times of the trial table, in seconds. Raise a DataError if it does not hold times."""
        role = "column" if name in (START, STOP) else "alignment column"
        column = self.column(name, role)
        if column.ndim != 1 or column.dtype.kind not in "iuf":
            raise DataError(
                f"{'A' if role == 'column' else 'An'} {role} of times must hold one time in seconds per trial.",
                f"{name!r} holds {'text' if column.dtype.kind == 'U' else column.dtype} of shape {column.shape}.",
                f"Choose another: {self.alignment_columns()}.",
            )
        unit = self.trial_units.get(name, "")
        scale = objects.TIME_UNITS.get(unit.lower()) if unit else 1.0  # times without a unit are seconds
        if scale is None:
            raise DataError(
                "An alignment column must hold times.",
                f"{name!r} holds {unit}.",
                f"Choose another: {self.alignment_columns()}.",
            )
        return np.asarray(objects.scaled(column.astype(np.float64), scale))

    def series(self, name: str) -> Series | StoredSeries:
        """Return a behaviour series by its name. Raise a DataError if there is no such series."""
        if name not in self.behavior:
            raise DataError(
                "Behaviour must be one of the recording's series.",
                f"It was {name!r}, in {self.source or 'this recording'}.",
                f"There are {', '.join(self.behavior)}." if self.behavior else "There is no behaviour.",
            )
        return self.behavior[name]


def _train(neuron: int, times: object) -> NDArray[np.float64]:
    """Convert the spike times of one neuron to seconds. Masked times are left out with a warning."""
    if isinstance(times, np.ma.MaskedArray) and (masked := int(np.ma.count_masked(times))):
        times = times.compressed()
        warnings.warn(
            f"{counted(masked, 'masked spike time')} of neuron {neuron} {verb(masked, 'was', 'were')} left out.",
            MaskedTimesWarning,
            stacklevel=5,
        )
    return clock.flat_seconds(times, what=f"Spike times of neuron {neuron}")
