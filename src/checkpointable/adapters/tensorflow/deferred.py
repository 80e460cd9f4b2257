"""Restore on create, by the hooks of TensorFlow (S21).

A TensorFlow object keeps the restores that wait for its dependencies in
`_deferred_dependencies`: local name -> positions in a checkpoint. When it gains a dependency, it
removes its positions and calls `restore(dependency)` on each, the latest restore first.
Before it makes a variable, it asks a position for the value, so that no initializer runs. A
restore of this library waits there as a `Position`.

Source: tensorflow/python/trackable/base.py, `_handle_deferred_dependencies` and
`_preload_simple_restoration`; tensorflow/python/checkpoint/restore.py, `CheckpointPosition`.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from checkpointable.adapters.notes import Beside
from checkpointable.adapters.tensorflow.conversion import to_tensor
from checkpointable.adapters.tensorflow.private_api import next_restore_number
from checkpointable.adapters.tensorflow.private_attributes import (
    last_restore,
    prepare,
    restore_number,
    set_restore_number,
    waiting_in,
)
from checkpointable.graph.paths import VARIABLE_VALUE
from checkpointable.graph.restore_notes import PendingChild, RestoreNotes, resolve_pending

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Position", "SlotPosition", "note_restored", "notes_of", "restore_uid"]


class TrackableNotes(RestoreNotes):
    """The restore notes of a TensorFlow object; they register waiting restores in TensorFlow."""

    __slots__ = ("known_uid", "reported")

    def __init__(self, owner: Any = None) -> None:
        super().__init__(owner)
        # TensorFlow's number of the last restore that set the value, as far as these notes know.
        self.known_uid = -1
        # The attributes that a save has already reported as not saved.
        self.reported: set[str] = set()

    def waits(self, local_name: str) -> None:
        """Adds positions to the lists in which TensorFlow looks for them."""
        obj = None if self.owner is None else self.owner()
        if obj is None:
            return
        prepare(obj)
        deferred = waiting_in(obj)
        others = [p for p in deferred.get(local_name, ()) if not isinstance(p, ChildPosition)]
        ours = [ChildPosition(self, local_name, p.uid) for p in self.pending[local_name]]
        deferred[local_name] = others + ours


def _notes(owner: weakref.ref[Any]) -> TrackableNotes:
    notes = TrackableNotes()
    notes.owner = owner
    return notes


_notes_by_object = Beside(_notes)
_kept = _notes_by_object._kept


def notes_of(obj: Any) -> TrackableNotes:
    """Returns the restore notes of a TensorFlow object."""
    kept = _kept.get(id(obj))
    notes = kept[1] if kept is not None and kept[0]() is obj else _notes_by_object.of(obj)
    number = restore_number(obj)
    if number > notes.known_uid:
        notes.known_uid = number
        if number not in _our_numbers:  # a restore by TensorFlow
            notes.sources[VARIABLE_VALUE] = _between(number), -1
    return notes


# Restores of this library and of TensorFlow have separate numbers, but the last of both wins
# (S24). So each of this library's has a number of TensorFlow's, too.
_numbers: dict[int, int] = {}
_our_numbers: set[int] = set()


def _between(number: int) -> Any:
    """Returns a uid for a restore by TensorFlow, just after this library's last one before it."""
    return max((uid for uid, ours in _numbers.items() if ours < number), default=0) + 0.5


def restore_uid(uid: int) -> int:
    """Returns TensorFlow's number for this library's restore `uid`; call it when that begins."""
    number = _numbers.get(uid)
    if number is None:
        number = _numbers[uid] = next_restore_number()
        _our_numbers.add(number)
    return number


def note_restored(trackable: Any, uid: int) -> None:
    """Notes in TensorFlow that this library's restore `uid` has set the value of `trackable`."""
    set_restore_number(trackable, _numbers.get(uid) or restore_uid(uid))


class Position:
    """An object of a checkpoint that waits for an object of the program.

    It has the attributes that TensorFlow uses of its class `CheckpointPosition`.
    """

    __slots__ = ("_given", "restore_uid")

    def __init__(self, uid: int) -> None:
        self.restore_uid = restore_uid(uid)
        # (uid, node) of the value with which TensorFlow made a variable.
        self._given: tuple[int, int] | None = None

    def _pending(self) -> PendingChild | None:
        """Returns the waiting restore; None if it does not wait any longer."""
        raise NotImplementedError

    def _attach(self, child: Any) -> None:
        raise NotImplementedError

    @property
    def checkpoint(self) -> Position:
        """The object from which TensorFlow reads `restore_uid`."""
        return self

    def is_simple_variable(self) -> bool:
        """Returns whether a new variable can be made with the value."""
        pending = self._pending()
        if pending is None or not pending.is_wanted:
            return True  # it gives no value, and must not prevent another position from giving one
        return pending.plain_variable() is not None

    def value_shape(self) -> Any:
        """Returns the shape of the stored variable; None if the stored object is none."""
        pending = self._pending()
        stored = None if pending is None else pending.plain_variable()
        return None if stored is None else tf.TensorShape(stored[1])

    def value_tensors(self, shape_and_slices: dict[str, str] | None = None) -> dict[str, Any]:
        """Returns the value of the stored variable, by its name.

        Args:
          shape_and_slices: name -> the requested part, "" for the whole.
        """
        pending = self._pending()
        stored = None if pending is None else pending.plain_variable()
        if pending is None or stored is None:
            raise ValueError("no restore waits for this variable")
        given = pending.initial_value(*stored)
        assert given is not None
        contents, source = given
        part = (shape_and_slices or {}).get(VARIABLE_VALUE)
        if part:
            contents = contents[_slices(part)]
        else:
            self._given = source
        with tf.init_scope():
            return {VARIABLE_VALUE: to_tensor(contents)}

    def __deepcopy__(self, memo: dict[int, Any]) -> Position:
        # The restore waits for a dependency of the original, not of its copy.
        return CopiedPosition(self.restore_uid)

    def restore(self, trackable: Any, reader: Any = None) -> None:
        """Matches, checks and restores the object that was created."""
        del reader
        if self._given is not None and last_restore(trackable) == self.restore_uid:
            notes_of(trackable).sources[VARIABLE_VALUE] = self._given
        with tf.init_scope():
            self._attach(trackable)


class CopiedPosition(Position):
    """The position in a copy of an object, for which no restore waits."""

    __slots__ = ()

    def __init__(self, restore_uid: int) -> None:
        self.restore_uid = restore_uid
        self._given = None

    def is_simple_variable(self) -> bool:
        """Returns False: the initializer makes the variable."""
        return False

    def restore(self, trackable: Any, reader: Any = None) -> None:
        """Restores nothing: no restore waits for a copy."""


class ChildPosition(Position):
    """The restores that wait for one dependency of an object."""

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
            # The first position that TensorFlow calls restores for all that wait.
            resolve_pending(self._notes, self._local_name, child)
        except BaseException:
            self._notes.waits(self._local_name)
            raise


class SlotPosition(Position):
    """A restore that waits for one slot of an optimizer."""

    __slots__ = ("_waiting",)

    def __init__(self, pending: PendingChild) -> None:
        super().__init__(pending.uid)
        self._waiting = pending

    def _pending(self) -> PendingChild | None:
        return self._waiting

    def _attach(self, child: Any) -> None:
        self._waiting.attach(child)

    def without_replaced(self, positions: Iterable[Any]) -> list[Any]:
        """Returns the positions without those that this one replaces."""
        return [
            position
            for position in positions
            if position is self
            or not isinstance(position, SlotPosition)
            or not self._waiting.replaces(position._waiting)
        ]


def _slices(part: str) -> tuple[slice, ...]:
    """Returns the slices of a part, as in "10 20 0,10:5,5".

    First the full shape, then the start and length in each dimension.
    """
    extents = [extent.split(",") for extent in part.rsplit(" ", maxsplit=1)[-1].split(":")]
    return tuple(slice(int(start), int(start) + int(length)) for start, length in extents)
