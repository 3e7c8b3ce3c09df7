"""A search: the space, objective and trials, and the folder that stores it.

OUT/search.json    description of the search; the same command resumes it, another command is an error
OUT/recipe.toml    the recipe with all settings at the start of the search
OUT/trials/0007    run folder of an attempt, as written by `spikeloom fit`
OUT/trials.csv     table of all attempts and their results
OUT/best.toml      recipe with the best settings
OUT/model          the best model, so that OUT is also a run folder
"""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from spikeloom.errors import FileError, SettingError, SpikeloomError
from spikeloom.files import (
    MANIFEST,
    atomic_folder,
    atomic_write,
    check_manifest,
    ensure_folder,
    read_bytes,
    read_json,
    write_json,
)
from spikeloom.models.common.base import Model
from spikeloom.recipe import Recipe, read_recipe
from spikeloom.settings import describe
from spikeloom.text import counted
from spikeloom.training.checkpoint import History
from spikeloom.training.identity import Identity, differences, trials_identity
from spikeloom.trials import Trials
from spikeloom.tuning.objective import Name
from spikeloom.tuning.space import Setting, Space, changes

OUTPUTS = ("recipe.toml", "trials.csv", "best.toml", "study.db", "population", "trials", "model")
"""Files and folders that a search writes."""

State = Literal["complete", "pruned", "failed", "running"]


@dataclass(frozen=True)
class Attempt:
    """One set of settings that was tried.

    Args:
        number: Number of the attempt, from 0.
        settings: Values of the varied settings by key.
        state: Complete, pruned (stopped early), failed, or running.
        score: Value of the objective (larger is better), or None.
        message: Reason of a failure.
        seconds: Training time in seconds.
        extra_columns: Further columns of the table: generation and lineage in a population.
    """

    number: int
    settings: Mapping[str, Setting]
    state: State
    score: float | None = None
    message: str = ""
    seconds: float = 0.0
    extra_columns: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Search:
    """A search for the settings of a recipe.

    Args:
        recipe: Recipe that the search starts from.
        space: Settings that vary, and their values.
        train: Training trials.
        validation: Validation trials, on which the objective is computed.
        aim: Name of the objective.
        seed: Random seed of training, proposals and objective.
        out: Folder of the search.
    """

    recipe: Recipe
    space: Space
    train: Trials
    validation: Trials
    aim: Name
    seed: int
    out: Path

    def claim(self, kind: str, check: Callable[[], object] = lambda: None) -> None:
        """Check that the folder belongs to this search. A new folder is marked as the folder of this search.

        Args:
            kind: "study" or "population".
            check: Function that raises an error if a new search is invalid, before the folder is marked.

        Raises:
            SettingError: The folder holds another search, or no value of a setting is valid for the recipe.
            FileError: The folder cannot be written.
        """
        ensure_folder(self.out)
        content = {
            "kind": kind,
            "recipe": self.recipe.dumps(),
            "vary": {key: asdict(values) for key, values in self.space.vary.items()},
            "fixed": self.space.fix,
            "population": asdict(self.space.schedule) if kind == "population" else {},
            "objective": self.aim,
            "seed": self.seed,
            "training trials": self._identity(self.train),
            "validation trials": self._identity(self.validation),
        }
        description = json.loads(json.dumps(content))  # types as in a file, for the comparison with search.json
        path = self.out / "search.json"
        if path.exists():
            different = list(differences(read_json(path), description))
            if different:
                raise SettingError(
                    f"The search in {self.out} was started with other data or settings:",
                    f"{'; '.join(different)}.",
                    "Choose another folder for --out, or remove that folder.",
                )
            return
        existing = [name for name in OUTPUTS if (self.out / name).exists()]
        if existing:
            raise SettingError(
                f"{self.out} holds {', '.join(existing)}, but no search.json that describes the search.",
                "",
                "Choose another folder for --out.",
            )
        atomic_write(self.out / "recipe.toml", description["recipe"].encode())
        try:
            self._check()  # needs recipe.toml
            check()
        except BaseException:
            (self.out / "recipe.toml").unlink()
            raise
        write_json(path, description)

    def _identity(self, trials: Trials) -> Identity:
        """Return the identity of trials for a search, whose objective may read every column and series."""
        signal = self.recipe.build(self.train.n_neurons).reads
        return trials_identity(trials, signal=signal, columns=[*trials.conditions, *trials.behavior])

    def _check(self) -> None:
        """Raise a SettingError if no value of a setting is valid for the recipe."""
        self.build({})
        for key, values in self.space.vary.items():
            faults = []
            for value in values.samples:
                try:
                    self.build({key: value})
                except SettingError as error:
                    faults.append(error)
            if len(faults) == len(values.samples):
                raise faults[0]

    def resolved(self, settings: Mapping[str, object]) -> Recipe:
        """Return the recipe in the folder with these settings. Later changes of the original recipe have no effect."""
        return read_recipe(self.out / "recipe.toml", changes({**self.space.fix, **settings}))

    def build(self, settings: Mapping[str, object]) -> Model:
        """Return an untrained model with these settings. Raise a SettingError if they are not compatible."""
        return self.resolved(settings).build(self.train.n_neurons)

    def recipe_values(self) -> dict[str, Setting] | None:
        """Return the values that the varied settings have in the recipe; None if a value lies outside the space."""
        settings = describe(self.build({}))
        value_of_key: dict[str, Setting] = {}
        for key, values in self.space.vary.items():
            value: object = settings
            for name in key.split("."):  # "plan.warmup" is the entry "warmup" of the entry "plan"
                value = value.get(name) if isinstance(value, Mapping) else None
            if not values.contains(value):
                return None
            value_of_key[key] = value
        return value_of_key

    def folder(self, number: int) -> Path:
        """Return the run folder of an attempt."""
        return self.out / "trials" / f"{number:04d}"

    def write(self, attempts: Sequence[Attempt], unit: str) -> None:
        """Write trials.csv, and best.toml if an attempt is complete."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        extra = list(attempts[0].extra_columns) if attempts else []
        table.writerow(["number", *extra, "state", f"score ({unit})", "seconds", *self.space.vary, "message"])
        for attempt in attempts:
            score = "" if attempt.score is None else repr(attempt.score)
            settings = [attempt.settings.get(key, "") for key in self.space.vary]
            results = [attempt.state, score, f"{attempt.seconds:.1f}"]
            table.writerow([attempt.number, *attempt.extra_columns.values(), *results, *settings, attempt.message])
        atomic_write(self.out / "trials.csv", text.getvalue().encode())
        leader = best(attempts)
        if leader is not None:
            n_finished = sum(attempt.state != "running" for attempt in attempts)
            note = (
                f"Attempt {leader.number} of {n_finished}: {leader.score:.6g} {unit} by {self.aim} on "
                f"{counted(len(self.validation), 'validation trial')}, seed {self.seed}."
            )
            recipe = replace(self.resolved(leader.settings), about=self.recipe.about, note=note)
            atomic_write(self.out / "best.toml", recipe.dumps().encode())

    def save_best(self, model: Path) -> None:
        """Copy the folder of the best model to OUT/model."""
        with atomic_folder(self.out / "model") as temporary:  # renamed when it is complete
            for name in [*check_manifest(model), MANIFEST]:
                atomic_write(temporary / name, read_bytes(model / name))


def ranked(attempts: Sequence[Attempt]) -> list[Attempt]:
    """Return the complete attempts by decreasing score; equal scores are sorted by number."""
    complete = [attempt for attempt in attempts if attempt.state == "complete" and attempt.score is not None]
    return sorted(complete, key=lambda attempt: (-(attempt.score or 0.0), attempt.number))


def best(attempts: Sequence[Attempt]) -> Attempt | None:
    """Return the complete attempt with the highest score; None if there is none."""
    return next(iter(ranked(attempts)), None)


def split_validation(trials: Trials, validation: Trials | None, *, seed: int) -> tuple[Trials, Trials]:
    """Return training and validation trials. Without validation trials, a fifth of the trials is held out."""
    if validation is not None:
        return trials, trials.match(validation, name="the training trials", other_name="the validation trials")
    return trials.split(0.8, seed=seed)


def seconds(folder: Path) -> float:
    """Return the training time of a run folder so far, in seconds."""
    # The last line of a stage has the duration of the stage.
    seconds_of_stage = {line["stage"]: float(line["seconds"]) for line in History(folder / "history.jsonl").lines}
    return sum(seconds_of_stage.values())


def survivable(error: Exception) -> str | None:
    """Return the message of an error after which a search can continue (numbers, settings, memory), else None."""
    if isinstance(error, SpikeloomError) and not isinstance(error, FileError):
        return str(error)
    message = str(error)
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "memory" in message.lower()):
        return f"Out of memory: {message.splitlines()[0]}" if message else "Out of memory."
    return None
