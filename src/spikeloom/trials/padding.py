"""Limits of padding: all trials fill an array as long as the longest one.

One trial a thousand times as long as the others multiplies the memory of all of them by a thousand. Padding of up to
`MOST_PADDING` bins per valid bin is silent. More causes a `PaddingWarning`, and an error before the array is made if
the array would also be large.
"""

import warnings

import numpy as np
from numpy.typing import NDArray

from spikeloom.errors import DataError, SpikeloomWarning

MOST_PADDING = 4
"""Bins of padding per valid bin that need no warning."""

LARGE = 2**27
"""Entries of an array (trial, time, neuron) from which on more padding is refused: 128 MiB in the smallest type."""


class PaddingWarning(SpikeloomWarning):
    """Most of an array of trials is padding, because one trial is much longer than the others."""


def check_padding(lengths: NDArray[np.int64], n_neurons: int, bin_width: float, *, large: int = LARGE) -> None:
    """Warn if trials of these lengths are mostly padding, and refuse them if their array would also be large.

    Args:
        lengths: Valid bins of each trial (trial,).
        n_neurons: Number of neurons, or of other values in each bin.
        bin_width: Width of a bin in seconds.
        large: Entries (trial, time, neuron) that an array which is mostly padding may have.

    Raises:
        DataError: if most entries are padding and there are more than `large`.

    Warns:
        PaddingWarning: if most entries are padding.
    """
    if not len(lengths):
        return
    longest, valid = int(lengths.max()), int(lengths.sum())
    padded = longest * len(lengths)
    if padded - valid <= MOST_PADDING * valid:
        return
    found = (
        f"The longest of {len(lengths)} trials lasts {longest * bin_width:g} s, the median "
        f"{float(np.median(lengths)) * bin_width:g} s: {1 - valid / padded:.1%} of the array would be padding"
    )
    cure = "Cut long trials into pieces (--every SECONDS, Trials.cut), or leave them out."
    if padded * n_neurons > large:
        raise DataError(
            "Trials are padded to the longest one.", f"{found}, {padded * n_neurons:.2g} entries in all.", cure
        )
    warnings.warn(f"{found}. {cure}", PaddingWarning, stacklevel=3)
