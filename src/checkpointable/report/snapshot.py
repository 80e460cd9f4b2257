"""Snapshots of restores: how far one has come, for reports and assertions."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, NamedTuple

from checkpointable.graph.paths import SLOT_MARK, VARIABLE_VALUE, follow, split
from checkpointable.restore.pending import pending_nodes
from checkpointable.restore.refused import refused_arrivals

if TYPE_CHECKING:
    from checkpointable.graph.restore_notes import RestoreNotes
    from checkpointable.graph.walk import ObjectWalk
    from checkpointable.restore import Conflict, Mismatch, Restore
    from checkpointable.restore.match import Match

__all__ = [
    "TAKEN",
    "Snapshot",
    "is_taken",
    "present_conflicts",
    "snapshot_of_plan",
    "snapshot_of_restore",
]

TAKEN = "its value was restored into another object, which was matched before"


class Snapshot(NamedTuple):
    """How far a restore, or a planned one, has come.

    Attributes:
      consumed: (node, attribute) of each value in the checkpoint that was matched.
      bound: node -> the notes of its object, if that is alive.
      restored: (id of notes, attribute) of each value in the program that was restored.
      waiting: nodes that a living object waits for.
      mismatches: (node, attribute) -> the mismatch.
      conflicts: the refused claims.
      refused: nodes of objects that were added after the restore and not restored, because they
        or objects below them do not fit.
    """

    consumed: Collection[tuple[int, str]]
    bound: Mapping[int, RestoreNotes]
    restored: Collection[tuple[int, str]]
    waiting: Collection[int]
    mismatches: Mapping[tuple[int, str], Mismatch]
    conflicts: list[Conflict]
    refused: Collection[int] = frozenset()


def snapshot_of_restore(restore: Restore, program: ObjectWalk) -> Snapshot:
    """Returns how far a restore has come in `program`."""
    restored: set[tuple[int, str]] = set()
    waiting: set[int] = set()
    for obj, adapter in zip(program.objects, program.adapters, strict=True):
        notes = adapter.notes(obj)
        for attribute, (uid, _) in notes.sources.items():
            if uid >= restore.uid:
                restored.add((id(notes), attribute))
        waiting.update(node_id for _, node_id in pending_nodes(notes, restore))
    bound = {
        node_id: bound_notes
        for node_id in range(len(restore.graph.nodes))
        if (bound_notes := restore.notes(node_id)) is not None
    }
    refused = refused_arrivals(restore, program)
    return Snapshot(
        restore.consumed,
        refused.bound | bound,
        restored,
        waiting | refused.waiting,
        refused.mismatches,
        present_conflicts(restore, program),
        refused.bound.keys() - bound.keys(),
    )


def snapshot_of_plan(match: Match) -> Snapshot:
    """Returns how far a restore that commits this match would come."""
    consumed = {(a.node_id, a.attribute) for a in match.assignments}
    consumed -= match.mismatches.keys()
    consumed.update(match.in_place)
    restored = {(id(match.bound[node_id]), attribute) for node_id, attribute in consumed}
    consumed.update(
        (node_id, VARIABLE_VALUE) for node_id, new in match.new_slots.items() if new.slot is None
    )
    return Snapshot(
        consumed,
        match.bound,
        restored,
        {missing.node_id for missing in match.missing},
        match.mismatches,
        match.conflicts,
    )


def present_conflicts(restore: Restore, program: ObjectWalk) -> list[Conflict]:
    """Returns the refused claims of objects that the program still has."""
    conflicts = restore.conflicts
    if not conflicts:
        return []
    objects = zip(program.objects, program.adapters, strict=True)
    alive = {id(adapter.notes(obj)) for obj, adapter in objects}
    return [
        conflict
        for conflict in conflicts
        if conflict.claimant is None or id(conflict.claimant()) in alive
    ]


def is_taken(restore: Restore, path: str, attribute: str) -> bool:
    """Returns whether the checkpoint's value at this path was restored into another object.

    False for slots: they are matched by variable and optimizer, not by path.
    """
    if SLOT_MARK in path:
        return False
    node_id = follow(split(path), lambda node_id: restore.graph.nodes[node_id].children)
    return node_id is not None and (node_id, attribute) in restore.consumed
