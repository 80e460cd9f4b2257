"""The adapter of objects with `state_dict()` and `load_state_dict()`, of any library (S8).

Examples are learning rate schedulers, gradient scalers, samplers, stateful data loaders and
metrics. Their state is Python state; tensors in it are stored as values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from checkpointable.adapters.notes import NotesByObject
from checkpointable.adapters.state.values import StateValues
from checkpointable.graph.adapter import Adapter
from checkpointable.graph.restore_notes import RestoreNotes
from checkpointable.graph.value import ValueFactory, ValueSpec

__all__ = ["StateDictAdapter", "find_by_state_dict"]

_notes_by_object = NotesByObject()


class StateDictAdapter(Adapter):
    """Objects with a state and without dependencies."""

    def children(self, obj: Any) -> Iterable[tuple[str, Any]]:
        return ()

    def child(self, obj: Any, local_name: str) -> Any | None:
        return None

    def values(self, obj: Any) -> Mapping[str, ValueSpec | ValueFactory]:
        return StateValues(
            obj.state_dict,
            lambda state, uid: self.put(obj, state, uid),
            what=f"{type(obj).__name__}.load_state_dict",
        )

    def put(self, obj: Any, state: Any, uid: int) -> None:
        """Loads the restored state into the object."""
        obj.load_state_dict(state)

    def notes(self, obj: Any) -> RestoreNotes:
        return _notes_by_object.of(obj)


def find_by_state_dict(cls: type) -> Adapter | None:
    """Returns the adapter of a class with both methods, None for any other."""
    if cls.__weakrefoffset__ and _has(cls, "state_dict") and _has(cls, "load_state_dict"):
        return StateDictAdapter()
    return None


def _has(cls: type, name: str) -> bool:
    return callable(getattr(cls, name, None))
