"""Partitioned variables (S38, S40): parts of a larger one, each a variable of its own.

A `PartitionedVariable` is no Trackable: by its objects it is saved as its parts, "0", "1", ….
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from checkpointable.adapters.tensorflow.deferred import record_of
from checkpointable.graph.adapter import Adapter, ObjectRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from checkpointable.graph.value import Value, ValueFactory

__all__ = ["PartitionedAdapter"]


class PartitionedAdapter(Adapter):
    """A `PartitionedVariable` as the container of its parts."""

    def children(self, obj: Any) -> Iterable[tuple[str, Any]]:
        return [(str(index), part) for index, part in enumerate(obj)]

    def values(self, obj: Any) -> Mapping[str, Value | ValueFactory]:
        return {}

    def record(self, obj: Any) -> ObjectRecord:
        return record_of(obj)
