"""Reads an object graph of the usual form, byte by byte, in a third of the time.

`decode_usual` takes what writers produce: every field once, in the order of their numbers,
nothing empty, nothing unknown. It gives up on anything else, be it damaged or merely unusual,
and leaves the judgement to `decoding.decode_plainly`. What it accepts means the same there (a
property in the tests).
"""

from __future__ import annotations

from checkpointable.graph.object_graph import Attribute, Child, Node, SlotVariable

__all__ = ["decode_usual"]

# A variable's node: after tag and size of the attribute its name, and at the end of the node
# that it has values.
_VARIABLE = b"\x0a\x0eVARIABLE_VALUE"
_VARIABLE_SIZE = len(_VARIABLE)
_HAS_VALUES = b"\x2a\x02\x08\x01"

# How a variable's node without a global name begins, up to its key, by the size of the node;
# no node begins with what stands for a size that such a node cannot have.
_HEAD_SIZE = 6 + _VARIABLE_SIZE
_HEADS = [
    b"\x0a%c\x12%c%b\x1a%c" % (size, size - 6, _VARIABLE, size - 24)
    if 24 < size < 0x80
    else b"\x00"
    for size in range(256)
]

# Past the classes' own, slower way of being made: one for every edge and value.
_new = tuple.__new__


class _UnusualError(Exception):
    """The graph is not of the usual form."""


def decode_usual(data: bytes) -> list[Node] | None:
    """The nodes of the message `data`; None where it is not of the usual form, or damaged."""
    nodes: list[Node] = []
    position, end = 0, len(data)
    highest = 0
    heads, begins = _HEADS, data.startswith
    try:
        while position < end:
            size = data[position + 1]
            if begins(heads[size], position):
                stop = position + 2 + size
                if begins(_HAS_VALUES, stop - 4):
                    key = data[position + _HEAD_SIZE : stop - 4].decode()
                    attribute = _new(Attribute, ("VARIABLE_VALUE", "", key))
                    nodes.append(Node((), (attribute,), (), None, True))
                    position = stop
                    continue
            if data[position] != 0x0A:
                return None
            size, position = _size(data, position + 1)
            stop = position + size
            if stop > end or not size:
                return None
            node = _variable(data, position, stop)
            if node is None:
                node, reference = _node(data, position, stop)
                highest = max(highest, reference)
            nodes.append(node)
            position = stop
    except (_UnusualError, IndexError, UnicodeDecodeError):
        return None
    return nodes if highest < len(nodes) else None


def _size(data: bytes, position: int) -> tuple[int, int]:
    """(a number of at most four bytes, the position after it)."""
    value = data[position]
    if value < 0x80:
        return value, position + 1
    value &= 0x7F
    for shift in (7, 14, 21):
        position += 1
        byte = data[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position + 1
    raise _UnusualError


def _variable(data: bytes, position: int, stop: int) -> Node | None:
    """What most nodes are: one value, VARIABLE_VALUE, and nothing else."""
    end = stop - 4
    start = position + 2 + _VARIABLE_SIZE
    if (
        start >= end
        or data[position] != 0x12
        or data[position + 1] != end - position - 2  # and so below 128
        or not data.startswith(_VARIABLE, position + 2)
        or data[end:stop] != _HAS_VALUES
    ):
        return None
    full_name = ""
    if data[start] == 0x12:
        name_end = start + 2 + data[start + 1]
        if name_end >= end:
            return None
        full_name = data[start + 2 : name_end].decode()
        if not full_name:
            return None
        start = name_end
    if data[start] != 0x1A or data[start + 1] != end - start - 2 or start + 2 == end:
        return None
    attribute = _new(Attribute, ("VARIABLE_VALUE", full_name, data[start + 2 : end].decode()))
    return Node((), (attribute,), (), None, True)


def _node(data: bytes, position: int, stop: int) -> tuple[Node, int]:
    """(the node, the highest node that it refers to)."""
    children: list[Child] = []
    attributes: list[Attribute] = []
    slots: list[SlotVariable] = []
    has_values: bool | None = None
    highest = 0
    while position < stop:
        tag = data[position]
        size, position = _size(data, position + 1)
        end = position + size
        if end > stop or has_values is not None:
            raise _UnusualError
        if tag == 0x0A:
            if data[position] != 0x08:
                raise _UnusualError
            node_id, position = _size(data, position + 1)
            if node_id > highest:  # noqa: PLR1730 - max takes longer, and this runs once an edge
                highest = node_id
            if data[position] == 0x12 and 0 < data[position + 1] == end - position - 2 < 0x80:
                name = data[position + 2 : end].decode()
            else:
                name = _last_text(data, 0x12, position, end)
            children.append(_new(Child, (node_id, name)))
        elif tag == 0x12:
            attributes.append(_attribute(data, position, end))
        elif tag == 0x1A:
            slots.append(_slot(data, position, end))
            highest = max(highest, slots[-1][0], slots[-1][2])
        elif tag == 0x2A and data[position:end] in {b"", b"\x08\x01"}:
            has_values = size > 0
        else:
            raise _UnusualError
        position = end
    if (
        len({name for _, name in children}) != len(children)
        or len({name for name, _, _ in attributes}) != len(attributes)
        or len({slot[:2] for slot in slots}) != len(slots)
    ):
        raise _UnusualError
    return Node(children, attributes, slots, None, has_values), highest


def _last_text(data: bytes, tag: int, position: int, end: int) -> str:
    """The text of the field `tag`, which lasts until `end`; not empty."""
    text, position = _text(data, tag, position)
    if position != end:
        raise _UnusualError
    return text


def _text(data: bytes, tag: int, position: int) -> tuple[str, int]:
    if data[position] != tag:
        raise _UnusualError
    size, position = _size(data, position + 1)
    end = position + size
    if not size or end > len(data):
        raise _UnusualError
    return data[position:end].decode(), end


def _attribute(data: bytes, position: int, end: int) -> Attribute:
    name, position = _text(data, 0x0A, position)
    full_name = ""
    if data[position] == 0x12:
        full_name, position = _text(data, 0x12, position)
    return Attribute(name, full_name, _last_text(data, 0x1A, position, end))


def _slot(data: bytes, position: int, end: int) -> SlotVariable:
    if data[position] != 0x08:
        raise _UnusualError
    variable, position = _size(data, position + 1)
    name, position = _text(data, 0x12, position)
    if data[position] != 0x18:
        raise _UnusualError
    slot, position = _size(data, position + 1)
    if position != end:
        raise _UnusualError
    return SlotVariable(variable, name, slot)
