"""Input and output paths of commands, checked before any long work."""

from pathlib import Path

from spikeloom.errors import FileError
from spikeloom.files import ensure_folder


def output_file(path: Path, *endings: str) -> Path:
    """The path, if a file of one of the endings can be written there; leaves nothing behind.

    Raises:
        FileError: if the ending is another, the path is a folder, or nothing can be written there.
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
    return path


def output_folder(path: Path) -> Path:
    """The path, if it is a folder that can be written to, or one can be made there; leaves nothing behind."""
    existing = next((place for place in (path, *path.absolute().parents) if place.exists()), path)
    if not existing.is_dir():
        raise FileError("The output must lie in a folder.", f"{existing} is a file.", "Choose another place.")
    ensure_folder(existing)
    return path
