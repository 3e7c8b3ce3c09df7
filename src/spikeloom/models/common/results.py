"""Results of a model: arrays of generated or inferred trials, and functions that join batches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import TypeVar

import numpy as np
import torch
from tqdm import tqdm

from spikeloom.nn.ssm import keep_kernels
from spikeloom.observation.slots import batches
from spikeloom.shapes import TrialCodes, TrialCounts, TrialLatents, TrialRates

BINS_AT_ONCE = 2**16
"""Bins of one batch. Longer trials come in smaller batches, so that memory stays bounded."""


@dataclass(frozen=True, eq=False)
class Generated:
    """Generated trials.

    Args:
        counts: Spikes/bin (trial, time, neuron).
        rates: Expected spikes/bin (trial, time, neuron).
        latents: Latents (trial, time, latent), of models that have them.
        codes: Codes (trial, code), of models that have them.
    """

    counts: TrialCounts
    rates: TrialRates | None = None
    latents: TrialLatents | None = None
    codes: TrialCodes | None = None

    def bins(self, first: int, last: int) -> "Generated":
        """Return the bins from `first` up to, but not including, `last`."""
        arrays = arrays_of(self)
        return Generated(**{name: value[:, first:last] if value.ndim > 2 else value for name, value in arrays.items()})


@dataclass(frozen=True, eq=False)
class Inferred:
    """Results that a model infers from recorded trials; see `Generated` for the fields."""

    rates: TrialRates | None = None
    latents: TrialLatents | None = None
    codes: TrialCodes | None = None


Result = TypeVar("Result")


def end_to_end(pieces: Sequence[Generated]) -> Generated:
    """Join consecutive pieces of the same trials in time. Codes are taken from the first piece."""
    arrays = [arrays_of(piece) for piece in pieces]
    return Generated(
        **{
            name: np.concatenate([piece[name] for piece in arrays], 1) if value.ndim > 2 else value
            for name, value in arrays[0].items()
        }
    )


def in_pieces(generate: Callable[[slice], Generated], n_bins: int, *, entries: int) -> Generated:
    """Generate all bins of trials in consecutive pieces, whose arrays fit into the cache of a processor.

    Args:
        generate: Function that generates the bins of a slice. The slices come in the order of time.
        n_bins: Total number of bins.
        entries: Size of the largest array in one bin, for all trials together.
    """
    joined: dict[str, np.ndarray] = {}
    for bins in batches(n_bins, entries):
        piece = generate(bins)
        if bins == slice(0, n_bins):  # this piece holds all bins
            return piece
        for name, value in arrays_of(piece).items():
            if name not in joined:
                joined[name] = np.empty((len(value), n_bins, *value.shape[2:]), value.dtype)
            joined[name][:, bins] = value
    return Generated(**joined)


def in_order(rows: Sequence[np.ndarray], groups: Sequence[Generated]) -> Generated:
    """Join groups of trials into one batch: row i of group g becomes trial `rows[g][i]`. Pad shorter trials with 0."""
    n_trials = sum(map(len, rows))
    n_bins = max(group.counts.shape[1] for group in groups)
    joined: dict[str, np.ndarray] = {}
    for trials, group in zip(rows, groups, strict=True):
        for name, value in arrays_of(group).items():
            if name not in joined:
                joined[name] = _zeros_of_all(name, value, n_trials, n_bins)
            _put(joined[name], trials, value)
    return Generated(**joined)


def arrays_of(result: object) -> dict[str, np.ndarray]:
    """Return name -> array of the fields of a result that are not None."""
    assert is_dataclass(result)
    assert not isinstance(result, type)
    named = {field.name: getattr(result, field.name) for field in fields(result)}
    return {name: value for name, value in named.items() if value is not None}


def batch_size(n_bins: int, *, largest: int = 64) -> int:
    """Return the number of trials of `n_bins` bins that are in memory at once."""
    return max(1, min(largest, BINS_AT_ONCE // n_bins))


def in_batches(
    compute: Callable[[np.ndarray], Result],
    n_trials: int,
    n_bins: int,
    *,
    batch: int,
    description: str,
    progress: bool | None = False,
) -> Result:
    """Compute results of consecutive trials, batch by batch, and join them.

    Args:
        compute: Function from the rows of a batch (trial,) to a dataclass, whose fields are arrays or None. Arrays with
            three axes are (trial, time, ...); arrays with fewer axes have no time axis.
        n_trials: Number of trials.
        n_bins: Number of bins to which arrays with a time axis are padded.
        batch: Trials of a batch.
        description: Text beside the progress bar.
        progress: Show progress; None shows it on a terminal.
    """
    joined: dict[str, np.ndarray] = {}
    kind: type[Result] | None = None
    hide = None if progress is None else not progress
    with (
        torch.inference_mode(),
        keep_kernels(),
        tqdm(total=n_trials, unit="trial", desc=description, disable=hide, delay=2, smoothing=0) as bar,
    ):
        for start in range(0, n_trials, batch):
            rows = np.arange(start, min(start + batch, n_trials))
            result = compute(rows)
            kind = type(result)
            for name, value in arrays_of(result).items():
                if name not in joined:
                    joined[name] = _zeros_of_all(name, value, n_trials, n_bins)
                _put(joined[name], slice(start, start + len(rows)), value)
            bar.update(len(rows))
    if kind is None:
        raise ValueError("there are no trials")
    return kind(**joined)


def _put(into: np.ndarray, rows: np.ndarray | slice, value: np.ndarray) -> None:
    """Set the rows of an array to a value. If the value has a time axis, only as many bins as it has are set."""
    if value.ndim > 2:
        into[rows, : value.shape[1]] = value
    else:
        into[rows] = value


def _zeros_of_all(name: str, value: np.ndarray, n_trials: int, n_bins: int) -> np.ndarray:
    """Return an array of zeros for all trials and bins, into which arrays of batches like `value` are written."""
    axes = (n_trials, n_bins, *value.shape[2:]) if value.ndim > 2 else (n_trials, *value.shape[1:])
    return np.zeros(axes, np.int32 if name == "counts" else np.float32)
