"""Plain values that are given to a `Checkpoint`, as nodes (S42)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from checkpointable.adapters.notes import NotesByObject
from checkpointable.adapters.own import asked_again
from checkpointable.adapters.state import encode
from checkpointable.adapters.state.kinds import register_plain_kind
from checkpointable.adapters.state.values import StateValues
from checkpointable.graph.adapter import Adapter
from checkpointable.graph.restore_notes import RestoreNotes
from checkpointable.graph.value import ValueFactory, ValueSpec
from checkpointable.tracking.given import ELSEWHERE, Elsewhere, GivenValue

__all__ = ["check_state", "find_given"]

register_plain_kind(Elsewhere, "!elsewhere", lambda _: None, lambda _: ELSEWHERE)

_notes_by_object = NotesByObject()


class _GivenAdapter(Adapter):
    """The objects in a container are its dependencies, the rest is Python state."""

    # A plain container does not tell when it gains an item.
    watcher = asked_again

    def children(self, obj: Any) -> Iterable[tuple[str, Any]]:
        # A list, so that an error is raised where the path is known.
        return list(obj.dependencies())

    def child(self, obj: Any, local_name: str) -> Any | None:
        return obj.dependency(local_name)

    def values(self, obj: Any) -> Mapping[str, ValueSpec | ValueFactory]:
        return _GivenState(obj)

    def value_names(self, obj: Any) -> Iterable[str]:
        # A value that an older checkpoint lacks is not missed: it stays what the program set.
        return ()

    def notes(self, obj: Any) -> RestoreNotes:
        return _notes_by_object.of(obj)


class _GivenState(StateValues):
    """The state of a given value; nothing to save where a container holds objects alone."""

    def __init__(self, given: GivenValue) -> None:
        super().__init__(
            given.state,
            lambda state, _uid: given.put(state),
            check=given.check,
            what=f"the value {given.path!r} of the Checkpoint",
        )
        self._given = given

    def __iter__(self) -> Any:
        return super().__iter__() if self._given.has_state else iter(())


def check_state(given: GivenValue) -> None:
    """Raises ValueError, with the path of what cannot be saved, for a value to be given."""
    if given.has_state:
        encode(given.state())
    for _, item in given.dependencies():
        if isinstance(item, GivenValue):
            check_state(item)


_adapter = _GivenAdapter()


def find_given(cls: type) -> Adapter | None:
    """Returns the adapter of `GivenValue`, None for any other class."""
    return _adapter if cls is GivenValue else None
