"""What a Checkpointable keeps about its own dependencies, and where."""

from __future__ import annotations

import weakref
from typing import Any

from checkpointable.graph.adapter import RestoreNotes

__all__ = ["STATE_NAME", "TrackingState", "state_of"]

STATE_NAME = "_checkpointable_state"
"""The one attribute of a Checkpointable that belongs to the library."""


class TrackingState(RestoreNotes):
    """The dependencies of one object, beside what restores note on it.

    Attributes:
      dependencies: local name -> object, in the order in which they were tracked.
      left_out: attributes that are untracked by wish, or that a save has warned of.
    """

    __slots__ = ("dependencies", "left_out")

    def __init__(self, owner: Any = None) -> None:
        super().__init__(owner)
        self.dependencies: dict[str, Any] = {}
        self.left_out: frozenset[str] = frozenset()

    def __reduce__(self) -> tuple[Any, ...]:
        # A copied or unpickled object has the same dependencies (or their copies), but no
        # restore waits for it, and who owns the copy is not known yet.
        return _rebuild, (self.dependencies, self.left_out)


def _rebuild(dependencies: dict[str, Any], left_out: frozenset[str]) -> TrackingState:
    state = TrackingState()
    state.dependencies = dependencies
    state.left_out = left_out
    return state


def state_of(obj: Any) -> TrackingState:
    """The state of `obj`, made when first asked for: `__init__` need not have run (S5)."""
    state: TrackingState | None = obj.__dict__.get(STATE_NAME)
    if state is None:
        state = TrackingState(obj)
        obj.__dict__[STATE_NAME] = state
        return state
    owner = None if state.owner is None else state.owner()
    if owner is obj:
        return state
    if owner is None:
        state.owner = weakref.ref(obj)
        return state
    # `copy.copy` hands the copy the state of the original: from here on they part.
    own = TrackingState(obj)
    own.dependencies = dict(state.dependencies)
    own.left_out = state.left_out
    obj.__dict__[STATE_NAME] = own
    return own
