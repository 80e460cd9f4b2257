"""The tracked dependencies of a Checkpointable, and the attribute that holds them."""

from __future__ import annotations

import weakref
from typing import Any

from checkpointable.common.locks import ForkSafeLock
from checkpointable.graph.restore_notes import RestoreNotes

__all__ = ["DEPENDENCIES_NAME", "TrackedDependencies", "dependencies_of"]

DEPENDENCIES_NAME = "_checkpointable_dependencies"
"""The one attribute of a Checkpointable that belongs to the library."""

_claiming = ForkSafeLock()


class TrackedDependencies(RestoreNotes):
    """The dependencies of one object, and the restore notes on it.

    Attributes:
      by_name: Local name -> object, in the order in which they were tracked.
      left_out: Attributes that are deliberately not tracked, or that a save has warned about.
    """

    __slots__ = ("by_name", "left_out")

    def __init__(self, owner: Any = None) -> None:
        super().__init__(owner)
        self.by_name: dict[str, Any] = {}
        self.left_out: frozenset[str] = frozenset()

    def __reduce__(self) -> tuple[Any, ...]:
        # A copied or unpickled object has the same dependencies (or their copies), but no
        # restore waits for it, and the owner of the copy is not known yet.
        return _rebuild, (self.by_name, self.left_out)


def _rebuild(by_name: dict[str, Any], left_out: frozenset[str]) -> TrackedDependencies:
    dependencies = TrackedDependencies()
    dependencies.by_name = by_name
    dependencies.left_out = left_out
    return dependencies


def dependencies_of(obj: Any) -> TrackedDependencies:
    """Returns the tracked dependencies of `obj`; creates them on the first call (S5).

    `__init__` need not have run. Concurrent calls return the same object.
    """
    held: TrackedDependencies | None = obj.__dict__.get(DEPENDENCIES_NAME)
    if held is None:
        held = obj.__dict__.setdefault(DEPENDENCIES_NAME, TrackedDependencies(obj))
    if held.owner is not None and held.owner() is obj:
        return held
    with _claiming:
        return _claimed(obj)


def _claimed(obj: Any) -> TrackedDependencies:
    """Makes `obj` the owner of the dependencies that it got by being copied or unpickled."""
    held: TrackedDependencies = obj.__dict__[DEPENDENCIES_NAME]
    owner = None if held.owner is None else held.owner()
    if owner is obj:  # another thread was faster
        return held
    if owner is None:
        held.owner = weakref.ref(obj)
        return held
    # `copy.copy` gives the copy the dependencies of the original; they are separate from now on.
    copied = TrackedDependencies(obj)
    copied.by_name = dict(held.by_name)
    copied.left_out = held.left_out
    obj.__dict__[DEPENDENCIES_NAME] = copied
    return copied
