"""Settings as words: what a model or a part of one was constructed with, as plain values and as a recipe.

The inverse, words to objects, is in `recipe.py` only.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import tomli_w
from torch import nn


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
    names = [name for name in inspect.signature(kind).parameters if name != "neurons"]
    chosen = {"name": kind.__name__} if any(inspect.isabstract(base) for base in kind.__mro__) else {}
    return {**chosen, **{name: describe(getattr(thing, name)) for name in names}}


def recipe_text(model: nn.Module) -> str:
    """The settings of a model as a recipe, TOML."""
    settings = describe(model)
    return tomli_w.dumps({"model": settings.pop("name").lower(), **_with_none(settings)})


def _with_none(value: Any) -> Any:
    """TOML has no null: a setting that is None is the word "none", for its default may be another."""
    if isinstance(value, dict):
        return {key: _with_none(item) for key, item in value.items()}
    return "none" if value is None else value
