"""Keras 3's metrics and seed generators: objects with variables that TensorFlow does not track.

Only an object of this library can have one as a dependency: `tf.train.Checkpoint` refuses them,
and leaves out those of Keras's layers and models. The metrics of Keras 2 are tracked, and their
variables have the same names there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from checkpointable.adapters.notes import NotesByObject
from checkpointable.adapters.tensorflow.private_api import Trackable
from checkpointable.adapters.tensorflow.private_attributes import (
    KERAS_STATE,
    is_keras,
    keras_state_lists,
)
from checkpointable.graph.adapter import Adapter
from checkpointable.graph.restore_notes import RestoreNotes, resolve_pending

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from checkpointable.graph.value import ValueFactory, ValueSpec

__all__ = ["KerasStateAdapter", "is_keras_state"]

_notes_by_object = NotesByObject()


def is_keras_state(cls: type) -> bool:
    """Returns whether objects of `cls` are metrics or seed generators of Keras 3."""
    return is_keras(cls, *KERAS_STATE)


class KerasStateAdapter(Adapter):
    """Adapts a metric or seed generator: its variables, and the metrics that it is made of."""

    def children(self, obj: Any) -> Iterable[tuple[str, Any]]:
        children = [
            (name, value)
            for name, value in vars(obj).items()
            if isinstance(value, Trackable) or is_keras_state(type(value))
        ]
        named = {id(value) for _, value in children}
        # Objects that are not in an attribute are named by their number in the list of Keras.
        for kind, values in keras_state_lists(obj).items():
            for number, value in enumerate(values):
                if id(value) not in named:
                    children.append((f"{kind}_{number}", value))
        notes = self.notes(obj)
        for name, value in children:
            # No hook fires when a metric makes the variables that it needs.
            if name in notes.pending:
                resolve_pending(notes, name, value)
        return children

    def values(self, obj: Any) -> Mapping[str, ValueSpec | ValueFactory]:
        return {}

    def notes(self, obj: Any) -> RestoreNotes:
        return _notes_by_object.of(obj)
