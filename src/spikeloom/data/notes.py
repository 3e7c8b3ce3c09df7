"""Warnings about trials that were cut from a recording, and the sentences in them."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int64
from numpy.typing import NDArray

from spikeloom.data import binning
from spikeloom.errors import SpikeloomWarning
from spikeloom.shapes import Array
from spikeloom.text import counted, verb
from spikeloom.trials.identity import identity

FEW = 0.01
"""Fraction of the recording's rate below which trials hold suspiciously few spikes."""

HARDLY_HZ = 0.1
"""Mean rate of neurons, in spikes/s, below which spike times may be in a smaller unit than seconds."""

SCALES = (
    (3e2, 3e3, "milliseconds", "divide them by 1000"),
    (3e3, 1e5, "samples", "divide them by the sampling rate, such as 30000"),
    (1e5, 3e7, "microseconds", "divide them by 1e6"),
    (3e7, 3e10, "nanoseconds", "divide them by 1e9"),
)
"""Likely units of times that are too large to be seconds: smallest and largest ratio to the times of another clock,
the unit, and its conversion to seconds."""


class DroppedTrialsWarning(SpikeloomWarning):
    """Some trials could not be binned and were left out; the message says how many, and why."""


class MaskedTimesWarning(SpikeloomWarning):
    """Masked spike times were left out; the message says how many, and of which neuron."""


class FewSpikesWarning(SpikeloomWarning):
    """The trials hold no spikes, or hardly any, while the recording does: the clocks probably differ."""


class OverlappingTrialsWarning(SpikeloomWarning):
    """Trials overlap in time, so that the same spikes are in several of them."""


class RepeatedIdsWarning(SpikeloomWarning):
    """Several neurons have the same id or name, so that only their order distinguishes them."""


class LeftOverWarning(SpikeloomWarning):
    """Part of a continuous recording belongs to no piece; the message says how much."""


class AngleWarning(SpikeloomWarning):
    """A series without a unit is treated as an angle; the message names the unit."""


def likely_cause(spike_range: tuple[float, float], trial_range: tuple[float, float]) -> str:
    """Return a likely reason why trials hold hardly any spikes.

    Args:
        spike_range: Times of the first and last spike, s.
        trial_range: Start of the first and end of the last trial, s.
    """
    no_overlap = spike_range[1] < trial_range[0] or trial_range[1] < spike_range[0]
    spikes_duration = spike_range[1] - spike_range[0]
    trials_duration = trial_range[1] - trial_range[0]
    # times of comparable durations have the same unit
    if no_overlap and 0.01 * trials_duration < spikes_duration < 100 * trials_duration:
        shift = trial_range[0] - spike_range[0]
        where = f"{abs(shift):.10g} s {'after' if shift > 0 else 'before'} the first spike"
        return f"Probably they are on different clocks: the trials begin {where}."
    largest_spike = max(abs(spike_range[0]), abs(spike_range[1]))
    largest_trial = max(abs(trial_range[0]), abs(trial_range[1]))
    for largest, largest_other, name in (
        (largest_spike, largest_trial, "the spike times"),
        (largest_trial, largest_spike, "the times of the trials"),
    ):
        ratio = largest / largest_other if largest_other > 0 else np.inf
        for low, high, unit, repair in SCALES:
            if low <= ratio < high:
                return f"Probably {name} are in {unit}: {repair}."
    if no_overlap:
        return "The spikes and the trials lie in different parts of the recording."
    return "Both are on the same clock, and the neurons are silent in these trials."


def few_spikes(
    n_spikes: int,
    seconds: float,
    expected_hz: float,
    spike_range: tuple[float, float],
    spans: Float[np.ndarray, "trial 2"],
    n_neurons: int,
) -> str:
    """Return a warning if the trials probably miss the spikes of the recording, else an empty text.

    There is a warning in three cases:

    * The rate in the trials is below a hundredth of the recording's rate.
    * Neurons hardly fire, and the last spike comes three hundred times later than the last trial. This happens if spike
      times are too large by a factor, which lowers the rate of the recording as well.
    * Most trials lie before the first or after the last spike. This happens if trial times are too large by a factor,
      because all spikes then fall into the first trials.

    Args:
        n_spikes: Number of spikes in all trials together.
        seconds: Duration of all trials together.
        expected_hz: Spikes per second of the recording, of all neurons together.
        spike_range: Times of the first and last spike in seconds.
        spans: Start and end of each trial in seconds.
        n_neurons: Number of neurons.
    """
    trial_range = float(spans[:, 0].min()), float(spans[:, 1].max())
    is_beyond = (spans[:, 1] < spike_range[0]) | (spans[:, 0] > spike_range[1])  # before the first or after the last
    n_beyond = int(is_beyond.sum())
    rate = n_spikes / seconds if seconds else 0.0
    # the smallest ratio in `SCALES` is 300
    times_too_large = expected_hz < HARDLY_HZ * n_neurons and spike_range[1] > SCALES[0][0] * max(trial_range[1], 0.0)
    if n_spikes and rate >= FEW * expected_hz and not times_too_large:
        if n_beyond <= len(spans) / 2:
            return ""
        return (
            f"{counted(n_beyond, 'trial', of=len(spans))} {verb(n_beyond, 'lies', 'lie')} before the first or after "
            f"the last spike: the trials are between {trial_range[0]:g} and {trial_range[1]:g} s, the spikes between "
            f"{spike_range[0]:g} and {spike_range[1]:g} s. {likely_cause(spike_range, trial_range)}"
        )
    spikes_text = (
        f"{counted(n_spikes, 'spike')} ({rate:.3g} spikes/s of all neurons, {expected_hz:.3g} in the recording)"
    )
    return (
        f"The trials hold {spikes_text if n_spikes else 'no spikes'}: they lie between {trial_range[0]:g} and "
        f"{trial_range[1]:g} s, the spikes between {spike_range[0]:g} and {spike_range[1]:g} s. "
        f"{likely_cause(spike_range, trial_range)}"
    )


def repeated_ids(neuron_table: Mapping[str, Array]) -> str:
    """Return a warning if several neurons have the same id and names do not distinguish them, else an empty text."""
    ids = neuron_table.get("id")
    if ids is None or identity(neuron_table) is not None:
        return ""
    values, n_neurons = np.unique(np.asarray(ids), return_counts=True)
    repeated = values[n_neurons > 1]
    if not len(repeated):
        return ""
    listed = ", ".join(map(str, repeated[:5])) + (f" and {len(repeated) - 5} more" if len(repeated) > 5 else "")
    return (
        f"Several neurons have the same id ({listed}). Only their order distinguishes them, and they cannot be matched "
        "by id with the neurons of other trials."
    )


def overlap(spans: Float[np.ndarray, "trial 2"], slack: float) -> int:
    """Count the trials that share more than `slack` seconds with another trial."""
    order = np.argsort(spans[:, 0], kind="stable")
    starts = spans[order, 0]
    stops = spans[order, 1]
    if len(starts) < 2:
        return 0
    latest_stop = np.maximum.accumulate(stops)  # of this and all earlier trials
    shared = np.zeros(len(starts), bool)
    shared[1:] |= starts[1:] < latest_stop[:-1] - slack  # begins before an earlier trial has ended
    shared[:-1] |= starts[1:] < stops[:-1] - slack  # ends after the next trial has begun
    return int(shared.sum())


def overlap_note(spans: Float[np.ndarray, "trial 2"], slack: float) -> str:
    """Return a warning if trials overlap, else an empty text."""
    shared = overlap(spans, slack)
    if not shared:
        return ""
    return (
        f"{counted(shared, 'trial', of=len(spans))} {verb(shared, 'shares', 'share')} spikes with another trial "
        "because their times overlap. A random split puts the same "
        "spikes into both parts. Split with `spikeloom split --blocks`, or cut shorter windows."
    )


def costly_units(
    spans: Float[np.ndarray, "trial 2"],
    tried: Bool[np.ndarray, " trial"],
    observed: Sequence[Float[np.ndarray, "_ 2"]],
    names: Sequence[str],
    slack: float,
) -> str:
    """Return a warning that names units observed in fewer trials than the others, else an empty text.

    Args:
        spans: Start and end of each trial in seconds.
        tried: True for trials to check (trial,).
        observed: Intervals in which each unit was observed. Units without intervals are ignored.
        names: Name of each unit.
        slack: Seconds by which a trial may leave the intervals.
    """
    n_trials = seen_in(spans[tried], observed, slack)  # of each unit
    has_intervals = np.array([len(rows) > 0 for rows in observed])
    most_trials = int(n_trials[has_intervals].max(initial=0))
    costly = np.flatnonzero(has_intervals & (n_trials < most_trials))
    if not costly.size:
        return ""
    costly = costly[np.argsort(n_trials[costly], kind="stable")]
    listed = ", ".join(f"{names[unit]} in {n_trials[unit]} of {int(tried.sum())}" for unit in costly[:5])
    unlisted = f" and {costly.size - 5} more" if costly.size > 5 else ""
    return (
        f"{counted(costly.size, 'unit', of=len(observed))} {verb(costly.size, 'was', 'were')} observed in fewer "
        f"trials than the others, but in each trial all "
        f"units must be observed: unit {listed}{unlisted}; the others in {most_trials}. To keep the trials, leave such "
        "units out with --units or --keep."
    )


def short_units(observed: Sequence[Float[np.ndarray, "_ 2"]], names: Sequence[str]) -> str:
    """Return a warning that names units observed for a shorter time than the others, else an empty text.

    Args:
        observed: Intervals in which each unit was observed, s. Units without intervals are ignored.
        names: Name of each unit.
    """
    seconds = np.array([np.diff(binning.joined(rows)).sum() if len(rows) else np.nan for rows in observed])
    longest = float(np.nanmax(seconds, initial=0.0))
    short = np.flatnonzero(seconds < (1 - 1e-6) * longest)  # sums of equal times may differ by rounding
    if not short.size:
        return ""
    short = short[np.argsort(seconds[short], kind="stable")]
    listed = ", ".join(f"{names[unit]} for {seconds[unit]:.4g} s" for unit in short[:5])
    unlisted = f" and {short.size - 5} more" if short.size > 5 else ""
    return (
        f"some units were observed for a shorter time than the others ({longest:.4g} s): unit {listed}{unlisted}; in "
        "each trial all units must be observed: leave such units out with --units or --keep"
    )


def seen_in(
    spans: Float[np.ndarray, "trial 2"], observed: Sequence[Float[np.ndarray, "_ 2"]], slack: float
) -> Int64[np.ndarray, " unit"]:
    """Count the spans in which each unit was observed from start to end.

    Args:
        spans: Start and end of each span, s.
        observed: Intervals in which each unit was observed, s.
        slack: Time by which a span may leave the intervals, s.
    """
    n_spans_of_intervals: dict[bytes, int] = {}  # computed once for all units with the same intervals
    n_spans: NDArray[np.int64] = np.zeros(len(observed), np.int64)
    for unit, rows in enumerate(observed):
        key = rows.tobytes()
        if key not in n_spans_of_intervals:
            inside = binning.covered(spans[:, 0], spans[:, 1], binning.joined(rows), slack=slack)
            n_spans_of_intervals[key] = int(inside.sum())
        n_spans[unit] = n_spans_of_intervals[key]
    return n_spans
