"""The object graph's message: TensorFlow's `TrackableObjectGraph`, byte for byte (S12).

    TrackableObjectGraph    1 nodes[]
    node                    1 children[] 2 attributes[] 3 slot_variables[]
                            4 registered_saver 5 has_checkpoint_values
    child                   1 node_id 2 local_name
    attribute               1 name 2 full_name 3 checkpoint_key
    slot variable           1 original_variable_node_id 2 slot_name 3 slot_variable_node_id
    registered saver        1 name 2 object_name
    has_checkpoint_values   1 value (google.protobuf.BoolValue)

Source: tensorflow/core/protobuf/trackable_object_graph.proto (r1.11 has fields 1-3 alone).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from checkpointable._protobuf import message_classes
from checkpointable.errors import CheckpointCorruptError, CheckpointUnsupportedError
from checkpointable.graph.decoding import decode_usual
from checkpointable.graph.object_graph import Attribute, Child, Node, ObjectGraph, SlotVariable
from checkpointable.graph.paths import GRAPH_KEY, VARIABLE_VALUE

__all__ = ["decode_graph", "encode_graph", "graph_message_class"]

_NODES_TAG = 0x0A  # field 1, length-delimited
# Every node but the root costs at least an empty field of its own and an edge that leads to
# it. What is smaller is no graph, and must not make more objects than bytes can pay for.
_LEAST_BYTES_PER_NODE = 6
# An empty node, child, attribute or slot. A graph has few: an empty node is an empty container
# of an old TensorFlow, and costs an edge too.
_EMPTY_PARTS = (b"\x0a\x00", b"\x12\x00", b"\x1a\x00")


@functools.cache
def _classes() -> dict[str, type[Any]]:
    return message_classes(
        "checkpointable/object_graph.proto",
        "checkpointable",
        {
            "ObjectGraph": [("nodes", 1, "message", "repeated", "Node")],
            "Node": [
                ("children", 1, "message", "repeated", "Child"),
                ("attributes", 2, "message", "repeated", "Attribute"),
                ("slot_variables", 3, "message", "repeated", "SlotVariable"),
                ("registered_saver", 4, "message", "", "RegisteredSaver"),
                ("has_checkpoint_values", 5, "message", "", "BoolValue"),
            ],
            "Child": [("node_id", 1, "int32"), ("local_name", 2, "string")],
            "Attribute": [
                ("name", 1, "string"),
                ("full_name", 2, "string"),
                ("checkpoint_key", 3, "string"),
            ],
            "SlotVariable": [
                ("original_variable_node_id", 1, "int32"),
                ("slot_name", 2, "string"),
                ("slot_variable_node_id", 3, "int32"),
            ],
            "RegisteredSaver": [("name", 1, "string"), ("object_name", 2, "string")],
            "BoolValue": [("value", 1, "bool")],
        },
    )


def graph_message_class() -> type[Any]:
    """The message class of the whole graph, for work that must keep unknown fields."""
    return _classes()["ObjectGraph"]


def encode_graph(graph: ObjectGraph) -> bytes:
    """The message's bytes, the same for the same graph.

    By hand, field by field in order of their numbers, three times as fast as building the
    messages; a test holds the two equal.

    Raises:
      CheckpointUnsupportedError: a name that is no valid text (a lone surrogate).
    """
    parts: list[bytes] = []
    for node in graph.nodes:
        leaf = _encode_leaf(node)
        if leaf is not None:
            parts.append(leaf)
            continue
        fields = [_encode_child(node_id, name) for node_id, name in node.children]
        for name, full_name, key in node.attributes:
            inner = _text(0x0A, name) + _text(0x12, full_name) + _text(0x1A, key)
            fields.append(_block(0x12, inner))
        for slot in node.slot_variables:
            inner = (
                _number(0x08, slot.original_variable_node_id)
                + _text(0x12, slot.slot_name)
                + _number(0x18, slot.slot_variable_node_id)
            )
            fields.append(_block(0x1A, inner))
        if node.registered_saver is not None:
            saver_name, object_name = node.registered_saver
            fields.append(_block(0x22, _text(0x0A, saver_name) + _text(0x12, object_name)))
        if node.has_checkpoint_values is not None:
            # Written also when false: TensorFlow then knows that nothing waits below.
            fields.append(b"\x2a\x02\x08\x01" if node.has_checkpoint_values else b"\x2a\x00")
        parts.append(_block(_NODES_TAG, b"".join(fields)))
    return b"".join(parts)


def _encode_leaf(node: Node) -> bytes | None:
    """What most nodes are, a variable, in one step; None for others."""
    if node.children or node.slot_variables or node.registered_saver is not None:
        return None
    if len(node.attributes) != 1 or not node.has_checkpoint_values:
        return None
    name, full_name, key = node.attributes[0]
    if name != VARIABLE_VALUE:
        return None
    stored = _encode_text(key)
    size = len(stored)
    if not full_name:
        if not 0 < size < _LEAF_KEY_END:
            return None
        return _LEAF % (size + 24, size + 18, size, stored)
    own = _encode_text(full_name)
    whole = size + len(own)
    if not 0 < size < 0x80 or len(own) >= 0x80:
        return None
    if whole < _LEAF_KEY_END - 2:
        return _NAMED_LEAF % (whole + 26, whole + 20, len(own), own, size, stored)
    # Sizes of the attribute and of the node in two bytes each, whether they need them or not,
    # would be another message; between them are few enough to go the plain way.
    if whole < 0x80 - 20:
        return None
    return _LONG_LEAF % (
        whole + 27 & 0x7F | 0x80,
        whole + 27 >> 7,
        whole + 20 & 0x7F | 0x80,
        whole + 20 >> 7,
        len(own),
        own,
        size,
        stored,
    )


_LEAF = b"\x0a%c\x12%c\x0a\x0eVARIABLE_VALUE\x1a%c%b\x2a\x02\x08\x01"
_LEAF_KEY_END = 0x80 - 24  # all sizes are one byte below it
# The same of a variable with a global name, and of one whose names are long.
_NAMED_LEAF = b"\x0a%c\x12%c\x0a\x0eVARIABLE_VALUE\x12%c%b\x1a%c%b\x2a\x02\x08\x01"
_LONG_LEAF = b"\x0a%c%c\x12%c%c\x0a\x0eVARIABLE_VALUE\x12%c%b\x1a%c%b\x2a\x02\x08\x01"


def _encode_child(node_id: int, local_name: str) -> bytes:
    name = _encode_text(local_name)
    if 0 < node_id < 1 << 21 and 0 < len(name) < 0x78:
        # As below, in one step.
        size = len(name)
        if node_id < 1 << 7:
            return b"\x0a%c\x08%c\x12%c%b" % (size + 4, node_id, size, name)
        low = node_id & 0x7F | 0x80
        if node_id < 1 << 14:
            return b"\x0a%c\x08%c%c\x12%c%b" % (size + 5, low, node_id >> 7, size, name)
        middle = node_id >> 7 & 0x7F | 0x80
        return b"\x0a%c\x08%c%c%c\x12%c%b" % (size + 6, low, middle, node_id >> 14, size, name)
    return _block(0x0A, _number(0x08, node_id) + _text(0x12, local_name))


def _block(tag: int, content: bytes) -> bytes:
    """A length-delimited field."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    return bytes((tag,)) + _encode_varint(size) + content


def _text(tag: int, text: str) -> bytes:
    """A string field; proto3 leaves an empty one out."""
    return _block(tag, _encode_text(text)) if text else b""


def _encode_text(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise CheckpointUnsupportedError(
            f"the name {text!r} cannot be stored as UTF-8: {error.reason}"
        ) from None


def _number(tag: int, number: int) -> bytes:
    """A field of a number that is not negative; proto3 leaves a zero out."""
    return bytes((tag,)) + _encode_varint(number) if number else b""


def _encode_varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


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
        if tag == _NODES_TAG:
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
