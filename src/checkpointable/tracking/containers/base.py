"""The base class of tracked containers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from checkpointable.graph.restore_notes import RestoreNotes, resolve_pending
from checkpointable.tracking.base import NoDependency, wrap

__all__ = ["TrackedContainer", "as_given", "notes_of", "unwrapped"]


class TrackedContainer:
    """Base class of tracked containers: has notes and the plain container that it replaces."""

    # No __init__ sets these: a list may be unpickled or copied without one.
    _notes: RestoreNotes
    _source: Any = None

    def _tracked_items(self) -> Iterator[tuple[str, Any]]:
        """Yields local name and item of every dependency, in order."""
        raise NotImplementedError

    def _child(self, local_name: str) -> Any | None:
        """Returns the dependency of that name, or None."""
        raise NotImplementedError

    def _is_as_given(self) -> bool:
        """Returns whether the plain container that it replaces still has the same items."""
        raise NotImplementedError

    def _restore_arrivals(self) -> None:
        """Restores the dependencies that now exist and that restores wait for (S21)."""
        notes = notes_of(self)
        for local_name in list(notes.pending):
            child = self._child(local_name)
            if child is not None:
                resolve_pending(notes, local_name, child)


def unwrapped(item: Any) -> tuple[Any, bool]:
    """Returns the form in which an item is stored, and whether it is untracked (S4)."""
    if isinstance(item, NoDependency):
        return item.value, True
    return wrap(item), False


def notes_of(container: TrackedContainer) -> RestoreNotes:
    """Returns the restore notes of a tracked container; creates them on the first call."""
    notes: RestoreNotes | None = container.__dict__.get("_notes")
    if notes is None:
        # Concurrent calls return the same notes.
        notes = container.__dict__.setdefault("_notes", RestoreNotes(container))
    return notes


def as_given(items: Iterable[Any], untracked: list[bool] | None) -> Iterator[Any]:
    """Yields the items in a form that gives a copy with the same untracked items."""
    if not untracked:
        yield from items
        return
    for item, is_untracked in zip(items, untracked, strict=True):
        yield NoDependency(item) if is_untracked else item
