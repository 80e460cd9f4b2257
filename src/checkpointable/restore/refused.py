"""Finds objects that were added after a restore and not restored (S21, S25).

The assignment that added one has raised, because the object or one below it does not fit. The
object stays in the program, and its value waits for another object of that name. Mismatches are
not stored but found again for each report, so that they are those of the present object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from checkpointable.errors import CheckpointError
from checkpointable.restore.pending import pending_nodes

if TYPE_CHECKING:
    from checkpointable.graph.restore_notes import RestoreNotes
    from checkpointable.graph.walk import ObjectWalk
    from checkpointable.restore.match import Mismatch
    from checkpointable.restore.restore import Restore

__all__ = ["Refused", "refused_arrivals"]


class Refused(NamedTuple):
    """Objects that were not restored, and all objects below them.

    Attributes:
      bound: node -> the notes of the object that it would be bound to.
      mismatches: (node, attribute) -> the mismatch.
      waiting: nodes that these objects would wait for.
    """

    bound: dict[int, RestoreNotes]
    mismatches: dict[tuple[int, str], Mismatch]
    waiting: set[int]

    def of_notes(self, notes: RestoreNotes, attribute: str) -> Mismatch | None:
        """Returns the mismatch of a value, by the notes of its object, or None."""
        for (node_id, name), mismatch in self.mismatches.items():
            if name == attribute and self.bound.get(node_id) is notes:
                return mismatch
        return None


def refused_arrivals(restore: Restore, program: ObjectWalk) -> Refused:
    """Returns the objects in `program` whose nodes the restore still waits for."""
    refused = Refused({}, {}, set())
    for position, (obj, adapter) in enumerate(zip(program.objects, program.adapters, strict=True)):
        notes = adapter.notes(obj)
        if not notes.pending:
            continue
        arrived = {name: node_id for node_id, name in program.children[position]}
        for local_name, node_id in pending_nodes(notes, restore):
            if local_name not in arrived or restore.is_bound(node_id):
                continue
            try:
                match = restore.match(node_id, program.objects[arrived[local_name]])
            except (CheckpointError, ValueError, NotImplementedError):
                continue  # its hooks raise
            refused.bound.update(match.bound)
            refused.mismatches.update(match.mismatches)
            refused.waiting.update(missing.node_id for missing in match.missing)
    return refused
