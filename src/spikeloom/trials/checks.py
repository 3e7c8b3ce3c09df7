"""Checks and conversions of the arrays that `Trials` are made from."""

import numpy as np
from numpy.typing import NDArray

from spikeloom import objects
from spikeloom.errors import DataError, ShapeError
from spikeloom.shapes import Array, Numbers, TrialCounts, TrialMask

ROUNDING = 1e-6
"""Largest distance of a floating-point count from a whole number, as rounding errors leave it."""


def whole_counts(counts: object) -> TrialCounts:
    """Convert counts to the smallest unsigned integer type that holds them.

    Raises:
        ShapeError: if there are not three axes (trial, time, neuron).
        DataError: if a count is negative, fractional, NaN or infinite; names the first one and how many more.
    """
    quantity = objects.measured(counts)
    if quantity is not None and quantity.unit != "dimensionless":
        raise DataError("Counts must be spikes per bin.", f"Their unit is {quantity.unit}.", "Give spike counts.")
    array: Numbers = objects.plain(counts) if quantity is None else quantity.numbers
    if array.dtype.kind == "O" and array.ndim == 3:
        array = objects.column(array)
    if array.ndim != 3:
        raise ShapeError(
            "Counts must have three axes (trial, time, neuron).",
            f"They have shape {array.shape}.",
            'Use Trials.from_array(x, axes="...", bin_width=...) to name the axes.',
        )
    if array.dtype.kind not in "uifb":
        raise DataError("Counts must be numbers.", f"They are {array.dtype}.", "Convert them to whole numbers.")
    if array.dtype.kind in "if":
        bad = array < 0
        if array.dtype.kind == "f":
            rounded = np.rint(array)
            bad = ~(np.isfinite(array) & (np.abs(array - rounded) <= ROUNDING) & (rounded >= 0))
            array = array if bad.any() else rounded
        if bad.any():
            trial, time, neuron = np.argwhere(bad)[0]
            raise DataError(
                "Counts must be whole numbers >= 0.",
                f"{int(bad.sum())} of {bad.size} are not; the first is {array[trial, time, neuron]:g} "
                f"at trial {trial}, bin {time}, neuron {neuron}.",
                "Give spike counts per bin, not rates or z-scores; remove NaN bins or shorten lengths.",
            )
    top = int(array.max()) if array.size else 0
    return array.astype(np.min_scalar_type(top), copy=False)


def without_padding(counts: object, lengths: object) -> tuple[object, object]:
    """Replace padding of NaN or masked bins by zeros, and return counts and lengths.

    Without lengths, bins at the end of a trial that are NaN for all neurons are padding. With lengths, all bins beyond
    them are padding.

    Raises:
        DataError: if a trial has no bin that is not NaN.
    """
    if objects.measured(counts) is not None:
        return counts, lengths
    array = objects.plain(counts)
    if array.dtype.kind == "O" and array.ndim == 3:
        array = objects.column(array)
    if array.dtype.kind != "f" or array.ndim != 3 or not np.isnan(array).any():
        return array, lengths
    if lengths is None:
        valid = np.asarray(~np.isnan(array).all(2))
        valid_bins = np.where(valid.any(1), valid.shape[1] - valid[:, ::-1].argmax(1), 0)
        if not valid_bins.all():
            raise DataError(
                "Every trial must have at least one bin that is not NaN.",
                f"Trial {int(np.flatnonzero(valid_bins == 0)[0])} has none.",
                "Leave it out.",
            )
    else:
        valid_bins = whole_lengths(lengths, array.shape[0], array.shape[1])
    return np.where((np.arange(array.shape[1]) < valid_bins[:, None])[:, :, None], array, 0), valid_bins


def whole_lengths(lengths: object, trials: int, time: int) -> NDArray[np.int64]:
    """Return lengths as integers. By default all are `time`."""
    if lengths is None:
        return np.full(trials, time, np.int64)
    array = np.asarray(lengths)
    if array.shape != (trials,) or not ((array >= 1) & (array <= time) & (array == np.floor(array))).all():
        raise ShapeError(
            f"lengths must hold one whole number from 1 to {time} for each of {trials} trials.",
            f"It has shape {array.shape} and values {array.ravel()[:5].tolist()} ...",
            "Give the valid bins of each trial, or leave lengths out when all trials are equally long.",
        )
    return array.astype(np.int64)


def start_seconds(start_times: object, trials: int) -> NDArray[np.float64]:
    """Return start times as float64 seconds, finite or NaN."""
    array = expect("start_times", np.asarray(start_times), (trials,))
    if array.dtype.kind not in "uif" or np.isinf(array).any():
        raise DataError(
            "start_times must be seconds, NaN where unknown.",
            f"They are {array.dtype}, {array[:5].tolist()} ...",
            "Give the time at which each trial's first bin begins, or leave start_times out.",
        )
    return array.astype(np.float64)


def column(name: str, value: object) -> Array:
    """Return a condition or neuron column as numbers or text."""
    try:
        return objects.column(value)
    except DataError as error:
        raise DataError(
            "A condition or neuron column must hold numbers or text.",
            f"The column is {name!r}. {error.args[1]}",
            "Convert it, for instance dates to seconds.",
        ) from error


def blank(array: Array, mask: TrialMask) -> Array:
    """Set the padding after each trial to zero."""
    if mask.all():
        return array
    return np.where(mask[:, :, None], array, np.zeros((), array.dtype))


def frozen(array: Array) -> Array:
    """Return a read-only view."""
    view = array.view()
    view.flags.writeable = False
    return view


def expect(name: str, array: Array, shape: tuple[object, ...]) -> Array:
    """Return the array if it has this shape, else raise a ShapeError.

    In the shape, -1 stands for any size, and a final ... for any further axes.
    """
    wanted = shape[:-1] if shape[-1] is ... else shape
    same = all(want in (-1, size) for want, size in zip(wanted, array.shape, strict=False))
    if not same or array.ndim < len(wanted) or (array.ndim > len(wanted) and shape[-1] is not ...):
        raise ShapeError(
            f"The axes of {name} must be ({', '.join('any' if want in (-1, ...) else str(want) for want in shape)}).",
            f"Its shape is {array.shape}.",
            "Give one value for each trial (and bin, and neuron) of the counts.",
        )
    return array
