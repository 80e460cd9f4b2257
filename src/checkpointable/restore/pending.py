"""The word that a restore leaves on an object: when this dependency comes, call me (S21)."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from checkpointable.adapters.watch import watch
from checkpointable.errors import CheckpointMismatchError
from checkpointable.graph.paths import VARIABLE_VALUE
from checkpointable.restore.match import find_mismatch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from checkpointable.graph.adapter import PendingChild, RestoreNotes
    from checkpointable.restore.match import Edge
    from checkpointable.restore.restore import Restore

__all__ = [
    "Pending",
    "PendingSlots",
    "as_array",
    "leave_word",
    "pending_nodes",
    "wait_for_slots",
]


class Pending:
    """Waits on an object's notes for a dependency; see `graph.adapter.PendingChild`."""

    __slots__ = ("_edge", "_strong", "_weak", "fingerprint", "node_id", "uid")

    def __init__(self, restore: Restore, node_id: int, edge: Edge | None = None) -> None:
        self._strong: Restore | None = restore
        self._weak = weakref.ref(restore)
        self.fingerprint = restore.fingerprint
        self.node_id = node_id
        self.uid = restore.uid
        self._edge = edge

    @property
    def restore(self) -> Restore | None:
        """The restore that waits; None if it was superseded and nobody asks for it any more."""
        return self._weak()

    @property
    def is_wanted(self) -> bool:
        """False once a later restore brings all that this would, and nobody asks for this one."""
        return self._weak() is not None

    def replaces(self, earlier: PendingChild) -> bool:
        """Whether this brings all that `earlier` would."""
        return isinstance(earlier, Pending) and (self.node_id, self.fingerprint) == (
            earlier.node_id,
            earlier.fingerprint,
        )

    def yield_to(self, later: Pending) -> None:
        """Stops keeping the files open if `later` brings every value that this would.

        Without this a program that restores each new checkpoint in turn, and never builds
        some part of it, would keep all of them open.
        """
        if later.replaces(self):
            self._strong = None

    def attach(self, child: Any) -> None:
        """The dependency has come: match it, check it, restore it."""
        restore = self.restore
        if restore is not None:
            restore.attach(self.node_id, child, edge=self._edge)

    def plain_variable(self) -> tuple[np.dtype[Any], tuple[int, ...]] | None:
        """Dtype and shape of the variable waited for; see `PendingChild`."""
        restore, node_id = self.restore, self.node_id
        if restore is None or restore.is_bound(node_id):
            return None
        node = restore.graph.nodes[node_id]
        attributes = node.attributes
        if node.children or len(attributes) != 1 or attributes[0].name != VARIABLE_VALUE:
            return None
        key = attributes[0].checkpoint_key
        return restore.reader.dtype(key), restore.reader.shape(key)

    def initial_value(
        self, dtype: np.dtype[Any], shape: tuple[int, ...] | None
    ) -> tuple[np.ndarray[Any, np.dtype[Any]], tuple[int, int]] | None:
        """The value of the variable waited for, in a new buffer; see `PendingChild`."""
        restore, node_id = self.restore, self.node_id
        # A node that another object has already is no value to start from: attach says so.
        if restore is None or restore.is_bound(node_id):
            return None
        attributes = restore.graph.nodes[node_id].attributes
        if len(attributes) != 1 or attributes[0].name != VARIABLE_VALUE:
            return None
        key = attributes[0].checkpoint_key
        problem = find_mismatch(restore.reader, restore.paths[node_id], key, dtype, shape)
        if problem is not None:
            raise CheckpointMismatchError(str(problem), path=restore.reader.prefix, key=key)
        return as_array(restore.reader.get_tensor(key)), (restore.uid, node_id)


class PendingSlots:
    """Waits on an optimizer's notes for it to get the variables of some slots (S22)."""

    __slots__ = ("_restore", "node_id")

    def __init__(self, restore: Restore, node_id: int) -> None:
        self._restore = restore
        self.node_id = node_id

    @property
    def uid(self) -> int:
        """That of the restore."""
        return self._restore.uid

    def retry(self) -> None:
        """Restores the slots of the variables that the optimizer has by now."""
        self._restore.attach_slots(self.node_id)


def as_array(contents: Any) -> np.ndarray[Any, np.dtype[Any]]:
    """What a reader gave, as an array also where it is a scalar string."""
    if isinstance(contents, bytes):
        array = np.empty((), dtype=object)
        array[()] = contents
        return array
    result: np.ndarray[Any, np.dtype[Any]] = contents
    return result


def leave_word(notes: RestoreNotes, local_name: str, pending: Pending) -> None:
    """Notes on an object that `pending` waits for its dependency `local_name`."""
    waiting = notes.pending.get(local_name, [])
    for other in waiting:
        if isinstance(other, Pending):
            # Not always the other: where a dependency has just come, the latest restore has
            # matched first, and left its word first (S24).
            earlier, later = (other, pending) if other.uid < pending.uid else (pending, other)
            earlier.yield_to(later)
    notes.pending[local_name] = [*(p for p in waiting if p.is_wanted), pending]
    notes.waits(local_name)
    watch(notes)


def wait_for_slots(notes: RestoreNotes, pending: PendingSlots) -> None:
    """Notes on an optimizer that `pending` waits for it to get more variables."""
    # Of two restores the last wins, and what it does not know is not looked for again: the
    # earlier one's files would have to be kept open for a variable that may never come.
    notes.waiting_slots = pending
    watch(notes)


def pending_nodes(notes: RestoreNotes, restore: Restore) -> Iterator[tuple[str, int]]:
    """(local name, node) of what the object waits for by `restore`."""
    for local_name, waiting in notes.pending.items():
        for pending in waiting:
            if isinstance(pending, Pending) and pending.restore is restore:
                yield local_name, pending.node_id
