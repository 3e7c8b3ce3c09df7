"""Change the time axis of trials: wider bins, or several pieces in place of one trial."""

import math
import warnings
from typing import TYPE_CHECKING

import numpy as np

from spikeloom.errors import DataError, SpikeloomWarning
from spikeloom.shapes import Array, Fields
from spikeloom.text import counted

if TYPE_CHECKING:
    from spikeloom.trials.trials import Trials

PER_BIN = ("counts", "rates", "latents")
"""Fields of `Trials` with a time axis, besides behaviour."""

PIECE_TOLERANCE = 1e-3
"""Fraction of a bin by which a piece may deviate from the requested length without a warning."""


class PieceLengthWarning(SpikeloomWarning):
    """Trials were cut into pieces of a whole number of bins, which are shorter or longer than requested."""


def rebinned(trials: "Trials", factor: int) -> Fields:
    """Return the fields that change if bins become `factor` times as wide; see `Trials.rebin`."""
    is_whole = isinstance(factor, int | np.integer)
    if not is_whole or factor < 1 or (len(trials) and factor > trials.lengths.min()):
        raise DataError(
            "A rebin factor must be a whole number from 1 to the bins of the shortest trial.",
            f"It was {factor}; the shortest trial has "
            f"{counted(int(trials.lengths.min()) if len(trials) else 0, 'bin')}.",
            "Choose a smaller factor, or remove short trials with select.",
        )
    n_wide = trials.n_bins // factor

    def blocks(value: Array) -> Array:
        """Return the values of each wide bin along an axis of their own (trial, wide bin, bin, ...)."""
        return value[:, : n_wide * factor].reshape(len(trials), n_wide, factor, *value.shape[2:])

    return {
        "counts": blocks(trials.counts).sum(2),
        "rates": None if trials.rates is None else blocks(trials.rates).sum(2),
        "latents": None if trials.latents is None else blocks(trials.latents).mean(2),
        "lengths": trials.lengths // factor,
        "bin_width": trials.bin_width * factor,
        "behavior": {name: blocks(value).mean(2) for name, value in trials.behavior.items()},
    }


def pieces(trials: "Trials", every: float) -> Fields:
    """Return the fields that change if trials are cut into pieces of `every` seconds; see `Trials.cut`."""
    n_bins = round(every / trials.bin_width) if math.isfinite(every) else 0
    n_pieces = np.asarray(trials.lengths, np.int64) // max(n_bins, 1)  # pieces of 0 bins are refused below
    if n_bins < 1 or not n_pieces.any():
        longest = int(trials.lengths.max()) * trials.bin_width if len(trials) else 0
        raise DataError(
            f"Pieces must last from one bin, {trials.bin_width:g} s, to the longest trial, {longest:g} s.",
            f"{every:g} s were requested.",
            "",
        )
    if abs(every / trials.bin_width - n_bins) > PIECE_TOLERANCE:
        message = (
            f"Pieces last {n_bins * trials.bin_width:g} s instead of {every:g} s, because they must be a whole number "
            f"of bins of {trials.bin_width:g} s."
        )
        warnings.warn(message, PieceLengthWarning, stacklevel=3)
    trial_of_piece = np.repeat(np.arange(len(trials)), n_pieces)
    first_piece = np.cumsum(n_pieces) - n_pieces  # number of the first piece of each trial
    position = np.arange(len(trial_of_piece)) - np.repeat(first_piece, n_pieces)  # of a piece within its trial

    def cut(value: Array) -> Array:
        """Return the pieces (piece, time, ...) of an array (trial, time, ...)."""
        starts = position * n_bins
        return np.stack([value[row, start : start + n_bins] for row, start in zip(trial_of_piece, starts, strict=True)])

    fields: Fields = {name: cut(value) for name in PER_BIN if (value := getattr(trials, name)) is not None}
    if trials.start_times is not None:
        trial_starts = np.asarray(trials.start_times[trial_of_piece], float)
        fields["start_times"] = trial_starts + position * (n_bins * trials.bin_width)
    return fields | {
        "codes": None,
        "lengths": np.full(len(trial_of_piece), n_bins),
        "behavior": {name: cut(value) for name, value in trials.behavior.items()},
        "conditions": {name: value[trial_of_piece] for name, value in trials.conditions.items()},
    }
