"""Objects that came after a restore and did not take what waits for them (S21, S25).

The assignment that brought one has raised; the object is there all the same, and its value waits
for another of that name. What does not fit is not kept but looked at again, so that it is always
that of the object which is there now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from checkpointable.errors import CheckpointError
from checkpointable.restore.pending import pending_nodes

if TYPE_CHECKING:
    from checkpointable.graph.adapter import RestoreNotes
    from checkpointable.graph.walk import ObjectWalk
    from checkpointable.restore.match import Mismatch
    from checkpointable.restore.restore import Restore

__all__ = ["Refused", "refused_arrivals"]


class Refused(NamedTuple):
    """Such objects, and what they lead to.

    Attributes:
      bound: node -> the notes of the object that would be it.
      mismatches: (node, attribute) -> what does not fit.
      waiting: nodes that these objects would wait for.
    """

    bound: dict[int, RestoreNotes]
    mismatches: dict[tuple[int, str], Mismatch]
    waiting: set[int]

    def of_notes(self, notes: RestoreNotes, attribute: str) -> Mismatch | None:
        """What does not fit of the object of this notes."""
        for (node_id, name), mismatch in self.mismatches.items():
            if name == attribute and self.bound.get(node_id) is notes:
                return mismatch
        return None


def refused_arrivals(restore: Restore, program: ObjectWalk) -> Refused:
    """What is in `program`, and is waited for all the same."""
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
                found = restore.match(node_id, program.objects[arrived[local_name]])
            except (CheckpointError, ValueError, NotImplementedError):
                continue  # it cannot even be asked for its values
            refused.bound.update(found.bound)
            refused.mismatches.update(found.mismatches)
            refused.waiting.update(missing[2] for missing in found.missing)
    return refused
