"""Which object of the program a node of the checkpoint is, and what is another's already (S23)."""

from __future__ import annotations

import weakref
from collections import deque
from typing import TYPE_CHECKING, Any

from checkpointable.graph.adapter import RestoreNotes
from checkpointable.graph.paths import join
from checkpointable.graph.registry import adapter_of
from checkpointable.restore.match import Conflict, Match

if TYPE_CHECKING:
    from checkpointable.graph.adapter import Adapter
    from checkpointable.restore.context import RestoreContext

__all__ = ["Binding"]

_GONE = RestoreNotes()


class Binding:
    """Makes objects the nodes of a checkpoint, in one match.

    Attributes:
      restore: what has been matched before; it stays as it is.
      found: what this match has found until now.
      queue: nodes that have just got their object, and were not visited yet.
    """

    def __init__(self, restore: RestoreContext) -> None:
        self.restore = restore
        self.found = Match()
        self.queue: deque[int] = deque()

    def bind(self, node_id: int, obj: Any, local_name: str, parent: int) -> None:
        """Makes `obj` that node, unless it is already, or another object is (S23)."""
        adapter = adapter_of(obj)
        if adapter is None:
            raise TypeError(f"{type(obj).__name__} takes no part in checkpointing")
        self.bind_known(node_id, obj, adapter, local_name, parent)

    def bind_known(
        self, node_id: int, obj: Any, adapter: Adapter, local_name: str, parent: int
    ) -> None:
        """As `bind`, of an object whose adapter is known."""
        notes = adapter.notes(obj)
        current = self.notes(node_id)
        if current is None:
            self.found.bound[node_id] = notes
            self.found.objects[node_id] = (obj, adapter)
            self.queue.append(node_id)
        elif current is not notes and self.restore.graph.nodes[node_id].may_have_values:
            parent_path = self.restore.paths[parent]
            self.found.conflicts.append(
                Conflict(
                    node_id,
                    join(parent_path, local_name) if local_name else parent_path,
                    "the checkpoint has one object there, the program two: the first that was "
                    "matched keeps the value, this one is not restored",
                    weakref.ref(notes),
                )
            )

    def notes(self, node_id: int) -> RestoreNotes | None:
        """The notes of the object that a node is bound to by now, a bare one if it is gone."""
        current = self.found.bound.get(node_id)
        if current is None and self.restore.is_bound(node_id):
            # Where its object is gone the node is taken all the same: what a status says
            # must not depend on when that object was collected.
            return self.restore.notes(node_id) or _GONE
        return current

    def object(self, node_id: int) -> Any | None:
        """The living object that a node is bound to, or None."""
        if node_id in self.found.objects:
            return self.found.objects[node_id][0]
        notes = self.restore.notes(node_id)
        return None if notes is None or notes.owner is None else notes.owner()
