"""Watches objects that do not report when they gain a dependency that a restore waits for (S21).

A `Checkpointable` reports it. Objects of other frameworks are watched by hooks of the framework
(the `watcher` of the adapter) while a restore waits for a dependency, and are checked again at
every save, restore and status call.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from checkpointable.graph.registry import adapter_of
from checkpointable.graph.restore_notes import resolve_pending

if TYPE_CHECKING:
    from collections.abc import Callable

    from checkpointable.graph.adapter import Watcher
    from checkpointable.graph.restore_notes import RestoreNotes

__all__ = ["look_again", "look_at", "look_later", "unwatch", "watch", "watched"]


class _Watched:
    """The notes of watched objects."""

    def __init__(self) -> None:
        self._watchers: dict[int, Watcher] = {}  # id of notes -> the watcher of the object
        self._held: dict[Watcher, dict[int, weakref.ref[RestoreNotes]]] = {}

    def notes(self, watcher: Watcher | None = None) -> list[RestoreNotes]:
        """Returns the notes of objects that `watcher` watches; None for all."""
        chosen = list(self._held.values()) if watcher is None else [self._held.get(watcher, {})]
        alive = (reference() for held in chosen for reference in list(held.values()))
        return [notes for notes in alive if notes is not None]

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
    """Starts watching the object of notes, if its adapter has a watcher."""
    owner = None if notes.owner is None else notes.owner()
    adapter = None if owner is None else adapter_of(owner)
    if adapter is not None and adapter.watcher is not None:
        watched.add(notes, adapter.watcher)


def unwatch(notes: RestoreNotes) -> None:
    """Stops watching the object of notes, unless a restore still waits for it."""
    if not notes.pending and notes.waiting_slots is None:
        watched.remove(notes)


def look_again() -> None:
    """Restores the dependencies of watched objects that now exist and that restores wait for."""
    for notes in watched.notes():
        look_at(notes)
    while _later:
        _later.pop()()


_later: list[Callable[[], object]] = []


def look_later(do: Callable[[], object]) -> None:
    """Calls a function at the next check, because it cannot be called now."""
    _later.append(do)


def look_at(notes: RestoreNotes) -> None:
    """Restores the dependencies of one object that now exist and that restores wait for."""
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
        notes.waiting_slots = None  # `retry` sets it again if a variable is still missing
        try:
            waiting.retry()
        except BaseException:
            notes.waiting_slots = waiting
            raise
    unwatch(notes)
