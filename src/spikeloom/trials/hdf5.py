"""Trials files (`.h5`): the arrays of `Trials` in HDF5, written atomically and checked for damage.

Layout, version 1:

* attributes of the file: `format="spikeloom-trials"`, `version`, `bin_width` (s), `source`, and for generated trials
  `conditioned_on` (names in JSON);
* datasets: `counts` (trial, time, neuron), `lengths` (trial,), and, if available, `rates`, `latents`, `codes` and
  `start_times` (trial,), s;
* groups: `behavior/<name>` (trial, time, dim) with the attribute `unit`, `conditions/<name>` (trial, ...) with this
  attribute if the condition has a unit, and `neurons/<column>` (neuron,).

Plain HDF5 reads a flipped bit without an error. Therefore every dataset has a checksum (fletcher32). Text has a fixed
length, because HDF5 stores text of variable length without checksums. The file uses the format of HDF5 1.10, whose
headers have checksums. The file holds no Python objects, so opening it cannot run code.
"""

import io
import json
import os
from collections.abc import Iterable, Sequence

import h5py
import numpy as np

from spikeloom.errors import CorruptFileError, DataError, FileError
from spikeloom.files import atomic_path, atomic_write, check_is_here
from spikeloom.shapes import Array, Fields

FORMAT = "spikeloom-trials"
VERSION = 1
TABLES = {"behavior": "behavior", "conditions": "conditions", "neurons": "neuron_table"}
"""Groups of the file, with the field of `Trials` that each one holds."""

PER_BIN = ("counts", "rates", "latents")
"""Datasets (trial, time, ...), besides the series of behaviour."""

CHECKSUM: dict[str, object] = dict(fletcher32=True)
COMPRESSION: dict[str, object] = dict(compression="gzip", compression_opts=1, shuffle=True)
UNCOMPRESSED = ("rates", "latents")
"""Datasets without compression, which would save little space and take much time (`benchmarks/trials_file.py`)."""

DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, MemoryError, OverflowError)
"""Errors that h5py raises for a damaged file."""


def write(path: str | os.PathLike[str], fields: Fields) -> None:
    """Write a trials file atomically.

    Args:
        path: Path of the file, in a folder that exists. An older file of that name is replaced.
        fields: Fields of `Trials` by name.

    Raises:
        FileError: if the folder is missing or not writable, or the disk is full; no partial file is left.
        DataError: if a name of a table cannot be a name in HDF5, or a table holds something other than numbers or text.
    """
    image = io.BytesIO()  # written in memory first, because HDF5 prints another traceback if the disk is full
    with h5py.File(image, "w", libver=("v110", "v110")) as file:
        for name, value in _per_bin(fields).items():
            _put(file, name, value, by_trial=True)
        _finish(file, fields)
    atomic_write(path, image.getvalue())


def write_parts(path: str | os.PathLike[str], parts: Iterable[Fields]) -> None:
    """Write a trials file from parts that are produced one after another. Memory holds one part at a time.

    Args:
        path: Path of the file, in a folder that exists.
        parts: Fields of `Trials` of each part, at least one. All have the same neurons, bins and columns.

    Raises:
        FileError: if the file cannot be written; see `write`.
        DataError: if a count is above 65,535.
    """
    columns: list[Fields] = []  # fields with one value per trial, which are small and written at the end
    with atomic_path(path) as part_path, h5py.File(part_path, "w", libver=("v110", "v110")) as file:
        for fields in parts:
            for name, value in _per_bin(fields).items():
                value = _as_16_bits(value) if name == "counts" else value  # later parts may hold larger counts
                if name in file:
                    file[name].resize(len(file[name]) + len(value), axis=0)
                    file[name][-len(value) :] = value
                else:
                    _put(file, name, value, by_trial=True)
            # the arrays per bin are in the file already, so None takes their place
            columns.append({**fields, **dict.fromkeys(PER_BIN), "behavior": dict.fromkeys(fields["behavior"])})
        _finish(file, _joined(columns))


def _as_16_bits(counts: Array) -> Array:
    """Return counts as unsigned integers of 16 bits. Raise a DataError if one is too large."""
    largest = np.iinfo(np.uint16).max
    if counts.size and counts.max() > largest:
        raise DataError(
            f"Trials that are written in parts hold at most {largest:,} spikes per bin and neuron.",
            f"The largest count is {counts.max():,}.",
            "Sample in one process, without --workers, --ray and --stream.",
        )
    return counts.astype(np.uint16)


def join(path: str | os.PathLike[str], parts: Sequence[str | os.PathLike[str]]) -> None:
    """Join trials files that `write_parts` wrote for parts of one sample. The stored bytes are copied as they are.

    Args:
        path: The file to write, in a folder that exists.
        parts: Trials files with the same neurons, bins and columns, at least one. Check them for damage first, because
            this function copies the checksums without a check.

    Raises:
        FileError: if the file cannot be written; see `write`.
    """
    columns: list[Fields] = []
    with atomic_path(path) as part_path, h5py.File(part_path, "w", libver=("v110", "v110")) as file:
        for part in parts:
            with h5py.File(part, "r") as source:
                for name in _names_per_bin(source):
                    _copy_chunks(source[name], file)
                columns.append({"conditioned_on": None, **_fields(source, os.fspath(part), per_bin=False)})
        _finish(file, _joined(columns))


def _copy_chunks(source: h5py.Dataset, file: h5py.File) -> None:
    """Append the trials of a dataset to the dataset of the same name in another file. A chunk is one trial.

    Args:
        source: Dataset (trial, ...) of a part.
        file: File to which its trials are appended.
    """
    name = source.name.removeprefix("/")
    axes = source.shape[1:]
    if name not in file:
        largest_shape = (None, *axes)
        file.create_dataset(name, (0, *axes), source.dtype, chunks=(1, *axes), maxshape=largest_shape, **_filters(name))
    target = file[name]
    first = len(target)
    target.resize(first + len(source), axis=0)
    start = (0,) * len(axes)  # position of a chunk on the axes after the trials
    for trial in range(len(source)):
        filter_mask, chunk = source.id.read_direct_chunk((trial, *start))
        target.id.write_direct_chunk((first + trial, *start), chunk, filter_mask)


def _joined(columns: list[Fields]) -> Fields:
    """Return the fields of all parts together, apart from the arrays per bin.

    Args:
        columns: Fields of each part. Fields without an axis of trials are equal in all parts.
    """
    joined: Fields = {**columns[0], "lengths": np.concatenate([part["lengths"] for part in columns])}
    for name in ("codes", "start_times"):
        if joined[name] is not None:
            joined[name] = np.concatenate([part[name] for part in columns])
    conditions = [part["conditions"] for part in columns]
    joined["conditions"] = {name: np.concatenate([part[name] for part in conditions]) for name in conditions[0]}
    return joined


def _names_per_bin(file: h5py.File) -> list[str]:
    """Return the names of the datasets (trial, time, ...) of a file."""
    series = [f"behavior/{name}" for name in file["behavior"]] if "behavior" in file else []
    return [name for name in PER_BIN if name in file] + series


def _per_bin(fields: Fields) -> dict[str, Array]:
    """Return the arrays with a time axis, by their names in the file."""
    arrays = {name: fields[name] for name in PER_BIN if fields[name] is not None}
    return arrays | {f"behavior/{name}": np.asarray(value) for name, value in fields["behavior"].items()}


def _finish(file: h5py.File, fields: Fields) -> None:
    """Write all fields that have no time axis."""
    for name, value in {"format": FORMAT, "source": fields["source"]}.items():
        _put_text(file, name, value)
    file.attrs["version"] = VERSION
    file.attrs["bin_width"] = float(fields["bin_width"])
    if fields["conditioned_on"] is not None:
        _put_text(file, "conditioned_on", json.dumps(fields["conditioned_on"]))
    for name in ("lengths", "codes", "start_times"):
        if fields[name] is not None:
            _put(file, name, fields[name], by_trial=False)
    for group in ("conditions", "neurons"):
        for name, value in fields[TABLES[group]].items():
            _put(file.require_group(group), name, value, by_trial=False)
    for name, unit in fields["units"].items():
        _put_text(file["behavior" if name in fields["behavior"] else "conditions"][name], "unit", unit)


def written_source(path: str | os.PathLike[str]) -> str | None:
    """Return the source stored in a trials file, or None if the file is not a trials file."""
    try:
        with h5py.File(path, "r") as file:
            is_trials_file = _text(file.attrs.get("format", "")) == FORMAT
            return _text(file.attrs.get("source", "")) if is_trials_file else None
    except DAMAGE:
        return None


def read(path: str | os.PathLike[str]) -> Fields:
    """Read a trials file.

    Returns:
        The fields of `Trials` by name.

    Raises:
        FileError: if there is no such file, it cannot be read, or it is of another kind or a newer version.
        CorruptFileError: if it is empty, truncated, or any part of it fails its checksum.
    """
    path = os.fspath(path)
    check_is_here(path, "A trials file must be an .h5 written by spikeloom.")
    try:
        with open(path, "rb") as file:
            head = file.read(8)
    except OSError as error:
        raise FileError(
            "A trials file must exist and be readable.",
            f"{path} cannot be read: {error.strerror}.",
            "Check the path; `spikeloom bin` and `spikeloom simulate` write trials files.",
        ) from error
    if not head:
        raise _corrupt(path, "it is empty")
    if head != b"\x89HDF\r\n\x1a\n":
        raise _other_kind(path, "it is not HDF5")
    try:
        with h5py.File(path, "r") as file:
            return _fields(file, path)
    except (FileError, CorruptFileError):  # they are of the kinds in `DAMAGE`, too
        raise
    except DAMAGE as error:
        raise _corrupt(path, str(error) or type(error).__name__) from error


def _fields(file: h5py.File, path: str, *, per_bin: bool = True) -> Fields:
    """Return the fields of `Trials` in an open file. Without `per_bin`, arrays with a time axis are not read: None."""
    kind = _text(file.attrs.get("format", ""))
    if kind != FORMAT:
        raise _other_kind(path, "it is an NWB file" if "nwb_version" in file.attrs else f"its format is {kind!r}")
    if file.attrs["version"] > VERSION:
        raise FileError(
            f"This spikeloom reads trials files of version {VERSION}.",
            f"{path} has version {file.attrs['version']}.",
            "Update spikeloom: pip install -U spikeloom.",
        )
    fields: Fields = {"bin_width": float(file.attrs["bin_width"]), "source": _text(file.attrs["source"])}
    if "conditioned_on" in file.attrs:
        fields["conditioned_on"] = json.loads(_text(file.attrs["conditioned_on"]))
    existing = list(file)  # `name in file` and `file.get` would report a damaged group as absent
    fields["lengths"] = file["lengths"][()]
    fields["counts"] = file["counts"][()] if per_bin else None
    for name in ("rates", "latents", "codes", "start_times"):
        is_read = name in existing and (per_bin or name not in PER_BIN)
        fields[name] = file[name][()] if is_read else None
    for group, field in TABLES.items():
        table = dict(file[group]) if group in existing else {}
        is_read = per_bin or group != "behavior"
        fields[field] = {name: _get(data) if is_read else None for name, data in table.items()}
    fields["units"] = {name: _text(file["behavior"][name].attrs["unit"]) for name in fields["behavior"]}
    for name in fields["conditions"]:
        if name not in fields["units"] and "unit" in file["conditions"][name].attrs:
            fields["units"][name] = _text(file["conditions"][name].attrs["unit"])
    return fields


def _put(group: h5py.Group, name: str, value: Array, *, by_trial: bool) -> h5py.Dataset:
    """Write one dataset with a checksum.

    Args:
        group: Group of the file.
        name: Name of the dataset; "behavior/NAME" for a series in the group of behaviour.
        value: Array of numbers or text.
        by_trial: True to store each trial in a separate chunk, and to allow further trials to be appended. Otherwise
            the dataset is one chunk.

    Raises:
        DataError: if HDF5 does not allow the name, or the array holds other values.
    """
    if not name or "/" in name.removeprefix("behavior/") or name in (".", "..") or "\0" in name:
        raise DataError(
            f'{name!r} cannot be a name in a trials file, because it is empty or contains "/".',
            "",
            "Rename the condition or series.",
        )
    array = np.asarray(value)
    if array.dtype.kind in "OU":  # text of fixed length, in UTF-8
        raw = np.char.encode(array.astype(str), "utf-8")
        array = raw.astype(h5py.string_dtype("utf-8", max(raw.dtype.itemsize, 1)))
    elif array.dtype.kind not in "uifbS":
        raise DataError(
            "A table of trials must hold numbers or text.",
            f"{name!r} holds {array.dtype}.",
            "Convert it; for instance, dates to seconds.",
        )
    if not array.size:
        return group.create_dataset(name, data=array)  # an empty dataset cannot be chunked
    chunks = (1, *array.shape[1:]) if by_trial else array.shape
    largest_shape = (None, *array.shape[1:]) if by_trial else array.shape
    return group.create_dataset(name, data=array, chunks=chunks, maxshape=largest_shape, **_filters(name))


def _filters(name: str) -> dict[str, object]:
    """Return how HDF5 checks and compresses the dataset of this name, as arguments of `create_dataset`."""
    return CHECKSUM if name in UNCOMPRESSED else CHECKSUM | COMPRESSION


def _get(data: h5py.Dataset) -> Array:
    """Return the array in a dataset, with text decoded."""
    is_text = h5py.check_string_dtype(data.dtype) is not None
    return np.char.decode(data[()].astype(bytes), "utf-8") if is_text else data[()]


def _put_text(target: h5py.File | h5py.Dataset, name: str, text: str) -> None:
    """Write a text of fixed length as an attribute."""
    raw = str(text).encode()
    target.attrs.create(name, np.array(raw, h5py.string_dtype("utf-8", max(len(raw), 1))))


def _text(value: object) -> str:
    """Return an attribute as text."""
    return value.decode() if isinstance(value, bytes) else str(value)


def _corrupt(path: str, what: str) -> CorruptFileError:
    """Return the error for a damaged file; `what` describes the damage."""
    return CorruptFileError(f"{path} is damaged: {what}.", "", "Copy it or create it again.")


def _other_kind(path: str, what: str) -> FileError:
    """Return the error for a file that is not a trials file; `what` says why it is not."""
    return FileError(
        "A trials file must be an .h5 written by spikeloom.",
        f"{path} is not one: {what}.",
        "Bin a recording with `spikeloom bin`, or save arrays with Trials.from_array(...).save(path).",
    )
