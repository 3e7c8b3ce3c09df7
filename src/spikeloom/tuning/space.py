"""The space of a search: the settings of a recipe that it varies, each with a range or a list of values.

A space is a TOML file, such as those in `searches/`. Settings that vary can also be given as text (`--vary`).

    about = "..."
    [vary]
    network_settings.dropout = { low = 0.0, high = 0.6 }
    plan.learning_rate = { low = 1e-5, high = 5e-3, log = true }
    n_latents = { among = [8, 16, 32] }
    loss_settings.hidden = { low = 0.01, high = 0.7, start = [0.4, 0.6] }
    loss_settings.beta = { low = 1e-6, high = 1e-3, log = true, per_entry = true }
    [fix]
    plan.horizon = 1000.0
    [population]
    members = 20

`[vary]` has a range, or the list `among`, for each setting that varies. If both ends of a range are integers, only
integers are drawn. `start` is a narrower range for the initial values of a population. With `per_entry = true`, the
ends are multiplied by the bins x neurons of a training trial: above, beta is kappa x bins x neurons, with kappa from
1e-6 to 1e-3. `[fix]` sets values for all attempts, and `[population]` has the fields of `Schedule`.
"""

import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from importlib import resources
from importlib.resources.abc import Traversable
from os import PathLike, fspath
from pathlib import Path
from typing import Annotated, Any, TypeGuard  # pydantic checks the values of a table

import numpy as np
from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from spikeloom.errors import FileError, SettingError
from spikeloom.files import read_bytes
from spikeloom.settings import STRICT, setting_error
from spikeloom.trials import Trials

Setting = bool | int | float | str
"""Value of one setting."""

SEARCH = ConfigDict(**STRICT, strict=True)
"""Configuration that does not convert types: "5" is not 5."""

HINT = "Write --vary 'plan.learning_rate=1e-5..5e-3 log', --vary 'n_latents=8|16|32', or [vary] in a search."


class Drawn(IntEnum):
    """Use of random numbers in a search. Random numbers of different uses never overlap."""

    HIDDEN = 0  # entries hidden from a model that is scored by reconstruction
    PROPOSAL = 1  # settings of an attempt
    MEMBER = 2  # initial settings of a member of a population
    COPY = 3  # changed settings of a copied member
    GENERATION = 4  # seed of the training of a member in one generation


@checked_dataclass(frozen=True, config=SEARCH)
class Range:
    """Numbers from `low` to `high`, both included.

    Args:
        low: Smallest value.
        high: Largest value. Integers are drawn if both ends are integers.
        log: Draw uniformly on a logarithmic scale. Then `low` must be positive.
        start: Ends of the range of initial values of a population. Default: the full range.
        per_entry: Multiply the ends by the bins x neurons of a trial.
    """

    low: int | float
    high: int | float
    log: bool = False
    start: tuple[int | float, int | float] | None = None
    per_entry: bool = False

    def __post_init__(self) -> None:
        low, high = self.initial_range
        if self.low >= self.high:
            raise ValueError(f"low must be below high, but low is {self.low} and high is {self.high}")
        if not self.low <= low <= high <= self.high:
            raise ValueError(f"start must lie between {self.low} and {self.high}, but it is from {low} to {high}")
        if self.log and self.low <= 0:
            raise ValueError(f"low must be positive if log is true, but low is {self.low}")

    @property
    def initial_range(self) -> tuple[int | float, int | float]:
        """Ends of the range of the initial values of a population."""
        return (self.low, self.high) if self.start is None else self.start

    @property
    def is_integer(self) -> bool:
        """True if the values are integers."""
        return isinstance(self.low, int) and isinstance(self.high, int) and not self.per_entry

    @property
    def samples(self) -> tuple[Setting, ...]:
        """Values for testing whether a recipe accepts this setting: the ends."""
        return self.low, self.high

    def contains(self, value: object) -> TypeGuard[Setting]:
        """Return whether a value lies in the range."""
        if isinstance(value, bool) or not isinstance(value, int | float):  # in Python, a bool is an int
            return False
        if self.is_integer and isinstance(value, float):
            return False
        return self.low <= value <= self.high

    def scaled(self, factor: float) -> "Range":
        """Return this range per entry as a range for trials with `factor` entries (bins times neurons)."""
        low, high = self.initial_range
        start = (low * factor, high * factor)
        return replace(self, low=self.low * factor, high=self.high * factor, start=start, per_entry=False)

    def draw(self, rng: np.random.Generator) -> Setting:
        """Draw the value with which a member of a population begins."""
        low, high = (math.log(end) if self.log else end for end in self.initial_range)  # on the scale of the draw
        value = float(rng.uniform(low, high))
        return self.clipped(math.exp(value) if self.log else value, *self.initial_range)

    def perturbed(self, value: Setting, rng: np.random.Generator, *, factors: tuple[float, float]) -> Setting:
        """Multiply a value by one of the two factors, drawn at random, and limit the product to the range."""
        return self.clipped(float(value) * factors[int(rng.integers(2))], self.low, self.high)

    def clipped(self, value: float, low: float, high: float) -> Setting:
        """Limit a value to the ends, and round the result in a range of integers."""
        inside = min(max(value, low), high)
        return round(inside) if self.is_integer else inside


@checked_dataclass(frozen=True, config=SEARCH)
class Choice:
    """One of several values.

    Args:
        among: At least two values: text, numbers, true or false.
    """

    among: Annotated[tuple[Setting, ...], Field(min_length=2)]

    @property
    def samples(self) -> tuple[Setting, ...]:
        """Values for testing whether a recipe accepts this setting: all values of the choice."""
        return self.among

    def contains(self, value: object) -> TypeGuard[Setting]:
        """Return whether a value is one of the values of the choice."""
        return value in self.among

    def draw(self, rng: np.random.Generator) -> Setting:
        """Draw the value with which a member of a population begins."""
        return self.among[int(rng.integers(len(self.among)))]

    def perturbed(self, value: Setting, rng: np.random.Generator, *, factors: tuple[float, float]) -> Setting:
        """Return the previous or the next value in the list."""
        del factors
        index = self.among.index(value) + (1 if rng.integers(2) else -1)
        return self.among[min(max(index, 0), len(self.among) - 1)]


@checked_dataclass(frozen=True, config=SEARCH)
class Schedule:
    """Settings of the training of a population.

    Args:
        members: Number of models that are trained in parallel.
        generations: Number of rounds of training, comparison and partial replacement.
        epochs: Number of passes over the training trials in one generation.
        plan: Name of the setting with the plan of the trained stage, such as "plan".
        quantile: Fraction of the members that is replaced. Copies of an equal number of the best members replace them.
        factors: Two factors. Each setting of a copy is multiplied by one of them.
        resample: Probability that a setting of a copy is drawn again, and not multiplied.
        cpus: Number of CPUs for each member.
        gpus: Number of GPUs for each member; with 0.25, four members share one GPU.
        later: Settings that change after the first generation, key -> value, such as a warm-up of 0.
    """

    members: Annotated[int, Field(ge=2)] = 20
    generations: Annotated[int, Field(ge=1)] = 10
    epochs: Annotated[int, Field(ge=1)] = 25
    plan: str = "plan"
    quantile: Annotated[float, Field(gt=0, le=0.5)] = 0.25
    factors: tuple[float, float] = (0.8, 1.2)
    resample: Annotated[float, Field(ge=0, le=1)] = 0.25
    cpus: Annotated[float, Field(gt=0)] = 1.0
    gpus: Annotated[float, Field(ge=0)] = 0.0
    later: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Space:
    """The settings that a search varies, and the settings that it fixes.

    Args:
        vary: Values of each varied setting by key.
        fix: Value of each fixed setting by key.
        schedule: Settings of population-based training.
    """

    vary: Mapping[str, Range | Choice]
    fix: Mapping[str, object] = field(default_factory=dict)
    schedule: Schedule = field(default_factory=Schedule)

    def of(self, trials: Trials) -> "Space":
        """Return the space with its `per_entry` ranges multiplied by the mean bins x neurons of these trials."""
        entries = trials.n_valid_bins / len(trials) * trials.n_neurons
        scaled = {
            key: values.scaled(entries) if isinstance(values, Range) and values.per_entry else values
            for key, values in self.vary.items()
        }
        return replace(self, vary=scaled)

    def draw(self, rng: np.random.Generator) -> dict[str, Setting]:
        """Draw the initial settings of a member of a population."""
        return {key: values.draw(rng) for key, values in self.vary.items()}

    def perturbed(self, settings: Mapping[str, Setting], rng: np.random.Generator) -> dict[str, Setting]:
        """Return the settings of a copy: each is multiplied by a factor or drawn again, within its range."""
        changed = {}
        for key, values in self.vary.items():
            if rng.random() < self.schedule.resample:
                changed[key] = values.draw(rng)
            else:
                changed[key] = values.perturbed(settings[key], rng, factors=self.schedule.factors)
        return changed


def changes(settings: Mapping[str, object]) -> list[str]:
    """Return settings as changes for `read_recipe`: "key=value" with a TOML value."""
    return [f"{key}={json.dumps(value)}" for key, value in settings.items()]


def read_space(source: str | PathLike[str] | None, varied: Sequence[str] = ()) -> Space:
    """Read a search space from a TOML file, and add the settings that are given as text.

    Args:
        source: Name of a search that comes with the package, path of a `.toml` file, or None for no file.
        varied: Settings to vary as text, such as "plan.warmup=0..0.6", "plan.learning_rate=1e-5..5e-3 log" or
            "n_latents=8|16|32". They replace settings of the file with the same key.

    Raises:
        FileError: There is no such search. The message lists all searches of the package.
        SettingError: No setting varies, a range is invalid, or the file has an unknown table.
    """
    table = {} if source is None else _read(source)
    unknown = [key for key in table if key not in ("about", "note", "vary", "fix", "population")]
    if unknown:
        raise SettingError(
            "A search can only have about, note, [vary], [fix] and [population].",
            f"{source} has {unknown[0]!r}.",
            "Move settings that vary under [vary], others under [fix].",
        )
    vary = {key: _values(key, value) for key, value in _flat(table.get("vary", {})).items()}
    for text in varied:
        key, values = _from_text(text)
        vary[key] = values
    if not vary:
        raise SettingError("A search must vary at least one setting.", "", HINT)
    population = table.get("population", {})
    if not isinstance(population, Mapping):
        raise SettingError("population must be a table.", f"It was {population!r}.", "Write [population].")
    schedule_settings = _with_tuples(population)
    schedule_settings["later"] = _flat(schedule_settings.get("later", {}))
    try:
        schedule = Schedule(**schedule_settings)
    except ValidationError as error:
        raise setting_error(error, "[population]") from error
    return Space(vary, _flat(table.get("fix", {})), schedule)


def searches() -> list[str]:
    """Return the names of the searches that come with the package."""
    files = _searches_folder().iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def _read(source: str | PathLike[str]) -> dict[str, object]:
    """Read the table of a search that comes with the package, or of a TOML file."""
    name = fspath(source)
    if name in searches():
        text = (_searches_folder() / f"{name}.toml").read_text()
    elif name.endswith(".toml"):
        text = read_bytes(Path(name)).decode(errors="replace")
    else:
        raise FileError(
            f"A search must be one of {', '.join(searches())}, or the path of a .toml file.", f"It was {name!r}.", HINT
        )
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingError("A search must be TOML.", f"{name}: {error}.", "Correct that line.") from error


def _flat(table: object, prefix: str = "") -> dict[str, object]:
    """Return nested tables as values by dotted key. A table with `low`, `high` or `among` is a value."""
    if not isinstance(table, Mapping):
        raise SettingError("[vary] and [fix] must be tables.", f"One of them was {table!r}.", HINT)
    flat: dict[str, object] = {}
    for key, value in table.items():
        if isinstance(value, Mapping) and not {"low", "high", "among"} & value.keys():
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _values(key: str, table: object) -> Range | Choice:
    """Convert a table with `low` and `high`, or with `among`, to a range or a choice."""
    if not isinstance(table, Mapping):
        raise SettingError(f"{key} must have low and high, or among.", f"It was {table!r}.", HINT)
    plain = _with_tuples(table)
    try:
        return Choice(**plain) if "among" in plain else Range(**plain)
    except ValidationError as error:
        raise setting_error(error, key) from error


def _with_tuples(table: Mapping[str, Any]) -> dict[str, Any]:
    """Replace the lists of TOML by tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in table.items()}


def _from_text(text: str) -> tuple[str, Range | Choice]:
    """Convert a setting as text, such as "n_latents=8|16|32", to its key and its values."""
    key, equals, values = (part.strip() for part in text.partition("="))
    error = SettingError("A setting to vary must be key=low..high or key=value|value.", f"It was {text!r}.", HINT)
    if not (equals and key and values):
        raise error
    if "|" in values:
        return key, _values(key, {"among": [_plain(value) for value in values.split("|")]})
    interval, *options = values.split()
    low, dots, high = interval.partition("..")
    if not dots or options not in ([], ["log"]):
        raise error
    return key, _values(key, {"low": _plain(low), "high": _plain(high), "log": options == ["log"]})


def _plain(text: str) -> object:
    """Convert text to a number or another value of TOML. Other text stays as it is."""
    try:
        return tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def _searches_folder() -> Traversable:
    """Return the folder of the searches that come with the package."""
    return resources.files("spikeloom") / "searches"
