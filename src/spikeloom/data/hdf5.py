"""Open HDF5 files of recordings with clear errors, and read them column by column.

A path is checked before the file is opened: it may be a folder, a Zarr store, a broken link, or the pointer of a file
that git-annex or Git LFS has not fetched. Files are opened without a lock, because another program may have them open.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import h5py
import numpy as np

from spikeloom.errors import CorruptFileError, FileError, SpikeloomError
from spikeloom.files import check_is_here
from spikeloom.shapes import Array

Value = TypeVar("Value")

SIGNATURE = b"\x89HDF\r\n\x1a\n"
"""First bytes of an HDF5 file."""

DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, MemoryError, OverflowError)
"""Exceptions that h5py raises on a damaged file."""

ZARR = (".zgroup", ".zattrs", ".zmetadata", "zarr.json")
"""Files that mark a folder as a Zarr store."""


class OnDemand(Mapping[str, Value]):
    """A mapping with fixed names that reads each value once, when it is first used."""

    def __init__(self, names: list[str], read: Callable[[str], Value]) -> None:
        self._names = dict.fromkeys(names)
        self._read = read
        self._values: dict[str, Value] = {}

    def __getitem__(self, name: str) -> Value:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._values:
            self._values[name] = self._read(name)
        return self._values[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def check_path(path: str) -> None:
    """Raise a FileError unless the path is a readable HDF5 file."""
    rule = "The recording must be an NWB file (.nwb, HDF5) that can be read."
    check_is_here(path, rule)
    if os.path.isdir(path):
        raise _folder(rule, path)
    try:
        with open(path, "rb") as raw:
            head = raw.read(200)
    except OSError as error:
        remedies = {FileNotFoundError: "Check the path.", PermissionError: f"Type: chmod u+r {path}"}
        raise FileError(
            rule,
            f"{path} cannot be read: {error.strerror}.",
            remedies.get(type(error), "Check the disk or the network connection."),
        ) from error
    if not head:
        raise CorruptFileError(rule, f"{path} is empty (0 bytes).", "Copy it again from its source.")
    if not head.startswith(SIGNATURE) and not h5py.is_hdf5(path):
        raise FileError(rule, f"{path} is not HDF5.", "Give the .nwb file of a session.")


def _folder(rule: str, path: str) -> FileError:
    """Return the error for a path that must be a file and is a folder."""
    if is_zarr(path):
        target = re.sub(r"(\.nwb)?(\.zarr)?/*$", "", path) + ".exported.nwb"
        return FileError(
            rule,
            f"{path} is a folder: an NWB file stored as Zarr, which spikeloom does not read.",
            "Export it to HDF5 in Python (pip install hdmf-zarr):\n"
            "  from hdmf_zarr import NWBZarrIO; from pynwb import NWBHDF5IO\n"
            f'  with NWBZarrIO("{path}", "r") as source, NWBHDF5IO("{target}", "w") as file: '
            'file.export(src_io=source, write_args={"link_data": False})',
        )
    inside = sorted(name for name in os.listdir(path) if name.endswith(".nwb"))
    listed = (
        f"It holds {', '.join(inside[:3])}{', ...' if len(inside) > 3 else ''}; give one of them." if inside else ""
    )
    return FileError(rule, f"{path} is a folder.", listed or "Give the .nwb file of a session.")


def is_zarr(path: str | os.PathLike[str]) -> bool:
    """Return whether a folder is a Zarr store."""
    return os.path.isdir(path) and any(os.path.exists(os.path.join(path, name)) for name in ZARR)


@contextmanager
def opened(path: str) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading, without a lock.

    Raises:
        FileError: if there is no such file or it is of another kind.
        CorruptFileError: if the file is damaged. Damage may also be found later, while the open file is read.
    """
    check_path(path)
    try:
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except SpikeloomError:  # most of them are also exceptions of the kinds in `DAMAGE`
        raise
    except DAMAGE as error:
        raise damaged(path, error) from error


def damaged(path: str, error: BaseException) -> FileError:
    """Convert an exception of h5py to an error with a plain message."""
    text = " ".join(str(error).split())
    if "already open for write" in text or "lock file" in text:
        return FileError(
            "A recording must be closed by the program that writes it before it can be read.",
            f"{path} is open for writing in another program.",
            "Close it there. If no program has it open, an earlier program ended without closing it. Then type: "
            f"h5clear --status {path}",
        )
    cut = re.search(r"truncated file: eof = (\d+),.*stored_eof = (\d+)", text)
    if cut:
        damage = f"it is truncated, {cut[1]} of {cut[2]} bytes are there"
    else:
        reason = re.search(r"\(([^()]*)\)?$", text)  # h5py gives the reason in parentheses at the end
        damage = (reason[1] if reason else text)[:120] or type(error).__name__
    return CorruptFileError(
        f"{path} is damaged: {damage}.",
        "",
        "Copy it again from its source; `pip install nwbinspector` checks a file in full.",
    )


def text_of(value: object) -> str:
    """Convert an attribute or entry to text."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def text_list(value: object) -> list[str]:
    """Convert an attribute that holds several texts to a list."""
    return [text_of(entry) for entry in np.atleast_1d(np.asarray(value)).ravel()]


def values_of(data: h5py.Dataset) -> Array:
    """Return all entries of a dataset as numbers or text. Other types keep their dtype."""
    values = np.asarray(data[()])
    if values.dtype.kind == "O" and all(isinstance(value, str | bytes) for value in values.flat):
        return np.array([text_of(value) for value in values.flat], np.str_).reshape(values.shape)
    if values.dtype.kind == "S":
        return np.char.decode(values, "utf-8", "replace")
    return values
