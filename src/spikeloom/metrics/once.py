"""`Once`: base of objects that store their results, so that several metrics and comparisons can use them.

`functools.cached_property` is not enough if threads share an object: depending on the version of Python, two threads
compute the same value twice, or a thread waits until the value of another object is computed.
"""

from collections.abc import Callable
from threading import RLock
from typing import Generic, TypeVar, cast, overload

import numpy as np

T = TypeVar("T")


class Once:
    """Base of objects that compute each of their results once, even if several threads use them."""

    def once(self, compute: Callable[..., T], *arguments: object, **settings: object) -> T:
        """Return `compute(self, *arguments, **settings)`.

        The result is stored, and returned again for the same function with the same arguments.

        Args:
            compute: Function whose result depends only on this object and the arguments.
            arguments: Arrays, which are compared by their values, or other objects that can be keys of a dictionary.
            settings: More arguments by name.
        """
        key = (compute, *map(_as_key, arguments), *((name, _as_key(value)) for name, value in settings.items()))
        return self.kept(key, lambda: compute(self, *arguments, **settings))

    def kept(self, key: object, compute: Callable[[], T]) -> T:
        """Return the stored result with this key. If there is none, compute and store it."""
        results = self._results()
        if key not in results:
            # `setdefault` also works for frozen dataclasses, which refuse assignments
            with self.__dict__.setdefault("_lock", RLock()):
                if key not in results:  # another thread may have stored it in the meantime
                    results[key] = compute()
        return cast("T", results[key])

    def share(self, other: "Once", *names: str) -> None:
        """Copy the stored values of these properties from another object, if that object has computed them."""
        results = other._results()
        self._results().update({name: results[name] for name in names if name in results})

    def _results(self) -> dict[object, object]:
        """Return the stored results, key -> result."""
        return self.__dict__.setdefault("_kept", {})


class once_property(Generic[T]):
    """Decorator of a property of a `Once`: the value is computed at its first use."""

    def __init__(self, compute: Callable[..., T]) -> None:
        self.compute = compute
        self.name = compute.__name__
        self.__doc__ = compute.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> "once_property[T]": ...
    @overload
    def __get__(self, instance: Once, owner: type) -> T: ...
    def __get__(self, instance: Once | None, owner: type) -> "once_property[T] | T":
        """Return the value of an object, or the property itself for a class."""
        if instance is None:
            return self
        return instance.kept(self.name, lambda: self.compute(instance))


def _as_key(value: object) -> object:
    """Return a value that can be a key of a dictionary; equal arrays have equal keys."""
    return (value.dtype.str, value.shape, value.tobytes()) if isinstance(value, np.ndarray) else value
