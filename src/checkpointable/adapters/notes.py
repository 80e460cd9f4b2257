"""Keeps restore notes, or other data, for objects that cannot store them."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from checkpointable.common.locks import ForkSafeLock
from checkpointable.graph.restore_notes import RestoreNotes

__all__ = ["Beside", "NotesByObject"]

T = TypeVar("T")


class Beside(Generic[T]):
    """Keeps one item for each object, by identity, for as long as the object lives.

    The objects must allow weak references. They need not be hashable. Concurrent
    calls for one object return the same item.

    Args:
      make: Makes an item from a weak reference to its object. Concurrent calls
        may each call it; one item is kept.

    Example:
        calls = Beside(lambda _: [])
        calls.of(module).append("forward")
    """

    def __init__(self, make: Callable[[weakref.ref[Any]], T]) -> None:
        self._make = make
        self._kept: dict[int, tuple[weakref.ref[Any], T]] = {}
        self._changing = ForkSafeLock()

    def get(self, obj: Any) -> T | None:
        """Returns the item of `obj`, None if it has none yet."""
        kept = self._kept.get(id(obj))
        return kept[1] if kept is not None and kept[0]() is obj else None

    def of(self, obj: Any) -> T:
        """Returns the item of `obj`; makes it on the first call."""
        kept = self._kept.get(id(obj))
        if kept is not None and kept[0]() is obj:
            return kept[1]
        return self._make_for(obj)

    def _make_for(self, obj: Any) -> T:
        number, everything, changing = id(obj), self._kept, self._changing

        def forget(reference: weakref.ref[Any]) -> None:
            with changing:
                kept = everything.get(number)
                # Another object at this address may have an item by now.
                if kept is not None and kept[0] is reference:
                    del everything[number]

        reference = weakref.ref(obj, forget)
        # Called without the lock, because it is code of the caller.
        made = reference, self._make(reference)
        with changing:
            kept = everything.get(number)
            if kept is not None and kept[0]() is obj:  # another thread was faster
                return kept[1]
            everything[number] = made
        return made[1]


class NotesByObject(Beside[RestoreNotes]):
    """Keeps the restore notes of objects."""

    def __init__(self) -> None:
        super().__init__(_notes)


def _notes(owner: weakref.ref[Any]) -> RestoreNotes:
    notes = RestoreNotes()
    notes.owner = owner
    return notes
