"""Recipes: models and their settings as text; `spikeloom.settings` turns the words into objects.

A recipe is TOML: which model, what it is about, and settings, whose keys are the arguments of the model's constructor.
A setting that is itself an object is a table of that object's arguments; where a class is to be chosen (a noise
schedule, a sampler, an observation model), `name` says which. What a recipe leaves out keeps the model's default, and
"none" is Python's None.

    model = "ldns"
    latents = 16
    [schedule]
    name = "LinearBeta"
    levels = 1000

The constructors' signatures and annotations decide which keys exist and what each may hold, so a new setting or class
needs no line here. A word can only choose among classes that exist; it never imports or calls anything of its own.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import tomli_w

from spikeloom.errors import CorruptFileError, FileError, SettingError, TrainingError
from spikeloom.files import read_bytes
from spikeloom.models.common.base import Model, read_config
from spikeloom.settings import NONE, construct, describe, hint, named, value_of, with_words
from spikeloom.trials import Trials

ABOUT = ("model", "about", "note")
"""Keys of a recipe that are not settings."""


@dataclass(frozen=True)
class Recipe:
    """Which model, and its settings as plain values.

    Args:
        name: The recipe's name, or the path it was read from.
        model: Name of the model class in small letters, "ldns".
        about: One line: what it is for.
        note: Where the numbers come from, what it costs.
        settings: Arguments of the model's constructor by name; nested tables for objects.
    """

    name: str
    model: str
    about: str
    note: str
    settings: Mapping[str, Any]

    def build(self, n_neurons: int) -> Model:
        """An untrained model for so many neurons.

        Raises:
            SettingError: if a key is unknown, a value is of the wrong kind or out of range, or a class is unknown.
        """
        return _built(self.model, self.settings, n_neurons)

    def dumps(self) -> str:
        """The recipe as TOML with every setting resolved; it gives the same model whatever the defaults become."""
        settings = describe(self.build(1))
        settings.pop("name")
        about = {"model": self.model, "about": self.about, "note": self.note}
        return tomli_w.dumps({**about, **with_words(settings)}, multiline_strings=True)


def recipes() -> list[str]:
    """Names of the recipes that come with the package.

    Example:
        >>> import spikeloom as sl
        >>> "ldns-small" in sl.recipes()
        True
    """
    return sorted(entry.name.removesuffix(".toml") for entry in _home().iterdir() if entry.name.endswith(".toml"))


def read_recipe(source: str | PathLike[str], overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe, by name or from a TOML file.

    Args:
        source: Name of a recipe that comes with the package, or path of a `.toml` file.
        overrides: Changes such as "n_latents=8" or "autoencoder_plan.updates=500": a dotted key and a TOML value; text
            needs no quotes.

    Raises:
        FileError: if there is no such recipe; the message lists those there are.
        SettingError: if it is not TOML, or an override has no key.

    Example:
        >>> import spikeloom as sl
        >>> recipe = sl.read_recipe("ldns-tiny", ["n_latents=4"])
        >>> recipe.model, recipe.settings["latents"]
        ('ldns', 4)
    """
    words = fspath(source)
    path = Path(words)
    if words in recipes():
        text = (_home() / f"{words}.toml").read_text()
    elif path.suffix == ".toml":
        text = read_bytes(path).decode(errors="replace")
    else:
        raise FileError(
            f"A recipe must be one of {', '.join(recipes())}, or the path of a .toml file.",
            f"It was {words!r}.",
            hint(words, recipes(), otherwise="List them with `spikeloom recipes`."),
        )
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingError("A recipe must be TOML.", f"{words}: {error}.", "Correct that line.") from error
    for change in overrides:
        _override(table, change)
    if not isinstance(table.get("model"), str):
        raise SettingError(
            "A recipe must say which model it sets up.", f"{words} does not.", 'Begin it with model = "ldns".'
        )
    settings = {key: value for key, value in table.items() if key not in ABOUT}
    return Recipe(words, table["model"], table.get("about", ""), table.get("note", ""), settings)


def fit(
    recipe: str | PathLike[str],
    trials: Trials,
    *,
    validation: Trials | None = None,
    changes: Sequence[str] = (),
    seed: int = 0,
    out: str | PathLike[str] | None = None,
    progress: bool | None = None,
) -> Model:
    """Train a model by a recipe.

    Args:
        recipe: Name of a recipe that comes with the package (see `recipes`), or path of a `.toml` file.
        trials: Training trials.
        validation: Trials on which the best weights of each stage are chosen; disjoint from training and test trials.
        changes: Changes of the recipe such as "n_latents=8" or "autoencoder_plan.updates=500", as in `read_recipe`.
        seed: Random seed of the initial weights and of every draw.
        out: Run folder for checkpoints, log and the finished model. An interrupted run of the same recipe, trials and
            seed resumes; a finished one is loaded.
        progress: Show progress; None shows it on a terminal.

    Returns:
        The trained model, ready to sample and encode.

    Raises:
        FileError: if there is no such recipe.
        SettingError: if a setting is unknown or wrong, or `out` holds a run of other settings, trials or seed.
        DataError: if there are too few trials or no spikes.
        TrainingError: if the loss stays not finite.

    Example:
        >>> import spikeloom as sl
        >>> trials = sl.simulate.lorenz(24, n_neurons=6, n_bins=30, seed=0)
        >>> quick = ["autoencoder_plan.updates=2", "diffusion_plan.updates=2"]
        >>> model = sl.fit("ldns-tiny", trials, changes=quick, seed=0, progress=False)
        >>> model.sample(3, seed=1).counts.shape
        (3, 30, 6)
    """
    model = read_recipe(recipe, changes).build(trials.n_neurons)
    return model.fit(trials, validation=validation, seed=seed, out=out, progress=progress)


def load_model(folder: str | PathLike[str], overrides: Sequence[str] = ()) -> Model:
    """Load a trained model from its folder, or from the run folder that holds it.

    Args:
        folder: The folder.
        overrides: Changes of settings that need no training, such as "start=posterior", as in `read_recipe`.

    Raises:
        FileError: if the folder holds no model.
        TrainingError: if it holds a run that was not finished.
        CorruptFileError: if a file is damaged.
        SettingError: if a change is none, or would need other weights.

    Example:
        >>> import spikeloom as sl
        >>> trials = sl.simulate.lorenz(24, n_neurons=6, n_bins=30, seed=0)
        >>> _ = sl.fit("lfads-tiny", trials, changes=["plan.updates=2"], out="run", progress=False)
        >>> sl.load_model("run").sample(3, seed=1).counts.shape
        (3, 30, 6)
    """
    place = model_folder(folder)
    config = read_config(place)
    try:
        name, settings, neurons = config["model"], config["settings"], config["facts"]["n_neurons"]
    except (KeyError, TypeError) as error:
        raise CorruptFileError(
            "config.json of a model folder must hold model, settings and facts.",
            f"That of {place} does not.",
            "Restore the folder from a copy, or train again.",
        ) from error
    for change in overrides:
        _override(settings, change)
    model: Model = _built(name, settings, neurons)
    try:
        return model.restore(place)
    except CorruptFileError as error:
        if not overrides:
            raise
        raise SettingError(
            "Settings of a trained model can only be changed where its weights stay as they are.",
            f"With {', '.join(overrides)} the weights in {place} do not fit.",
            "Train with that setting: `spikeloom fit RECIPE --set ...`.",
        ) from error


def model_folder(folder: str | PathLike[str]) -> Path:
    """The model folder that is meant: the folder itself, or `model` in a run folder; see `load_model` for errors."""
    place = Path(folder)
    for found in (place, place / "model"):
        if (found / "config.json").exists() or (found / "manifest.json").exists():
            return found
    if (place / "run.json").exists():
        raise TrainingError(
            "A run must be finished before its model can be used.",
            f"{place} holds a run that is not.",
            "Give the same `spikeloom fit` command again: the run resumes.",
        )
    raise FileError(
        "A model folder or run folder must hold a trained model.",
        f"{place} {'holds none' if place.is_dir() else 'is not a folder'}.",
        "Train one with `spikeloom fit RECIPE --data train.h5 --out RUN`.",
    )


def choose(base: type, words: str) -> Any:
    """An object of a concrete subclass of `base`, by its name and, after a colon, its steps: "DDIM:50"."""
    name, colon, steps = words.partition(":")
    table: dict[str, Any] = {"name": name}
    if colon:
        if not steps.isdigit():
            raise SettingError(
                "After the colon there must be a number of steps.", f"It was {words!r}.", "Write DDIM:50."
            )
        table["steps"] = int(steps)
    return value_of(base, table, base.__name__.lower(), None)


def _built(name: str, settings: Mapping[str, Any], n_neurons: int) -> Model:
    """An untrained model of the class of that name."""
    _refuse_nesting(settings.get("observation"))
    model: Model = construct(named(Model, name, "model"), settings, "", n_neurons=n_neurons)
    return model


NESTED = {
    "SharedNoise": '{noise = "SharedNoise"}',
    "SpikeHistory": '{history = "SpikeHistory", noise = "none"}',
    "Poisson": '{counts = "Poisson", history = "none", noise = "none"}',
    "Refractory": '{counts = "Refractory", history = "none", noise = "none"}',
    "Regular": '{counts = "Regular", history = "none", noise = "none"}',
}
"""Observation models that were named by their outermost part, and what to write instead."""


def _refuse_nesting(value: Any) -> None:
    """Raise a SettingError for an observation model that is named by its outermost part."""
    where, value = "observation", {"name": value} if isinstance(value, str) and value != NONE else value
    if not isinstance(value, Mapping):
        return
    if "name" in value or "inner" in value:
        named = next((slots for name, slots in NESTED.items() if name.lower() == str(value.get("name")).lower()), None)
        words = ", ".join(f"{key} = {value[key]!r}" for key in ("name", "inner") if key in value)
        raise SettingError(
            f"{where} has three slots, counts, history and noise, none of which wraps another.",
            f"It got {words}.",
            f"Write {where} = {named or NESTED['Poisson']}.",
        )


# --- the text --------------------------------------------------------------------------------------------------------


def _override(table: dict[str, Any], change: str) -> None:
    key, equals, text = change.partition("=")
    path = [part.strip() for part in key.split(".")]
    if not equals or not all(path):
        raise SettingError(
            "A change must be key=value.", f"It was {change!r}.", "Write --set autoencoder_plan.updates=500."
        )
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    for part in path[:-1]:
        inner = table.get(part)
        if isinstance(inner, str):
            inner = {"name": inner}
        table[part] = inner = dict(inner) if isinstance(inner, Mapping) else {}
        table = inner
    if isinstance(table.get(path[-1]), Mapping) and isinstance(value, str) and value != NONE:
        value = {"name": value}
    table[path[-1]] = value


def _home() -> Any:
    return resources.files("spikeloom") / "recipes"
