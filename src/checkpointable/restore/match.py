"""What a match finds: which node is which object, what is assigned, and what does not go."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from checkpointable.errors import CheckpointMismatchError, CheckpointUnsupportedError, shown_path
from checkpointable.graph.adapter import RestoreNotes
from checkpointable.graph.value import ANY, STRING, VARIANT, Value, fits

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from checkpointable.graph.adapter import Adapter, Slots
    from checkpointable.graph.object_graph import SlotVariable
    from checkpointable.readers.reader import ValueReader

__all__ = [
    "Assignment",
    "Conflict",
    "Edge",
    "Match",
    "Mismatch",
    "NewSlot",
    "Reserved",
    "dtype_name",
    "find_mismatch",
    "mismatch_error",
    "stored_dtype",
]

_MOST_PROBLEMS = 10

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


class Mismatch(NamedTuple):
    """A value whose dtype or shape is not that of the object it goes to (S25)."""

    path: str
    stored_dtype: np.dtype[Any]
    stored_shape: tuple[int, ...]
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...] | None

    def __str__(self) -> str:
        return f"{shown_path(self.path)}: {self.what}"

    @property
    def what(self) -> str:
        """Both dtypes, or both shapes, or all four."""
        problems = []
        if not _fits(self.dtype, self.stored_dtype):
            stored, own = dtype_name(self.stored_dtype), dtype_name(self.dtype)
            problems.append(f"dtype {stored} in the checkpoint, {own} in the program")
        if not fits(self.stored_shape, self.shape):
            problems.append(
                f"shape {self.stored_shape} in the checkpoint, {self.shape} in the program"
            )
        return "; ".join(problems)


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


def find_mismatch(
    reader: ValueReader,
    path: str,
    key: str,
    dtype: np.dtype[Any],
    shape: tuple[int | None, ...] | None,
) -> Mismatch | None:
    """Whether the value at `key` fits the object at `path`, of this dtype and shape (None: any)."""
    stored, stored_shape = stored_dtype(reader, key), reader.shape(key)
    if _fits(dtype, stored) and fits(stored_shape, shape):
        return None
    return Mismatch(path, stored, stored_shape, dtype, shape)


def mismatch_error(
    prefix: str, problems: Sequence[object], advice: str = ""
) -> CheckpointMismatchError:
    """The error that lists what does not fit, at most ten and a count (S25)."""
    shown = "\n  ".join(map(str, problems[:_MOST_PROBLEMS]))
    more = len(problems) - _MOST_PROBLEMS
    rest = f"\n  … and {more} more" if more > 0 else ""
    return CheckpointMismatchError(
        f"{len(problems)} value(s) do not fit the program; nothing was restored{advice}:\n  "
        f"{shown}{rest}",
        path=prefix,
    )


def stored_dtype(reader: ValueReader, key: str) -> np.dtype[Any]:
    """The dtype of a stored value, `VARIANT` where it is one of TensorFlow's opaque objects."""
    try:
        return reader.dtype(key)
    except CheckpointUnsupportedError:
        if reader.stored(key).dtype == "variant":
            return VARIANT
        raise


def dtype_name(dtype: np.dtype[Any]) -> str:
    """How messages name a dtype."""
    return {STRING: "string", VARIANT: "variant", ANY: "any"}.get(dtype, str(dtype.name))


def _fits(dtype: np.dtype[Any], stored: np.dtype[Any]) -> bool:
    return stored == dtype or dtype is ANY
