"""The adapters of frameworks: imported when a type of the framework first comes up.

Whoever asks for the adapter of such a type has the framework loaded already, so nothing is
imported here that the program does not use. Third parties announce theirs as entry points of
the group `checkpointable.adapters`: the entry's name is the framework's import name, what it
refers to is an `Adapter`, or a function from a type to its adapter or None.
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
# The framework's import name -> where the finder of its adapters is.
_OWN = {
    "keras": "checkpointable.adapters.tensorflow.find:find",
    "tensorflow": "checkpointable.adapters.tensorflow.find:find",
    "torch": "checkpointable.adapters.torch.find:find",
}
# Keras is TensorFlow's where it runs on TensorFlow, and has loaded it then. Elsewhere its layers
# are those of what it runs on, and TensorFlow may not even be installed.
_ONLY_WITH = {"keras": "tensorflow"}

# Where there are numbers that are results of a graph, what gives them: (number, session) -> array,
# or None for an object that is none.
_EVALUATE = {"tensorflow": "checkpointable.adapters.tensorflow.graph_mode.values:evaluated"}

# Where a graph notes all its variables, what gives those of the one that is being built, None
# where none is.
_VARIABLES = {"tensorflow": "checkpointable.adapters.tensorflow.graph_mode.values:noted_in_graph"}


def noted_in_graph() -> list[tuple[str | None, Any]] | None:
    """What the graph that is being built notes as its variables; None if none is being built.

    (name, object) each; None for one that has its name itself.
    """
    for root, place in _VARIABLES.items():
        if root in sys.modules:
            found: list[tuple[str | None, Any]] | None = _loaded(place)()
            if found is not None:
                return found
    return None


def evaluated(number: Any, session: Any) -> Any | None:
    """What a tensor of a framework's graph evaluates to in a session; None for anything else."""
    for root in dict.fromkeys(base.__module__.partition(".")[0] for base in type(number).__mro__):
        if root in _EVALUATE:
            return _loaded(_EVALUATE[root])(number, session)
    return None


def find_in_frameworks(cls: type) -> Adapter | None:
    """Returns the adapter of a framework's class, None for any other."""
    roots = dict.fromkeys(base.__module__.partition(".")[0] for base in cls.__mro__)
    for root in roots:
        for find in (*_finders(root), *_own(root)):
            found = find(cls)
            if found is not None:
                return found
    return None


@functools.cache
def _finders(root: str) -> tuple[Finder, ...]:
    """The finders for the types of one framework that others have announced."""
    if root in _NO_FRAMEWORKS:
        return ()
    return tuple(_as_finder(entry) for entry in _entries().get(root, ()))


def _own(root: str) -> tuple[Finder, ...]:
    """The finder here for the types of one framework."""
    if root not in _OWN or sys.modules.get(_ONLY_WITH.get(root, root)) is None:
        return ()
    return (_loaded(_OWN[root]),)


def _loaded(place: str) -> Any:
    """What `module:name` names."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


_NO_FRAMEWORKS = frozenset(("builtins", "__main__", "checkpointable", "numpy", "typing", "abc"))


@functools.lru_cache(maxsize=1)
def _entries() -> dict[str, list[EntryPoint]]:
    from importlib.metadata import entry_points  # slow to import

    found: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=_GROUP):
        found.setdefault(entry.name, []).append(entry)
    return found


def _as_finder(entry: EntryPoint) -> Finder:
    loaded: Any = entry.load()
    if isinstance(loaded, Adapter):

        def find(cls: type) -> Adapter | None:
            # Its own types: classes that a program derives from them included.
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


# What the state of a framework's objects may hold, for a state that is decoded before the program
# has used any object of that framework.
announce_kinds(
    ("!tensor", "!dtype", "!device", "!Size"),
    functools.partial(import_module, "checkpointable.adapters.torch.find"),
)
