"""The run folder: its lock, its owner, its recipe and its log. One run at a time works in a folder.

A run is described by its identity (`training.identity`): settings, data, seed and start weights. A folder that belongs
to another run is refused; one that belongs to this run is resumed, or already holds the finished model.
"""

import contextlib
import time
from pathlib import Path

from spikeloom.files import atomic_write
from spikeloom.training.identity import Identity, claim
from spikeloom.training.lock import only_process
from spikeloom.training.processes import accelerator


def locked(folder: Path | None) -> contextlib.AbstractContextManager[None]:
    """Return a context that locks the folder for this run. The main one of several processes holds the lock."""
    if folder is None or not accelerator().is_main_process:
        return contextlib.nullcontext()
    return only_process(folder, "training")


def claim_run(folder: Path, identity: Identity, *, recipe: str, note: str) -> bool:
    """Mark the run folder as belonging to a run, and return whether it already holds the finished model.

    Args:
        folder: Path of the run folder.
        identity: Identity of the run.
        recipe: Settings of the model as the text of a recipe, which an unfinished run writes.
        note: Line of the log about the start of training.

    Raises:
        SettingError: if the folder belongs to another run.
    """
    main = accelerator().is_main_process
    claim(folder, identity, write=main)
    finished = (folder / "model" / "manifest.json").exists()
    if main and not finished:
        atomic_write(folder / "recipe.toml", recipe.encode())
        log(folder, note)
    return finished


def log(folder: Path, line: str) -> None:
    """Append a line with the time of day to the log of a run."""
    with (folder / "log.txt").open("a") as file:
        file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")
