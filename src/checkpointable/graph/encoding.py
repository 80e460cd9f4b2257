"""Writes an object graph as the message that `message.py` describes."""

from __future__ import annotations

from checkpointable.errors import CheckpointUnsupportedError
from checkpointable.graph.message import NODES_TAG
from checkpointable.graph.object_graph import Node, ObjectGraph
from checkpointable.graph.paths import VARIABLE_VALUE

__all__ = ["encode_graph"]


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
        parts.append(_block(NODES_TAG, b"".join(fields)))
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
