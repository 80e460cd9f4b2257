"""The context of a restore: its checkpoint, and the nodes and values matched so far."""

from __future__ import annotations

import bisect
import functools
import itertools
import weakref
from typing import TYPE_CHECKING

from checkpointable.bundle.format import index_path
from checkpointable.common.logs import logger
from checkpointable.errors import CheckpointCorruptError
from checkpointable.graph.object_graph import NodePaths, ObjectGraph, SlotVariable
from checkpointable.graph.paths import ATTRIBUTES_MARK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from checkpointable.graph.restore_notes import RestoreNotes
    from checkpointable.readers.reader import CheckpointReader
    from checkpointable.restore.match import Conflict

__all__ = ["RestoreContext", "next_uid"]

_uids = itertools.count(1)


def next_uid() -> int:
    """Returns a number that is higher than that of every earlier restore (S24)."""
    return next(_uids)


class RestoreContext:
    """The checkpoint that a restore reads, and what it has matched so far.

    Attributes:
      uid: grows with every call of `restore`; the restore with the highest uid wins (S24).
      reader: the open checkpoint.
      graph: its object graph, with renames applied.
      fingerprint: equal for two checkpoints only if their graphs are equal.
      consumed: (node, attribute) of each value that was matched.
      conflicts: the refused claims (S23).
      stored_as_several: keys of values that are stored as several, under keys that begin with it.
      value_count: the number of values in the checkpoint.
      slots_of_variable: node of a variable -> (node of the optimizer, slot).
      slots_of_optimizer: node of an optimizer -> its slots.

    Raises:
      CheckpointCorruptError: The object graph names a key that the index lacks.
    """

    def __init__(
        self,
        reader: CheckpointReader,
        graph: ObjectGraph,
        *,
        fingerprint: object,
    ) -> None:
        self.uid = next_uid()
        self.reader = reader
        self.graph = graph
        self.fingerprint = fingerprint
        self.consumed: set[tuple[int, str]] = set()
        self.conflicts: list[Conflict] = []
        self.value_count = sum(len(node.attributes) for node in graph.nodes)
        self.slots_of_variable, self.slots_of_optimizer = _slot_edges(graph)
        self._mark_slotted_nodes()
        self._waived: set[tuple[int, str]] = set()
        self._expect_partial = _Flag()
        self._bound: dict[int, weakref.ref[RestoreNotes]] = {}
        self.stored_as_several: set[str] = set()
        self._check_keys()
        weakref.finalize(
            self,
            _finish,
            reader,
            self.value_count,
            self.consumed,
            self._waived,
            self._expect_partial,
        )

    def _mark_slotted_nodes(self) -> None:
        """Marks nodes without values that have slots, so that the restore waits for them too."""
        slotted = [n for n in self.slots_of_variable if not self.graph.nodes[n].may_have_values]
        if slotted:
            self.graph.mark_nodes_with_values(slotted)

    def _check_keys(self) -> None:
        named = {key for node in self.graph.nodes for _, _, key in node.attributes}
        missing = named.difference(self.reader.keys())
        if not missing:
            return
        for node_id, node in enumerate(self.graph.nodes):
            for attribute in node.attributes:
                if attribute.checkpoint_key not in missing:
                    continue
                # TensorFlow stores some values as several, under keys that begin with this one.
                if self._begins_others(attribute.checkpoint_key):
                    self.stored_as_several.add(attribute.checkpoint_key)
                else:
                    raise CheckpointCorruptError(
                        f"the object graph names this key (value {attribute.name!r} of node "
                        f"{node_id}), but the index has no such entry",
                        path=index_path(self.reader.prefix),
                        key=attribute.checkpoint_key,
                    )

    def _begins_others(self, key: str) -> bool:
        if ATTRIBUTES_MARK not in key:
            return False
        keys = self.reader.keys()
        position = bisect.bisect_left(keys, key)
        return position < len(keys) and keys[position].startswith(key)

    @functools.cached_property
    def paths(self) -> NodePaths:
        """The paths of the checkpoint's nodes."""
        return NodePaths(self.graph)

    @property
    def values(self) -> Iterator[tuple[int, str]]:
        """Yields (node, attribute) of each value in the checkpoint."""
        for node_id, node in enumerate(self.graph.nodes):
            for attribute in node.attributes:
                yield node_id, attribute.name

    @property
    def bound_count(self) -> int:
        """The number of nodes that are bound to an object, the root included."""
        return len(self._bound)

    def is_bound(self, node_id: int) -> bool:
        """Returns whether the node was bound to an object, which may be gone."""
        return node_id in self._bound

    def notes(self, node_id: int) -> RestoreNotes | None:
        """Returns the notes of the living object that the node is bound to, or None."""
        reference = self._bound.get(node_id)
        return None if reference is None else reference()

    def expect_partial(self) -> None:
        """Silences the warning about values that were never restored (S30)."""
        self._expect_partial.set = True

    def waive(self, is_waived: Callable[[str], bool]) -> None:
        """Excludes values from that warning, by the paths of their nodes."""
        self._waived.update(
            value_id for value_id in self.values if is_waived(self.paths[value_id[0]])
        )


class _Flag:
    """A switch that outlives the restore it belongs to."""

    __slots__ = ("set",)

    def __init__(self) -> None:
        self.set = False


def _slot_edges(
    graph: ObjectGraph,
) -> tuple[dict[int, list[tuple[int, SlotVariable]]], dict[int, list[SlotVariable]]]:
    """Returns the slots by the node of their variable, and by the node of their optimizer."""
    by_variable: dict[int, list[tuple[int, SlotVariable]]] = {}
    by_optimizer: dict[int, list[SlotVariable]] = {}
    for node_id, node in enumerate(graph.nodes):
        for slot in node.slot_variables:
            by_variable.setdefault(slot.original_variable_node_id, []).append((node_id, slot))
            by_optimizer.setdefault(node_id, []).append(slot)
    return by_variable, by_optimizer


def _finish(
    reader: CheckpointReader,
    value_count: int,
    consumed: set[tuple[int, str]],
    waived: set[tuple[int, str]],
    expect_partial: _Flag,
) -> None:
    """Closes the files, and warns if values were never restored (S30)."""
    reader.close()
    unused = value_count - len(consumed | waived)
    if unused and not expect_partial.set:
        logger.warning(
            "%s: %d of %d values were never restored into an object; "
            "status.assert_consumed() names them, status.expect_partial() silences this",
            reader.prefix,
            unused,
            value_count,
        )
