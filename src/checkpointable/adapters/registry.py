"""Finds the adapter of an object: by its type, cached; frameworks only once they are loaded."""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from checkpointable.graph.adapter import Adapter

__all__ = ["adapter_of", "register_adapter"]

Finder = Callable[[type], "Adapter | None"]

# What the library brings itself, loaded when the first object comes up.
_BUILT_IN = ("checkpointable.adapters.own", "checkpointable.adapters.frameworks")

_finders: list[Finder] = []
_loading = threading.RLock()
_by_type: dict[type, Adapter | None] = {}
# A program that makes classes without end must not keep them all alive here.
_MOST_CACHED_TYPES = 10_000


def register_adapter(finder: Finder) -> None:
    """Adds a way to find adapters.

    Args:
      finder: is given a type and returns the adapter of its objects, None if it knows none.
        Asked once per type, the last registered first. It must not import a framework: a type
        of that framework can only come up when it is loaded already.
    """
    _load_built_in()  # they are asked last
    _finders.append(finder)
    _by_type.clear()


def _load_built_in() -> None:
    with _loading:  # whose holder comes here again from the modules themselves
        for module in _BUILT_IN:
            import_module(module)


def adapter_of(obj: Any) -> Adapter | None:
    """The adapter of `obj`; None if objects of its type take no part in checkpointing."""
    cls = type(obj)
    try:
        return _by_type[cls]
    except KeyError:
        return _find(cls)


def _find(cls: type) -> Adapter | None:
    _load_built_in()
    found = None
    for finder in reversed(_finders):
        found = finder(cls)
        if found is not None:
            break
    if len(_by_type) >= _MOST_CACHED_TYPES:
        _by_type.clear()
    _by_type[cls] = found
    return found
