"""The fields of a protobuf message, read from bytes that nobody vouches for.

The index of a bundle holds one small message a value, so they are read without building
message objects: nothing is allocated, and every error has its place in the file.
"""

from __future__ import annotations

from collections.abc import Iterator

from checkpointable.wire.varints import Malformed, decode_varint

__all__ = ["FIXED32", "LENGTH", "VARINT", "fields", "signed"]

VARINT = 0
FIXED64 = 1
LENGTH = 2
FIXED32 = 5

_FIXED_SIZE = {FIXED64: 8, FIXED32: 4}


def signed(value: int, bits: int = 64) -> int:
    """The two's complement number in the lowest `bits` bits of a varint."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def fields(
    data: bytes | memoryview, position: int, end: int
) -> Iterator[tuple[int, int, int, int]]:
    """The fields of the message in `[position, end)`, in the order they are stored.

    Yields (field number, wire type, a, b): for VARINT, `a` is the value; for all others the
    contents are the bytes `[a, b)`.

    Raises:
      Malformed
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
            raise Malformed(f"a message field of the wire type {kind}", start)
        if size > end - position:
            raise Malformed(
                f"a message field of {size} bytes where {end - position} are left", start
            )
        yield number, kind, position, position + size
        position += size
