"""Keras 3's metrics and seed generators: variables, in objects that TensorFlow does not track.

What has one as a dependency is an object of this library (`tf.train.Checkpoint` refuses them; as
parts of Keras's layers and models they are in no checkpoint). The metrics of Keras 2 are tracked,
and have the same names in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tensorflow.python.trackable.base import Trackable

from checkpointable.adapters.notes import NotesByObject
from checkpointable.graph.adapter import Adapter, RestoreNotes, resolve_pending

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from checkpointable.graph.value import ValueFactory, ValueSpec

__all__ = ["KerasStateAdapter", "is_keras_state"]

_CLASSES = frozenset(
    (("keras.src.metrics.metric", "Metric"), ("keras.src.random.seed_generator", "SeedGenerator"))
)
_notes_by_object = NotesByObject()


def is_keras_state(cls: type) -> bool:
    """Whether objects of a type are metrics or seed generators of Keras 3."""
    return any((base.__module__, base.__name__) in _CLASSES for base in cls.__mro__)


class KerasStateAdapter(Adapter):
    """A metric or seed generator: its variables, and the metrics that it is made of."""

    def children(self, obj: Any) -> Iterable[tuple[str, Any]]:
        found = [
            (name, value)
            for name, value in vars(obj).items()
            if isinstance(value, Trackable) or is_keras_state(type(value))
        ]
        named = {id(value) for _, value in found}
        # What it has in lists, by its number among all that it has.
        for kind in ("variables", "metrics"):
            for number, value in enumerate(getattr(obj, f"_{kind}", ())):
                if id(value) not in named:
                    found.append((f"{kind}_{number}", value))
        notes = self.notes(obj)
        for name, value in found:
            # Nothing tells when a metric makes the variables that it needs.
            if name in notes.pending:
                resolve_pending(notes, name, value)
        return found

    def values(self, obj: Any) -> Mapping[str, ValueSpec | ValueFactory]:
        return {}

    def notes(self, obj: Any) -> RestoreNotes:
        return _notes_by_object.of(obj)
