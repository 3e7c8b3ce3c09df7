"""The run folder: its lock, its owner, its recipe and its log. One run at a time works in a folder.

A run is described by its identity (`training.identity`): settings, data, seed and start weights. A folder that belongs
to another run is refused. If the folder belongs to this run, the run is resumed, or its finished model is loaded.

Some models have an optional last stage, such as the student of an LDNS. If the settings add this stage to a finished
run, the run is unfinished again. Its model is kept until the new one is trained.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from spikeloom.files import atomic_write, read_json
from spikeloom.training.identity import Identity, claim, setting_of
from spikeloom.training.lock import only_process
from spikeloom.training.log import log
from spikeloom.training.processes import accelerator


def locked(folder: Path | None) -> contextlib.AbstractContextManager[None]:
    """Return a context that locks the folder for this run. Of several processes, the main process holds the lock."""
    if folder is None or not accelerator().is_main_process:
        return contextlib.nullcontext()
    return only_process(folder, "training")


def claim_run(folder: Path, identity: Identity, *, recipe: str, note: str, later: Sequence[str] = ()) -> bool:
    """Mark the run folder as belonging to a run, and return whether it already holds the finished model.

    Args:
        folder: Path of the run folder.
        identity: Identity of the run.
        recipe: Settings of the model as the text of a recipe. It is written to the folder of an unfinished run.
        note: Line of the log about the start of training.
        later: Names of the settings of an optional last stage, which a finished run can add; see `claim`.

    Raises:
        SettingError: if the folder belongs to another run.
    """
    is_main = accelerator().is_main_process
    claim(folder, identity, write=is_main, later=later)
    model = folder / "model"
    finished = (model / "manifest.json").exists() and _has_stage(model, identity, later)
    if is_main and not finished:
        atomic_write(folder / "recipe.toml", recipe.encode())
        processes = accelerator().num_processes
        log(folder, note if processes == 1 else f"{note}, in {processes} processes")
    accelerator().wait_for_everyone()  # no process writes checkpoints until the main process has claimed the folder
    return finished


def _has_stage(model: Path, identity: Identity, later: Sequence[str]) -> bool:
    """Return whether a finished model has the optional last stage of a run; also True if the run has no such stage.

    The first setting in `later` is the plan of the stage, which is None if the run has no such stage.
    """
    plan_of_run = setting_of(identity, later[0]) if later else None
    if plan_of_run is None:
        return True
    plan_of_model = setting_of(read_json(model / "config.json"), later[0])
    return plan_of_model == plan_of_run
