"""Nodes of the object graph for parts of an optimizer that are not objects themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from checkpointable.graph.adapter import Adapter, Watcher
from checkpointable.graph.restore_notes import RestoreNotes
from checkpointable.graph.value import ValueFactory, ValueSpec

__all__ = ["StandIn", "StandInAdapter"]


class StandIn:
    """Stands for a part of an optimizer: its param groups, a slot that is no tensor.

    For each part there is always the same object.

    Attributes:
      notes: what restores note on the part.
    """

    def __init__(self) -> None:
        self.notes = RestoreNotes(self)

    def children(self) -> Iterable[tuple[str, Any]]:
        """Returns its dependencies, (local name, object) each."""
        return ()

    def child(self, local_name: str) -> Any | None:
        """Returns the dependency of that name, or None."""
        return None

    def values(self) -> Mapping[str, ValueSpec | ValueFactory]:
        """Returns its values by attribute."""
        return {}


class StandInAdapter(Adapter):
    """The adapter of all stand-ins, which answer for themselves.

    Args:
      watcher: watches for the dependencies that they gain.
    """

    def __init__(self, watcher: Watcher | None = None) -> None:
        self.watcher = watcher

    def children(self, obj: Any) -> Iterable[tuple[str, Any]]:
        stand_in: StandIn = obj
        return stand_in.children()

    def child(self, obj: Any, local_name: str) -> Any | None:
        stand_in: StandIn = obj
        return stand_in.child(local_name)

    def values(self, obj: Any) -> Mapping[str, ValueSpec | ValueFactory]:
        stand_in: StandIn = obj
        return stand_in.values()

    def notes(self, obj: Any) -> RestoreNotes:
        stand_in: StandIn = obj
        return stand_in.notes
