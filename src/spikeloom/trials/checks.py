"""Checks and conversions of the arrays that `Trials` are made from."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeloom.errors import DataError, ShapeError
from spikeloom.shapes import Array, TrialCounts, TrialMask


def whole_counts(counts: Any) -> TrialCounts:
    """Counts as the smallest unsigned integers that hold them.

    Raises:
        ShapeError: if there are not three axes (trial, time, neuron).
        DataError: if a count is negative, fractional, NaN or infinite; names the first one and how many more.
    """
    array = np.asarray(counts)
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
            bad |= ~(np.isfinite(array) & (array == np.floor(array)))
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


def whole_lengths(lengths: Any, trials: int, time: int) -> NDArray[np.int64]:
    """Lengths as integers; all of them `time` if there are none."""
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


def start_seconds(start_times: Any, trials: int) -> NDArray[np.float64]:
    """Start times as float64 seconds, finite or NaN."""
    array = expect("start_times", np.asarray(start_times), (trials,))
    if array.dtype.kind not in "uif" or np.isinf(array).any():
        raise DataError(
            "start_times must be seconds, NaN where unknown.",
            f"They are {array.dtype}, {array[:5].tolist()} ...",
            "Give the time at which each trial's first bin begins, or leave start_times out.",
        )
    return array.astype(np.float64)


def column(name: str, value: Any) -> Array:
    """A condition or neuron column as numbers or text."""
    array = np.asarray(value)
    if array.dtype.kind == "O":
        array = np.asarray(array.tolist())
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8")
    if array.dtype.kind not in "uifbU":
        raise DataError(
            "A condition or neuron column must hold numbers or text.",
            f"{name!r} holds {array.dtype}.",
            "Convert it, for instance dates to seconds.",
        )
    return array


def blank(array: Array, mask: TrialMask) -> Array:
    """Zero what lies beyond each trial's length."""
    if mask.all():
        return array
    return np.where(mask[:, :, None], array, np.zeros((), array.dtype))


def frozen(array: Array) -> Array:
    """A read-only view."""
    view = array.view()
    view.flags.writeable = False
    return view


def expect(name: str, array: Array, shape: tuple[Any, ...]) -> Array:
    """The array, if it has this shape; -1 stands for any size, a last ... for any further axes."""
    wanted = shape[:-1] if shape[-1] is ... else shape
    same = all(want in (-1, size) for want, size in zip(wanted, array.shape, strict=False))
    if not same or array.ndim < len(wanted) or (array.ndim > len(wanted) and shape[-1] is not ...):
        raise ShapeError(
            f"The axes of {name} must be ({', '.join('any' if want in (-1, ...) else str(want) for want in shape)}).",
            f"Its shape is {array.shape}.",
            "Give one value for each trial (and bin, and neuron) of the counts.",
        )
    return array
