"""What a match finds: which node is which object, what is assigned, and what does not go."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from checkpointable.graph.adapter import RestoreNotes
from checkpointable.graph.value import Value

if TYPE_CHECKING:
    from checkpointable.graph.adapter import Adapter, Slots
    from checkpointable.graph.object_graph import SlotVariable
    from checkpointable.restore.mismatch import Mismatch

__all__ = ["Assignment", "Conflict", "Edge", "Match", "NewSlot", "Reserved"]

# The node of an owner and the local name under which it has a dependency; "" for the root, which
# nobody has.
Edge = tuple[int, str]


class Conflict(NamedTuple):
    """A claim that S23 refuses: the node, or its value, is another object's already."""

    node_id: int
    claimed_by: str  # path, as far as the claim tells it
    what: str
    # The notes of the object that was refused: without it in the program there is no claim.
    # None where it is the checkpoint that has two.
    claimant: weakref.ref[RestoreNotes] | None = None


class Assignment(NamedTuple):
    """A value that is to be assigned."""

    node_id: int
    attribute: str
    key: str
    notes: RestoreNotes
    value: Value


class NewSlot(NamedTuple):
    """A slot that is to be made with its restored value (S22)."""

    optimizer: Any
    variable: Any
    slot: SlotVariable
    key: str


class Reserved(NamedTuple):
    """A slot that its optimizer gets once its value is restored (S22)."""

    slots: Slots
    variable: Any
    slot_name: str
    slot: Any
    node_id: int


@dataclass(slots=True)
class Match:
    """What a match found; nothing of it has happened yet.

    Attributes:
      bound: node -> the notes of the object that it becomes.
      objects: the same, node -> the object and its adapter.
      assignments: values to assign, in breadth-first order.
      in_place: (node, attribute) of values whose object holds them, or later ones, already.
      missing: (notes, local name, node, node of the notes's object): dependencies that do
        not exist yet.
      new_slots: slot's node -> slot that is to be made.
      reserved: slots that are assigned to, and then given to their optimizer.
      filled: keys of what has been assigned already, since nobody else has its memory.
      waiting_slots: optimizer's node -> its notes, if it lacks the variable of some slot.
      conflicts, mismatches: what does not go; (node, attribute) -> mismatch.
    """

    bound: dict[int, RestoreNotes] = field(default_factory=dict)
    objects: dict[int, tuple[Any, Adapter]] = field(default_factory=dict)
    assignments: list[Assignment] = field(default_factory=list)
    in_place: list[tuple[int, str]] = field(default_factory=list)
    missing: list[tuple[RestoreNotes, str, int, int]] = field(default_factory=list)
    new_slots: dict[int, NewSlot] = field(default_factory=dict)
    reserved: list[Reserved] = field(default_factory=list)
    filled: set[str] = field(default_factory=set)
    waiting_slots: dict[int, RestoreNotes] = field(default_factory=dict)
    conflicts: list[Conflict] = field(default_factory=list)
    mismatches: dict[tuple[int, str], Mismatch] = field(default_factory=dict)
