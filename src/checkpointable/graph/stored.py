"""Reads the object graph that a checkpoint stores in addition to its values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from checkpointable.common.gc_pause import collector_paused
from checkpointable.errors import CheckpointCorruptError
from checkpointable.graph.decoding import decode_graph
from checkpointable.graph.paths import GRAPH_KEY

if TYPE_CHECKING:
    from checkpointable.graph.object_graph import ObjectGraph

__all__ = ["read_graph", "stored_graph"]


class _Values(Protocol):
    """The part of `readers.reader.CheckpointReader` that reading the graph needs."""

    @property
    def prefix(self) -> str: ...

    def dtype(self, key: str) -> Any: ...

    def shape(self, key: str) -> tuple[int, ...]: ...

    def get_tensor(self, key: str) -> Any: ...


def read_graph(reader: _Values) -> bytes:
    """Reads the encoded object graph of an object-based checkpoint.

    Raises:
      CheckpointCorruptError: Its bytes are damaged, or it is not a scalar string.
    """
    data = reader.get_tensor(GRAPH_KEY)
    if not isinstance(data, bytes):
        raise CheckpointCorruptError(
            "the object graph should be a scalar string, but it is "
            f"{reader.dtype(GRAPH_KEY)} of shape {reader.shape(GRAPH_KEY)}",
            path=f"{reader.prefix}.index",
            key=GRAPH_KEY,
        )
    return data


def stored_graph(reader: _Values) -> ObjectGraph:
    """Reads and decodes the object graph of an object-based checkpoint.

    Raises:
      CheckpointCorruptError: It is damaged.
    """
    data = read_graph(reader)
    with collector_paused():
        return decode_graph(data, reader.prefix)
