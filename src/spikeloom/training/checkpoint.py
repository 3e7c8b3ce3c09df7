"""Checkpoints and history of a run: files from which a run resumes after it was killed at any moment.

A checkpoint is a folder `<stage>-<update>`. It holds `state.json` (update number, counts, best loss), the tensors in
safetensors files, and a manifest with the hash of each file. The folder is written under another name and renamed when
it is complete. It holds no state of a random generator, because every random number is a function of the update number.
The folder of a finished stage is `<stage>-finished` and holds its final weights.

A run resumes from the newest folder *whose hashes match*; damaged folders cause a warning. Lines of `history.jsonl`
that were written after this checkpoint are removed, so that no line appears twice.
"""

import json
import re
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired, TypedDict

from torch import Tensor

from spikeloom.errors import CorruptFileError, DamagedCheckpointWarning, FileError, SettingError
from spikeloom.files import (
    atomic_folder,
    atomic_write,
    check_manifest,
    ensure_folder,
    read_bytes,
    read_json,
    read_tensors,
    write_json,
    write_manifest,
    write_tensors,
)

KEEP = 2
"""Number of newest checkpoints of a stage that are kept, besides the best one."""


class Line(TypedDict):
    """A line of the history of training, written after an update of a stage.

    Losses are per valid entry. `seconds` is the duration of the stage so far, `skipped` its number of updates without a
    finite loss or gradient. Entries without a value are None, because JSON has no NaN.
    """

    stage: str
    update: int
    loss: float | None
    parts: dict[str, float | None]
    learning_rate: float
    gradient_norm: float | None
    skipped: int
    seconds: float
    memory_gb: NotRequired[float]
    validation: NotRequired[float | None]
    validation_parts: NotRequired[dict[str, float | None]]


@dataclass(frozen=True)
class Checkpoint:
    """State of a stage that is stored.

    Args:
        state: Plain values, such as the update number.
        tensors: Tensors: group (such as "model" or "optimizer") -> name -> tensor.
    """

    state: dict[str, object]
    tensors: dict[str, dict[str, Tensor]]


class Checkpoints:
    """The folder of a run's checkpoints.

    Args:
        folder: Path of the folder, which is created if it does not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = ensure_folder(folder)

    def save(self, stage: str, update: int, checkpoint: Checkpoint, *, best: int) -> None:
        """Write the checkpoint of an unfinished stage, and delete older checkpoints.

        Args:
            stage: Name of the stage.
            update: Number of updates that are done.
            checkpoint: State of the stage.
            best: Update whose checkpoint is kept, besides the newest checkpoints.
        """
        self._write(self.folder / f"{stage}-{update}", checkpoint)
        for old in self._updates(stage)[KEEP:]:
            if old != best:
                shutil.rmtree(self.folder / f"{stage}-{old}", ignore_errors=True)

    def finish(self, stage: str, checkpoint: Checkpoint) -> None:
        """Write the final state of a stage and delete its checkpoints."""
        self._write(self.folder / f"{stage}-finished", checkpoint)
        for old in self._updates(stage):
            shutil.rmtree(self.folder / f"{stage}-{old}", ignore_errors=True)

    def newest(self, stage: str, *, run: Mapping[str, object]) -> tuple[bool, Checkpoint] | None:
        """Find the newest undamaged checkpoint of a stage.

        Args:
            stage: Name of the stage.
            run: Identity of the run (seed, plan, shapes), which must equal the entry "run" of the checkpoint.

        Returns:
            True if the stage is finished, and its checkpoint. `None` if there is no checkpoint.

        Raises:
            SettingError: if the checkpoint belongs to a run with other settings.
        """
        names = [f"{stage}-finished", *(f"{stage}-{update}" for update in self._updates(stage))]
        for name in names:
            folder = self.folder / name
            if not folder.is_dir():
                continue
            try:
                checkpoint = _read(folder)
            except CorruptFileError as error:
                warnings.warn(
                    f"The checkpoint {folder} is damaged, and training resumes from an earlier one. {error}",
                    DamagedCheckpointWarning,
                    stacklevel=2,
                )
                continue
            _check_run(checkpoint.state.get("run"), run, folder)
            return name.endswith("-finished"), checkpoint
        return None

    def _updates(self, stage: str) -> list[int]:
        """Return the updates of the unfinished checkpoints of a stage, newest first."""
        matches = (re.fullmatch(re.escape(stage) + r"-(\d+)", path.name) for path in self.folder.iterdir())
        return sorted((int(match[1]) for match in matches if match), reverse=True)

    def _write(self, folder: Path, checkpoint: Checkpoint) -> None:
        """Write the files of a checkpoint, with the manifest last."""
        with atomic_folder(folder) as temporary:  # renamed to `folder` when it is complete
            write_json(temporary / "state.json", checkpoint.state)
            for group, tensors in checkpoint.tensors.items():
                write_tensors(temporary / f"{group}.safetensors", tensors)
            write_manifest(temporary, ["state.json", *(f"{group}.safetensors" for group in checkpoint.tensors)])


class History:
    """Lines about the training, in memory and, with a path, in a file with one JSON object per line.

    Args:
        path: Path of `history.jsonl`. Existing lines are read; an incomplete last line is dropped.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.lines: list[Line] = []
        if path is not None and path.exists():
            for text in read_bytes(path).splitlines():
                try:
                    self.lines.append(json.loads(text))
                except ValueError:  # the process was killed while it wrote this line
                    break

    def append(self, line: Line, *, write: bool) -> None:
        """Add a line to the history.

        Args:
            line: Line about an update.
            write: True to write the line to the file as well; only the main process does.

        Raises:
            FileError: if the file cannot be written.
        """
        self.lines.append(line)
        if self.path is not None and write:
            try:
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
            except OSError as error:
                raise FileError(
                    "The history of the run cannot be written.",
                    f"{self.path}: {error.strerror or error}.",
                    "Free some space and start the same run again: it resumes from its last checkpoint.",
                ) from error

    def rewind(self, finished: list[str], stage: str, update: int, *, write: bool) -> None:
        """Remove lines that a resumed run will write again.

        Args:
            finished: Names of the finished stages, whose lines are kept.
            stage: Name of the stage that resumes.
            update: Update from which this stage resumes. Lines of the stage up to this update are kept.
            write: True to change the file as well; only the main process does.
        """
        self.lines = [
            line
            for line in self.lines
            if line["stage"] in finished or (line["stage"] == stage and line["update"] <= update)
        ]
        if self.path is not None and write:
            atomic_write(self.path, "".join(json.dumps(line) + "\n" for line in self.lines).encode())


def _read(folder: Path) -> Checkpoint:
    """Read a checkpoint; raises a CorruptFileError if a file is missing or does not match its hash."""
    names = check_manifest(folder)
    groups = [name.removesuffix(".safetensors") for name in names if name.endswith(".safetensors")]
    return Checkpoint(
        state=read_json(folder / "state.json"),
        tensors={group: read_tensors(folder / f"{group}.safetensors") for group in groups},
    )


def _check_run(stored: object, run: Mapping[str, object], folder: Path) -> None:
    """Raise a SettingError if the checkpoint belongs to another run; the message names the differences.

    Args:
        stored: Identity of the run in the checkpoint, as read from its file.
        run: Identity of the present run.
        folder: Folder of the checkpoint.
    """
    stored = stored if isinstance(stored, Mapping) else {}
    run = json.loads(json.dumps(dict(run)))  # tuples become lists, as in the file
    different = [key for key in run if stored.get(key) != run[key]]
    if different:
        described = ", ".join(f"{key} ({stored.get(key)!r} there, {run[key]!r} now)" for key in different)
        raise SettingError(
            "A run can only be resumed with the settings and data that it started with.",
            f"{folder} differs in {described}.",
            "Use the old settings, choose another --out folder, or delete the old folder.",
        )
