"""Settings: one strict base for settings objects, and the way from objects to plain words and back.

A settings object is a frozen dataclass of pydantic with the configuration `STRICT`: it refuses unknown fields and
numbers that are not finite. `describe` turns an object into plain values, `construct` turns plain values into an
object. The signatures and annotations of constructors decide which keys exist and what each may hold, so a new setting
or class needs no line here. A word only chooses among classes that exist; it never imports or calls anything else.
"""

import difflib
import importlib
import inspect
import json
import pkgutil
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

import tomli_w
from pydantic import ConfigDict, TypeAdapter, ValidationError

from spikeloom.errors import SettingError

STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
"""Configuration of all settings objects."""

NONE = "none"
"""TOML has no null; this word stands for it."""

RENAMED = {
    "rate": "learning_rate",
    "watch": "validation",
    "watch_every": "validate_every",
    "latents": "n_latents",
    "codes": "n_codes",
    "autoencoder": "autoencoder_settings",
    "denoiser": "denoiser_settings",
    "signal": "signal_settings",
    "network": "network_settings",
    "loss": "loss_settings",
}
"""Settings of before the first release by their new names, for messages."""

# --- from objects to words -------------------------------------------------------------------------------------------


def describe(thing: Any) -> Any:
    """Settings as plain values: an object becomes its constructor's arguments.

    Where there is a choice of classes (a sampler, a schedule), the class name comes first.
    """
    if isinstance(thing, Mapping):
        return {key: describe(value) for key, value in thing.items()}
    if isinstance(thing, str | int | float | bool) or thing is None:
        return thing
    if isinstance(thing, Sequence):
        return [describe(value) for value in thing]
    kind = type(thing)
    names = [name for name in inspect.signature(kind).parameters if name != "n_neurons"]
    chosen = {"name": kind.__name__} if any(inspect.isabstract(base) for base in kind.__mro__) else {}
    return {**chosen, **{name: describe(getattr(thing, name)) for name in names}}


def recipe_text(model: Any) -> str:
    """The settings of a model as a recipe, TOML."""
    settings = describe(model)
    return tomli_w.dumps({"model": settings.pop("name").lower(), **with_words(settings)})


def with_words(value: Any) -> Any:
    """Plain values in which None is the word "none", since TOML has no null and a default may be another value."""
    if isinstance(value, Mapping):
        return {key: with_words(item) for key, item in value.items()}
    return NONE if value is None else value


# --- from words to objects -------------------------------------------------------------------------------------------


def construct(kind: type, table: Mapping[str, Any], where: str, **given: Any) -> Any:
    """Call a class with the arguments that a table names; `given` are arguments that no table may name."""
    place = f"[{where}]" if where else f"a recipe for {kind.__name__}"
    signature = inspect.signature(kind, eval_str=True)
    parameters = {name: spec for name, spec in signature.parameters.items() if name not in given}
    for key in table:
        if key not in parameters:
            if key in RENAMED and RENAMED[key] in parameters:
                new = RENAMED[key]
                raise SettingError(f"`{key}` is now called `{new}`.", f"It stands in {place}.", f"Write {new}.")
            raise SettingError(
                f"Every key of {place} must be known.",
                f"It got {key!r}.",
                hint(key, list(parameters), otherwise=f"The keys are {', '.join(parameters) or 'none'}."),
            )
    missing = [name for name, spec in parameters.items() if spec.default is spec.empty and name not in table]
    if missing:
        raise SettingError(
            f"{kind.__name__} needs {', '.join(missing)}.",
            f"{place} does not say.",
            f"Give {where}.{missing[0]} a value.",
        )
    arguments = {
        key: value_of(parameters[key].annotation, value, f"{where}.{key}".lstrip("."), parameters[key].default)
        for key, value in table.items()
    }
    try:
        return kind(**given, **arguments)
    except ValidationError as error:
        raise setting_error(error, place) from error


def value_of(annotation: Any, value: Any, where: str, default: Any) -> Any:
    """A plain value as what the annotation asks for."""
    options = _options(annotation)
    if type(None) in options and value in (None, NONE):
        return None
    kind = next((option for option in options if inspect.isclass(option) and _has_settings(option)), None)
    if kind is None:
        return _plain(annotation, value, where)
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, Mapping):
        raise SettingError(
            f"{where} must be a table of settings.", f"It was {value!r}.", f"Write [{where}], or {where}.key = ..."
        )
    table = _merged({} if default in (None, inspect.Parameter.empty) else describe(default), value)
    name = table.pop("name", None)
    if inspect.isabstract(kind):
        kind = named(kind, name, where)
    elif name not in (None, kind.__name__):
        raise SettingError(f"{where} must be settings of {kind.__name__}.", f"It names {name!r}.", "Leave name out.")
    return construct(kind, table, where)


def _merged(default: Mapping[str, Any], value: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with changes, table by table; where these name another class, its own defaults hold."""
    if value.get("name", default.get("name")) != default.get("name"):
        return dict(value)
    return {
        **default,
        **{
            key: _merged(default[key], item)
            if isinstance(item, Mapping) and isinstance(default.get(key), Mapping)
            else item
            for key, item in value.items()
        },
    }


def _plain(annotation: Any, value: Any, where: str) -> Any:
    try:
        return TypeAdapter(annotation).validate_json(json.dumps(value), strict=True)  # strict: "5" is not 5
    except ValidationError as error:
        raise setting_error(error, where) from error
    except TypeError as error:  # a date or time, which TOML has and JSON has not
        raise SettingError(
            f"{where} must be a plain value.", f"It was {value!r}.", "Give a number, text or list."
        ) from error


def setting_error(error: ValidationError, place: str) -> SettingError:
    """A pydantic complaint in our three sentences."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    what = f"{key} of {place}" if key else place
    if first["type"] == "value_error":  # a rule of several settings together, in the words of the class
        return SettingError(
            f"{what} must agree within itself.", f"{str(first['ctx']['error']).rstrip('.')}.", "Correct the values."
        )
    wanted = first["msg"].removeprefix("Input should be ")
    return SettingError(f"{what} must be {wanted}.", f"It was {first['input']!r}.", "Correct the value.")


def _options(annotation: Any) -> tuple[Any, ...]:
    if typing.get_origin(annotation) is typing.Annotated:
        return _options(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return tuple(inner for option in typing.get_args(annotation) for inner in _options(option))
    return (annotation,)


def _has_settings(kind: type) -> bool:
    return kind.__module__.startswith("spikeloom.")


def named(base: type, name: Any, where: str) -> type:
    """The concrete subclass of that name, in any case of letters, after importing the packages the base lives in."""
    parents = base.__module__.split(".")
    for depth in range(2, len(parents)):  # spikeloom.models and spikeloom.models.common, for a base in the latter
        package = importlib.import_module(".".join(parents[:depth]))
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{package.__name__}.{module.name}")
    found = {kind.__name__: kind for kind in _below(base) if not inspect.isabstract(kind)}
    for known, kind in found.items():
        if isinstance(name, str) and known.lower() == name.lower():
            return kind
    raise SettingError(
        f"{where} must name one of {', '.join(sorted(found))}.",
        f"It was {name!r}.",
        hint(str(name), list(found), otherwise=f'Write name = "{min(found, default="")}".'),
    )


def _below(base: type) -> list[type]:
    below: list[type] = base.__subclasses__()
    return below + [kind for child in below for kind in _below(child)]


def hint(word: str, known: Sequence[str], *, otherwise: str) -> str:
    """A question that names the known word closest to a misspelt one, or another sentence if none is close."""
    close = difflib.get_close_matches(word.lower(), [name.lower() for name in known], n=1)
    match = next((name for name in known if close and name.lower() == close[0]), None)
    return otherwise if match is None else f"Did you mean {match}?"
