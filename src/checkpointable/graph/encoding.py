"""Encodes an object graph as the message that `message.py` describes."""

from __future__ import annotations

from checkpointable.errors import CheckpointUnsupportedError
from checkpointable.graph.message import NODES
from checkpointable.graph.object_graph import Node, ObjectGraph
from checkpointable.graph.paths import VARIABLE_VALUE
from checkpointable.wire.fields import length_field, varint_field

__all__ = ["encode_graph"]


def encode_graph(graph: ObjectGraph) -> bytes:
    """Returns the bytes of the message, the same for the same graph.

    Writes the fields directly, in the order of their numbers. This takes a third of the time of
    building messages; a test checks that both give the same bytes.

    Raises:
      CheckpointUnsupportedError: a name is not valid text (it has a lone surrogate).
    """
    parts: list[bytes] = []
    for node in graph.nodes:
        leaf = _encode_leaf(node)
        if leaf is not None:
            parts.append(leaf)
            continue
        fields = [_encode_child(node_id, name) for node_id, name in node.children]
        for name, full_name, key in node.attributes:
            inner = _text(1, name) + _text(2, full_name) + _text(3, key)
            fields.append(length_field(2, inner))
        for slot in node.slot_variables:
            inner = (
                varint_field(1, slot.original_variable_node_id)
                + _text(2, slot.slot_name)
                + varint_field(3, slot.slot_variable_node_id)
            )
            fields.append(length_field(3, inner))
        if node.registered_saver is not None:
            saver_name, object_name = node.registered_saver
            fields.append(length_field(4, _text(1, saver_name) + _text(2, object_name)))
        if node.has_checkpoint_values is not None:
            # Also when false, so that TensorFlow knows that no value lies below.
            fields.append(length_field(5, varint_field(1, node.has_checkpoint_values)))
        parts.append(length_field(NODES, b"".join(fields)))
    return b"".join(parts)


def _encode_leaf(node: Node) -> bytes | None:
    """Returns the node of a variable (the usual node) in one step; None for other nodes."""
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
    named = _encode_text(full_name)
    whole = size + len(named)
    if not 0 < size < 0x80 or len(named) >= 0x80:
        return None
    if whole < _LEAF_KEY_END - 2:
        return _NAMED_LEAF % (whole + 26, whole + 20, len(named), named, size, stored)
    # The longest form has two bytes for the sizes of both the attribute and the node. The few
    # variables with only one such size are encoded like other nodes.
    if whole < 0x80 - 20:
        return None
    return _LONG_LEAF % (
        whole + 27 & 0x7F | 0x80,
        whole + 27 >> 7,
        whole + 20 & 0x7F | 0x80,
        whole + 20 >> 7,
        len(named),
        named,
        size,
        stored,
    )


_LEAF = b"\x0a%c\x12%c\x0a\x0eVARIABLE_VALUE\x1a%c%b\x2a\x02\x08\x01"
_LEAF_KEY_END = 0x80 - 24  # all sizes are one byte below it
# The same for a variable with a global name, and for one with long names.
_NAMED_LEAF = b"\x0a%c\x12%c\x0a\x0eVARIABLE_VALUE\x12%c%b\x1a%c%b\x2a\x02\x08\x01"
_LONG_LEAF = b"\x0a%c%c\x12%c%c\x0a\x0eVARIABLE_VALUE\x12%c%b\x1a%c%b\x2a\x02\x08\x01"


def _encode_child(node_id: int, local_name: str) -> bytes:
    name = _encode_text(local_name)
    if 0 < node_id < 1 << 21 and 0 < len(name) < 0x78:
        # The same bytes as below, in one step.
        size = len(name)
        if node_id < 1 << 7:
            return b"\x0a%c\x08%c\x12%c%b" % (size + 4, node_id, size, name)
        low = node_id & 0x7F | 0x80
        if node_id < 1 << 14:
            return b"\x0a%c\x08%c%c\x12%c%b" % (size + 5, low, node_id >> 7, size, name)
        middle = node_id >> 7 & 0x7F | 0x80
        return b"\x0a%c\x08%c%c%c\x12%c%b" % (size + 6, low, middle, node_id >> 14, size, name)
    return length_field(1, varint_field(1, node_id) + _text(2, local_name))


def _text(number: int, text: str) -> bytes:
    """Returns a string field; nothing for an empty string, as proto3 has it."""
    return length_field(number, _encode_text(text)) if text else b""


def _encode_text(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise CheckpointUnsupportedError(
            f"the name {text!r} cannot be stored as UTF-8: {error.reason}"
        ) from None
