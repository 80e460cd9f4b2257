"""What is kept beside objects that have no place for it, by identity."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from checkpointable.graph.adapter import RestoreNotes

__all__ = ["Beside", "NotesByObject"]

T = TypeVar("T")


class Beside(Generic[T]):
    """Something for each of some objects; it goes when its object does.

    The objects must allow weak references. They need not be hashable.

    Args:
      make: makes it, of a weak reference to the object.
    """

    def __init__(self, make: Callable[[weakref.ref[Any]], T]) -> None:
        self._make = make
        self._kept: dict[int, tuple[weakref.ref[Any], T]] = {}

    def get(self, obj: Any) -> T | None:
        """What is kept for `obj`, None if nothing is yet."""
        kept = self._kept.get(id(obj))
        return kept[1] if kept is not None and kept[0]() is obj else None

    def of(self, obj: Any) -> T:
        """What is kept for `obj`, made when first asked for."""
        number, everything = id(obj), self._kept
        known = everything.get(number)
        if known is not None and known[0]() is obj:
            return known[1]

        def forget(reference: weakref.ref[Any]) -> None:
            kept = everything.get(number)
            # Unless the next object at this address has something by now.
            if kept is not None and kept[0] is reference:
                del everything[number]

        reference = weakref.ref(obj, forget)
        made = self._make(reference)
        everything[number] = reference, made
        return made


class NotesByObject(Beside[RestoreNotes]):
    """The notes of objects."""

    def __init__(self) -> None:
        super().__init__(_notes)


def _notes(owner: weakref.ref[Any]) -> RestoreNotes:
    notes = RestoreNotes()
    notes.owner = owner
    return notes
