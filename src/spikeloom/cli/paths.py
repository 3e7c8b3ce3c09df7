"""Output paths of commands, checked before any long work.

A command replaces only what spikeloom has written before: a trials file, an NWB file of trials, a report. Any other
file that exists is refused unless `--overwrite` is given. An output that is also an input is always refused, under
whatever name (a link, a relative path).
"""

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from spikeloom.errors import FileError
from spikeloom.files import ensure_folder

Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace an output that exists although spikeloom did not write it.")
]

GENERATOR = b'<meta name="generator" content="spikeloom">'
"""Line in the head of every page that spikeloom writes."""


def output_file(
    path: Path, *endings: str, inputs: Iterable[Path | None] = (), overwrite: bool = False, source: str | None = None
) -> Path:
    """Return the path if the command may write a file there. Nothing is left behind.

    Args:
        path: The output.
        endings: Endings that its name may have.
        inputs: Files that the command reads; None stands for one that was not given.
        overwrite: Replace a file that spikeloom did not write.
        source: Source of the trials that will be written; a trials file with another source is not replaced either,
            so that generated trials do not take the place of recorded ones.

    Raises:
        FileError: if the ending is another, the path is a folder or an input, a file that must not be replaced is
            there, or nothing can be written there.
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
    for given in inputs:
        if given is not None and is_same_file(path, given):
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
    """Return the path if it is a folder that can be written to, or one can be made there. Nothing is left behind.

    Args:
        path: The folder.
        names: Files that the command writes there. The first one is a page, which tells whether the folder is one of
            spikeloom's; if it is not, none of the files may exist.
        overwrite: Replace files that spikeloom did not write.

    Raises:
        FileError: if a file is in the way, nothing can be written there, or a file would be replaced.
    """
    existing = next((place for place in (path, *path.absolute().parents) if place.exists()), path)
    if not existing.is_dir():
        raise FileError("The output must lie in a folder.", f"{existing} is a file.", "Choose another place.")
    ensure_folder(existing)
    taken = [name for name in names if (path / name).exists()]
    if taken and not overwrite and written_source(path / names[0]) is None:
        raise FileError(
            f"{path / taken[0]} exists, and spikeloom did not write it.",
            "",
            "Choose another --out, or add --overwrite.",
        )
    return path


def different_files(*outputs: Path) -> None:
    """Raise a FileError if two outputs are one file."""
    for one, other in itertools.combinations(outputs, 2):
        if is_same_file(one, other):
            raise FileError("The outputs must differ.", f"{one} and {other} are the same.", "Choose another name.")


def is_same_file(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file, also through links and, where the disk ignores case, through case."""
    if one.exists() and other.exists():
        return one.samefile(other)
    return one.resolve() == other.resolve()


def written_source(path: Path) -> str | None:
    """Source of what spikeloom wrote into a file, "" where none is known; None if spikeloom did not write the file."""
    if not path.is_file():
        return None
    if path.suffix == ".html":
        with path.open("rb") as file:
            return "" if GENERATOR in file.read(4096) else None
    from spikeloom.trials import hdf5, nwb

    return (nwb if path.suffix == ".nwb" else hdf5).written_source(path)
