"""Lists that were matched by position although they differ in length."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from checkpointable.errors import shown_path
from checkpointable.report.report import Outcome, Report

if TYPE_CHECKING:
    from checkpointable.graph.adapter import RestoreNotes
    from checkpointable.graph.walk import ObjectWalk
    from checkpointable.restore import Restore

__all__ = ["note_shifts"]

_SHIFTED = "matched by position, may have shifted"


def note_shifts(
    report: Report, restore: Restore, program: ObjectWalk, bound: Mapping[int, RestoreNotes]
) -> None:
    """Says in `report` which lists these are, and of which values.

    Args:
      bound: node -> the notes of its object.
    """
    own_ids = {
        id(adapter.notes(obj)): own_id
        for own_id, (obj, adapter) in enumerate(zip(program.objects, program.adapters, strict=True))
    }
    shifted = set()
    for node_id, notes in bound.items():
        own_id = own_ids.get(id(notes))
        if own_id is None:
            continue
        stored = _list_length(restore.graph.nodes[node_id].children)
        own = _list_length(program.children[own_id])
        if stored is not None and own is not None and stored != own:
            path = program.path(own_id)
            shifted.add(path)
            report.notes.append(
                f"{shown_path(path)}: {stored} items in the checkpoint, {own} in the "
                f"program: {_SHIFTED}"
            )
    if shifted:
        longest = max(map(len, shifted))
        for entry in report.entries:
            # What is cut off is below the deepest of them, whatever it is.
            above = _above(entry.path[: longest + 2])
            if entry.outcome is Outcome.RESTORED and not shifted.isdisjoint(above):
                entry.note = _SHIFTED


def _above(path: str) -> Iterator[str]:
    """The paths of the objects that lead to this one."""
    while path:
        path = path.rpartition("/")[0]
        yield path


def _list_length(children: Any) -> int | None:
    """How many items, if the dependencies are those of a list: "0", "1", … without gaps."""
    names = {child.local_name for child in children}
    if not names or not all(name.isdecimal() for name in names):
        return None
    return len(names) if names == {str(i) for i in range(len(names))} else None
