"""Finds lists that were matched by position although their lengths differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from checkpointable.errors import shown_path
from checkpointable.report.report import Outcome, Report

if TYPE_CHECKING:
    from checkpointable.graph.restore_notes import RestoreNotes
    from checkpointable.graph.walk import ObjectWalk
    from checkpointable.restore import Restore

__all__ = ["note_shifts"]

_SHIFTED = "matched by position, may have shifted"


def note_shifts(
    report: Report, restore: Restore, program: ObjectWalk, bound: Mapping[int, RestoreNotes]
) -> None:
    """Adds notes on such lists, and on the values in them, to `report`.

    Args:
      report: the report to change.
      restore: the restore that it is about.
      program: the program's objects.
      bound: node -> the notes of its object.
    """
    program_ids = {
        id(adapter.notes(obj)): program_id
        for program_id, (obj, adapter) in enumerate(
            zip(program.objects, program.adapters, strict=True)
        )
    }
    shifted = set()
    for node_id, notes in bound.items():
        program_id = program_ids.get(id(notes))
        if program_id is None:
            continue
        stored = _list_length(restore.graph.nodes[node_id].children)
        built = _list_length(program.children[program_id])
        if stored is not None and built is not None and stored != built:
            path = program.path(program_id)
            shifted.add(path)
            report.notes.append(
                f"{shown_path(path)}: {stored} items in the checkpoint, {built} in the "
                f"program: {_SHIFTED}"
            )
    if shifted:
        longest = max(map(len, shifted))
        for entry in report.entries:
            # Nothing below the deepest of these lists matters, and paths may be very long.
            above = _above(entry.path[: longest + 2])
            if entry.outcome is Outcome.RESTORED and not shifted.isdisjoint(above):
                entry.note = _SHIFTED


def _above(path: str) -> Iterator[str]:
    """Yields the paths of the objects that contain this one, from the inside out."""
    while path:
        path = path.rpartition("/")[0]
        yield path


def _list_length(children: Any) -> int | None:
    """Returns the number of dependencies if they are named "0", "1", … without gaps, else None."""
    names = {child.local_name for child in children}
    if not names or not all(name.isdecimal() for name in names):
        return None
    return len(names) if names == {str(i) for i in range(len(names))} else None
