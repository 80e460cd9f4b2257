"""Finds the adapters of frameworks, and imports them when the first type of one comes up.

A program that has a type of a framework has loaded the framework, so this imports nothing that the
program does not use. Third parties announce adapters as entry points of the group
`checkpointable.adapters`: the name of the entry is the import name of the framework; its object
is an `Adapter`, or a function from a type to its adapter or None.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from checkpointable.adapters.state.kinds import announce_kinds
from checkpointable.graph.adapter import Adapter

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["evaluated", "find_in_frameworks", "noted_in_graph"]

Finder = Callable[[type], "Adapter | None"]

_GROUP = "checkpointable.adapters"
# Import name of a framework -> the function that finds its adapters.
_OWN = {
    "keras": "checkpointable.adapters.tensorflow.find:find",
    "tensorflow": "checkpointable.adapters.tensorflow.find:find",
    "torch": "checkpointable.adapters.torch.find:find",
}
# Keras that runs on TensorFlow has loaded it. Keras on another backend has that backend's layers,
# and TensorFlow may not be installed.
_ONLY_WITH = {"keras": "tensorflow"}

# Import name -> a function (number, session) -> array that evaluates a result of a graph; None for
# an object that is not one.
_EVALUATE = {"tensorflow": "checkpointable.adapters.tensorflow.graph_mode.values:evaluated"}

# Import name -> a function that returns the variables of the graph that is being built, None if
# none is.
_VARIABLES = {"tensorflow": "checkpointable.adapters.tensorflow.graph_mode.values:noted_in_graph"}


def noted_in_graph() -> list[tuple[str | None, Any]] | None:
    """Returns the variables of the graph that is being built; None if none is being built.

    Returns:
      (name, object) pairs; the name is None for an object that knows its name.
    """
    for root, location in _VARIABLES.items():
        if root in sys.modules:
            variables: list[tuple[str | None, Any]] | None = _loaded(location)()
            if variables is not None:
                return variables
    return None


def evaluated(number: Any, session: Any) -> Any | None:
    """Evaluates a tensor of a framework's graph in a session; returns None for anything else."""
    for root in dict.fromkeys(base.__module__.partition(".")[0] for base in type(number).__mro__):
        if root in _EVALUATE:
            return _loaded(_EVALUATE[root])(number, session)
    return None


def find_in_frameworks(cls: type) -> Adapter | None:
    """Returns the adapter of a framework's class, None for any other."""
    roots = dict.fromkeys(base.__module__.partition(".")[0] for base in cls.__mro__)
    for root in roots:
        for find in (*_finders(root), *_own(root)):
            adapter = find(cls)
            if adapter is not None:
                return adapter
    return None


@functools.cache
def _finders(root: str) -> tuple[Finder, ...]:
    """Returns the finders that third parties announced for one framework."""
    if root in _NO_FRAMEWORKS:
        return ()
    return tuple(_as_finder(entry) for entry in _entries().get(root, ()))


def _own(root: str) -> tuple[Finder, ...]:
    """Returns the library's finder for one framework."""
    if root not in _OWN or sys.modules.get(_ONLY_WITH.get(root, root)) is None:
        return ()
    return (_loaded(_OWN[root]),)


def _loaded(location: str) -> Any:
    """Imports an object by its location, `module:name`."""
    module, _, name = location.partition(":")
    return getattr(import_module(module), name)


_NO_FRAMEWORKS = frozenset(("builtins", "__main__", "checkpointable", "numpy", "typing", "abc"))


@functools.lru_cache(maxsize=1)
def _entries() -> dict[str, list[EntryPoint]]:
    from importlib.metadata import entry_points  # slow to import

    by_framework: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=_GROUP):
        by_framework.setdefault(entry.name, []).append(entry)
    return by_framework


def _as_finder(entry: EntryPoint) -> Finder:
    loaded: Any = entry.load()
    if isinstance(loaded, Adapter):

        def find(cls: type) -> Adapter | None:
            # Includes classes that a program derives from types of the framework.
            return loaded if _is_of(cls, entry.name) else None

        return find
    if not callable(loaded):
        raise TypeError(
            f"the entry point {entry.name!r} of {_GROUP} is a {type(loaded).__name__} "
            f"({entry.value}); it must be an Adapter, or a function from a type to one"
        )
    finder: Finder = loaded
    return finder


def _is_of(cls: type, root: str) -> bool:
    return any(base.__module__.partition(".")[0] == root for base in cls.__mro__)


# Kinds in the state of a framework's objects. A state may be decoded before the program has used
# any object of the framework.
announce_kinds(
    ("!tensor", "!dtype", "!device", "!Size"),
    functools.partial(import_module, "checkpointable.adapters.torch.find"),
)
