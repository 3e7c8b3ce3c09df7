"""Find the training trials of a run.

The studio compares generated trials with the training trials. A model folder holds a hash of the training counts, but
not the name of their file. So files are searched for trials with this hash: the files that the user names or, if there
are none, the .h5 files in the run folder, in the two folders above it, and in the working folder.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from spikeloom.errors import FileError, SpikeloomError
from spikeloom.models.common.base import Model
from spikeloom.models.common.facts import Facts
from spikeloom.trials import Trials

MOST_FILES = 60
"""Largest number of .h5 files that are searched for the training trials."""


def training_trials(model: Model, run: Path, files: Sequence[Path]) -> tuple[Trials, str]:
    """Return the training trials of a model, with neurons in the order of the model, and a note.

    If no file that the user named holds the training trials, other trials with the same number of neurons are used, and
    the note says so. Otherwise the note is empty.

    Args:
        model: A trained model.
        run: Its run folder or model folder.
        files: Trials files that the user named. If there are none, the folders around the run are searched.

    Raises:
        FileError: if no such trials are found.
    """
    others: list[tuple[Path, Trials]] = []
    for path in files or list(_nearby(run)):
        try:
            trials = Trials.load(path)
        except SpikeloomError:
            if files:
                raise
            continue
        if Facts.of(trials).data == model.facts.data:  # hashes of the counts
            return model.in_training_order(trials), ""
        if files and trials.n_neurons == model.n_neurons:
            others.append((path, trials))
    if others:
        path, trials = others[0]
        note = f"{path.name} does not hold the training trials of {run}. It is used in their place."
        return model.in_training_order(trials), note
    searched = ", ".join(map(str, files)) if files else "the folders around it"
    raise FileError(
        "The studio needs the trials on which the model was trained.",
        f"For {run}, these trials were not found in {searched}.",
        "Add --data train.h5.",
    )


def _nearby(run: Path) -> Iterator[Path]:
    """Yield the .h5 files near a run, those with "train" in their names first."""
    folder_of_run = run.resolve()
    folders = [folder_of_run, folder_of_run.parent, folder_of_run.parent.parent, Path.cwd()]
    paths = [path for folder in dict.fromkeys(folders) for path in sorted(folder.glob("*.h5"))]
    training_first = sorted(dict.fromkeys(paths), key=lambda path: "train" not in path.name)
    yield from training_first[:MOST_FILES]
