"""Recipes: models and their settings as TOML text. `spikeloom.settings` turns the text into objects.

A recipe names a model, describes it and lists settings. The keys of the settings are the arguments of the model's
constructor. A setting that is an object, such as a noise schedule or a sampler, is a table with the arguments of the
object. If there are several classes, the key `name` of the table chooses one. A setting that the recipe omits keeps the
model's default. "none" stands for Python's None.

    model = "ldns"
    n_latents = 16
    [schedule]
    name = "LinearBeta"
    levels = 1000

A setting that is a model (the `signal_model` of GNOCCHI) may name its recipe; the other keys of its table change it:

    [signal_model]
    recipe = "ldns-small"
    n_latents = 16

The constructors' signatures and annotations define the keys and their types, so a new setting or class needs no code
here. A recipe can only choose among existing classes; it never imports or calls anything else.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from os import PathLike, fspath
from pathlib import Path
from typing import TypeVar

import tomli_w

from spikeloom.errors import CorruptFileError, FileError, SettingError, TrainingError
from spikeloom.files import read_bytes
from spikeloom.models.common.base import Model
from spikeloom.models.common.model_folder import read_config
from spikeloom.settings import NONE, construct, describe, hint, merged, named, none_as_text
from spikeloom.trials import Trials

T = TypeVar("T")

ABOUT = ("model", "about", "note")
"""Keys of a recipe that are not settings."""


@dataclass(frozen=True)
class Recipe:
    """A model and its settings as plain values.

    Args:
        name: Name of the recipe, or the path of its file.
        model: Name of the model class in small letters, "ldns".
        about: Purpose of the recipe in one line.
        note: Source of the numbers, and cost of training.
        settings: Arguments of the model's constructor by name; nested tables for objects.
    """

    name: str
    model: str
    about: str
    note: str
    settings: Mapping[str, object]

    def build(self, n_neurons: int) -> Model:
        """Return an untrained model for `n_neurons` neurons.

        Raises:
            SettingError: if a key or a class is unknown, or a value has the wrong type or is out of range.
        """
        return _built(self.model, self.settings, n_neurons)

    def dumps(self) -> str:
        """Return the recipe as TOML with all settings. Later changes of the defaults do not affect this text."""
        settings = describe(self.build(1))  # the number of neurons is no setting, so any will do
        settings.pop("name")
        about = {"model": self.model, "about": self.about, "note": self.note}
        return tomli_w.dumps({**about, **none_as_text(settings)}, multiline_strings=True)


def recipes() -> list[str]:
    """Return the names of the recipes that come with the package.

    Example:
        >>> import spikeloom as sl
        >>> "ldns-small" in sl.recipes()
        True
    """
    return sorted(entry.name.removesuffix(".toml") for entry in _home().iterdir() if entry.name.endswith(".toml"))


def read_recipe(source: str | PathLike[str], overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe by name or from a TOML file.

    Args:
        source: Name of a recipe that comes with the package, or path of a `.toml` file.
        overrides: Changes such as "n_latents=8" or "autoencoder_plan.updates=500": a dotted key and a TOML value. Text
            needs no quotes.

    Raises:
        FileError: if there is no such recipe. The message lists the existing recipes.
        SettingError: if the text is not TOML, or an override has no key.

    Example:
        >>> import spikeloom as sl
        >>> recipe = sl.read_recipe("ldns-tiny", ["n_latents=4"])
        >>> recipe.model, recipe.settings["n_latents"]
        ('ldns', 4)
    """
    name_or_path = fspath(source)
    table = _table(name_or_path)
    if isinstance(overrides, str):
        raise SettingError(
            "Changes of a recipe must be a list of texts.",
            f"They were the text {overrides!r}.",
            f"Write [{overrides!r}].",
        )
    for change in overrides:
        _override(table, change)
    model = table.get("model")
    if not isinstance(model, str):
        raise SettingError(
            "A recipe must name its model.", f"{name_or_path} does not.", 'Start it with model = "ldns".'
        )
    settings = {key: _composed(value) for key, value in table.items() if key not in ABOUT}
    return Recipe(name_or_path, model, str(table.get("about", "")), str(table.get("note", "")), settings)


def _composed(value: object) -> object:
    """Return a setting as plain values.

    A table with the key `recipe` becomes the settings of this recipe, changed by the other keys of the table.
    """
    if not isinstance(value, Mapping) or not isinstance(value.get("recipe"), str):
        return value
    inner = _table(value["recipe"])
    settings = {key: setting for key, setting in inner.items() if key not in ABOUT}
    changes = {key: setting for key, setting in value.items() if key != "recipe"}
    return merged({"name": inner.get("model"), **settings}, changes)


def _table(name_or_path: str) -> dict[str, object]:
    """Return the TOML table of a recipe, by its name or the path of its file."""
    path = Path(name_or_path)
    if name_or_path in recipes():
        text = (_home() / f"{name_or_path}.toml").read_text()
    elif path.suffix == ".toml":
        text = read_bytes(path).decode(errors="replace")
    else:
        raise FileError(
            f"A recipe must be one of {', '.join(recipes())}, or the path of a .toml file.",
            f"It was {name_or_path!r}.",
            hint(name_or_path, recipes(), otherwise="List them with `spikeloom recipes`."),
        )
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingError("A recipe must be TOML.", f"{name_or_path}: {error}.", "") from error


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
    """Train the model of a recipe.

    Args:
        recipe: Name of a recipe that comes with the package (see `recipes`), or path of a `.toml` file.
        trials: Training trials.
        validation: Trials on which the best weights of each stage are chosen; disjoint from training and test trials.
        changes: Changes of the recipe such as "n_latents=8" or "autoencoder_plan.updates=500", as in `read_recipe`.
        seed: Random seed of the initial weights and of every draw.
        out: Run folder for checkpoints, log and the finished model. An interrupted run of the same recipe, trials and
            seed resumes; a finished one is loaded.
        progress: Show progress. `None` shows it on a terminal only.

    Returns:
        The trained model, which can sample and encode.

    Raises:
        FileError: if there is no such recipe.
        SettingError: if a setting is unknown or wrong, or `out` holds a run with other settings, trials or seed.
        DataError: if there are too few trials or no spikes.
        TrainingError: if the loss remains NaN or infinite.

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
        folder: Model folder or run folder.
        overrides: Changes of settings that need no training, such as "start=posterior", as in `read_recipe`.

    Raises:
        FileError: if the folder holds no model.
        TrainingError: if the folder holds an unfinished run.
        CorruptFileError: if a file is damaged.
        SettingError: if a change is invalid, or would need other weights.

    Example:
        >>> import spikeloom as sl
        >>> trials = sl.simulate.lorenz(24, n_neurons=6, n_bins=30, seed=0)
        >>> _ = sl.fit("lfads-tiny", trials, changes=["plan.updates=2"], out="run", progress=False)
        >>> sl.load_model("run").sample(3, seed=1).counts.shape
        (3, 30, 6)
    """
    path = model_folder(folder)
    config = read_config(path)
    settings = config["settings"]
    for change in overrides:
        _override(settings, change)
    model = _built(config["model"], settings, config["facts"]["n_neurons"])
    try:
        return model.restore(path)
    except CorruptFileError as error:
        if not overrides:
            raise
        raise SettingError(
            "Only settings that do not affect the weights of a trained model can be changed.",
            f"With {', '.join(overrides)} the weights in {path} do not fit.",
            "Train with this setting: `spikeloom fit RECIPE --set ...`.",
        ) from error


def model_folder(folder: str | PathLike[str]) -> Path:
    """Return the model folder: the folder itself, or `model` in a run folder. `load_model` lists the errors."""
    path = Path(folder)
    for candidate in (path, path / "model"):
        if (candidate / "config.json").exists() or (candidate / "manifest.json").exists():
            return candidate
    if (path / "run.json").exists():
        raise TrainingError(
            "A run must be finished before its model can be used.",
            f"The run in {path} is not finished.",
            "Repeat the same `spikeloom fit` command: the run resumes.",
        )
    raise FileError(
        "A model folder or run folder must hold a trained model.",
        f"{path} {'holds none' if path.is_dir() else 'is not a folder'}.",
        "Train one with `spikeloom fit RECIPE --data train.h5 --out RUN`.",
    )


def choose(base: type[T], text: str) -> T:
    """Return an object of a subclass of `base`.

    Args:
        base: Base class, such as `Sampler`.
        text: Name of the subclass and, optionally, its number of steps, such as "DDIM:50".
    """
    name, colon, steps = text.partition(":")
    table = {}
    if colon:
        if not steps.isdigit():
            raise SettingError(
                "The text after the colon must be a number of steps.", f"It was {text!r}.", "Write DDIM:50."
            )
        table["steps"] = int(steps)
    where = base.__name__.lower()
    return construct(named(base, name, where), table, where)


def _built(name: str, settings: Mapping[str, object], n_neurons: int) -> Model:
    """Return an untrained model of the named class."""
    _refuse_nesting(settings.get("observation"))
    return construct(named(Model, name, "model"), settings, "", n_neurons=n_neurons)


NESTED = {
    "SharedNoise": '{noise = "SharedNoise"}',
    "SpikeHistory": '{history = "SpikeHistory", noise = "none"}',
    "Poisson": '{counts = "Poisson", history = "none", noise = "none"}',
    "Refractory": '{counts = "Refractory", history = "none", noise = "none"}',
    "Regular": '{counts = "Regular", history = "none", noise = "none"}',
}
"""Maps the old names of observation models to the text that replaces them."""


def _refuse_nesting(observation: object) -> None:
    """Raise a SettingError for a setting `observation` that is written in the old way, as one class inside another."""
    if isinstance(observation, str) and observation != NONE:
        observation = {"name": observation}
    if not isinstance(observation, Mapping):
        return
    if "name" in observation or "inner" in observation:
        old_name = str(observation.get("name")).lower()
        new_text = next((text for name, text in NESTED.items() if name.lower() == old_name), NESTED["Poisson"])
        old_text = ", ".join(f"{key} = {observation[key]!r}" for key in ("name", "inner") if key in observation)
        raise SettingError(
            "observation has the three settings counts, history and noise.",
            f"It had {old_text}.",
            f"Write observation = {new_text}.",
        )


# --- the text --------------------------------------------------------------------------------------------------------


def _override(table: dict[str, object], change: str) -> None:
    """Set the key of a change such as "plan.updates=5" in a table of settings; inner tables are copied.

    Args:
        table: Settings, which are changed in place.
        change: A dotted key and a TOML value, "key=value".

    Raises:
        SettingError: if the change has no key or no `=`, or its value is a list or table that is not TOML.
    """
    key, equals, text = change.partition("=")
    keys = [part.strip() for part in key.split(".")]
    if not equals or not all(keys):
        raise SettingError(
            f"{change!r} is not a change of a setting, key=value.",
            "",
            "Write, for instance, --set autoencoder_plan.updates=500.",
        )
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError as error:
        value = text.strip()
        if value.startswith(("[", "{")):
            raise SettingError(
                f"{value} is not a value in TOML.",
                "",
                'Text in lists and tables needs quotes, as in condition=["hand_velocity"].',
            ) from error
    for part in keys[:-1]:
        inner = table.get(part)
        if isinstance(inner, str):  # the name of a class, without settings
            inner = {"name": inner}
        inner_table = dict(inner) if isinstance(inner, Mapping) else {}
        table[part] = inner_table
        table = inner_table
    if isinstance(table.get(keys[-1]), Mapping) and isinstance(value, str) and value != NONE:
        value = {"name": value}  # text in place of a table is the name of a class
    table[keys[-1]] = value


def _home() -> Traversable:
    """Return the folder of the recipes that come with the package."""
    return resources.files("spikeloom") / "recipes"
