"""The result of a match: bound nodes, values to assign, conflicts and mismatches."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from checkpointable.errors import CheckpointMismatchError, CheckpointUnsupportedError, shown_path
from checkpointable.graph.dtypes import ANY, STRING, VARIANT, fits
from checkpointable.graph.restore_notes import RestoreNotes
from checkpointable.graph.value import ValueSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from checkpointable.graph.adapter import Adapter
    from checkpointable.graph.slots import NewSlot
    from checkpointable.readers.reader import ValueReader

__all__ = [
    "Assignment",
    "Conflict",
    "Edge",
    "Match",
    "Mismatch",
    "MissingChild",
    "dtype_name",
    "find_mismatch",
    "mismatch_error",
    "stored_dtype",
]

_MOST_PROBLEMS = 10

# The node of a parent and the local name of its dependency; for the root, its own node and "".
Edge = tuple[int, str]


class Conflict(NamedTuple):
    """A claim that S23 refuses: another object has the node, or its value, already.

    Attributes:
      node_id: the node.
      claimed_by: the path by which the refused object was reached.
      what: the description of the conflict.
      claimant: the notes of the refused object, without which the claim is void; None if the
        checkpoint, not the program, has two objects.
    """

    node_id: int
    claimed_by: str
    what: str
    claimant: weakref.ref[RestoreNotes] | None = None


class Assignment(NamedTuple):
    """A stored value and the value of an object that it will be assigned to."""

    node_id: int
    attribute: str
    key: str
    notes: RestoreNotes
    value: ValueSpec


class MissingChild(NamedTuple):
    """A dependency that an object does not have yet.

    Attributes:
      notes: the notes of the object that lacks it.
      local_name: its name.
      node_id: its node.
      parent: the node of the object that lacks it.
    """

    notes: RestoreNotes
    local_name: str
    node_id: int
    parent: int


class Mismatch(NamedTuple):
    """A stored value whose dtype or shape differs from the value in the program (S25)."""

    path: str
    stored_dtype: np.dtype[Any]
    stored_shape: tuple[int, ...]
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...] | None

    def __str__(self) -> str:
        return f"{shown_path(self.path)}: {self.what}"

    @property
    def what(self) -> str:
        """The differing dtypes and shapes, each in the checkpoint and in the program."""
        problems = []
        if not _fits(self.dtype, self.stored_dtype):
            stored, expected = dtype_name(self.stored_dtype), dtype_name(self.dtype)
            problems.append(f"dtype {stored} in the checkpoint, {expected} in the program")
        if not fits(self.stored_shape, self.shape):
            problems.append(
                f"shape {self.stored_shape} in the checkpoint, {self.shape} in the program"
            )
        return "; ".join(problems)


@dataclass(slots=True)
class Match:
    """The result of a match. Committing it is up to the restore.

    Attributes:
      bound: node -> the notes of its object.
      objects: node -> its object and the adapter of the object.
      assignments: values to assign, in breadth-first order.
      in_place: (node, attribute) of values that their object has already, or has newer ones of.
      missing: dependencies that do not exist yet.
      new_slots: slot's node -> the slot to give to its optimizer once its values are restored.
      filled: keys of values that were read while they were verified, into memory that is not in
        use yet.
      waiting_slots: optimizer's node -> its notes, if it lacks the variable of a slot.
      conflicts: the refused claims.
      mismatches: (node, attribute) -> the mismatch.
    """

    bound: dict[int, RestoreNotes] = field(default_factory=dict)
    objects: dict[int, tuple[Any, Adapter]] = field(default_factory=dict)
    assignments: list[Assignment] = field(default_factory=list)
    in_place: list[tuple[int, str]] = field(default_factory=list)
    missing: list[MissingChild] = field(default_factory=list)
    new_slots: dict[int, NewSlot] = field(default_factory=dict)
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
    """Compares a stored value with the dtype and shape that the program expects.

    Args:
      reader: the checkpoint.
      path: the path of the object.
      key: the key of the stored value.
      dtype: the dtype in the program; `ANY` accepts all.
      shape: the shape in the program; None accepts any, as does a dimension that is None.

    Returns:
      The mismatch, None if the value fits.
    """
    stored, stored_shape = stored_dtype(reader, key), reader.shape(key)
    if _fits(dtype, stored) and fits(stored_shape, shape):
        return None
    return Mismatch(path, stored, stored_shape, dtype, shape)


def mismatch_error(
    prefix: str, problems: Sequence[object], advice: str = ""
) -> CheckpointMismatchError:
    """Returns the error that lists at most ten mismatches, and counts the others (S25)."""
    shown = "\n  ".join(map(str, problems[:_MOST_PROBLEMS]))
    more = len(problems) - _MOST_PROBLEMS
    rest = f"\n  … and {more} more" if more > 0 else ""
    return CheckpointMismatchError(
        f"{len(problems)} value(s) do not fit the program; nothing was restored{advice}:\n  "
        f"{shown}{rest}",
        path=prefix,
    )


def stored_dtype(reader: ValueReader, key: str) -> np.dtype[Any]:
    """Returns the dtype of a stored value, `VARIANT` for an opaque object of TensorFlow."""
    try:
        return reader.dtype(key)
    except CheckpointUnsupportedError:
        if reader.stored(key).dtype == "variant":
            return VARIANT
        raise


def dtype_name(dtype: np.dtype[Any]) -> str:
    """Returns the name of a dtype for messages."""
    return {STRING: "string", VARIANT: "variant", ANY: "any"}.get(dtype, str(dtype.name))


def _fits(dtype: np.dtype[Any], stored: np.dtype[Any]) -> bool:
    return stored == dtype or dtype is ANY
