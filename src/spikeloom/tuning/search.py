"""A search: what is varied and looked for, on which trials, and the folder that remembers it.

OUT/search.json    what the search is; the same command resumes, another one is refused
OUT/recipe.toml    the recipe, with every setting as it was when the search began
OUT/trials/0007    run folder of an attempt, as of `spikeloom fit`
OUT/trials.csv     what was tried, and what came of it
OUT/best.toml      the best settings, a recipe
OUT/model          the best model, so that OUT is a run folder, too
"""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

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
from spikeloom.training.checkpoint import History
from spikeloom.training.identity import Identity, differences, trials_identity
from spikeloom.trials import Trials
from spikeloom.tuning.objective import Name
from spikeloom.tuning.space import Setting, Space, changes

OWN = ("recipe.toml", "trials.csv", "best.toml", "study.db", "population", "trials", "model")
"""Files and folders of a search."""

State = Literal["complete", "pruned", "failed", "running"]


@dataclass(frozen=True)
class Attempt:
    """One set of settings that was tried.

    Args:
        number: Which one, from 0.
        settings: Key -> value of what varies.
        state: Complete, pruned (stopped early), failed, or running.
        score: Of the objective, more is better; None without one.
        message: Why it failed.
        seconds: Spent on training.
        more: Further columns of the table: generation and parent in a population.
    """

    number: int
    settings: Mapping[str, Setting]
    state: State
    score: float | None = None
    message: str = ""
    seconds: float = 0.0
    more: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Search:
    """What is searched.

    Args:
        recipe: Where the search starts from.
        space: What varies.
        train: Trials that attempts are trained on.
        validation: Trials that they are judged by.
        aim: Name of the objective.
        seed: Of the attempts' training, of proposals, and of the objective.
        out: The search's folder.
    """

    recipe: Recipe
    space: Space
    train: Trials
    validation: Trials
    aim: Name
    seed: int
    out: Path

    def claim(self, kind: str, check: Callable[[], object] = lambda: None) -> None:
        """Make the folder ours.

        Args:
            kind: "study" or "population".
            check: Raises what else is wrong with a new search, before the folder remembers it.

        Raises:
            SettingError: if it holds another search, or the recipe can take none of the values of a setting.
            FileError: if it cannot be written.
        """
        ensure_folder(self.out)
        mine = json.loads(
            json.dumps(
                {
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
            )
        )
        place = self.out / "search.json"
        if place.exists():
            different = list(differences(read_json(place), mine))
            if different:
                raise SettingError(
                    f"The search in {self.out} was started with something else:",
                    f"{'; '.join(different)}.",
                    "Choose another folder for --out, or remove that one.",
                )
            return
        existing = [name for name in OWN if (self.out / name).exists()]
        if existing:
            raise SettingError(
                f"{self.out} holds {', '.join(existing)}, but no search.json that says what was searched there.",
                "",
                "Choose another folder for --out.",
            )
        atomic_write(self.out / "recipe.toml", mine["recipe"].encode())
        try:
            self._check()
            check()
        except BaseException:
            (self.out / "recipe.toml").unlink()
            raise
        write_json(place, mine)

    def _identity(self, trials: Trials) -> Identity:
        """Identity of trials for a search, whose judging may read every column and series."""
        signal = self.recipe.build(self.train.n_neurons).reads
        return trials_identity(trials, signal=signal, columns=[*trials.conditions, *trials.behavior])

    def _check(self) -> None:
        """Refuse keys that the recipe does not know: such of which no value can be taken."""
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

    def resolved(self, settings: Mapping[str, Any]) -> Recipe:
        """The recipe with these settings, from the folder, so that a recipe that was changed since does not matter."""
        return read_recipe(self.out / "recipe.toml", changes({**self.space.fix, **settings}))

    def build(self, settings: Mapping[str, Any]) -> Model:
        """An untrained model with these settings; SettingError if they do not go together."""
        return self.resolved(settings).build(self.train.n_neurons)

    def own(self) -> dict[str, Setting] | None:
        """What the recipe itself says of the settings that vary; None if a value lies outside the space."""
        whole, own = describe(self.build({})), {}
        for key, values in self.space.vary.items():
            value = whole
            for part in key.split("."):
                value = value.get(part) if isinstance(value, Mapping) else None
            if not values.holds(value):
                return None
            own[key] = value
        return own

    def folder(self, number: int) -> Path:
        """Run folder of an attempt."""
        return self.out / "trials" / f"{number:04d}"

    def write(self, attempts: Sequence[Attempt], unit: str) -> None:
        """Write trials.csv, and best.toml if an attempt is complete."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        more = list(attempts[0].more) if attempts else []
        table.writerow(["number", *more, "state", f"score ({unit})", "seconds", *self.space.vary, "message"])
        for one in attempts:
            score = "" if one.score is None else repr(one.score)
            values = [one.settings.get(key, "") for key in self.space.vary]
            words = [*one.more.values(), one.state, score, f"{one.seconds:.1f}", *values, one.message]
            table.writerow([one.number, *words])
        atomic_write(self.out / "trials.csv", text.getvalue().encode())
        found = best(attempts)
        if found is not None:
            done = sum(one.state != "running" for one in attempts)
            note = (
                f"Number {found.number} of {done} that were tried: {found.score:.6g} {unit} by {self.aim} on "
                f"{len(self.validation)} validation trials, seed {self.seed}."
            )
            recipe = replace(self.resolved(found.settings), about=self.recipe.about, note=note)
            atomic_write(self.out / "best.toml", recipe.dumps().encode())

    def keep(self, model: Path) -> None:
        """Copy the best model's folder to OUT/model."""
        with atomic_folder(self.out / "model") as part:
            for name in [*check_manifest(model), MANIFEST]:
                atomic_write(part / name, read_bytes(model / name))


def ranked(attempts: Sequence[Attempt]) -> list[Attempt]:
    """The complete attempts, the highest score first, the first of equals before the others."""
    complete = [one for one in attempts if one.state == "complete" and one.score is not None]
    return sorted(complete, key=lambda one: (-(one.score or 0.0), one.number))


def best(attempts: Sequence[Attempt]) -> Attempt | None:
    """The complete attempt with the highest score; None if there is none."""
    return next(iter(ranked(attempts)), None)


def split_validation(trials: Trials, validation: Trials | None, *, seed: int) -> tuple[Trials, Trials]:
    """Training and validation trials: a fifth of the trials is held out if no others are given."""
    if validation is not None:
        return trials, trials.match(validation, mine="the training trials", theirs="the validation trials")
    return trials.split(0.8, seed=seed)


def seconds(folder: Path) -> float:
    """What the training in a run folder has taken so far, s."""
    last = {line["stage"]: float(line["seconds"]) for line in History(folder / "history.jsonl").lines}
    return sum(last.values())


def survivable(error: Exception) -> str | None:
    """Why an attempt failed, if a search can go on after it: numbers, settings, memory; None for anything else."""
    if isinstance(error, SpikeloomError) and not isinstance(error, FileError):
        return str(error)
    words = str(error)
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "memory" in words.lower()):
        return f"Out of memory: {words.splitlines()[0] if words else 'the machine has no more'}"
    return None
