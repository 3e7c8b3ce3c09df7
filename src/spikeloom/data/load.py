"""`load` reads a file or an object in memory, as `Recording` (spike times in seconds) or `Trials` (binned).

| source | result |
|---|---|
| `.nwb` | `Recording` |
| `.h5` written by spikeloom | `Trials` |
| `.npz`, `.npy`, `.mat` with counts, or spike times cut by trial (`data.matrices`) | `Trials` |
| `.npz`, `.mat` with spike times of a whole recording (`data.matrices`) | `Recording` |
| folder of `.mat`, in the layout of the speech data (`data.speech`) | `Trials` |
| list, dict or cell array of spike times, pynapple `TsGroup`, neo `Block`, `Segment` or spike trains | `Recording` |
| array of counts (also of torch, SciPy, pandas, xarray) with `axes` and `bin_width` | `Trials` |
| ragged list of (time, neuron) arrays with `bin_width` | `Trials` |

To add a kind of file, write a function that returns a `Recording` or `Trials`, and add a line to `READERS`.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from spikeloom.data import arrays, matrices
from spikeloom.data.hdf5 import is_zarr
from spikeloom.data.nwb import read_nwb
from spikeloom.data.recording import Recording
from spikeloom.data.speech import read_speech
from spikeloom.errors import DataError, FileError, SettingError
from spikeloom.objects import Foreign
from spikeloom.trials import Trials

READERS: dict[str, Callable[[Path], Recording | Trials]] = {".h5": Trials.load, ".hdf5": Trials.load}
"""Maps the ending of a file to the function that reads it, for files that need no further arguments."""


def load(
    source: Foreign,
    *,
    counts: str | None = None,
    axes: str | None = None,
    bin_width: Foreign = None,
    variable: str | None = None,
    window: Foreign = None,
    **fields: Foreign,
) -> Recording | Trials:
    """Read a recording or trials from a file, or convert an object in memory.

    Args:
        source: A path, or an object of the table at the top of the module.
        counts: For a recording without spike times, the name of the time series that holds counts in bins, such as
            "ecephys/counts_50ms".
        axes: For an array of counts, its axes as words, such as "neuron trial time".
        bin_width: For counts, the width of a bin, in seconds or with a unit.
        variable: For a file of matrices, the name of the variable, if several can be counts or spike times.
        window: For a file of spike times that are cut by trial, start and end on the clock of each trial.
        fields: For objects in memory, further fields of `Recording` (such as `trial_table`, `behavior`) or `Trials`.
            For an NWB file, `trial_table` is the name of the interval table whose rows are the trials.

    Raises:
        FileError: if there is no such file, or it has an unsupported format.
        CorruptFileError: if the file is damaged.
        DataError: if the values are invalid, or the type of the object is not supported.
        SettingError: if an argument does not apply to this source.

    Example:
        >>> import spikeloom as sl
        >>> import numpy as np
        >>> counts = np.random.default_rng(0).poisson(0.2, (6, 40, 12))
        >>> sl.load(counts, axes="neuron trial time", bin_width=0.01).counts.shape
        (40, 12, 6)
    """
    arguments = {
        "counts": counts,
        "axes": axes,
        "bin_width": bin_width,
        "variable": variable,
        "window": window,
        **fields,
    }
    if isinstance(source, Recording | Trials):
        return source
    if isinstance(source, str | os.PathLike):
        return _load_file(Path(source), arguments)
    if arrays.is_pynapple(source):
        _check_used(arguments, "a pynapple object", *fields)
        return arrays.from_pynapple(source, **fields)
    if arrays.is_neo(source):
        _check_used(arguments, "a neo object", *fields)
        return arrays.from_neo(source, **fields)
    if hasattr(source, "__next__"):  # an iterator
        source = list(source)
    if arrays.is_cells(source):
        _check_used(arguments, "cells of spike times", *fields)
        return arrays.from_cells(source, **fields)
    # columns (n, 1) without a bin width are spike times, as MATLAB stores them
    is_times = isinstance(source, list | tuple) and bin_width is None and arrays.is_columns(source)
    if isinstance(source, list | tuple) and arrays.is_ragged_counts(source) and not is_times:
        _check_used(arguments, "a list of counts", "bin_width", *fields)
        if bin_width is None:
            raise DataError(
                "A list of arrays with two axes holds counts (time, neuron) of trials, and needs a bin width.",
                f"The arrays have shapes {', '.join(str(array.shape) for array in source[:3])}, without a bin width.",
                "Give bin_width in seconds; for spike times, give one array with one axis per neuron.",
            )
        return arrays.from_counts(source, bin_width=bin_width, **fields)
    if isinstance(source, list | tuple | Mapping):
        _check_used(arguments, "spike times", *fields)
        return arrays.from_spike_times(source, **fields)
    if hasattr(source, "__array__") or hasattr(source, "toarray"):
        _check_used(arguments, "an array", "axes", "bin_width", *fields)
        return arrays.from_array(source, axes=axes, bin_width=bin_width, **fields)
    raise DataError(
        "load takes a path, spike times, or counts.",
        f"It got {type(source).__name__}.",
        "Give a list of spike times per neuron, or an array with axes and bin_width.",
    )


def _load_file(path: Path, arguments: dict[str, Foreign]) -> Recording | Trials:
    """Read a file of a kind in the table at the top of the module. `arguments` are the options of `load` by name."""
    kind = path.suffix.lower()
    if kind == ".nwb" or is_zarr(path):
        _check_used(arguments, "an NWB file", "counts", "trial_table")
        table = arguments.get("trial_table")
        name = table if isinstance(table, str) else None
        recording = read_nwb(path, trial_table=name or "trials")
        if table is not None and name is None:  # columns, a DataFrame or another table in memory
            recording = replace(recording, trial_table=table)
        return recording if arguments["counts"] is None else recording.counted(arguments["counts"])
    if kind in READERS:
        _check_used(arguments, f"a file {kind}")
        return READERS[kind](path)
    if path.is_dir() or (kind == ".mat" and arguments["variable"] is None and matrices.is_speech(path)):
        _check_used(arguments, "speech data")
        return read_speech(path)
    if kind in matrices.SUFFIXES:
        options = ("variable", "axes", "bin_width", "window")
        _check_used(arguments, "a file of matrices", *options)
        return matrices.read_matrix(path, **{name: arguments[name] for name in options})
    raise FileError(
        f"spikeloom reads {', '.join(('.nwb', *matrices.SUFFIXES, *READERS))}.",
        f"{path} is none of them.",
        "Convert it to NWB, or load the arrays yourself and pass them to load().",
    )


def _check_used(arguments: dict[str, object], source: str, *used: str) -> None:
    """Raise a SettingError for arguments that this kind of source does not use.

    Args:
        arguments: Options of `load` by name; None for those that were not given.
        source: Kind of source, for the message.
        used: Names of the options that this kind of source uses.
    """
    extra = [name for name, value in arguments.items() if value is not None and name not in used]
    if extra:
        raise SettingError(
            f"For {source}, load uses {' and '.join(used) or 'no further arguments'}.",
            f"It got {', '.join(extra)}.",
            "",
        )
