"""The object graph that a checkpoint stores beside its values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from checkpointable.bundle import BundleReader
from checkpointable.common.gc_pause import collector_paused
from checkpointable.errors import CheckpointCorruptError
from checkpointable.graph.decoding import decode_graph
from checkpointable.graph.paths import GRAPH_KEY

if TYPE_CHECKING:
    from checkpointable.graph.object_graph import ObjectGraph

__all__ = ["read_graph", "stored_graph"]


def read_graph(reader: BundleReader) -> bytes:
    """The encoded object graph of a checkpoint that has one."""
    data = reader.get_tensor(GRAPH_KEY)
    if not isinstance(data, bytes):
        raise CheckpointCorruptError(
            "the object graph is a scalar string, but here it is "
            f"{reader.dtype(GRAPH_KEY)} of shape {reader.shape(GRAPH_KEY)}",
            path=f"{reader.prefix}.index",
            key=GRAPH_KEY,
        )
    return data


def stored_graph(reader: BundleReader) -> ObjectGraph:
    """The object graph of a checkpoint that has one."""
    data = read_graph(reader)
    with collector_paused():
        return decode_graph(data, reader.prefix)
