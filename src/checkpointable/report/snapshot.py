"""How far a restore has come, or would come: what a report and the assertions go by."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, NamedTuple

from checkpointable.graph.paths import SLOT_MARK, VARIABLE_VALUE, follow, split
from checkpointable.restore.pending import pending_nodes
from checkpointable.restore.refused import refused_arrivals

if TYPE_CHECKING:
    from checkpointable.graph.adapter import RestoreNotes
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

TAKEN = "its value went to another object, which was there before"


class Snapshot(NamedTuple):
    """How far a restore has come, or would come.

    Attributes:
      consumed: (node, attribute) of every value that found its object.
      bound: node -> the notes of its object, where that is alive.
      restored: (id of notes, attribute) of every value that is in place in the program.
      waiting: nodes that a living object waits for.
      mismatches: (node, attribute) -> what does not fit.
      conflicts: the refused claims.
      refused: nodes of objects that came later, and were not restored since something that came
        with them does not fit.
    """

    consumed: Collection[tuple[int, str]]
    bound: Mapping[int, RestoreNotes]
    restored: Collection[tuple[int, str]]
    waiting: Collection[int]
    mismatches: Mapping[tuple[int, str], Mismatch]
    conflicts: list[Conflict]
    refused: Collection[int] = frozenset()


def snapshot_of_restore(restore: Restore, program: ObjectWalk) -> Snapshot:
    """How far a restore has come in `program`."""
    restored: set[tuple[int, str]] = set()
    waiting: set[int] = set()
    for obj, adapter in zip(program.objects, program.adapters, strict=True):
        own = adapter.notes(obj)
        for attribute, (uid, _) in own.sources.items():
            if uid >= restore.uid:
                restored.add((id(own), attribute))
        waiting.update(node_id for _, node_id in pending_nodes(own, restore))
    bound = {
        node_id: notes
        for node_id in range(len(restore.graph.nodes))
        if (notes := restore.notes(node_id)) is not None
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


def snapshot_of_plan(found: Match) -> Snapshot:
    """How far a restore would come that assigns what was matched."""
    consumed = {(a.node_id, a.attribute) for a in found.assignments}
    consumed -= found.mismatches.keys()
    consumed.update(found.in_place)
    restored = {(id(found.bound[node_id]), attribute) for node_id, attribute in consumed}
    consumed.update((node_id, VARIABLE_VALUE) for node_id in found.new_slots)
    return Snapshot(
        consumed,
        found.bound,
        restored,
        {node_id for _, _, node_id, _ in found.missing},
        found.mismatches,
        found.conflicts,
    )


def present_conflicts(restore: Restore, program: ObjectWalk) -> list[Conflict]:
    """The refused claims of objects that the program still has."""
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
    """Whether the checkpoint's value of that path has found an object.

    That of a slot goes by its variable and its optimizer, so none takes another's.
    """
    if SLOT_MARK in path:
        return False
    node_id = follow(split(path), lambda node_id: restore.graph.nodes[node_id].children)
    return node_id is not None and (node_id, attribute) in restore.consumed
