"""Restore on create, by TensorFlow's own hooks (S21).

A TensorFlow object keeps the restores that wait for its dependencies in
`_deferred_dependencies`: local name -> positions in a checkpoint. When a dependency comes, it
takes them out and calls `restore(dependency)` on each, the one of the latest restore first; and
it asks a position for the value of a variable that is about to be made, so that no initializer
runs. What stands there for a restore of ours is a `Position`.

Source: tensorflow/python/trackable/base.py, `_handle_deferred_dependencies` and
`_preload_simple_restoration`; tensorflow/python/checkpoint/restore.py, `CheckpointPosition`.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from tensorflow.python.framework import ops
from tensorflow.python.trackable.constants import VARIABLE_VALUE_KEY

from checkpointable.adapters.notes import Beside
from checkpointable.adapters.tensorflow.conversion import to_tensor
from checkpointable.graph.adapter import PendingChild, RestoreNotes, resolve_pending

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Position", "SlotPosition", "note_restored", "notes_of", "restore_uid"]


class TrackableNotes(RestoreNotes):
    """What restores note on a TensorFlow object; what waits is noted with TensorFlow too."""

    __slots__ = ("known_uid", "said")

    def __init__(self, owner: Any = None) -> None:
        super().__init__(owner)
        # TensorFlow's number of the restore that is known to have set the value.
        self.known_uid = -1
        # Attributes of which was said that they are not saved.
        self.said: set[str] = set()

    def waits(self, local_name: str) -> None:
        """Puts positions where TensorFlow looks for them."""
        obj = None if self.owner is None else self.owner()
        if obj is None:
            return
        obj._maybe_initialize_trackable()
        deferred = obj._deferred_dependencies
        others = [p for p in deferred.get(local_name, ()) if not isinstance(p, ChildPosition)]
        own = [ChildPosition(self, local_name, p.uid) for p in self.pending[local_name]]
        deferred[local_name] = others + own


def _notes(owner: weakref.ref[Any]) -> TrackableNotes:
    notes = TrackableNotes()
    notes.owner = owner
    return notes


_notes_by_object = Beside(_notes)
_kept = _notes_by_object._kept


def notes_of(obj: Any) -> TrackableNotes:
    """The notes of a TensorFlow object."""
    kept = _kept.get(id(obj))
    notes = kept[1] if kept is not None and kept[0]() is obj else _notes_by_object.of(obj)
    uid = getattr(obj, "_self_update_uid", -1)
    if uid > notes.known_uid:
        notes.known_uid = uid
        if uid not in _own:  # a restore of TensorFlow's own
            notes.sources[VARIABLE_VALUE_KEY] = _between(uid), -1
    return notes


# Our restores and TensorFlow's are counted apart, but of both together the last wins (S24).
_uids: dict[int, int] = {}
_own: set[int] = set()


def _between(uid: int) -> Any:
    """A number for a restore of TensorFlow's, among those of ours: later than the one before."""
    return max((own for own, theirs in _uids.items() if theirs < uid), default=0) + 0.5


def restore_uid(uid: int) -> int:
    """TensorFlow's number for a restore of ours; it must be asked for when that happens."""
    known = _uids.get(uid)
    if known is None:
        known = _uids[uid] = ops.uid()
        _own.add(known)
    return known


def note_restored(trackable: Any, uid: int) -> None:
    """Notes for TensorFlow that a restore has set the value of `trackable`."""
    number = _uids.get(uid) or restore_uid(uid)
    try:
        known = trackable._self_update_uid
    except AttributeError:
        trackable._maybe_initialize_trackable()
        known = trackable._self_update_uid
    if known < number:  # past the property, since it is asked for every variable
        trackable._self_update_uid = number


class Position:
    """A place in a checkpoint, as far as TensorFlow asks for it."""

    __slots__ = ("_given", "restore_uid")

    def __init__(self, uid: int) -> None:
        self.restore_uid = restore_uid(uid)
        # (uid, node) of the value that a variable was made with
        self._given: tuple[int, int] | None = None

    def _pending(self) -> PendingChild | None:
        """The restore that waits; None if it does not wait any more."""
        raise NotImplementedError

    def _attach(self, child: Any) -> None:
        raise NotImplementedError

    @property
    def checkpoint(self) -> Position:
        """What knows `restore_uid`."""
        return self

    def is_simple_variable(self) -> bool:
        """Whether the value can be given to a variable that is about to be made."""
        pending = self._pending()
        if pending is None or not pending.is_wanted:
            return True  # it gives nothing, and does not stand in the way of another
        return pending.plain_variable() is not None

    def value_shape(self) -> Any:
        """The shape of the variable waited for, None if it is none."""
        from tensorflow.python.framework.tensor_shape import TensorShape

        pending = self._pending()
        stored = None if pending is None else pending.plain_variable()
        return None if stored is None else TensorShape(stored[1])

    def value_tensors(self, shape_and_slices: dict[str, str] | None = None) -> dict[str, Any]:
        """The value of the variable waited for.

        Args:
          shape_and_slices: which part of it; "" for all.
        """
        pending = self._pending()
        stored = None if pending is None else pending.plain_variable()
        if pending is None or stored is None:
            raise ValueError("no restore waits for this variable")
        given = pending.initial_value(*stored)
        assert given is not None
        contents, source = given
        part = (shape_and_slices or {}).get(VARIABLE_VALUE_KEY)
        if part:
            contents = contents[_slices(part)]
        else:
            self._given = source
        with ops.init_scope():
            return {VARIABLE_VALUE_KEY: to_tensor(contents)}

    def __deepcopy__(self, memo: dict[int, Any]) -> Position:
        # A restore waits for a dependency of its own object, not of a copy of that.
        return CopiedPosition(self.restore_uid)

    def restore(self, trackable: Any, reader: Any = None) -> None:
        """The object has come: match it, check it, restore it."""
        del reader
        if self._given is not None and trackable._update_uid == self.restore_uid:
            notes_of(trackable).sources[VARIABLE_VALUE_KEY] = self._given
        with ops.init_scope():
            self._attach(trackable)


class CopiedPosition(Position):
    """What a copy of an object has in the place of a position: nothing waits."""

    __slots__ = ()

    def __init__(self, restore_uid: int) -> None:
        self.restore_uid = restore_uid
        self._given = None

    def is_simple_variable(self) -> bool:
        """Not even one that it could give; so the variable is made as if nobody had asked."""
        return False

    def restore(self, trackable: Any, reader: Any = None) -> None:
        """Nothing."""


class ChildPosition(Position):
    """Stands for the restores that wait on the notes of an object for one dependency."""

    __slots__ = ("_local_name", "_notes", "_uid")

    def __init__(self, notes: TrackableNotes, local_name: str, uid: int) -> None:
        super().__init__(uid)
        self._notes = notes
        self._local_name = local_name
        self._uid = uid

    def _pending(self) -> PendingChild | None:
        for pending in self._notes.pending.get(self._local_name, ()):
            if pending.uid == self._uid:
                return pending
        return None

    def _attach(self, child: Any) -> None:
        try:
            # The first position that is called restores for all that wait; the others find none.
            resolve_pending(self._notes, self._local_name, child)
        except BaseException:
            self._notes.waits(self._local_name)
            raise


class SlotPosition(Position):
    """Stands with an optimizer for a restore of one of its slots."""

    __slots__ = ("_waiting",)

    def __init__(self, pending: PendingChild) -> None:
        super().__init__(pending.uid)
        self._waiting = pending

    def _pending(self) -> PendingChild | None:
        return self._waiting

    def _attach(self, child: Any) -> None:
        self._waiting.attach(child)

    def without_replaced(self, positions: Iterable[Any]) -> list[Any]:
        """The positions but for those that this one replaces."""
        return [
            position
            for position in positions
            if position is self
            or not isinstance(position, SlotPosition)
            or not self._waiting.replaces(position._waiting)
        ]


def _slices(part: str) -> tuple[slice, ...]:
    """The part that "10 20 0,10:5,5" names: full shape, then start and length of each size."""
    extents = [extent.split(",") for extent in part.rsplit(" ", maxsplit=1)[-1].split(":")]
    return tuple(slice(int(start), int(start) + int(length)) for start, length in extents)
