"""Decodes an object graph from the message that `message.py` describes.

`decoding_fast.py` reads the form that writers produce. This module reads all others by protobuf,
and explains the problem in invalid ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from checkpointable.errors import CheckpointCorruptError
from checkpointable.graph.decoding_fast import decode_usual
from checkpointable.graph.message import NODES, graph_message_class
from checkpointable.graph.object_graph import Attribute, Child, Node, ObjectGraph, SlotVariable
from checkpointable.graph.paths import GRAPH_KEY
from checkpointable.wire.fields import LENGTH, read_fields
from checkpointable.wire.varints import Malformed

__all__ = ["decode_graph", "decode_plainly"]

# Every node except the root takes at least an empty field and an edge to it. A message with fewer
# bytes is invalid, and must not become more objects than its size justifies.
_LEAST_BYTES_PER_NODE = 6
# An empty node, child, attribute or slot. A graph has few: empty containers of an old TensorFlow
# are empty nodes, and each has an edge, too.
_EMPTY_PARTS = (b"\x0a\x00", b"\x12\x00", b"\x1a\x00")


def decode_graph(data: bytes, path: str) -> ObjectGraph:
    """Decodes an object graph, and checks that edges lead to nodes and names are unique.

    Args:
      data: the bytes of the message.
      path: the checkpoint prefix, for error messages.

    Raises:
      CheckpointCorruptError: `data` is not an object graph.
    """
    usual = decode_usual(data)
    if usual and (len(usual) - 1) * _LEAST_BYTES_PER_NODE <= len(data):
        return ObjectGraph(usual)
    return decode_plainly(data, path)


def decode_plainly(data: bytes, path: str) -> ObjectGraph:
    """Decodes a graph in any form by protobuf; see `decode_graph`."""
    from google.protobuf.message import DecodeError

    count = _count_nodes(data, path)
    try:
        message = graph_message_class().FromString(data)
    except (DecodeError, ValueError) as error:
        raise _corrupt(path, f"object graph: does not parse: {error}") from None
    return ObjectGraph(
        [_decode_node(node, node_id, count, path) for node_id, node in enumerate(message.nodes)]
    )


def _corrupt(path: str, what: str) -> CheckpointCorruptError:
    return CheckpointCorruptError(what, path=path, key=GRAPH_KEY)


def _count_nodes(data: bytes, path: str) -> int:
    """Counts the nodes without building objects.

    Refuses a message with more parts than its bytes justify: an empty one takes two bytes in
    the file and dozens in memory.
    """
    count = 0
    try:
        for number, wire_type, _, _ in read_fields(data, 0, len(data)):
            count += (number, wire_type) == (NODES, LENGTH)
    except Malformed as error:
        raise _corrupt(
            path,
            f"object graph: {error.what}, after {count} nodes, at byte {error.position} of "
            f"{len(data)}",
        ) from None
    if not count:
        raise _corrupt(path, "object graph: has no root node")
    empty = sum(data.count(part) for part in _EMPTY_PARTS)
    if max((count - 1) * _LEAST_BYTES_PER_NODE, (empty - 64) * _LEAST_BYTES_PER_NODE) > len(data):
        raise _corrupt(
            path, f"object graph: {count} nodes in {len(data)} bytes cannot all be reached"
        )
    return count


def _decode_node(message: Any, node_id: int, node_count: int, path: str) -> Node:
    node = Node()
    if message.children:
        node.children = [Child(c.node_id, c.local_name) for c in message.children]
        _check_ids([c.node_id for c in node.children], node_id, node_count, path)
        _check_names([c.local_name for c in node.children], node_id, "dependencies", path)
    if message.attributes:
        node.attributes = [
            Attribute(a.name, a.full_name, a.checkpoint_key) for a in message.attributes
        ]
        if len(node.attributes) > 1:
            _check_names([a.name for a in node.attributes], node_id, "values", path)
    if message.slot_variables:
        node.slot_variables = [
            SlotVariable(s.original_variable_node_id, s.slot_name, s.slot_variable_node_id)
            for s in message.slot_variables
        ]
        ids = [s.original_variable_node_id for s in node.slot_variables]
        ids += [s.slot_variable_node_id for s in node.slot_variables]
        _check_ids(ids, node_id, node_count, path)
        _check_names([s[:2] for s in node.slot_variables], node_id, "slots", path)
    if message.HasField("registered_saver"):
        saver = message.registered_saver
        node.registered_saver = (saver.name, saver.object_name)
    if message.HasField("has_checkpoint_values"):
        node.has_checkpoint_values = message.has_checkpoint_values.value
    return node


def _check_ids(ids: Sequence[int], node_id: int, node_count: int, path: str) -> None:
    if min(ids) < 0 or max(ids) >= node_count:
        target = next(target for target in ids if not 0 <= target < node_count)
        raise _corrupt(
            path,
            f"object graph: node {node_id} refers to node {target}, but there are {node_count}",
        )


def _check_names(names: Sequence[Any], node_id: int, what: str, path: str) -> None:
    if len(set(names)) == len(names):
        return
    seen: set[Any] = set()
    for name in names:
        if name in seen:
            raise _corrupt(path, f"object graph: node {node_id} has two {what} named {name!r}")
        seen.add(name)
