"""Limits of padding: a warning or an error if most of an array of trials would be padding.

All trials are stored in one array, padded to the longest trial. One trial that is a thousand times longer than the
others multiplies the memory of all trials by a thousand. Up to `MOST_PADDING` bins of padding per valid bin are
accepted. More padding causes a `PaddingWarning`, or an error if the array would also be large.
"""

import warnings

import numpy as np
from numpy.typing import NDArray

from spikeloom.errors import DataError, SpikeloomWarning

MOST_PADDING = 4
"""Largest number of bins of padding per valid bin that is accepted without a warning."""

LARGE = 2**27
"""Largest number of entries of an array (trial, time, neuron) that is mostly padding: 128 MiB in the smallest type."""


class PaddingWarning(SpikeloomWarning):
    """Most of an array of trials is padding, because one trial is much longer than the others."""


def check_padding(lengths: NDArray[np.int64], n_neurons: int, bin_width: float, *, large: int = LARGE) -> None:
    """Warn if trials of these lengths are mostly padding, and refuse them if their array would also be large.

    Args:
        lengths: Valid bins of each trial (trial,).
        n_neurons: Number of neurons, or of other values in each bin.
        bin_width: Width of a bin in seconds.
        large: Largest number of entries (trial, time, neuron) of an array that is mostly padding.

    Raises:
        DataError: if most entries are padding and there are more than `large`.

    Warns:
        PaddingWarning: if most entries are padding.
    """
    if not len(lengths):
        return
    longest = int(lengths.max())
    valid = int(lengths.sum())
    padded = longest * len(lengths)
    if padded - valid <= MOST_PADDING * valid:
        return
    lengths_text = (
        f"The longest of {len(lengths)} trials lasts {longest * bin_width:g} s, the median "
        f"{float(np.median(lengths)) * bin_width:g} s: {1 - valid / padded:.1%} of the array would be padding"
    )
    remedy = "Cut long trials into pieces (--every SECONDS, Trials.cut), or leave them out."
    n_entries = padded * n_neurons
    if n_entries > large:
        raise DataError(
            "All trials are padded to the length of the longest trial.",
            f"{lengths_text}, {n_entries:.2g} entries in all.",
            remedy,
        )
    warnings.warn(f"{lengths_text}. {remedy}", PaddingWarning, stacklevel=3)
