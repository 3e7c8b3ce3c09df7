"""Read files of matrices (.npz, .npy and MATLAB's .mat) as `Recording` or `Trials`.

| a variable of the file | is read as |
|---|---|
| array of whole numbers with two or three axes | counts; axes and bin width must be given (see below) |
| cells, one array (time, neuron) per trial | counts of trials of different length |
| cells (neuron,) of times | spike times of a whole recording |
| cells (trial, neuron) or cells of cells, of times | spike times cut by trial; axes and a window must be given |
| `spike_times` with `spike_times_index` (ends of each neuron) or `spike_clusters` (its neuron) | spike times |
| rows of times padded with NaN | spike times, one row per neuron |

SciPy reads files of MATLAB up to version 7.2, and h5py later ones; the arrays have the axis order that MATLAB shows.
Fields of structs are variables with dotted names, such as "session.spikes". Nothing is unpickled: object arrays of
NumPy cause an error. Variables with one entry per trial beside spike times, such as start_time, become the trial table.

Axes and bin width of counts may stand in the file itself, as the variables `axes` ("neuron trial time") and
`bin_width`. The variable `lengths`, the valid bins of each trial, determines the axes if it fits only one order of
them. Otherwise axes must be given: a file does not show which of its axes is time.
"""

import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from spikeloom import clock
from spikeloom.data import arrays, tables
from spikeloom.data.matrix_files import read_matlab, read_numpy
from spikeloom.data.recording import Recording
from spikeloom.errors import DataError, FileError, SettingError
from spikeloom.files import check_is_here
from spikeloom.objects import Foreign
from spikeloom.shapes import Array
from spikeloom.trials import Trials

SUFFIXES = (".npz", ".npy", ".mat")
"""Endings of files of matrices."""

INDEX = "_index"
"""Ending of the name of a variable that holds, for each neuron, the end of its part of the spike times, as in NWB."""

OWNERS = ("spike_clusters", "spike_units", "spike_neurons", "clusters", "units")
"""Variables that can hold the neuron of each spike."""


@dataclass(frozen=True)
class Variable:
    """A variable of a file.

    Args:
        name: Name in the file.
        value: An array, or an object array of cells; None if it cannot be read.
        what: Shape and type, in words.
        role: "counts", "cells of counts", "cells of spike times", "spike times cut by trial", "spike times" or "rows of
            spike times"; "" if it can be none of these.
    """

    name: str
    value: Foreign
    what: str
    role: str


def is_matrix_file(path: str | os.PathLike[str]) -> bool:
    """Return whether a file is named .npz, .npy or .mat."""
    file = Path(path)
    return file.suffix.lower() in SUFFIXES and not file.is_dir()


def is_speech(path: str | os.PathLike[str]) -> bool:
    """Return whether a MATLAB file (before 7.3) has the layout of the speech data, with counts in tx1."""
    from scipy.io import whosmat  # scipy.io is slow to import

    try:
        return any(name == "tx1" for name, _, _ in whosmat(os.fspath(path)))
    except Exception:  # scipy raises many different errors for a file that is missing, damaged or of another version
        return False


def read_variables(path: str | os.PathLike[str]) -> list[Variable]:
    """Read all variables of a file, with the possible role of each.

    Raises:
        FileError: if there is no such file.
        CorruptFileError: if the file is damaged.
    """
    file = Path(path)
    check_is_here(file, "The file must hold matrices (.npz, .npy or .mat).")
    if not file.exists():
        raise FileError(f"There is no file {file}.", "", "Check the path.")
    values = read_matlab(file) if file.suffix.lower() == ".mat" else read_numpy(file)
    return [_variable(name, value, values) for name, value in values.items()]


def read_matrix(
    path: str | os.PathLike[str],
    *,
    variable: str | None = None,
    axes: str | None = None,
    bin_width: object = None,
    window: object = None,
) -> Recording | Trials:
    """Read trials or a recording from one variable of a file.

    Args:
        path: The file, .npz, .npy or .mat.
        variable: Name of the variable; optional if only one variable can be counts or spike times.
        axes: Axes of the variable as words: "neuron trial time" for counts, "neuron trial" for cells of spike times.
        bin_width: Width of a bin in seconds or with a unit. For counts, the width of the stored bins; for spike times
            that are cut by trial, the width of the bins in which they are counted.
        window: For spike times that are cut by trial, start and end on the clock of each trial.

    Raises:
        DataError: if there is no such variable, several are possible, or its values are neither counts nor times.
        SettingError: if axes, bin width or window are missing.
        FileError: if there is no such file; CorruptFileError if it is damaged.
    """
    file = Path(path)
    variables = {entry.name: entry for entry in read_variables(file)}
    chosen = _choose(file, variables, variable)
    variables, chosen = _without_structs(chosen, variables)
    source = file.name
    if chosen.role in ("counts", "cells of counts"):
        return _counts(chosen, variables, axes=axes, bin_width=bin_width, source=source)
    if chosen.role == "spike times cut by trial":
        return _by_trial(chosen, axes=axes, bin_width=bin_width, window=window, source=source)
    trains, ids = _trains(chosen, variables)
    table = _trial_table(variables, chosen)
    neurons = {} if ids is None else {"id": ids}
    return Recording(trains, trial_table=table, neuron_table=neurons, source=source)


def _without_structs(chosen: Variable, variables: Mapping[str, Variable]) -> tuple[dict[str, Variable], Variable]:
    """Remove the names of structs from the names of variables: "a.b" becomes "b".

    If several variables then have the same name, the one in the struct of the chosen variable is kept. If none is in
    this struct, the outermost one is kept.
    """
    struct, _, name = chosen.name.rpartition(".")
    # first the variables of the struct of `chosen`, then those inside of few structs
    nearest = sorted(
        variables.values(), key=lambda entry: (entry.name.rpartition(".")[0] != struct, entry.name.count("."))
    )
    named: dict[str, Variable] = {}
    for entry in nearest:
        named.setdefault(entry.name.rpartition(".")[2], entry)
    return named, replace(chosen, name=name)


def _choose(file: Path, variables: Mapping[str, Variable], variable: str | None) -> Variable:
    """Return the variable to read: the named one, or the only one that can be counts or spike times.

    Args:
        file: The file, for messages.
        variables: All variables of the file by name.
        variable: Name that the user gives, or None.

    Raises:
        DataError: if there is no such variable, or several are possible.
    """
    candidates = [entry for entry in variables.values() if entry.role]
    listed = "; ".join(f"{entry.name}: {entry.what}, could be {entry.role}" for entry in candidates[:6])
    if variable is not None:
        if variable not in variables:
            raise DataError(
                f"{file.name} has no variable {variable!r}.",
                "",
                f"Its variables are {', '.join(variables) or 'none'}.",
            )
        if not variables[variable].role:
            raise DataError(
                "The variable must hold counts or spike times.",
                f"{variable!r} of {file.name} is {variables[variable].what}.",
                f"Choose from {listed}." if listed else "No variable of the file can be counts or spike times.",
            )
        return variables[variable]
    if "counts" in {entry.name for entry in candidates}:  # its name leaves no doubt
        return variables["counts"]
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise DataError(
            f"Several variables of {file.name} could be counts or spike times.",
            f"They are {listed}.",
            f"Choose one with --variable {candidates[0].name} (in Python variable={candidates[0].name!r}).",
        )
    contents = "; ".join(f"{entry.name}: {entry.what}" for entry in list(variables.values())[:8])
    raise DataError(
        "A file of matrices must hold counts of spikes, or spike times.",
        f"{file.name} holds {contents or 'nothing'}.",
        "Counts are whole numbers with two or three axes, spike times a cell with one array of times per neuron.",
    )


def _counts(
    chosen: Variable, variables: Mapping[str, Variable], *, axes: str | None, bin_width: object, source: str
) -> Trials:
    """Return the trials of a variable of counts, in bins of the stored or of a wider width.

    Args:
        chosen: The variable of counts.
        variables: All variables of the file by name, among which axes, bin width and lengths may be.
        axes: Axes of the counts as words, or None.
        bin_width: Requested width of a bin, or None for the stored width.
        source: Name of the file, for messages and for the trials.

    Raises:
        SettingError: if the axes or the bin width are missing, or the bin width does not fit the stored one.
    """
    stored = variables.get("bin_width")
    stored_width = float(stored.value.ravel()[0]) if stored is not None and np.size(stored.value) == 1 else None
    if bin_width is None and stored_width is None:
        raise SettingError(
            "Counts need the width of their bins.",
            f"There was none for {chosen.name!r} of {source}.",
            "Give --bin-width in seconds (in Python bin_width=), such as 0.01.",
        )
    requested = None if bin_width is None else clock.duration(bin_width, what="A bin width")
    width = requested if stored_width is None else stored_width
    if chosen.role == "cells of counts":
        parts = [np.asarray(cell) for cell in chosen.value.ravel()]
        if axes is None or sorted(axes.split()) != ["neuron", "time"]:
            raise SettingError(
                "Cells of counts need the axes of each cell.",
                f"They were {axes!r}; the first cell has shape {parts[0].shape}.",
                'Give --axes "time neuron" or --axes "neuron time".',
            )
        trials = arrays.from_counts(
            [part.T if axes.split()[0] == "neuron" else part for part in parts], bin_width=width, source=source
        )
    else:
        lengths = _lengths(variables)
        axes = axes or _stored_axes(variables) or _axes_of_lengths(chosen.value.shape, lengths)
        if axes is None:
            raise SettingError(
                "Counts need the names of their axes.",
                f"There were none for {chosen.name!r} of {source}, {chosen.what}.",
                f"Give --axes (in Python axes=), such as {_axes_example(chosen.value.ndim)}.",
            )
        known_lengths = {} if lengths is None else {"lengths": lengths}
        trials = Trials.from_array(chosen.value, axes=axes, bin_width=width, source=source, **known_lengths)
    if requested is None or stored_width is None:
        return trials
    factor = round(requested / stored_width)
    if factor < 1 or not np.isclose(factor * stored_width, requested, rtol=1e-6):
        raise SettingError(
            "The bin width must be the width of the stored bins, or a whole multiple of it.",
            f"The counts of {source} are in bins of {stored_width:g} s; {requested:g} s were requested.",
            f"Give --bin-width {max(factor, 1) * stored_width:g}.",
        )
    return trials if factor == 1 else trials.rebin(factor)


def _lengths(variables: Mapping[str, Variable]) -> Array | None:
    """Return the variable `lengths`, valid bins of each trial (trial,), if the file has it."""
    stored = variables.get("lengths")
    return None if stored is None or stored.value is None else np.asarray(stored.value).ravel()


def _stored_axes(variables: Mapping[str, Variable]) -> str | None:
    """Return the axes that the file itself names, in the variable `axes`: one text, or one word per axis."""
    stored = variables.get("axes")
    if stored is None or stored.value is None or stored.value.dtype.kind not in "UO":
        return None
    return " ".join(str(np.squeeze(word)) for word in stored.value.ravel())


def _axes_of_lengths(shape: tuple[int, ...], lengths: Array | None) -> str | None:
    """Return the only order of axes that fits the lengths (trial,), or None if none or several fit.

    An order fits if the axis of trials is as long as `lengths`, and the axis of time as long as the longest trial.
    """
    if lengths is None or len(shape) != 3 or not lengths.size:
        return None
    sizes = {"trial": lengths.size, "time": lengths.max()}  # the axis of neurons may have any size
    orders = [
        order
        for order in itertools.permutations(("trial", "time", "neuron"))
        if all(sizes.get(name, size) == size for name, size in zip(order, shape, strict=True))
    ]
    return " ".join(orders[0]) if len(orders) == 1 else None


def _axes_example(n_axes: int) -> str:
    """Return an example of the option for axes, for messages."""
    return '"neuron trial time" if they are in this order' if n_axes == 3 else '"time neuron" if they are in this order'


def _by_trial(chosen: Variable, *, axes: str | None, bin_width: object, window: object, source: str) -> Trials:
    """Count spike times that are cut by trial. Raise a SettingError without axes, window or bin width.

    Args:
        chosen: The variable of spike times.
        axes: Axes of its cells as words, "trial neuron" or "neuron trial".
        bin_width: Width of a bin, in seconds or with a unit.
        window: Start and end on the clock of each trial.
        source: Name of the file, for messages and for the trials.
    """
    cells = chosen.value
    if axes is None:
        raise SettingError(
            "Cells of spike times need the names of their axes.",
            f"There were none for {chosen.name!r} of {source}, {chosen.what}.",
            'Give --axes "neuron trial" or --axes "trial neuron".',
        )
    if window is None or bin_width is None:
        raise SettingError(
            "Spike times that are cut by trial need a window and a bin width.",
            f"There was window={window!r}, bin_width={bin_width!r} for {chosen.name!r} of {source}, {chosen.what}.",
            "Give --window START END, in seconds on the clock of each trial, and --bin-width.",
        )
    nested = [list(cell.ravel()) for cell in cells.ravel()] if _is_cells_of_cells(cells) else cells
    return Trials.from_spike_times(nested, axes=axes, window=window, bin_width=bin_width, source=source)


def _trains(chosen: Variable, variables: Mapping[str, Variable]) -> tuple[list[Foreign], Foreign]:
    """Return the spike times of each neuron, and the ids of the neurons if the file has them."""
    if chosen.role == "cells of spike times":
        return [cell if np.size(cell) else np.zeros(0) for cell in chosen.value.ravel()], None
    if chosen.role == "rows of spike times":
        return [row[~np.isnan(row)] for row in np.asarray(chosen.value, np.float64)], None
    times = np.asarray(chosen.value).ravel()
    if chosen.name + INDEX in variables:
        ends = np.asarray(variables[chosen.name + INDEX].value, np.int64).ravel()
        if (np.diff(ends, prepend=0) < 0).any() or (len(ends) and ends[-1] != len(times)):
            raise DataError(
                f"{chosen.name}{INDEX} must rise and end at the number of spike times.",
                f"There are {len(times)} spike times, the index ends at {ends[-1] if len(ends) else 0}.",
                "Save both arrays again.",
            )
        return np.split(times, ends[:-1]), None
    owner = next(variables[name] for name in OWNERS if name in variables)
    ids, neuron_of_spike = np.unique(np.asarray(owner.value).ravel(), return_inverse=True)
    return [np.sort(times[neuron_of_spike == neuron]) for neuron in range(len(ids))], ids


def _trial_table(variables: Mapping[str, Variable], chosen: Variable) -> dict[str, object]:
    """Return the variables with one entry per trial, by name.

    The number of trials is the number of entries of the first variable whose name is a name of times, such as
    start_time. Without such a variable, the table is empty.
    """
    used = {chosen.name, chosen.name + INDEX, *OWNERS}
    flat: dict[str, Array] = {}  # other variables of numbers or text in one row or column
    for name, entry in variables.items():
        if name in used or not isinstance(entry.value, np.ndarray) or entry.value.dtype.kind not in "iufbU":
            continue
        if entry.value.size > 1 and sum(size > 1 for size in entry.value.shape) == 1:
            flat[name] = entry.value.ravel()
    time_names = (tables.START, tables.STOP, *tables.ALIASES[tables.START], *tables.ALIASES[tables.STOP])
    timed = [name for name in flat if name in time_names or name.endswith("_time")]
    n_trials = len(flat[timed[0]]) if timed else -1  # no column has -1 entries
    return {name: column for name, column in flat.items() if len(column) == n_trials}


# --- what a variable could be ----------------------------------------------------------------------------------------


def _variable(name: str, value: Foreign, values: Mapping[str, Foreign]) -> Variable:
    """Describe a variable; `values` holds the values of all variables of the file by name."""
    if isinstance(value, str):  # the reason why it cannot be read
        return Variable(name, None, value, "")
    shape = " by ".join(map(str, value.shape)) or "1"
    if value.dtype == object:
        return Variable(name, value, f"{shape} cells", _role_of_cells(value))
    kinds = {"i": "whole numbers", "u": "whole numbers", "f": "numbers", "b": "true or false", "U": "text"}
    what = f"{shape} {kinds.get(value.dtype.kind, 'entries')} ({value.dtype.name})"
    return Variable(name, value, what, _role_of_array(name, value, values))


def _role_of_array(name: str, value: Foreign, values: Mapping[str, Foreign]) -> str:
    """Return the role of an array (see `Variable`); `values` holds the values of all variables of the file."""
    if value.dtype.kind not in "iufb" or not value.size:
        return ""
    n_long_axes = sum(size > 1 for size in value.shape)
    if n_long_axes <= 1 and value.ndim < 3:  # a column holds spike times if another variable assigns them to neurons
        has_index = f"{name}{INDEX}" in values
        has_owners = any(np.size(values[owner]) == value.size for owner in OWNERS if owner in values)
        # the owners themselves, or other values of each spike, are no times
        has_owners = has_owners and name not in OWNERS and name.endswith("times")
        return "spike times" if has_index or has_owners else ""
    if value.ndim not in (2, 3):
        return ""
    numbers = np.asarray(value, np.float64)
    finite = numbers[~np.isnan(numbers)]
    are_whole = (np.abs(finite - np.rint(finite)) < 1e-6).all()  # apart from rounding errors
    if finite.size and (finite >= 0).all() and are_whole:
        return "counts"
    missing = np.isnan(numbers)
    if value.ndim != 2 or not missing.any():
        return ""
    is_sorted = not (np.diff(numbers, axis=1) < 0).any()
    only_at_ends = not (missing[:, :-1] & ~missing[:, 1:]).any()  # no number follows a NaN
    return "rows of spike times" if is_sorted and only_at_ends else ""


def _is_cells_of_cells(cells: Foreign) -> bool:
    """Return whether every element of a MATLAB cell array is a cell array itself."""
    return bool(cells.size) and all(isinstance(cell, np.ndarray) and cell.dtype == object for cell in cells.ravel())


def _role_of_cells(cells: Foreign) -> str:
    """Return the role of cells; see `Variable`."""
    parts = list(cells.ravel())
    if not parts:
        return ""
    if _is_cells_of_cells(cells):
        inner = [_role_of_cells(cell) for cell in parts]
        return "spike times cut by trial" if set(inner) == {"cells of spike times"} else ""
    if any(not isinstance(part, np.ndarray) or part.dtype.kind not in "iuf" or part.ndim > 2 for part in parts):
        return ""
    if any(part.ndim == 2 and min(part.shape) > 1 for part in parts):  # matrices; times are a row or a column
        return "cells of counts" if all(part.ndim == 2 for part in parts) else ""
    return "spike times cut by trial" if cells.ndim > 1 and min(cells.shape) > 1 else "cells of spike times"
