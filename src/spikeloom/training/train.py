"""Train a model, stage by stage.

A model yields its `Stage`s one after another. A stage is trained with an optimiser (`StageRun`). A `Calculation` is a
stage without an optimiser: it computes statistics from trials (`calculate`).

**All random numbers depend on the seed and the update, not on earlier draws.** Each stage has its own seed s, drawn
from `generator(seed, STAGE, number of the stage)`. For update k with the trials B, the order of the trials comes from
`generator(s, ORDER, epoch)`, and noise from `Streams(s, TRAIN, k, trials of B)`. Losses draw from their `Streams` only,
never from torch's global state. So an interrupted run that resumes ends with bitwise the same weights as an
uninterrupted run (one process, same machine). With several processes, weights differ by rounding only.

Hugging Face accelerate moves the module to its device and connects several processes (`accelerate launch`, `torchrun`).
"""

from collections.abc import Iterable
from pathlib import Path

from spikeloom.files import ensure_folder
from spikeloom.text import counted
from spikeloom.training.calculate import calculate
from spikeloom.training.checkpoint import Checkpoints, History, Line
from spikeloom.training.log import log
from spikeloom.training.processes import accelerator
from spikeloom.training.progress import StopRequest
from spikeloom.training.stage import Calculation, Stage
from spikeloom.training.stage_run import AfterValidation, StageRun


def train(
    stages: Iterable[Stage | Calculation],
    *,
    seed: int,
    n_stages: int | None = None,
    out: Path | None = None,
    progress: bool | None = None,
    after_validation: AfterValidation | None = None,
) -> list[Line]:
    """Train each stage in turn; afterwards its module holds the final weights and is in evaluation mode.

    If the plan averages, weights are replaced by their exponential average. With validation trials, the final weights
    are the weights with the lowest validation loss, otherwise the weights after the last update.

    Stages are requested one by one. So the code of `stages` between two yields runs when the stage of the first yield
    is trained. After a resume this code runs again, so it must have the same result each time.

    Args:
        stages: The stages, in order.
        seed: Random seed, a whole number >= 0. The same seed gives the same weights.
        n_stages: Number of stages, which the progress shows. `None` if it is not known.
        out: Folder for `checkpoints/`, `history.jsonl` and `log.txt`. If it holds an unfinished run, this run resumes.
            `None` writes nothing.
        progress: `False` shows nothing; otherwise a bar on a terminal and plain lines elsewhere.
        after_validation: Function that is called after each validation with its line of history. The module then
            holds the averaged weights, if the plan averages. An exception stops the training.

    Returns:
        History with one entry per logged update: stage, update (counted from 1), loss (per valid entry, mean since the
        previous entry), parts, learning_rate, gradient_norm, skipped, seconds, and, after a validation, validation
        (loss on the validation trials) and validation_parts.

    Raises:
        TrainingError: if ten updates in a row had no finite loss or gradient. The last good weights are kept.
        SettingError: if `out` holds another run, or the batch does not fit the number of processes.
        FileError: if `out` cannot be written.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, when a checkpoint is written.
    """
    processes = accelerator()
    history = History(None)
    checkpoints = None
    if out is not None:
        checkpoints = Checkpoints(ensure_folder(out) / "checkpoints")
        history = History(Path(out) / "history.jsonl")
    processes.wait_for_everyone()  # no process writes before all have read
    finished: list[str] = []

    def note(stage: str, text: str) -> None:
        """Write a line about a stage to the log."""
        if out is not None and processes.is_main_process:
            log(out, f"{stage}: {text}")

    with StopRequest() as stop:
        for number, stage in enumerate(stages):
            title = stage.name if n_stages is None else f"stage {number + 1} of {n_stages}, {stage.name}"
            if isinstance(stage, Calculation):
                # A calculation always begins again: -1 removes all lines of an interrupted one.
                history.rewind(finished, stage.name, -1, write=processes.is_main_process)
                line = calculate(stage, title, show=progress is not False and processes.is_main_process, stop=stop)
                history.append(line, write=processes.is_main_process)
                finished.append(stage.name)
                # Equal parts are not listed one by one: the log gets their total time.
                times = {"": line["seconds"]} if stage.equal else line["parts"]
                note(stage.name, ", ".join(f"{part} {seconds:.1f} s".strip() for part, seconds in times.items()))
                continue
            run = StageRun(stage, title, number, seed, processes, checkpoints, history, after_validation)
            if not run.resume(finished):  # an earlier call has not finished this stage
                run.train(show=progress is not False, stop=stop)
                note(stage.name, f"{counted(stage.plan.updates, 'update')}, {run.state.seconds:.1f} s")
            stage.module.eval()
            processes.free_memory()
            finished.append(stage.name)
        if stop.requested:
            raise KeyboardInterrupt
    return history.lines
