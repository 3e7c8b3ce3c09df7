"""Output paths of commands, checked before any long work.

A command replaces only files that spikeloom wrote before: a trials file, an NWB file of trials, a report. For any other
existing file it raises an error unless `--overwrite` is set. An output that is also an input is always an error, even
if a link or a relative path names it.
"""

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from spikeloom.errors import FileError
from spikeloom.files import ensure_folder

Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace an existing output that spikeloom did not write.")
]

GENERATOR = b'<meta name="generator" content="spikeloom">'
"""Line in the head of every page that spikeloom writes."""


def output_file(
    path: Path, *endings: str, inputs: Iterable[Path | None] = (), overwrite: bool = False, source: str | None = None
) -> Path:
    """Return the path if the command may write a file there. The check leaves no file behind.

    Args:
        path: Path of the output.
        endings: Permitted endings of its name.
        inputs: Files that the command reads. `None` stands for an input that is not used.
        overwrite: Replace a file that spikeloom did not write.
        source: Source of the trials that will be written. A trials file with another source is not replaced either.
            This protects recorded trials from being replaced by generated trials.

    Raises:
        FileError: if the ending is not permitted, the path is a folder or an input, the path holds a file that must
            not be replaced, or nothing can be written there.
    """
    if path.suffix not in endings:
        raise FileError(
            f"The output's name must end in {' or '.join(endings)}.",
            f"It was {str(path)!r}.",
            f"Write --out {path.with_suffix(endings[0]).name}.",
        )
    if path.is_dir():
        raise FileError("The output must be a file.", f"{path} is a folder.", "Choose another name.")
    output_folder(path.parent)
    for input_path in inputs:
        if input_path is not None and is_same_file(path, input_path):
            raise FileError(
                f"{path} is an input of this command, and writing would replace it.", "", "Choose another --out."
            )
    if path.exists() and path.stat().st_size and not overwrite:
        written = written_source(path)
        if written is None:
            raise FileError(
                f"{path} exists, and spikeloom did not write it.", "", "Choose another --out, or add --overwrite."
            )
        if source is not None and written != source:
            raise FileError(
                f"{path} holds trials from {written or 'an unknown source'}, not from {source}.",
                "",
                "Choose another --out, or add --overwrite.",
            )
    return path


def output_folder(path: Path, *names: str, overwrite: bool = False) -> Path:
    """Return the path if it is a folder that can be written to or can be created. The check leaves no file behind.

    Args:
        path: Path of the folder.
        names: Files that the command writes there. The first one is a page. If spikeloom did not write this page, none
            of the files may exist.
        overwrite: Replace files that spikeloom did not write.

    Raises:
        FileError: if the path is a file, nothing can be written there, or a file would be replaced.
    """
    existing_paths = (parent for parent in (path, *path.absolute().parents) if parent.exists())
    nearest = next(existing_paths, path)  # the path itself, or the first folder above it that exists
    if not nearest.is_dir():
        raise FileError("The output must lie in a folder.", f"{nearest} is a file.", "Choose another folder.")
    ensure_folder(nearest)
    existing = [name for name in names if (path / name).exists()]
    if existing and not overwrite and written_source(path / names[0]) is None:
        raise FileError(
            f"{path / existing[0]} exists, and spikeloom did not write it.",
            "",
            "Choose another --out, or add --overwrite.",
        )
    return path


def different_files(*outputs: Path) -> None:
    """Raise a FileError if two outputs are one file."""
    for first, second in itertools.combinations(outputs, 2):
        if is_same_file(first, second):
            raise FileError("The outputs must differ.", f"{first} and {second} are the same.", "Choose another name.")


def is_same_file(first: Path, second: Path) -> bool:
    """Return whether two paths lead to the same file, also through links or, on some disks, different case."""
    if first.exists() and second.exists():
        return first.samefile(second)
    return first.resolve() == second.resolve()


def written_source(path: Path) -> str | None:
    """Return the source of the trials in a file: "" if unknown, None if spikeloom did not write the file."""
    if not path.is_file():
        return None
    if path.suffix == ".html":
        with path.open("rb") as file:
            return "" if GENERATOR in file.read(4096) else None  # the head of a page is shorter
    from spikeloom.trials import hdf5, nwb

    return (nwb if path.suffix == ".nwb" else hdf5).written_source(path)
