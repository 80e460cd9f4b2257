"""The tracked form of tuples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, SupportsIndex

from checkpointable.graph.registry import adapter_of
from checkpointable.tracking.base import wrap
from checkpointable.tracking.containers.base import TrackedContainer, as_given

__all__ = ["TrackedTuple", "TupleItems", "tracked_tuple_type"]


class TupleItems(TrackedContainer):
    """Tracks the items of a tuple: a mixin for subclasses of tuple types."""

    __len__: Any
    __iter__: Any

    # Whether each item is untracked; None if none is.
    _untracked: list[bool] | None = None

    def _tracked_items(self) -> Iterator[tuple[str, Any]]:
        fields: tuple[str, ...] = getattr(self, "_fields", ())
        untracked = self._untracked or [False] * len(self)
        items = list(zip(self, untracked, strict=True))
        # The items of a named tuple have the names of their fields and also numbers, as in
        # TensorFlow: the tuple may replace a dict or a list.
        names = [*zip(fields, items, strict=False), *((str(i), it) for i, it in enumerate(items))]
        for name, (item, is_untracked) in names:
            if not is_untracked and adapter_of(item) is not None:
                yield name, item

    def _child(self, local_name: str) -> Any | None:
        for name, item in self._tracked_items():
            if name == local_name:
                return item
        return None

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        return _rebuild_tuple, (_plain_type(type(self)), list(as_given(self, self._untracked)))


class TrackedTuple(TupleItems, tuple[Any, ...]):
    """The tracked form of a tuple that holds checkpointable objects."""


def _rebuild_tuple(cls: type, items: list[Any]) -> Any:
    return wrap(tuple.__new__(cls, items))


def _plain_type(cls: type) -> type:
    """Returns the tuple type of which `cls` is the tracked form."""
    return tuple if cls is TrackedTuple else cls.__bases__[0]


_tuple_types: dict[type, type] = {tuple: TrackedTuple}


def tracked_tuple_type(cls: type) -> type:
    """Returns the tracked form of a tuple type: a subclass of it."""
    tracked = _tuple_types.get(cls)
    if tracked is None:
        # `cls` first: its fields, methods and repr stay as they are.
        body = {"__module__": cls.__module__, "__reduce_ex__": TupleItems.__reduce_ex__}
        # Concurrent calls return the same type.
        tracked = _tuple_types.setdefault(cls, type(cls.__name__, (cls, TupleItems), body))
    return tracked
