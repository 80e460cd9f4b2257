"""The object graph as a value of the checkpoint that it describes."""

from __future__ import annotations

from checkpointable.bundle import DataType, ValueToWrite
from checkpointable.graph.dtypes import as_string_array
from checkpointable.graph.encoding import encode_graph
from checkpointable.graph.object_graph import ObjectGraph
from checkpointable.graph.paths import GRAPH_KEY

__all__ = ["graph_to_write"]


def graph_to_write(graph: ObjectGraph) -> ValueToWrite:
    """Returns the value for `graph`, encoded in its present state."""
    encoded = encode_graph(graph)
    return ValueToWrite(
        GRAPH_KEY, DataType.DT_STRING, (), lambda: as_string_array(encoded, GRAPH_KEY)
    )
