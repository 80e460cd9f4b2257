"""Deferred restores: notes on objects about values that wait for a dependency (S21)."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from checkpointable.adapters.watch import watch
from checkpointable.common.scalar_strings import array_of_contents
from checkpointable.errors import CheckpointMismatchError
from checkpointable.graph.paths import VARIABLE_VALUE
from checkpointable.restore.match import find_mismatch

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from checkpointable.graph.restore_notes import PendingChild, RestoreNotes
    from checkpointable.restore.match import Edge
    from checkpointable.restore.restore import Restore

__all__ = [
    "Pending",
    "PendingSlots",
    "pending_nodes",
    "wait_for_child",
    "wait_for_slots",
]


class Pending:
    """A restore that waits for a dependency; see `graph.restore_notes.PendingChild`."""

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
        """The restore that waits; None if it was superseded and has no references left."""
        return self._weak()

    @property
    def is_wanted(self) -> bool:
        """Whether the restore is still alive: it was not superseded, or its status is in use."""
        return self._weak() is not None

    def replaces(self, earlier: PendingChild) -> bool:
        """Returns whether this restores every value that `earlier` would."""
        return isinstance(earlier, Pending) and (self.node_id, self.fingerprint) == (
            earlier.node_id,
            earlier.fingerprint,
        )

    def yield_to(self, later: Pending) -> None:
        """Releases the restore and its files if `later` restores every value that this would.

        Otherwise a program that restores every new checkpoint, and never creates some of the
        objects, would keep the files of all checkpoints open.
        """
        if later.replaces(self):
            self._strong = None

    def attach(self, child: Any) -> None:
        """Matches, checks and restores the dependency, which was just added."""
        restore = self.restore
        if restore is not None:
            restore.attach(self.node_id, child, edge=self._edge)

    def plain_variable(self) -> tuple[np.dtype[Any], tuple[int, ...]] | None:
        """Returns the dtype and shape of the expected variable; see `PendingChild`."""
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
        """Returns the value of the expected variable, in a new buffer; see `PendingChild`."""
        restore, node_id = self.restore, self.node_id
        # If another object has the node, `attach` warns about the conflict.
        if restore is None or restore.is_bound(node_id):
            return None
        attributes = restore.graph.nodes[node_id].attributes
        if len(attributes) != 1 or attributes[0].name != VARIABLE_VALUE:
            return None
        key = attributes[0].checkpoint_key
        problem = find_mismatch(restore.reader, restore.paths[node_id], key, dtype, shape)
        if problem is not None:
            raise CheckpointMismatchError(str(problem), path=restore.reader.prefix, key=key)
        return array_of_contents(restore.reader.get_tensor(key)), (restore.uid, node_id)


class PendingSlots:
    """A restore that waits for an optimizer to get the variables of some slots (S22)."""

    __slots__ = ("_restore", "node_id")

    def __init__(self, restore: Restore, node_id: int) -> None:
        self._restore = restore
        self.node_id = node_id

    @property
    def uid(self) -> int:
        """The uid of the restore."""
        return self._restore.uid

    def retry(self) -> None:
        """Restores the slots of the variables that the optimizer now has."""
        self._restore.attach_slots(self.node_id)


def wait_for_child(notes: RestoreNotes, local_name: str, pending: Pending) -> None:
    """Notes on an object that `pending` waits for its dependency `local_name`."""
    waiting = notes.pending.get(local_name, [])
    for other in waiting:
        if isinstance(other, Pending):
            # `other` may be the later one: if a dependency was just added, the latest restore
            # matches it first, and waits first for what is below it (S24).
            earlier, later = (other, pending) if other.uid < pending.uid else (pending, other)
            earlier.yield_to(later)
    notes.pending[local_name] = [*(p for p in waiting if p.is_wanted), pending]
    notes.waits(local_name)
    watch(notes)


def wait_for_slots(notes: RestoreNotes, pending: PendingSlots) -> None:
    """Notes on an optimizer that `pending` waits for more of its variables."""
    # The latest restore replaces earlier ones, even where it lacks a slot that they have: otherwise
    # their files would stay open for variables that may never be added.
    notes.waiting_slots = pending
    watch(notes)


def pending_nodes(notes: RestoreNotes, restore: Restore) -> Iterator[tuple[str, int]]:
    """Yields (local name, node) of each dependency of an object that `restore` waits for."""
    for local_name, waiting in notes.pending.items():
        for pending in waiting:
            if isinstance(pending, Pending) and pending.restore is restore:
                yield local_name, pending.node_id
