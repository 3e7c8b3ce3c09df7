"""Cut a recording into trials.

`to_trials` is the method `Recording.bin`: it finds the spans of the trials, places bins on them, counts spikes, samples
behaviour, and reports all trials that were left out.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Integer
from numpy.typing import NDArray

from spikeloom import clock
from spikeloom.angles import period_of
from spikeloom.data import binning, cutting, notes, sampling
from spikeloom.data.cutting import Spans
from spikeloom.data.layout import OUTSIDE, SHORT, Kept, Layout, Times, layout_of_counts, layout_of_spike_times
from spikeloom.data.notes import (
    AngleWarning,
    DroppedTrialsWarning,
    FewSpikesWarning,
    LeftOverWarning,
    OverlappingTrialsWarning,
    RepeatedIdsWarning,
)
from spikeloom.data.series import Series, StoredSeries
from spikeloom.errors import DataError, SettingError
from spikeloom.shapes import Array
from spikeloom.text import counted, verb
from spikeloom.trials import Trials

if TYPE_CHECKING:
    from spikeloom.data.recording import Recording


def to_trials(
    recording: "Recording",
    bin_width: object,
    *,
    align: str | None = None,
    window: object = None,
    every: object = None,
    trials: str | None = None,
    relative: bool | None = None,
    conditions: Sequence[str] = (),
    behavior: Sequence[str] = (),
    angles: Sequence[str] = (),
    lag: object = 0.0,
    counts: str | None = None,
    units: str | Sequence[int] | Sequence[str] | None = None,
    keep: str | Sequence[str] = (),
) -> Trials:
    """Count the spikes of every trial in bins, and sample conditions and behaviour.

    With `align` and `window`, all trials have the same length: bins from `window[0]` to `window[1]` around the time
    in the column. With `every`, the observed times are cut into consecutive pieces of equal length. Pieces do not
    cross gaps, and a remainder shorter than a piece at the end of an observed interval is left out. Without these,
    a trial lasts from its `start_time` to its `stop_time`, in all whole bins that fit.

    Bin k holds the spikes of [start + k w, start + (k + 1) w); see `spikeloom.data.binning` for spikes on edges.
    In a recording of binned counts, a window begins with the recorded bin whose start is nearest. A whole trial has the
    bins that begin inside it. Wider bins are sums of neighbouring recorded bins.

    Args:
        recording: The recording; `recording.bin(...)` calls this function with it.
        bin_width: Width of a bin in seconds or with a unit, like all times here. For binned counts, their bin width
            or a whole multiple of it.
        align: Column of the trial table with a time in seconds, such as "target_on_time".
        window: Start and end of each trial in seconds, relative to its time in the column `align`, such as
            (-0.2, 0.5). A window holds a whole number of bins.
        every: Length of the pieces of a continuous recording in seconds; a whole number of bins.
        trials: Name of the table whose rows are the trials, such as "epochs". Default: the trial table. With `every`,
            pieces lie inside the rows of this table. Default with `every`: pieces fill all observed times.
        relative: `True` if the times in the alignment column count from the start of each trial. By default they
            are times on the recording's clock, with an error if most of them lie outside their trial. `False`
            disables this check.
        conditions: Columns of the trial table to keep.
        behavior: Series to keep. The value of a bin is the mean of the samples in it. In a bin without samples, the
            value is interpolated linearly between neighbouring samples. Angles are averaged and interpolated on the
            circle.
        angles: Series and columns to treat as angles, even if their unit is not a unit of angles.
        lag: Seconds by which behaviour is read later than the spikes of the same bin.
        counts: Series of binned counts to use in place of spike times, such as "ecephys/counts_50ms".
        units: Ids of the neurons to keep, such as "3,5-9"; by default, all. See `choose`.
        keep: Rules on columns of the neuron table, such as "quality == good"; all must hold.

    Returns:
        Trials, with the start of each trial on the recording's clock in `start_times`.

    Raises:
        SettingError: if a bin width, window, id or rule is invalid, or settings contradict each other.
        DataError: if there are no neurons, a column or series is missing, or no trial is left.

    Warns:
        DroppedTrialsWarning: if some trials were left out, with their number and the reasons.
        FewSpikesWarning: if the trials hold hardly any of the recording's spikes.
        OverlappingTrialsWarning: if trials share spikes.
        RepeatedIdsWarning: if several neurons have the same id, so that only their order distinguishes them.
        LeftOverWarning: if parts of a continuous recording were left out.
    """
    bin_width = clock.duration(bin_width, what="A bin width")
    cutting.check_bin_width(bin_width)
    if every is not None and trials is None and conditions:
        raise SettingError(
            "Pieces of a continuous recording have conditions only inside the intervals of a table.",
            f"{', '.join(as_names(conditions))} was requested without a table.",
            f"Add --trials NAME (in Python trials=). {recording.known_tables()}",
        )
    lag = clock.duration(lag, what="A lag")
    window = None if window is None else clock.window(window)
    every = None if every is None else clock.duration(every, what="The length of pieces")
    _check_together(align, window, every, relative)
    if counts is not None:
        recording = recording.counted(counts)
    recording.check_neurons()
    if units is not None or keep:
        recording = recording.choose(units=units, keep=keep)
    if trials is not None:
        recording = replace(recording, trial_table=recording.table(trials))
    behavior_series = {name: recording.series(name) for name in as_names(behavior)}
    value_units = _angle_units(recording, behavior_series, as_names(conditions), as_names(angles))
    spans = _spans(recording, bin_width, align, window, every, trials is not None, relative)
    kept = Kept(len(spans.starts))
    condition_columns = _conditions(recording, as_names(conditions), spans, kept)
    layout = _layout(recording, bin_width, spans, align, kept)
    sampled = {}
    for name, series in behavior_series.items():
        values = sampling.sample(name, series, layout, lag=lag, unit=value_units[name])
        kept.drop(np.isnan(values).any((1, 2)), f"with bins without {name}")
        sampled[name] = values
    _report(recording, kept, layout, align, bin_width)
    rows = kept.rows
    lengths = layout.lengths[kept.rows]
    longest = lengths.max()
    result = Trials(
        _counts(recording, layout, rows)[:, :longest],
        bin_width,
        lengths=lengths,
        behavior={name: values[rows, :longest] for name, values in sampled.items()},
        units=value_units,
        conditions={name: column[rows] for name, column in condition_columns.items()},
        neuron_table=recording.neuron_table,
        start_times=layout.spans[rows, 0],
        conditioned_on=recording.conditioned_on,
        source=recording.source,
    )
    _note_doubts(recording, result, layout.spans[rows])
    return result


def _check_together(
    align: str | None, window: tuple[float, float] | None, every: float | None, relative: bool | None
) -> None:
    """Raise SettingError if settings contradict each other."""
    if every is not None and (align is not None or window is not None):
        raise SettingError(
            "Pieces of a continuous recording have no alignment and no window.",
            f"It got every={every:g} and {'align' if align is not None else 'window'}.",
            "Leave one of them out.",
        )
    if (align is None) != (window is None):
        raise SettingError(
            "An alignment column and a window belong together.",
            f"It got only {'a window' if align is None else 'an alignment column'}.",
            "Give both, such as align='start_time', window=(0, 0.5), or neither for whole trials.",
        )
    if relative is not None and align is None:
        raise SettingError(
            "relative applies to an alignment column, and there is none.",
            "",
            "Give align and window, or leave relative out.",
        )


def _spans(
    recording: "Recording",
    bin_width: float,
    align: str | None,
    window: tuple[float, float] | None,
    every: float | None,
    inside_table: bool,
    relative: bool | None,
) -> Spans:
    """Return the spans that become trials; see `to_trials` for the arguments.

    `inside_table` is True if pieces must lie inside the rows of the trial table.
    """
    if every is not None:
        bins = cutting.bins_of_piece(bin_width, every)
        table = np.stack([recording.times("start_time"), recording.times("stop_time")], 1) if inside_table else None
        spans, left_over = cutting.pieces(recording.intervals, table, bins, bin_width)
        _note_left_over(recording, spans, left_over, every, table)
        return spans
    if align is None or window is None:
        return Spans(recording.times("start_time"), recording.times("stop_time"))
    bins = cutting.bins_of_window(bin_width, window)
    at = recording.times(align)  # time 0 of each trial, s
    if {"start_time", "stop_time"} <= set(recording.trial_table):
        starts = recording.times("start_time")
        at = at + starts if relative else at
        if relative is not False:
            cutting.check_alignment(align, at, starts, recording.times("stop_time"), relative=relative)
    elif relative:
        at = at + recording.times("start_time")
    return Spans(at + window[0], at + window[1], bins)


def _conditions(recording: "Recording", names: Sequence[str], spans: Spans, kept: Kept) -> dict[str, Array]:
    """Return columns of the trial table, one entry per span. Spans with a missing entry are dropped.

    Args:
        recording: The recording.
        names: Names of the columns.
        spans: Spans that become trials.
        kept: Trials that are kept so far; this function drops further trials.
    """
    table = {}
    for name in names:
        column = recording.column(name, "condition")
        column = column if spans.rows is None else column[spans.rows]
        if column.dtype.kind in "fU":  # other types have no missing entries; a vector may lack some of its numbers
            missing = np.asarray(np.isnan(column) if column.dtype.kind == "f" else column == "")
            kept.drop(np.asarray(missing.reshape(len(column), -1).any(1)), f"without {name}")
        table[name] = column
    return table


def _layout(recording: "Recording", bin_width: float, spans: Spans, align: str | None, kept: Kept) -> Layout:
    """Return the bins of each trial. Trials that cannot be binned are dropped from `kept`.

    Args:
        recording: The recording.
        bin_width: Width of a bin, s.
        spans: Spans that become trials.
        align: Name of the alignment column, for messages, or None.
        kept: Trials that are kept so far; this function drops further trials.
    """
    cutting.drop_without(kept, spans, f"without {align or 'start_time or stop_time'}")
    times = Times(
        recording.observed_intervals(), recording.invalid_intervals(), _ticks(recording, spans), recording.n_neurons
    )
    starts = spans.starts
    stops = spans.stops
    bins = spans.bins
    if recording.binned is None:
        return layout_of_spike_times(starts, stops, bin_width, times, bins=bins, kept=kept)
    width = recording.binned.bin_width
    factor = round(bin_width / width)
    if factor < 1 or not math.isclose(factor * width, bin_width, rel_tol=1e-3):
        raise SettingError(
            f"This recording holds counts in bins of {width:g} s. The bin width must be a whole multiple.",
            f"It was {bin_width:g}.",
            f"Give --bin-width {max(factor, 1) * width:g}.",
        )
    return layout_of_counts(starts, stops, recording.binned.edges, times, factor=factor, bins=bins, kept=kept)


def _ticks(recording: "Recording", spans: Spans) -> binning.Ticks:
    """Return ticks that are fine enough for the bins and coarse enough for the times of trials and spikes."""
    ends = [*recording.spike_range(), *spans.starts[np.isfinite(spans.starts)], *spans.stops[np.isfinite(spans.stops)]]
    return binning.Ticks.between(min(ends), max(ends))


def _counts(
    recording: "Recording", layout: Layout, rows: NDArray[np.int64]
) -> Integer[np.ndarray, "trial time neuron"]:
    """Count the spikes of these trials in their bins, or sum the counts of the recording's bins.

    Args:
        recording: The recording.
        layout: The bins of all trials.
        rows: Indices of the trials to count.
    """
    if recording.binned is None or layout.first is None:
        return binning.count_spikes(recording.spikes or (), layout.edges[rows], layout.lengths[rows], layout.ticks)
    n_bins = layout.edges.shape[1] - 1
    recorded_bins = layout.first[rows, None] + np.arange(n_bins * layout.factor)
    recorded = recording.binned.counts
    counts = recorded[recorded_bins.clip(max=len(recorded) - 1)]  # `Trials` sets padding to zero
    return counts.reshape(len(rows), n_bins, layout.factor, recording.n_neurons).sum(2, dtype=np.int64)


def _angle_units(
    recording: "Recording",
    series: Mapping[str, Series | StoredSeries],
    conditions: Sequence[str],
    chosen: Sequence[str],
) -> dict[str, str]:
    """Return the units of the series and columns that are kept. Angles without a unit get one, with a warning.

    Args:
        recording: The recording.
        series: Behaviour series that are kept, by name.
        conditions: Columns of the trial table that are kept.
        chosen: Series and columns that the user calls angles.
    """
    absent = [name for name in chosen if name not in series and name not in conditions]
    if absent:
        raise SettingError(
            "An angle must be one of the behaviour series or conditions that are kept.",
            f"{', '.join(absent)} is not.",
            f"Add --behavior {absent[0]} or --condition {absent[0]}.",
        )
    stated = {name: values.unit.strip() for name, values in series.items()}
    stated |= {name: recording.trial_units.get(name, "") for name in conditions}
    units = {name: sampling.angle_unit(name, values, chosen=name in chosen) for name, values in series.items()}
    for name in conditions:
        units[name] = stated[name]
        if name in chosen and period_of(name, stated[name]) is None:
            units[name] = sampling.unit_of_angles(recording.column(name, "condition"))
    for name, unit in units.items():
        if unit != stated[name]:
            text = f"{name} has no unit. It is treated as an angle in {unit}, which wraps around."
            warnings.warn(text, AngleWarning, stacklevel=3)
    return units


def _report(recording: "Recording", kept: Kept, layout: Layout, align: str | None, bin_width: float) -> None:
    """Warn of the trials that were left out. Raise a DataError if none is left.

    Args:
        recording: The recording.
        kept: The trials that are kept, and the reasons for the others.
        layout: The bins of all trials.
        align: Name of the alignment column, or None.
        bin_width: Width of a bin, s.
    """
    n_dropped = kept.total - len(kept.rows)
    message = (
        f"{counted(n_dropped, 'trial', of=kept.total)} {verb(n_dropped, 'was', 'were')} left out: {kept.reasons()}."
    )
    if OUTSIDE in kept.dropped and recording.observed is None and recording.observed_each is not None:
        # units that were observed for a short time only may be the reason
        has_span = np.isfinite(layout.spans).all(1) & (layout.spans[:, 1] > layout.spans[:, 0])
        slack = binning.SLACK * bin_width
        note = notes.costly_units(layout.spans, has_span, recording.observed_each, recording.neuron_names, slack)
        message = f"{message} {note}".rstrip()
    if not len(kept.rows):
        usable = recording.intervals  # observed times without invalid times (interval, 2), s
        spans = ", ".join(f"{start:g} to {stop:g} s" for start, stop in usable[:3])
        others = f" and {counted(len(usable) - 3, 'more span')}" if len(usable) > 3 else ""
        if not len(usable) and recording.invalid is not None and len(recording.invalid):
            seconds = float(np.diff(recording.observed_intervals()).sum())
            raise DataError(
                "At least one trial must be left.",
                f"All {seconds:g} s of {recording.source or 'this recording'} are marked as invalid.",
                "Correct the table of invalid times in the file.",
            )
        raise DataError(
            "At least one trial must be left.",
            message if kept.total else f"There are none in {recording.source or 'this recording'}.",
            f"{_remedy(recording, kept, align)}The observed times are {spans}{others}.",
        )
    if kept.dropped:
        warnings.warn(message, DroppedTrialsWarning, stacklevel=3)


def _remedy(recording: "Recording", kept: Kept, align: str | None) -> str:
    """Return what a user can do if no trial is left, as sentences that end with a space."""
    if not kept.total:
        return "Give a shorter --every, or another table. "
    if align is not None:
        return f"Choose another window or alignment column ({recording.alignment_columns()}). "
    cause = "Bin widths are in seconds: for 5 ms give 0.005. " if SHORT in kept.dropped else ""
    if OUTSIDE in kept.dropped and {"start_time", "stop_time"} <= set(recording.trial_table):
        ends = np.concatenate([recording.times("start_time"), recording.times("stop_time")])
        if np.isfinite(ends).any():
            cause = f"{cause}The trials lie between {np.nanmin(ends):g} and {np.nanmax(ends):g} s. "
    return f"{cause}Bin around an event with --align and --window, or cut pieces with --every. "


def _note_left_over(
    recording: "Recording", spans: Spans, left_over: float, every: float, table: Float[np.ndarray, "row 2"] | None
) -> None:
    """Warn of the parts of a continuous recording that belong to no piece.

    Args:
        recording: The recording.
        spans: Its pieces.
        left_over: Seconds at ends of intervals that are too few for a piece.
        every: Length of a piece, s.
        table: Intervals inside which the pieces lie, or None.
    """
    parts = []
    if left_over > 1e-6 * every:  # more than a rounding error
        parts.append(f"{left_over:.4g} s at the ends of intervals are shorter than a piece of {every:g} s and left out")
    if recording.invalid is not None and len(recording.invalid):
        lost = float(np.diff(recording.observed_intervals()).sum() - np.diff(recording.intervals).sum())
        parts.append(f"{lost:.4g} s are left out because the recording marks them as invalid")
    if recording.observed is None and recording.observed_each is not None:
        intervals_of_units = [rows for rows in recording.observed_each if len(rows)]
        seconds = np.array([np.diff(binning.joined(rows)).sum() for rows in intervals_of_units])
        # from the unit that was observed longest to the times in which all units were observed
        lost = float(seconds.max(initial=0.0) - np.diff(recording.observed_intervals()).sum())
        if lost > 1e-6 * every:
            names = [
                name for name, rows in zip(recording.neuron_names, recording.observed_each, strict=True) if len(rows)
            ]
            shortest = int(seconds.argmin())
            parts.append(
                f"{lost:.4g} s are left out because not all units were observed in them (unit {names[shortest]} for "
                f"{seconds[shortest]:.4g} s; leave such units out with --units or --keep)"
            )
    if parts:
        where = "" if table is None else f" inside {counted(len(table), 'interval')}"
        text = f"{counted(len(spans.starts), 'piece')}{where}; " + "; ".join(parts) + "."
        warnings.warn(text, LeftOverWarning, stacklevel=4)


def _note_doubts(recording: "Recording", trials: Trials, spans: Float[np.ndarray, "trial 2"]) -> None:
    """Warn of trials that hold hardly any spikes, share spikes, or have neurons with the same id.

    Args:
        recording: The recording.
        trials: Trials that were cut from it.
        spans: Start and end of each of these trials, s.
    """
    text = notes.few_spikes(
        n_spikes=int(trials.counts.sum(dtype=np.int64)),
        seconds=trials.n_valid_bins * trials.bin_width,
        expected_hz=float(np.nansum(recording.mean_rates_hz())),
        spike_range=recording.spike_range(),
        spans=spans,
        n_neurons=recording.n_neurons,
    )
    if text:
        warnings.warn(text, FewSpikesWarning, stacklevel=3)
    text = notes.repeated_ids(recording.neuron_table)
    if text:
        warnings.warn(text, RepeatedIdsWarning, stacklevel=3)
    text = notes.overlap_note(spans, binning.SLACK * trials.bin_width)
    if text:
        warnings.warn(text, OverlappingTrialsWarning, stacklevel=3)


def as_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names; a single text is one name."""
    return (names,) if isinstance(names, str) else tuple(names)
