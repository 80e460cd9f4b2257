"""Matches stored values with the values of objects. Changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from checkpointable.errors import CheckpointUnsupportedError, at_path, shown_path
from checkpointable.graph.value import ValueSpec, stored_values
from checkpointable.restore.match import Assignment, Conflict, find_mismatch, stored_dtype

if TYPE_CHECKING:
    from collections.abc import Mapping

    from checkpointable.graph.adapter import Adapter
    from checkpointable.graph.restore_notes import RestoreNotes
    from checkpointable.graph.value import ValueFactory
    from checkpointable.readers.reader import StoredValue
    from checkpointable.restore.binding import Binding

__all__ = ["ValueMatcher"]

_NOWHERE = (0, 0)


class ValueMatcher:
    """Matches the values of objects whose nodes are bound."""

    def __init__(self, binding: Binding) -> None:
        self._restore = binding.restore
        self._graph = binding.restore.graph
        self._match = binding.match
        # (id of notes, attribute) -> the node whose value this match assigns to it
        self._holders: dict[tuple[int, str], int] = {}

    def match(self, node_id: int, obj: Any, adapter: Adapter) -> None:
        """Matches the values of an object that was just bound to the node."""
        try:
            values = adapter.values(obj)
        except Exception as error:
            at_path(error, self._restore.paths[node_id])
            raise
        self.match_each(node_id, values)

    def match_each(self, node_id: int, values: Mapping[str, ValueSpec | ValueFactory]) -> None:
        """Matches values that are known; see `match`."""
        restore = self._restore
        notes = self._match.bound[node_id]
        for name, _, key in self._graph.nodes[node_id].attributes:
            value_or_factory = values.get(name)
            if value_or_factory is None:
                continue
            uid, source = notes.sources.get(name, _NOWHERE)
            target = (id(notes), name)
            holder = self._holders.get(target, source if uid == restore.uid else None)
            if holder == node_id or (holder is None and uid > restore.uid):
                # The variable was created with this value, or a later restore has set it (S24).
                self._match.in_place.append((node_id, name))
            elif holder is not None:
                self._match_second_value(node_id, holder, name)
            else:
                self._holders[target] = node_id
                value = value_or_factory
                if not isinstance(value, ValueSpec):
                    value = value(key)
                if value.parts is None and key not in restore.stored_as_several:
                    self._assign(node_id, name, key, notes, value)
                    continue
                parts = list(stored_values(key, value))
                if all(part in restore.reader for part, _ in parts):
                    for part, part_value in parts:
                        self._assign(node_id, name, part, notes, part_value)

    def _assign(
        self, node_id: int, attribute: str, key: str, notes: RestoreNotes, value: ValueSpec
    ) -> None:
        # Faster than calling the class, and called once per value.
        assignment = tuple.__new__(Assignment, (node_id, attribute, key, notes, value))
        self._match.assignments.append(assignment)
        reader = self._restore.reader
        try:
            stored, shape = reader.dtype_and_shape(key)
        except CheckpointUnsupportedError:
            stored, shape = stored_dtype(reader, key), reader.shape(key)
        if stored == value.dtype and value.shape == shape:
            return  # before the path is built, which is slow
        problem = find_mismatch(reader, self._restore.paths[node_id], key, value.dtype, value.shape)
        if problem is not None:
            self._match.mismatches[node_id, attribute] = problem

    def _match_second_value(self, node_id: int, holder: int, attribute: str) -> None:
        """Handles two nodes that are one object: a conflict unless their values are equal (S23)."""
        first, second = self._entry(holder, attribute), self._entry(node_id, attribute)
        if _same_contents(first, second):
            self._match.in_place.append((node_id, attribute))
            return
        paths = self._restore.paths
        what = (
            "the program has one object there, the checkpoint two whose values differ: that "
            f"of {shown_path(paths[holder])} was restored, this one was not"
        )
        self._match.conflicts.append(Conflict(node_id, paths[node_id], what))

    def _entry(self, node_id: int, attribute: str) -> StoredValue | None:
        for candidate in self._graph.nodes[node_id].attributes:
            if candidate.name == attribute:
                return self._restore.reader.stored(candidate.checkpoint_key)
        return None


def _same_contents(first: StoredValue | None, second: StoredValue | None) -> bool:
    """Returns whether two values have the same dtype, shape, size and checksum."""
    if first is None or second is None:
        return False
    return first[1:] == second[1:]  # all but the key
