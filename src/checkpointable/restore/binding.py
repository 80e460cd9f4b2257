"""Binds the nodes of a checkpoint to the program's objects, one object per node (S23)."""

from __future__ import annotations

import weakref
from collections import deque
from typing import TYPE_CHECKING, Any

from checkpointable.graph.paths import join
from checkpointable.graph.registry import adapter_of
from checkpointable.graph.restore_notes import RestoreNotes
from checkpointable.restore.match import Conflict, Match

if TYPE_CHECKING:
    from checkpointable.graph.adapter import Adapter
    from checkpointable.restore.context import RestoreContext

__all__ = ["Binding"]

_GONE = RestoreNotes()

_TWO_OBJECTS = (
    "the checkpoint has one object there, the program two: the first that was matched keeps the "
    "value, this one is not restored"
)


class Binding:
    """The nodes that one match binds to objects.

    Attributes:
      restore: the restore, with the nodes that earlier matches bound. It is not changed.
      match: the match so far.
      queue: nodes that were bound and not visited yet.
    """

    def __init__(self, restore: RestoreContext) -> None:
        self.restore = restore
        self.match = Match()
        self.queue: deque[int] = deque()

    def bind(self, node_id: int, obj: Any, local_name: str, parent: int) -> None:
        """Binds a node to `obj`, or notes a conflict if another object has the node (S23).

        Args:
          node_id: the node.
          obj: the object.
          local_name, parent: the edge that leads to the object: its name and the parent's node.

        Raises:
          TypeError: The object is not checkpointable.
        """
        adapter = adapter_of(obj)
        if adapter is None:
            raise TypeError(f"{type(obj).__name__} is not checkpointable")
        self.bind_known(node_id, obj, adapter, local_name, parent)

    def bind_known(
        self, node_id: int, obj: Any, adapter: Adapter, local_name: str, parent: int
    ) -> None:
        """Binds a node to an object whose adapter is known; see `bind`."""
        notes = adapter.notes(obj)
        current = self.notes(node_id)
        if current is None:
            self.match.bound[node_id] = notes
            self.match.objects[node_id] = (obj, adapter)
            self.queue.append(node_id)
        elif current is not notes and self.restore.graph.nodes[node_id].may_have_values:
            path = self.restore.paths[parent]
            if local_name:
                path = join(path, local_name)
            self.match.conflicts.append(Conflict(node_id, path, _TWO_OBJECTS, weakref.ref(notes)))

    def notes(self, node_id: int) -> RestoreNotes | None:
        """Returns the notes of the object that a node is bound to, or None if it is unbound.

        The notes are empty if the object is gone. The node stays bound then, so that assertions do
        not depend on when the object was collected.
        """
        current = self.match.bound.get(node_id)
        if current is None and self.restore.is_bound(node_id):
            return self.restore.notes(node_id) or _GONE
        return current

    def object(self, node_id: int) -> Any | None:
        """Returns the living object that a node is bound to, or None."""
        if node_id in self.match.objects:
            return self.match.objects[node_id][0]
        notes = self.restore.notes(node_id)
        return None if notes is None or notes.owner is None else notes.owner()
