"""Which spans of a recording become trials: whole trials, windows around an event, pieces of a continuous recording.

Pieces are laid end to end from the beginning of each observed interval; where a table is named, from the beginning of
each of its rows, as far as they were observed. No piece crosses a gap; what remains at the end of an interval and is
shorter than a piece is left out.
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
        starts: Begin of each in seconds; NaN where it has none.
        stops: End of each in seconds.
        bins: Bins of every span; None where they differ.
        rows: Row of the table that each span belongs to; None if they belong to none.
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
    """Number of bins of a window; SettingError if it is not whole."""
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


def bins_of_piece(bin_width: float, every: float) -> int:
    """Number of bins of a piece; SettingError if it is not whole."""
    bins = every / bin_width
    if not (math.isfinite(bins) and bins > 0.5 and abs(bins - round(bins)) < binning.SLACK):
        whole = max(math.ceil(bins - binning.SLACK), 1) * bin_width if math.isfinite(bins) else math.nan
        raise SettingError(
            "A piece must hold a whole number of bins.",
            f"{every:g} s are {bins:.6g} bins of {bin_width:g} s.",
            f"Give --every {whole:.6g}." if math.isfinite(whole) and whole > 0 else "Give a number of seconds.",
        )
    return round(bins)


def pieces(
    observed: Float[np.ndarray, "interval 2"],
    inside: Float[np.ndarray, "row 2"] | None,
    bins: int,
    bin_width: float,
) -> tuple[Spans, float]:
    """Consecutive pieces of the observed times, and the seconds at ends of intervals that belong to none.

    Args:
        observed: Disjoint, sorted intervals in seconds.
        inside: Begin and end of each row of a table, inside which pieces must lie; None for all observed times.
        bins: Bins of a piece.
        bin_width: Width of a bin in seconds.
    """
    if inside is None:
        intervals, row = observed, None
    else:
        parts = [binning.intersection(span[None], observed) for span in inside]
        intervals = np.concatenate([np.zeros((0, 2)), *parts])
        row = np.repeat(np.arange(len(inside)), [len(part) for part in parts])
    every = bins * bin_width
    number = np.floor((intervals[:, 1] - intervals[:, 0]) / every + binning.SLACK / bins).astype(np.int64)
    which = np.repeat(np.arange(len(intervals)), number)
    rank = np.arange(len(which)) - np.repeat(np.cumsum(number) - number, number)
    starts = intervals[which, 0] + rank * every
    rest = float((intervals[:, 1] - intervals[:, 0] - number * every).clip(0).sum())
    return Spans(starts, starts + every, bins, None if row is None else row[which]), rest


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
        at: Its times in seconds on the recording's clock.
        starts: Begin of each trial.
        stops: End of each trial.
        relative: Whether the trials' starts were added to the column; None if that was left open.
    """
    known = np.isfinite(at) & np.isfinite(starts) & np.isfinite(stops)
    outside = known & ((at < starts) | (at > stops))
    if not known.any() or outside.sum() <= known.sum() / 2:
        return
    first = int(np.flatnonzero(outside)[0])
    where = f"trial {first} lasts from {starts[first]:g} to {stops[first]:g} s"
    if relative:
        value = at[first] - starts[first]
        raise DataError(
            f"Times of {name!r}, relative to their trials, must lie inside them.",
            f"{int(outside.sum())} of {int(known.sum())} do not: {where}, {name} is {value:g} after its start.",
            "Check the unit of the column (seconds?), or leave --relative out.",
        )
    raise DataError(
        f"Times of the alignment column {name!r} must be on the clock of the recording.",
        f"{int(outside.sum())} of {int(known.sum())} lie outside their own trial: {where}, and its {name} is "
        f"{at[first]:g}.",
        "If the column counts from the start of each trial, add --relative (in Python relative=True); "
        "if it is right as it is, --absolute (relative=False).",
    )


def drop_without(kept: Kept, spans: Spans, why: str) -> None:
    """Drop the spans that have no begin or end."""
    kept.drop(~(np.isfinite(spans.starts) & np.isfinite(spans.stops)), why)
