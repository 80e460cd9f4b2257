"""Objects that a restore waits on and that do not tell when they gain a dependency (S21).

A `Checkpointable` tells. An object of another framework may be watched by its framework's own
hooks (its adapter's `watcher`), as long as a restore waits for something; and all of them are
looked at again whenever somebody asks: at every save, restore and status call.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from checkpointable.graph.adapter import resolve_pending
from checkpointable.graph.registry import adapter_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from checkpointable.graph.adapter import RestoreNotes, Watcher

__all__ = ["look_again", "look_at", "look_later", "unwatch", "watch", "watched"]


class _Watched:
    """The notes that are watched."""

    def __init__(self) -> None:
        self._watchers: dict[int, Watcher] = {}  # id of notes -> who watches its object
        self._held: dict[Watcher, dict[int, weakref.ref[RestoreNotes]]] = {}

    def notes(self, watcher: Watcher | None = None) -> list[RestoreNotes]:
        """Those that `watcher` watches, or all."""
        chosen = list(self._held.values()) if watcher is None else [self._held.get(watcher, {})]
        found = [reference() for held in chosen for reference in list(held.values())]
        return [notes for notes in found if notes is not None]

    def add(self, notes: RestoreNotes, watcher: Watcher) -> None:
        number = id(notes)
        if number in self._watchers:
            return

        def forget(reference: weakref.ref[RestoreNotes]) -> None:
            if self._held.get(watcher, {}).get(number) is reference:
                self._drop(number)

        self._watchers[number] = watcher
        held = self._held.setdefault(watcher, {})
        held[number] = weakref.ref(notes, forget)
        if len(held) == 1:
            watcher.start()

    def remove(self, notes: RestoreNotes) -> None:
        if id(notes) in self._watchers:
            self._drop(id(notes))

    def _drop(self, number: int) -> None:
        watcher = self._watchers.pop(number)
        held = self._held[watcher]
        del held[number]
        if not held:
            del self._held[watcher]
            watcher.stop()


watched = _Watched()


def watch(notes: RestoreNotes) -> None:
    """Begins to watch the object of notes on which a restore waits, if that is needed."""
    owner = None if notes.owner is None else notes.owner()
    adapter = None if owner is None else adapter_of(owner)
    if adapter is not None and adapter.watcher is not None:
        watched.add(notes, adapter.watcher)


def unwatch(notes: RestoreNotes) -> None:
    """Ends it if no restore waits on the notes any more."""
    if not notes.pending and notes.waiting_slots is None:
        watched.remove(notes)


def look_again() -> None:
    """Restores whatever restores wait for and watched objects have by now."""
    for notes in watched.notes():
        look_at(notes)
    while _later:
        _later.pop()()


_later: list[Callable[[], object]] = []


def look_later(do: Callable[[], object]) -> None:
    """Has something done at the next look that cannot be done now."""
    _later.append(do)


def look_at(notes: RestoreNotes) -> None:
    """Restores what restores wait for and the object of this notes has by now."""
    owner = None if notes.owner is None else notes.owner()
    adapter = None if owner is None else adapter_of(owner)
    if adapter is None:
        return
    for local_name in list(notes.pending):
        child = adapter.child(owner, local_name)
        if child is not None and adapter_of(child) is not None:
            resolve_pending(notes, local_name, child)
    waiting = notes.waiting_slots
    if waiting is not None:
        notes.waiting_slots = None  # it is set again if something is still to come
        try:
            waiting.retry()
        except BaseException:
            notes.waiting_slots = waiting
            raise
    unwatch(notes)
