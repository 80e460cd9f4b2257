"""Partitioned variables (S38, S40): several variables that are parts of a larger one.

TensorFlow does not track a `PartitionedVariable`. It is saved as the container of its parts,
which have the local names "0", "1", ….
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from checkpointable.adapters.tensorflow.deferred import notes_of
from checkpointable.adapters.tensorflow.private_attributes import slice_info
from checkpointable.graph.adapter import Adapter
from checkpointable.graph.restore_notes import RestoreNotes
from checkpointable.graph.value import Part, ValueSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from checkpointable.graph.value import ValueFactory

__all__ = ["PartitionedAdapter", "part_of"]


def part_of(variable: Any) -> Part | None:
    """Returns the position of a part in its partitioned variable; None for a whole variable."""
    info = slice_info(variable)
    if info is None:
        return None
    extents = tuple(
        (int(start), int(size)) for start, size in zip(info.var_offset, info.var_shape, strict=True)
    )
    return Part(tuple(int(size) for size in info.full_shape), extents)


class PartitionedAdapter(Adapter):
    """Adapts a `PartitionedVariable`, as the container of its parts."""

    def children(self, obj: Any) -> Iterable[tuple[str, Any]]:
        return [(str(index), part) for index, part in enumerate(obj)]

    def values(self, obj: Any) -> Mapping[str, ValueSpec | ValueFactory]:
        return {}

    def notes(self, obj: Any) -> RestoreNotes:
        return notes_of(obj)
