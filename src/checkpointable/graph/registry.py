"""Finds the adapter of an object: by its type, cached; frameworks only once they are loaded."""

from __future__ import annotations

import threading
import weakref
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
# By the type's id, as long as the type lives: a class that was made for one object may hold that
# object, with all its memory (`torch.nn.utils.parametrize` makes such classes).
_by_type: dict[int, Adapter | None] = {}
_alive: dict[int, weakref.ref[type]] = {}


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
        return _by_type[id(cls)]
    except KeyError:
        return _find(cls)


def _find(cls: type) -> Adapter | None:
    _load_built_in()
    found = None
    for finder in reversed(_finders):
        found = finder(cls)
        if found is not None:
            break
    number = id(cls)

    def forget(reference: weakref.ref[type]) -> None:
        if _alive.get(number) is reference:
            _by_type.pop(number, None)
            del _alive[number]

    _alive[number] = weakref.ref(cls, forget)
    _by_type[number] = found
    return found
