"""Find the spans of time of a recording that become trials: whole trials, windows around events, or pieces.

Consecutive pieces begin at the start of each observed interval or, if a table is named, at the start of the observed
part of each of its rows. No piece crosses a gap. A remainder at the end of an interval that is shorter than a piece is
left out.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from spikeloom.data import binning
from spikeloom.data.layout import Kept
from spikeloom.errors import DataError, SettingError


@dataclass(frozen=True)
class Spans:
    """Spans that become trials.

    Args:
        starts: Start of each span in seconds; NaN if it is missing.
        stops: End of each span in seconds.
        bins: Number of bins of every span; None if they differ.
        rows: Row of the table to which each span belongs; None without a table.
    """

    starts: Float[np.ndarray, " trial"]
    stops: Float[np.ndarray, " trial"]
    bins: int | None = None
    rows: Int64[np.ndarray, " trial"] | None = None


def check_bin_width(bin_width: float) -> None:
    """Raise SettingError unless the bin width is a positive number."""
    if not (math.isfinite(bin_width) and bin_width > 0):
        raise SettingError(
            "A bin width must be a positive number of seconds.", f"It was {bin_width}.", "For 5 ms give 0.005."
        )


def bins_of_window(bin_width: float, window: tuple[float, float]) -> int:
    """Return the number of bins of a window (start, stop), s. Raise a SettingError unless it is a whole number."""
    start, stop = window
    bins = (stop - start) / bin_width
    if not _is_number_of_bins(bins):
        # end of the shortest window of whole bins that contains this one
        next_stop = start + max(math.ceil(bins - binning.SLACK), 1) * bin_width if math.isfinite(bins) else math.nan
        remedy = "Give two numbers of seconds."
        if math.isfinite(next_stop):
            remedy = f"Give --window {start:g} {next_stop:.6g}."
        if stop < start:
            remedy = f"Give --window {stop:g} {start:g}."
        elif 0 < bins < 1:  # a bin that is wider than the window was probably given in ms
            remedy = f"Bin widths are in seconds: for {bin_width:g} ms give --bin-width {bin_width / 1000:g}."
        raise SettingError(
            "A window must end after it begins, and hold a whole number of bins.",
            f"From {start:g} to {stop:g} s there are {bins:.6g} bins of {bin_width:g} s.",
            remedy,
        )
    return round(bins)


def bins_of_piece(bin_width: float, every: float) -> int:
    """Return the number of bins of a piece of `every` seconds. Raise a SettingError unless it is a whole number."""
    bins = every / bin_width
    if not _is_number_of_bins(bins):
        # the shortest piece of whole bins that is not shorter than `every`
        longer = max(math.ceil(bins - binning.SLACK), 1) * bin_width if math.isfinite(bins) else math.nan
        raise SettingError(
            "A piece must hold a whole number of bins.",
            f"{every:g} s are {bins:.6g} bins of {bin_width:g} s.",
            f"Give --every {longer:.6g}." if math.isfinite(longer) and longer > 0 else "Give a number of seconds.",
        )
    return round(bins)


def _is_number_of_bins(bins: float) -> bool:
    """Return whether a number of bins is whole and at least 1. An error of a thousandth of a bin is ignored."""
    return math.isfinite(bins) and bins > 0.5 and abs(bins - round(bins)) < binning.SLACK


def pieces(
    observed: Float[np.ndarray, "interval 2"],
    inside: Float[np.ndarray, "row 2"] | None,
    bins: int,
    bin_width: float,
) -> tuple[Spans, float]:
    """Return consecutive pieces of the observed times, and the seconds that are left over.

    Seconds are left over at the end of an interval, if they are too few for a piece.

    Args:
        observed: Disjoint, sorted intervals in seconds.
        inside: Start and end of each row of a table, inside which pieces must lie. `None` uses all observed times.
        bins: Bins of a piece.
        bin_width: Width of a bin in seconds.
    """
    if inside is None:
        intervals = observed
        row = None
    else:
        parts = [binning.intersection(span[None], observed) for span in inside]  # observed intervals in each row
        intervals = np.concatenate([np.zeros((0, 2)), *parts])
        row = np.repeat(np.arange(len(inside)), [len(part) for part in parts])  # row of each interval
    every = bins * bin_width  # duration of a piece, s
    # the last piece may end up to `SLACK` bins after its interval
    n_pieces = np.floor((intervals[:, 1] - intervals[:, 0]) / every + binning.SLACK / bins).astype(np.int64)
    interval = np.repeat(np.arange(len(intervals)), n_pieces)  # interval of each piece
    rank = np.arange(len(interval)) - np.repeat(np.cumsum(n_pieces) - n_pieces, n_pieces)  # 0, 1, ... in its interval
    starts = intervals[interval, 0] + rank * every
    left_over = float((intervals[:, 1] - intervals[:, 0] - n_pieces * every).clip(0).sum())
    return Spans(starts, starts + every, bins, None if row is None else row[interval]), left_over


def check_alignment(
    name: str,
    at: Float[np.ndarray, " trial"],
    starts: Float[np.ndarray, " trial"],
    stops: Float[np.ndarray, " trial"],
    *,
    relative: bool | None,
) -> None:
    """Raise DataError if most times of an alignment column lie outside their own trials.

    Args:
        name: Name of the column.
        at: Times in the column, in seconds on the recording's clock.
        starts: Start of each trial.
        stops: End of each trial.
        relative: True if the column in the file counts from the start of each trial; `at` already includes this start.
            None or False if the column has times on the recording's clock.
    """
    timed = np.isfinite(at) & np.isfinite(starts) & np.isfinite(stops)
    outside = timed & ((at < starts) | (at > stops))
    if not timed.any() or outside.sum() <= timed.sum() / 2:
        return
    first = int(np.flatnonzero(outside)[0])
    where = f"trial {first} lasts from {starts[first]:g} to {stops[first]:g} s"
    if relative:
        value = at[first] - starts[first]
        raise DataError(
            f"Times of {name!r}, relative to their trials, must lie inside them.",
            f"{int(outside.sum())} of {int(timed.sum())} do not: {where}, {name} is {value:g} after its start.",
            "Check the unit of the column (seconds?), or leave --relative out.",
        )
    raise DataError(
        f"Times of the alignment column {name!r} must be on the clock of the recording.",
        f"{int(outside.sum())} of {int(timed.sum())} lie outside their own trial: {where}, and its {name} is "
        f"{at[first]:g}.",
        "If the column counts from the start of each trial, add --relative (in Python relative=True). "
        "If the column is correct as it is, add --absolute (relative=False).",
    )


def drop_without(kept: Kept, spans: Spans, why: str) -> None:
    """Drop the spans without a start or an end, for the reason `why`."""
    kept.drop(~(np.isfinite(spans.starts) & np.isfinite(spans.stops)), why)
