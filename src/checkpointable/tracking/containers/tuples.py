"""The tracked form of tuples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, SupportsIndex

from checkpointable.adapters.registry import adapter_of
from checkpointable.tracking.base import wrap
from checkpointable.tracking.containers.base import TrackedContainer, as_given

__all__ = ["TrackedTuple", "tracked_tuple_type"]


class TrackedTuple(TrackedContainer, tuple[Any, ...]):
    """The tracked form of a tuple that holds something to track."""

    # Which items are untracked, by position; None if none is.
    _untracked: list[bool] | None = None

    def _tracked_items(self) -> Iterator[tuple[str, Any]]:
        fields: tuple[str, ...] = getattr(self, "_fields", ())
        untracked = self._untracked or [False] * len(self)
        items = list(zip(self, untracked, strict=True))
        # A named tuple's items go by field name first, and by number too, as in TensorFlow:
        # it can take the place of a dict or of a list.
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


def _rebuild_tuple(cls: type, items: list[Any]) -> Any:
    return wrap(tuple.__new__(cls, items))


def _plain_type(cls: type) -> type:
    """The tuple type that a tracked one stands for."""
    return cls.__mro__[1] if cls is not TrackedTuple and TrackedTuple in cls.__bases__ else tuple


_tuple_types: dict[type, type] = {tuple: TrackedTuple}


def tracked_tuple_type(cls: type) -> type:
    found = _tuple_types.get(cls)
    if found is None:
        # `cls` first: its fields, methods and repr stay as they are.
        found = type(cls.__name__, (cls, TrackedTuple), {"__module__": cls.__module__})
        found.__reduce_ex__ = TrackedTuple.__reduce_ex__  # type: ignore[assignment,method-assign]
        _tuple_types[cls] = found
    return found
