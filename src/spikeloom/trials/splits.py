"""Divide trials into two parts, at random or in blocks of time, and find trials that share spikes.

Trials are windows around events. Windows around closely spaced events overlap, so the same spikes can lie in several
trials. A random split puts many of these spikes into both parts, and a model is then tested on spikes on which it was
trained.

**Blocks** keep neighbouring trials together. Time is divided into one or more stretches with equal numbers of trials.
In each stretch the first trials go to the first part and the later ones to the second. With one stretch, only trials at
a single boundary can share spikes; but if the recording drifts, the two parts differ. Several stretches balance the
drift and have more boundaries. Trials at a boundary that share spikes with the other part are left out.
"""

import warnings
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spikeloom.errors import DataError, SpikeloomWarning
from spikeloom.seeds import Purpose, generator
from spikeloom.text import counted, verb

if TYPE_CHECKING:
    from spikeloom.trials.trials import Trials

Rows = NDArray[np.int64]
"""Numbers of trials (row,), counted from 0."""

TOLERANCE = 1e-3
"""Fraction of a bin by which windows may overlap without sharing spikes: such overlaps come from rounded times."""


class OverlapWarning(SpikeloomWarning):
    """Trials of the two parts of a split overlap in time and so share spikes. With blocks they were left out."""


def random_rows(n_trials: int, fraction: float, seed: int) -> tuple[Rows, Rows]:
    """Choose two disjoint parts of the trials at random.

    Args:
        n_trials: Number of trials.
        fraction: Fraction of the trials that goes to the first part.
        seed: Random seed.

    Returns:
        The rows of the first and of the second part, each in increasing order.

    Raises:
        DataError: if a part would be empty.
    """
    first = _first_part(n_trials, fraction)
    order = generator(seed, Purpose.SPLIT).permutation(n_trials)
    return np.sort(order[:first]), np.sort(order[first:])


def block_rows(trials: "Trials", fraction: float, n_stretches: int) -> tuple[Rows, Rows]:
    """Choose two disjoint parts of the trials that are made of blocks of time; see the module.

    Trials are ordered by their start times, or kept in order if a start time is unknown. Trials that were pooled from
    several recordings are divided recording by recording. Trials of the larger part that share spikes with the other
    part are left out.

    Args:
        trials: The trials.
        fraction: Fraction of the trials of each stretch that goes to the first part.
        n_stretches: Number of stretches of time, each of which is divided.

    Returns:
        The rows of the first and of the second part, each in increasing order.

    Raises:
        DataError: if a stretch has too few trials to be divided.

    Warns:
        OverlapWarning: if trials at the boundaries were left out.
    """
    first: list[Rows] = []
    second: list[Rows] = []
    for rows in _recordings(trials):
        for stretch in np.array_split(_in_time(trials, rows), max(n_stretches, 1)):
            size = _first_part(len(stretch), fraction)
            first.append(stretch[:size])
            second.append(stretch[size:])
    first_rows = np.sort(np.concatenate(first))
    second_rows = np.sort(np.concatenate(second))
    first_shared, second_shared = shared_between(trials, first_rows, second_rows)
    if len(first_rows) >= len(second_rows):
        n_left_out = int(first_shared.sum())
        first_rows = first_rows[~first_shared]
    else:
        n_left_out = int(second_shared.sum())
        second_rows = second_rows[~second_shared]
    if n_left_out:
        message = (
            f"{counted(n_left_out, 'trial', of=len(trials))} {verb(n_left_out, 'was', 'were')} left out, because of "
            "spikes shared with trials of the other part."
        )
        warnings.warn(message, OverlapWarning, stacklevel=3)
    if not (len(first_rows) and len(second_rows)):
        raise DataError(
            "A split must leave at least one trial on each side.",
            f"All trials of one part share spikes with the other part, in {n_stretches} stretches.",
            "Use fewer stretches, or cut shorter windows when binning.",
        )
    return first_rows, second_rows


def note_overlaps(trials: "Trials", first: Rows, second: Rows) -> None:
    """Warn if trials of two parts share spikes.

    Args:
        trials: All trials.
        first: Rows of the first part.
        second: Rows of the second part.

    Warns:
        OverlapWarning: if there are such trials; the message gives their number.
    """
    first_shared, second_shared = shared_between(trials, first, second)
    n_across = int(first_shared.sum() + second_shared.sum())  # trials that share spikes with the other part
    if n_across:
        n_sharing = int(sum(sharing(trials, rows).sum() for rows in _recordings(trials)))
        message = (
            f"{counted(n_sharing, 'trial', of=len(trials))} {verb(n_sharing, 'shares', 'share')} spikes with another "
            f"trial because their windows overlap in time, {n_across} of them with a trial of the other "
            "part. Split in blocks (--blocks) to keep neighbouring trials together."
        )
        warnings.warn(message, OverlapWarning, stacklevel=3)


def sharing(trials: "Trials", rows: Rows) -> NDArray[np.bool_]:
    """Return a mask of the trials of one recording that overlap in time with another trial of this recording (row,)."""
    starts, ends = _spans(trials, rows)
    order = np.argsort(starts, kind="stable")
    starts = starts[order]
    ends = ends[order]
    latest_end = np.maximum.accumulate(ends)
    shared = np.zeros(len(rows), bool)
    shared[order[1:]] |= starts[1:] < latest_end[:-1]  # begins before an earlier trial ends
    shared[order[:-1]] |= starts[1:] < ends[:-1]  # ends after the next trial begins
    return shared


def shared_between(trials: "Trials", first: Rows, second: Rows) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return a mask of the trials of each part that overlap in time with a trial of the other part.

    Only trials of the same recording can overlap.

    Args:
        trials: All trials.
        first: Rows of the first part.
        second: Rows of the second part.
    """
    shared = np.zeros(len(trials), bool)
    for rows in _recordings(trials):
        in_first = np.intersect1d(rows, first)
        in_second = np.intersect1d(rows, second)
        shared[in_first] = _overlapping(trials, in_first, in_second)
        shared[in_second] = _overlapping(trials, in_second, in_first)
    return shared[first], shared[second]


def _overlapping(trials: "Trials", rows: Rows, others: Rows) -> NDArray[np.bool_]:
    """Return a mask of the trials `rows` that overlap in time with at least one of the trials `others` (row,).

    For each trial, the others that begin before its end are found. The trial overlaps with one of them if the latest
    of their ends is after its start.
    """
    if not (len(rows) and len(others)):
        return np.zeros(len(rows), bool)
    starts, ends = _spans(trials, rows)
    other_starts, other_ends = _spans(trials, others)
    order = np.argsort(other_starts, kind="stable")
    # latest end of the first 0, 1, 2, ... others
    latest_end = np.concatenate([[-np.inf], np.maximum.accumulate(other_ends[order])])
    n_begun = np.searchsorted(other_starts[order], ends, side="left")
    return np.asarray(latest_end[n_begun] > starts)


def _spans(trials: "Trials", rows: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the start of each trial, and its end minus a tolerance, in seconds.

    A trial with an unknown start gets the start infinity and the end minus infinity, so it overlaps with no trial.
    """
    all_starts = np.full(len(trials), np.nan) if trials.start_times is None else np.asarray(trials.start_times, float)
    starts = all_starts[rows]
    ends = starts + np.asarray(trials.lengths, np.int64)[rows] * trials.bin_width - TOLERANCE * trials.bin_width
    missing = np.isnan(starts)
    return np.where(missing, np.inf, starts), np.where(missing, -np.inf, ends)


def _recordings(trials: "Trials") -> list[Rows]:
    """Return the rows of each recording, by the condition `source` of pooled trials."""
    source = trials.conditions.get("source")
    if source is None or source.ndim != 1:
        return [np.arange(len(trials))]
    return [np.flatnonzero(source == value) for value in dict.fromkeys(source.tolist())]


def _in_time(trials: "Trials", rows: Rows) -> Rows:
    """Return the rows in the order of their start times, or unchanged if a start time is unknown."""
    if trials.start_times is None or not np.isfinite(np.asarray(trials.start_times, float)[rows]).all():
        return rows
    return rows[np.argsort(trials.start_times[rows], kind="stable")]


def _first_part(n_trials: int, fraction: float) -> int:
    """Return the number of trials in the first part, or raise a DataError if a part would be empty."""
    first = round(fraction * n_trials) if np.isfinite(fraction) else 0
    if not 0 < first < n_trials:
        raise DataError(
            "A split must leave at least one trial on each side.",
            f"Fraction {fraction} of {counted(n_trials, 'trial')} is {first}.",
            "Choose a fraction between 0 and 1, such as 0.75.",
        )
    return first
