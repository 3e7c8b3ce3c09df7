"""Settings objects: their strict configuration, and conversion from objects to plain values and back.

A settings object is a frozen dataclass of pydantic with the configuration `STRICT`: unknown fields and numbers that
are not finite raise an error. `describe` turns an object into plain values, `construct` turns plain values into an
object. The signatures and annotations of constructors define the keys and their types, so a new setting or class needs
no code here. A name only chooses among existing classes; it never imports or calls anything else.
"""

import dataclasses
import difflib
import importlib
import inspect
import json
import pkgutil
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import tomli_w
from pydantic import ConfigDict, TypeAdapter, ValidationError

from spikeloom.errors import SettingError

T = TypeVar("T")

STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
"""Configuration of all settings objects."""

NONE = "none"
"""Text that stands for None, because TOML has no null."""

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
"""Maps old names of settings to the new ones, for messages."""

# --- from objects to plain values ------------------------------------------------------------------------------------


def describe(settings: object) -> dict[str, object]:
    """Return a settings object as plain values: the arguments of its constructor, by name.

    If there are several classes to choose from (a sampler, a schedule, a subclass of settings), the class name comes
    first.
    """
    kind = type(settings)
    names = [name for name in _parameters(kind) if name != "n_neurons"]  # the data determine their number
    has_siblings = any(inspect.isabstract(base) or dataclasses.is_dataclass(base) for base in kind.__mro__[1:])
    class_name = {"name": kind.__name__} if has_siblings else {}
    return {**class_name, **{name: _plain(getattr(settings, name)) for name in names}}


def _plain(value: object) -> object:
    """Return a setting as text, a number, None, a list or a dict."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    if isinstance(value, Sequence):
        return [_plain(item) for item in value]
    return describe(value)


def recipe_text(model: object) -> str:
    """Return the settings of a model as the TOML text of a recipe."""
    settings = describe(model)
    return tomli_w.dumps({"model": str(settings.pop("name")).lower(), **none_as_text(settings)})


def none_as_text(settings: Mapping[str, object]) -> dict[str, object]:
    """Replace None by the text "none": TOML has no null, and a missing key would mean the default."""
    return {
        key: none_as_text(value) if isinstance(value, Mapping) else NONE if value is None else value
        for key, value in settings.items()
    }


# --- from plain values to objects ------------------------------------------------------------------------------------


def construct(kind: type[T], table: Mapping[str, object], where: str, **fixed: object) -> T:
    """Call a class with the arguments in a table.

    Args:
        kind: The class.
        table: Arguments by name as plain values; a nested table gives an object.
        where: Dotted key of the table in the recipe, for messages; empty for the recipe itself.
        fixed: Further arguments, which no table may contain. Objects in the table also receive those that their
            constructors have.

    Raises:
        SettingError: if a key is unknown or missing, or a value is wrong.
    """
    label = f"[{where}]" if where else f"a recipe for {kind.__name__}"
    parameters = {name: spec for name, spec in _parameters(kind).items() if name not in fixed}
    for key in table:
        if key not in parameters:
            if key in RENAMED and RENAMED[key] in parameters:
                new = RENAMED[key]
                raise SettingError(f"`{key}` is now called `{new}`.", f"It is in {label}.", f"Write {new}.")
            raise SettingError(
                f"{label} has an unknown key.",
                f"The key was {key!r}.",
                hint(key, list(parameters), otherwise=f"The keys are {', '.join(parameters) or 'none'}."),
            )
    missing = [name for name, spec in parameters.items() if spec.default is spec.empty and name not in table]
    if missing:
        raise SettingError(
            f"{kind.__name__} needs {', '.join(missing)}.",
            f"{label} does not set it.",
            f"Set {f'{where}.{missing[0]}'.lstrip('.')}.",
        )
    arguments = {
        key: value_of(parameters[key].annotation, value, f"{where}.{key}".lstrip("."), parameters[key].default, **fixed)
        for key, value in table.items()
    }
    try:
        return kind(**fixed, **arguments)
    except ValidationError as error:
        raise setting_error(error, label) from error


def _parameters(kind: type) -> dict[str, inspect.Parameter]:
    """Return the parameters of a constructor by name.

    If a dataclass of the standard library derives from a dataclass of pydantic, its signature is that of the base class
    and lacks the fields of the derived class. Its `__init__` has all fields.
    """
    own_constructor = "__init__" in vars(kind) and "__signature__" not in vars(kind)
    signature = inspect.signature(vars(kind)["__init__"] if own_constructor else kind, eval_str=True)
    return {name: spec for name, spec in signature.parameters.items() if name != "self"}


def value_of(annotation: object, value: object, where: str, default: object, **fixed: object) -> object:
    """Convert a plain value of a setting to the annotated type.

    Args:
        annotation: Annotation of the setting.
        value: Plain value. A table changes the settings of the default object.
        where: Dotted key of the setting, for messages.
        default: Default of the setting.
        fixed: Further arguments, as in `construct`.

    Raises:
        SettingError: if the value does not fit.
    """
    options = _options(annotation)
    if type(None) in options and value in (None, NONE):
        return None
    # the class of the setting, if the setting is an object and not a plain value
    kind = next((option for option in options if inspect.isclass(option) and _has_settings(option)), None)
    if kind is None:
        return _validated(annotation, value, where)
    if isinstance(value, str):  # the name of a class, without settings
        value = {"name": value}
    if not isinstance(value, Mapping):
        raise SettingError(
            f"{where} must be a table of settings.", f"It was {value!r}.", f"Write [{where}], or {where}.key = ..."
        )
    table = merged({} if default in (None, inspect.Parameter.empty) else describe(default), value)
    name = table.pop("name", None)
    if inspect.isabstract(kind) or name is not None:  # an abstract class has no objects, so a subclass must be named
        kind = named(kind, name, where)
    # the further arguments that this class has, such as n_neurons
    shared = {key: argument for key, argument in fixed.items() if key in _parameters(kind)}
    return construct(kind, table, where, **shared)


def merged(default: Mapping[str, object], value: Mapping[str, object]) -> dict[str, object]:
    """Merge changes into settings, table by table. If the changes name another class, its defaults apply.

    Args:
        default: Settings, with tables as mappings.
        value: Changes of the settings.
    """
    if value.get("name", default.get("name")) != default.get("name"):
        return dict(value)
    result = dict(default)
    for key, item in value.items():
        default_item = default.get(key)
        if isinstance(item, Mapping) and isinstance(default_item, Mapping):
            result[key] = merged(default_item, item)
        else:
            result[key] = item
    return result


def _validated(annotation: Any, value: object, where: str) -> object:  # no type stands for all annotations
    """Return a plain value if it fits the annotation. Raise a SettingError if it does not."""
    try:
        return TypeAdapter(annotation).validate_json(json.dumps(value), strict=True)  # strict: "5" is not 5
    except ValidationError as error:
        raise setting_error(error, where) from error
    except TypeError as error:  # a date or time, which exists in TOML but not in JSON
        raise SettingError(
            f"{where} must be a plain value.", f"It was {value!r}.", "Write a number, text or list."
        ) from error


def setting_error(error: ValidationError, label: str) -> SettingError:
    """Return an error of pydantic as a SettingError.

    Args:
        error: Error of pydantic. Only its first entry is reported.
        label: Name of the table or setting, for messages.
    """
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    what = f"{key} of {label}" if key else label
    if first["type"] == "value_error":  # a rule about several settings, with the message of the class
        return SettingError(
            f"The values of {what} contradict each other.",
            f"{str(first['ctx']['error']).rstrip('.')}.",
            "",
        )
    expected = first["msg"].removeprefix("Input should be ")
    return SettingError(f"{what} must be {expected}.", f"It was {first['input']!r}.", "")


def _options(annotation: object) -> tuple[object, ...]:
    """Return the types that an annotation permits: the members of a union, without `Annotated`."""
    if typing.get_origin(annotation) is typing.Annotated:
        return _options(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return tuple(inner for option in typing.get_args(annotation) for inner in _options(option))
    return (annotation,)


def _has_settings(kind: type) -> bool:
    """Return whether objects of a class are written as tables of settings. This holds for all classes of spikeloom."""
    return kind.__module__.startswith("spikeloom.")


def named(base: type[T], name: object, where: str) -> type[T]:
    """Find the class with this name among a base class and its subclasses. Case is ignored.

    All modules in the packages of the base class are imported first, so that their classes are found.

    Args:
        base: The base class.
        name: Name of the class.
        where: Dotted key of the setting, for messages.

    Raises:
        SettingError: if there is no such class, or it is abstract.
    """
    parents = base.__module__.split(".")
    # for a base class in spikeloom.models.common.base, these are spikeloom.models and spikeloom.models.common
    for depth in range(2, len(parents)):
        package = importlib.import_module(".".join(parents[:depth]))
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{package.__name__}.{module.name}")
    classes = {kind.__name__: kind for kind in (base, *_below(base)) if not inspect.isabstract(kind)}
    for class_name, kind in classes.items():
        if isinstance(name, str) and class_name.lower() == name.lower():
            return kind
    raise SettingError(
        f"{where} must name one of {', '.join(sorted(classes))}.",
        f"It was {name!r}.",
        hint(str(name), list(classes), otherwise=f'Write name = "{min(classes, default="")}".'),
    )


def _below(base: type[T]) -> list[type[T]]:
    """Return all subclasses of a class, also indirect ones."""
    below: list[type[T]] = base.__subclasses__()
    return below + [kind for child in below for kind in _below(child)]


def hint(word: str, valid_words: Sequence[str], *, otherwise: str) -> str:
    """Return a question with the valid word that is closest to a misspelt word, or `otherwise` if none is close."""
    close = difflib.get_close_matches(word.lower(), [name.lower() for name in valid_words], n=1)
    match = next((name for name in valid_words if close and name.lower() == close[0]), None)
    return otherwise if match is None else f"Did you mean {match}?"
