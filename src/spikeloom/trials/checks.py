"""Check and convert the arguments of `Trials`.

`checked_fields` checks all arguments; each of the other functions checks one of them.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spikeloom import clock, objects
from spikeloom.errors import DataError, ShapeError
from spikeloom.shapes import Array, Fields, Numbers, TrialCounts, TrialMask, mask_of

if TYPE_CHECKING:
    from spikeloom.trials.trials import Trials

ROUNDING = 1e-6
"""Largest distance of a floating-point count from a whole number. Larger distances are no rounding errors."""


def checked_fields(arguments: "Trials") -> Fields:
    """Check and convert the arguments of `Trials`; see its docstring for the errors.

    Args:
        arguments: Trials whose fields hold the arguments without any check.

    Returns:
        The fields by name. Arrays have the right axes and types, are 0 in the padding, and are read-only.
    """
    unpadded, lengths = without_padding(arguments.counts, arguments.lengths)
    counts = whole_counts(unpadded)
    n_trials, n_bins, n_neurons = counts.shape
    bin_width = clock.duration(arguments.bin_width, what="A bin width")
    if not (np.isfinite(bin_width) and bin_width > 0):
        raise DataError(
            "A bin width must be a positive number of seconds.",
            f"It was {arguments.bin_width!r}.",
            "For 5 ms bins give bin_width=0.005.",
        )
    lengths = whole_lengths(lengths, n_trials, n_bins)
    mask = mask_of(lengths, n_bins)
    fields: Fields = {"bin_width": bin_width, "lengths": frozen(lengths), "counts": frozen(blank(counts, mask))}
    for name, shape in (  # an axis of -1 may have any size
        ("rates", (n_trials, n_bins, n_neurons)),
        ("latents", (n_trials, n_bins, -1)),
        ("codes", (n_trials, -1)),
    ):
        value = getattr(arguments, name)
        if value is not None:
            array = expect(name, np.asarray(value, np.float32), shape)
            fields[name] = frozen(array if name == "codes" else blank(array, mask))
    if arguments.start_times is not None:
        fields["start_times"] = frozen(start_seconds(arguments.start_times, n_trials))
    if arguments.conditioned_on is not None:
        fields["conditioned_on"] = tuple(arguments.conditioned_on)
    fields["behavior"] = {}
    fields["units"] = {}
    for name, value in arguments.behavior.items():
        quantity = objects.measured(value)
        array = objects.plain(value) if quantity is None else quantity.numbers
        array = array[..., None] if array.ndim == 2 else array  # one value per bin
        array = blank(expect(f"behavior {name!r}", array, (n_trials, n_bins, -1)), mask)
        fields["behavior"][name] = frozen(array)
        fields["units"][name] = arguments.units.get(name, "" if quantity is None else quantity.unit)
    fields["units"] |= {name: unit for name in arguments.conditions if (unit := arguments.units.get(name))}
    for group, n_rows in (("conditions", n_trials), ("neuron_table", n_neurons)):
        table = {name: column(name, value) for name, value in getattr(arguments, group).items()}
        fields[group] = {
            name: frozen(expect(f"{group} {name!r}", value, (n_rows, ...))) for name, value in table.items()
        }
    return fields


def whole_counts(counts: object) -> TrialCounts:
    """Convert counts to the smallest unsigned integer type that holds them.

    Raises:
        ShapeError: if there are not three axes (trial, time, neuron).
        DataError: if a count is negative, fractional, NaN or infinite. The message names the first one and their
            number.
    """
    quantity = objects.measured(counts)
    if quantity is not None and quantity.unit != "dimensionless":
        raise DataError("Counts must be spikes per bin.", f"Their unit is {quantity.unit}.", "Give spike counts.")
    array: Numbers = objects.plain(counts) if quantity is None else quantity.numbers
    if array.dtype.kind == "O" and array.ndim == 3:  # Python objects, such as int or None
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
            array = array if bad.any() else rounded  # the error below shows the value before rounding
        if bad.any():
            trial, time, neuron = np.argwhere(bad)[0]
            raise DataError(
                "Counts must be whole numbers >= 0.",
                f"{int(bad.sum())} of {bad.size} are not; the first is {array[trial, time, neuron]:g} "
                f"at trial {trial}, bin {time}, neuron {neuron}.",
                "Give spike counts per bin, not rates or z-scores; remove NaN bins or shorten lengths.",
            )
    largest = int(array.max()) if array.size else 0
    return array.astype(np.min_scalar_type(largest), copy=False)


def without_padding(counts: object, lengths: object) -> tuple[object, object]:
    """Return counts whose padding is 0 instead of NaN (masked entries count as NaN), and lengths.

    Without lengths, bins at the end of a trial that are NaN for all neurons are padding. With lengths, all bins after
    the length of a trial are padding. Counts without NaN are returned unchanged.

    Raises:
        DataError: if all bins of a trial are NaN.
    """
    if objects.measured(counts) is not None:
        return counts, lengths
    array = objects.plain(counts)
    if array.dtype.kind == "O" and array.ndim == 3:  # Python objects, such as int or None
        array = objects.column(array)
    if array.dtype.kind != "f" or array.ndim != 3 or not np.isnan(array).any():
        return array, lengths
    if lengths is None:
        valid = np.asarray(~np.isnan(array).all(2))
        n_after_last = valid[:, ::-1].argmax(1)  # number of bins after the last valid one
        n_valid = np.where(valid.any(1), valid.shape[1] - n_after_last, 0)
        if not n_valid.all():
            raise DataError(
                "Every trial must have at least one bin that is not NaN.",
                f"Trial {int(np.flatnonzero(n_valid == 0)[0])} has none.",
                "Leave it out.",
            )
    else:
        n_valid = whole_lengths(lengths, array.shape[0], array.shape[1])
    mask = np.arange(array.shape[1]) < n_valid[:, None]
    return np.where(mask[:, :, None], array, 0), n_valid


def whole_lengths(lengths: object, n_trials: int, n_bins: int) -> NDArray[np.int64]:
    """Check the lengths of trials, and return them as integers. `None` means that all trials have `n_bins` bins."""
    if lengths is None:
        return np.full(n_trials, n_bins, np.int64)
    array = np.asarray(lengths)
    if array.shape != (n_trials,) or not ((array >= 1) & (array <= n_bins) & (array == np.floor(array))).all():
        raise ShapeError(
            f"lengths must hold one whole number from 1 to {n_bins} for each of {n_trials} trials.",
            f"It has shape {array.shape} and values {array.ravel()[:5].tolist()} ...",
            "Give the valid bins of each trial, or leave lengths out when all trials are equally long.",
        )
    return array.astype(np.int64)


def start_seconds(start_times: object, n_trials: int) -> NDArray[np.float64]:
    """Return start times as float64 seconds, after a check that they are numbers and not infinite."""
    array = expect("start_times", np.asarray(start_times), (n_trials,))
    if array.dtype.kind not in "uif" or np.isinf(array).any():
        raise DataError(
            "start_times must be seconds, NaN where unknown.",
            f"They are {array.dtype}, {array[:5].tolist()} ...",
            "Give the time at which each trial's first bin begins, or leave start_times out.",
        )
    return array.astype(np.float64)


def column(name: str, value: object) -> Array:
    """Return a condition, or a column of the neuron table, as an array of numbers or text."""
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
    """Return a read-only view of an array."""
    view = array.view()
    view.flags.writeable = False
    return view


def expect(name: str, array: Array, shape: tuple[object, ...]) -> Array:
    """Return the array if it has the expected shape, else raise a ShapeError.

    Args:
        name: Name of the array, for messages.
        array: Array.
        shape: Expected shape. A size of -1 matches any size, and a final ... matches any further axes.
    """
    has_more_axes = shape[-1] is ...
    sizes = shape[:-1] if has_more_axes else shape
    sizes_fit = all(expected in (-1, size) for expected, size in zip(sizes, array.shape, strict=False))
    if not sizes_fit or array.ndim < len(sizes) or (array.ndim > len(sizes) and not has_more_axes):
        expected_axes = ", ".join("any" if expected in (-1, ...) else str(expected) for expected in shape)
        raise ShapeError(
            f"The axes of {name} must be ({expected_axes}).",
            f"Its shape is {array.shape}.",
            "Give one value for each trial (and bin, and neuron) of the counts.",
        )
    return array
