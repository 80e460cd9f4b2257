"""Reads an object graph of the message that `message.py` describes; refuses what is none.

The usual form is read in `decoding_fast.py`; any other, and whatever is wrong, here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from checkpointable.errors import CheckpointCorruptError
from checkpointable.graph.decoding_fast import decode_usual
from checkpointable.graph.message import NODES_TAG, graph_message_class
from checkpointable.graph.object_graph import Attribute, Child, Node, ObjectGraph, SlotVariable
from checkpointable.graph.paths import GRAPH_KEY

__all__ = ["decode_graph", "decode_plainly"]

# Every node but the root costs at least an empty field of its own and an edge that leads to
# it. What is smaller is no graph, and must not make more objects than bytes can pay for.
_LEAST_BYTES_PER_NODE = 6
# An empty node, child, attribute or slot. A graph has few: an empty node is an empty container
# of an old TensorFlow, and costs an edge too.
_EMPTY_PARTS = (b"\x0a\x00", b"\x12\x00", b"\x1a\x00")


def decode_graph(data: bytes, path: str) -> ObjectGraph:
    """The graph in `data`, checked: every edge leads to a node, no name stands twice.

    Args:
      data: the message's bytes.
      path: the checkpoint, for messages.

    Raises:
      CheckpointCorruptError: it is no object graph.
    """
    usual = decode_usual(data)
    if usual and (len(usual) - 1) * _LEAST_BYTES_PER_NODE <= len(data):
        return ObjectGraph(usual)
    return decode_plainly(data, path)


def decode_plainly(data: bytes, path: str) -> ObjectGraph:
    """As `decode_graph`, by protobuf: any form, and says what is wrong."""
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
    """How many nodes there are, found without building anything.

    Refuses what has more parts than its bytes can be worth: an empty message takes two bytes
    here and dozens in memory.
    """
    count = position = 0
    while position < len(data):
        tag, position = _varint(data, position, path)
        if tag == NODES_TAG:
            length, position = _varint(data, position, path)
            if length > len(data) - position:
                raise _corrupt(
                    path,
                    f"object graph: node {count} claims {length} bytes at byte {position} of "
                    f"{len(data)}",
                )
            count += 1
            position += length
        else:
            position = _skip_field(data, position, tag, path)
    if not count:
        raise _corrupt(path, "object graph: has no root node")
    empty = sum(data.count(part) for part in _EMPTY_PARTS)
    if max((count - 1) * _LEAST_BYTES_PER_NODE, (empty - 64) * _LEAST_BYTES_PER_NODE) > len(data):
        raise _corrupt(
            path, f"object graph: {count} nodes in {len(data)} bytes cannot all be reached"
        )
    return count


def _varint(data: bytes, position: int, path: str) -> tuple[int, int]:
    value = shift = 0
    while position < len(data) and shift < 64:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise _corrupt(path, f"object graph: bad number before byte {position} of {len(data)}")


def _skip_field(data: bytes, position: int, tag: int, path: str) -> int:
    """The end of a field that a newer writer added."""
    wire_type = tag & 7
    if wire_type == 0:
        return _varint(data, position, path)[1]
    if wire_type == 2:
        length, position = _varint(data, position, path)
        end = position + length
    elif wire_type in (1, 5):
        end = position + (8 if wire_type == 1 else 4)
    else:
        raise _corrupt(path, f"object graph: field of unknown wire type {wire_type}")
    if end > len(data):
        raise _corrupt(path, f"object graph: a field ends at byte {end} of {len(data)}")
    return end


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
