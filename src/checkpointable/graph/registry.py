"""Finds the adapter of an object by its type, and caches it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import weakref

    from checkpointable.graph.adapter import Adapter

__all__ = ["adapter_of", "register_adapter", "register_built_in"]

Finder = Callable[[type], "Adapter | None"]

_finders: list[Finder] = []
# By the type's id, as long as the type lives: a class that was made for one object may hold that
# object, with all its memory (`torch.nn.utils.parametrize` makes such classes).
_by_type: dict[int, Adapter | None] = {}
_alive: dict[int, weakref.ref[type]] = {}


def register_adapter(finder: Finder) -> None:
    """Registers a function that finds the adapter of a type.

    Registered finders are asked in reverse order, before those of the library; each is asked
    once per type.

    Args:
      finder: Takes a type and returns the adapter of its objects, or None if it knows none.
        It must not import a framework: a type of that framework only comes up when the
        framework is loaded already.

    Example:
        class PointAdapter(cp.abc.Adapter): ...

        adapter = PointAdapter()
        register_adapter(lambda cls: adapter if issubclass(cls, Point) else None)
    """
    _finders.append(finder)
    _by_type.clear()


_built_in: list[Callable[[], Sequence[Finder]]] = []


def register_built_in(load: Callable[[], Sequence[Finder]]) -> None:
    """Registers the finders of the library, which are asked last.

    Args:
      load: Returns the finders in the order in which they are asked. Called when the first
        object comes up, so that `import checkpointable` does not load them.
    """
    _built_in.append(load)


def adapter_of(obj: Any) -> Adapter | None:
    """Returns the adapter of `obj`, or None if objects of its type are not checkpointable."""
    cls = type(obj)
    try:
        return _by_type[id(cls)]
    except KeyError:
        return _find(cls)


def _find(cls: type) -> Adapter | None:
    import weakref  # here, because every `import checkpointable` loads this module

    built_in = [finder for load in _built_in for finder in load()]
    adapter = None
    for finder in (*reversed(_finders), *built_in):
        adapter = finder(cls)
        if adapter is not None:
            break
    number = id(cls)

    def forget(reference: weakref.ref[type]) -> None:
        if _alive.get(number) is reference:
            _by_type.pop(number, None)
            del _alive[number]

    _alive[number] = weakref.ref(cls, forget)
    _by_type[number] = adapter
    return adapter
