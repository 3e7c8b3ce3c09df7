"""Convert trials and arrays to values that JSON can hold: numbers, lists and None."""

import json
from collections.abc import Mapping, Sequence

import numpy as np

from spikeloom.shapes import Numbers
from spikeloom.trials import Trials

Json = dict[str, object]
"""A JSON object."""

MOST_RASTERS = 8
"""Largest number of generated trials of one condition whose spikes are sent to the page."""


def encoded(value: Mapping[str, object]) -> bytes:
    """Return an object as JSON in UTF-8. Raise a ValueError if it holds NaN or infinity."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def number(value: float | None, digits: int = 6) -> float | None:
    """Return a number with a limited number of significant digits; None for NaN, infinity and None."""
    return None if value is None or not np.isfinite(value) else float(f"{value:.{digits}g}")


def numbers(values: Numbers, decimals: int) -> list[object]:
    """Return an array as nested lists, rounded; NaN and infinity become None."""
    array = np.round(np.asarray(values, np.float64), decimals)
    if np.isfinite(array).all():
        return list(array.tolist())
    plain = array.astype(object)
    plain[~np.isfinite(array)] = None
    return list(plain.tolist())


def raster(trials: Trials, trial: int) -> list[list[int]]:
    """Return a list for each neuron with the bins of its spikes in one trial. A bin with two spikes occurs twice."""
    counts = trials.counts[trial, : trials.lengths[trial]].astype(np.int64)
    bins = np.arange(len(counts))
    return [np.repeat(bins, column).tolist() for column in counts.T]


def population_rate(trials: Trials, trial: int) -> list[object]:
    """Return the mean rate over neurons in each bin of one trial, in spikes/s."""
    counts = trials.counts[trial, : trials.lengths[trial]]
    return numbers(counts.mean(1) / trials.bin_width, 3)


def rasters(trials: Trials, *, seed: int, most: int | None = None) -> list[Json]:
    """Return the spikes and the population rate of the first trials.

    Args:
        trials: The trials.
        seed: Random seed from which they were generated. It is copied to every entry.
        most: Largest number of trials; None returns all.
    """
    rows: Sequence[int] = range(len(trials))[:most]
    return [{"seed": seed, "trial": k, "spikes": raster(trials, k), "rate": population_rate(trials, k)} for k in rows]
