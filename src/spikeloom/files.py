"""Write files atomically, and detect damaged ones.

A file is written to `.<name>.<pid>.part` in the same folder, flushed to the disk, and then renamed. If the process is
killed at any moment, either the old file or the complete new one exists. A folder of several files has a
`manifest.json` with the SHA-256 of each file, which is written last. So a folder without a manifest is unfinished, and
a file with another hash is damaged. The hashes are necessary, because the libraries safetensors and HDF5 read a file
with a flipped bit without an error.
"""

import contextlib
import errno
import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from spikeloom.errors import CorruptFileError, FileError

if TYPE_CHECKING:
    import torch

MANIFEST = "manifest.json"
"""Name of the file with the hashes of the other files of a folder."""

STALE_AFTER = 3600.0
"""Seconds after which a `.part` file counts as abandoned. Its process is not looked for, because it may run on another
machine."""

OLD = ".old.part"
"""End of the temporary name of a folder that is being replaced."""


# --- atomic writing ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Return a context with a temporary path, which is renamed to `path` on success and deleted on failure.

    Args:
        path: Path of the file to write, in an existing folder.

    Yields:
        Path in the same folder; write the file there and close it.

    Raises:
        FileError: if the folder is missing or not writable, the disk is full, or `path` is a folder.
    """
    target = Path(path)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with _explained(target):
            if not target.parent.is_dir():
                raise FileNotFoundError(errno.ENOENT, "the folder does not exist")
            yield part
            with part.open("rb") as file:
                os.fsync(file.fileno())  # the content must be on the disk when the file gets its name
            part.replace(target)
            sync_folder(target.parent)
    except BaseException:  # also Ctrl-C
        with contextlib.suppress(OSError):
            part.unlink()
        raise


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Return a context with a temporary folder, which is renamed to `path` on success and deleted on failure.

    An existing folder `path` is replaced when the new one is complete. Write the files inside with `atomic_write`,
    `write_json` or `write_tensors`, so that they are on the disk before the renaming, and end with `write_manifest`.

    Args:
        path: Path of the folder to write, in an existing folder.

    Yields:
        Path of the temporary folder, which is empty.

    Raises:
        FileError: if the parent folder is missing or not writable, or the disk is full.
    """
    target = Path(path)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    old = target.with_name(f".{target.name}.{os.getpid()}{OLD}")
    try:
        with _explained(target):
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            yield part
            sync_folder(part)
            if target.exists():  # a folder that is not empty cannot be replaced in one step
                target.replace(old)
            part.replace(target)
            sync_folder(target.parent)
    finally:
        _restore(old, target)
        for folder in (part, old):
            shutil.rmtree(folder, ignore_errors=True)


def _restore(old: Path, target: Path) -> None:
    """Give an old folder its name back if no new folder has taken its place, because writing stopped in between."""
    if old.exists() and not target.exists():
        old.replace(target)


def atomic_write(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file atomically. Raise a FileError if it cannot be written."""
    with atomic_path(path) as part:
        part.write_bytes(content)


def refuse_foreign(
    path: str | os.PathLike[str], written_source: Callable[[Path], str | None], *, overwrite: bool
) -> None:
    """Raise a FileError if a file would be replaced that spikeloom did not write.

    Args:
        path: Path of the file to write.
        written_source: Function that returns a text for a file that spikeloom wrote, and None for any other file.
        overwrite: Permit replacing such a file.
    """
    target = Path(path)
    # an empty file holds nothing to lose
    if not overwrite and target.is_file() and target.stat().st_size and written_source(target) is None:
        raise FileError(
            f"{target} exists, and spikeloom did not write it.", "", "Choose another name, or set overwrite=True."
        )


def sync_folder(folder: Path) -> None:
    """Flush renames inside a folder to the disk (POSIX only). They then survive a power cut."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network disks do not support it
            raise
    finally:
        os.close(handle)


def check_is_here(path: str | os.PathLike[str], rule: str) -> None:
    """Raise a FileError if a path is a broken link, or a pointer to a file that Git LFS or git-annex has not fetched.

    Args:
        path: Path of the file. A missing file raises no error here.
        rule: First sentence of the error, which states the rule.
    """
    if os.path.islink(path) and not os.path.exists(path):
        target = os.readlink(path)
        if "annex" in target:
            raise FileError(rule, f"{path} is in git-annex and its content is not here.", f"Type: git annex get {path}")
        raise FileError(rule, f"{path} is a link to {target}, which does not exist.", "Repair the link.")
    try:
        with open(path, "rb") as raw:
            head = raw.read(200)
    except OSError:
        return  # the code that reads the file raises an error with the reason
    if head.startswith(b"version https://git-lfs"):
        raise FileError(rule, f"{path} is a pointer of Git LFS, not the file.", f"Type: git lfs pull --include {path}")
    if b"/annex/objects/" in head or head.startswith((b"WORM-", b"MD5E-")):  # a path or a key of git-annex
        raise FileError(rule, f"{path} is a pointer of git-annex, not the file.", f"Type: git annex get {path}")


def ensure_folder(folder: str | os.PathLike[str]) -> Path:
    """Create a folder if necessary, check that it can be written to, and return it.

    The check prevents a write error after hours of work. Abandoned `.part` files and folders older than an hour are
    removed. If a process was killed while it replaced a folder, the old folder gets its name back.

    Raises:
        FileError: if the folder cannot be created or written to.
    """
    folder = Path(folder)
    with _explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for part in folder.glob(".*.part"):
            with contextlib.suppress(OSError):
                if part.name.endswith(OLD):
                    name = part.name.removeprefix(".").removesuffix(OLD).rpartition(".")[0]  # without the process id
                    _restore(part, folder / name)
                if time.time() - part.stat().st_mtime > STALE_AFTER:
                    shutil.rmtree(part) if part.is_dir() else part.unlink()
        test_file = folder / f".try.{os.getpid()}"
        test_file.write_bytes(b"spikeloom")
        test_file.unlink()
    return folder


# --- bytes, JSON, tensors ------------------------------------------------------------------------------------------


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Read the content of a file. Raise a FileError if it is missing or cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def write_json(path: str | os.PathLike[str], value: object) -> None:
    """Write plain values (dict, list, text, numbers, NumPy values) as indented JSON; NaN and infinity become null."""
    text = json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False)
    atomic_write(path, (text + "\n").encode())


def read_json(path: str | os.PathLike[str]) -> dict[str, object]:
    """Read a file that holds a JSON object. Raise a CorruptFileError if it holds something else."""
    try:
        content = json.loads(read_bytes(path))
    except ValueError as error:
        raise CorruptFileError(
            "The file must hold JSON.", f"{path} does not: {error}.", "Restore it from a copy, or write it again."
        ) from error
    if not isinstance(content, dict):
        raise CorruptFileError(
            "The file must hold a JSON object.", f"{path} does not.", "Restore it from a copy, or write it again."
        )
    return content


def write_tensors(path: str | os.PathLike[str], tensors: "Mapping[str, torch.Tensor]") -> None:
    """Write named tensors as safetensors. Each is copied to the CPU first, so they may share memory or be strided."""
    import torch
    from safetensors.torch import save

    def plain(tensor: "torch.Tensor") -> "torch.Tensor":
        """Return a copy on the CPU with contiguous memory."""
        return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)

    atomic_write(path, save({name: plain(tensor) for name, tensor in tensors.items()}))


def read_tensors(path: str | os.PathLike[str]) -> "dict[str, torch.Tensor]":
    """Read named CPU tensors from a safetensors file. Raise a CorruptFileError if it is damaged or another format."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    content = read_bytes(path)
    try:
        return load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise CorruptFileError(
            "The file must hold safetensors.", f"{path} does not: {error}.", "Restore it from a copy, or train again."
        ) from error


# --- hashes --------------------------------------------------------------------------------------------------------


def sha256(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits. Raise a FileError if it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error


def write_manifest(folder: str | os.PathLike[str], names: Sequence[str]) -> None:
    """Write `manifest.json` with the SHA-256 of each named file. Call it last: it marks the folder as complete."""
    folder = Path(folder)
    write_json(folder / MANIFEST, {name: sha256(folder / name) for name in names})


def check_manifest(folder: str | os.PathLike[str]) -> list[str]:
    """Check the hashes in a folder's manifest and return the names of its files.

    Raises:
        CorruptFileError: if the manifest or a file is missing, a hash differs, or a name leads out of the folder.
    """
    folder = Path(folder)
    remedy = "Restore the folder from a copy, or write it again."
    if not (folder / MANIFEST).is_file():
        raise CorruptFileError(f"A complete folder must hold {MANIFEST}.", f"{folder} has none.", remedy)
    manifest = read_json(folder / MANIFEST)
    if not all(isinstance(value, str) for value in manifest.values()):
        raise CorruptFileError("A manifest must map file names to hashes.", f"{folder / MANIFEST} does not.", remedy)
    for name, expected in manifest.items():
        pure = PurePosixPath(name)
        if pure.is_absolute() or ".." in pure.parts or "\\" in name or ":" in name or not pure.parts:
            raise CorruptFileError(
                "A manifest must name files inside its folder.",
                f"{folder / MANIFEST} names {name!r}.",
                "Do not use this folder: it was changed.",
            )
        if not (folder / name).is_file():
            raise CorruptFileError("Every file of a manifest must exist.", f"{folder / name} is missing.", remedy)
        if sha256(folder / name) != expected:
            raise CorruptFileError(
                "A file must have the SHA-256 in its manifest.",
                f"{folder / name} has another hash: it is damaged.",
                remedy,
            )
    return list(manifest)


def _unreadable(path: str | os.PathLike[str], error: OSError) -> FileError:
    """Return the error for a file that cannot be read."""
    return FileError(
        "The file must exist and be readable.",
        f"{path}: {error.strerror or error}.",
        "Check the path and the permissions.",
    )


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn an OSError about writing `path` into a FileError; a FileError passes unchanged."""
    try:
        yield
    except FileError:  # it is an OSError, too
        raise
    except OSError as error:
        disk_is_full = error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)
        raise FileError(
            "The file cannot be written.",
            f"{path}: {error.strerror or error}.",
            "Free some space or choose another disk."
            if disk_is_full
            else "Choose a folder that exists and that you may write to.",
        ) from error


def _finite(value: object) -> object:
    """Convert a value to plain Python types, with None for NaN and infinity, which JSON does not have."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
