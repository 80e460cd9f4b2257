"""Fields of protobuf messages, read and written without message objects.

The index of a bundle has one small message per value, and its bytes are not trusted. So nothing is
allocated for a field, and every error has a position.
"""

from __future__ import annotations

from collections.abc import Iterator

from checkpointable.wire.varints import Malformed, decode_varint, encode_varint

__all__ = [
    "FIXED32",
    "FIXED64",
    "LENGTH",
    "VARINT",
    "length_field",
    "read_fields",
    "signed",
    "varint_field",
]

# Wire types.
VARINT = 0
FIXED64 = 1
LENGTH = 2
FIXED32 = 5

_FIXED_SIZE = {FIXED64: 8, FIXED32: 4}


def varint_field(number: int, value: int) -> bytes:
    """Returns the field `number` with a non-negative value; nothing for 0, as in proto3."""
    return encode_varint(number << 3 | VARINT) + encode_varint(value) if value else b""


def length_field(number: int, contents: bytes) -> bytes:
    """Returns the field `number` with a message, string or bytes, also if these are empty."""
    size = len(contents)
    if size < 0x80 and number < 0x10:  # nearly all fields; gives the same bytes in one step
        return bytes((number << 3 | LENGTH, size)) + contents
    return encode_varint(number << 3 | LENGTH) + encode_varint(size) + contents


def signed(value: int, bits: int = 64) -> int:
    """Returns the two's complement number in the lowest `bits` bits of a varint."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def read_fields(
    data: bytes | memoryview, position: int, end: int
) -> Iterator[tuple[int, int, int, int]]:
    """Reads the fields of the message in `data[position:end]`, in stored order.

    Yields:
      (field number, wire type, a, b). For VARINT, `a` is the value and `b` the position after
      it; for the other types the contents are `data[a:b]`.

    Raises:
      Malformed: The bytes are not a message.
    """
    while position < end:
        start = position
        tag, position = decode_varint(data, position, end, bits=32)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise Malformed("a message field with the number 0", start)
        if kind == VARINT:
            value, position = decode_varint(data, position, end)
            yield number, kind, value, position
            continue
        if kind == LENGTH:
            size, position = decode_varint(data, position, end)
        elif kind in _FIXED_SIZE:
            size = _FIXED_SIZE[kind]
        else:
            raise Malformed(f"a message field has the unknown wire type {kind}", start)
        if size > end - position:
            raise Malformed(
                f"a message field of {size} bytes where {end - position} are left", start
            )
        yield number, kind, position, position + size
        position += size
