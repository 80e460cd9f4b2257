"""Varints: integers as protobuf and LevelDB encode them.

A varint has seven bits of the number per byte, the lowest first. The high bit of a byte is set if
another follows.
"""

from __future__ import annotations

__all__ = ["Malformed", "decode_varint", "encode_varint"]


class Malformed(Exception):
    """Bytes that are not a valid encoding.

    Internal: callers that know the file and the key raise `CheckpointCorruptError` from it.

    Attributes:
      what: A description of the problem.
      position: The position in the parsed buffer.
    """

    def __init__(self, what: str, position: int) -> None:
        super().__init__(what, position)
        self.what = what
        self.position = position


def encode_varint(value: int) -> bytes:
    """Returns the varint of a non-negative number."""
    if value < 128:
        return _ONE_BYTE[value]
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


# Nearly all numbers are lengths below 128.
_ONE_BYTE = [bytes((value,)) for value in range(128)]


def decode_varint(
    data: bytes | memoryview, position: int, end: int, *, bits: int = 64, minimal: bool = False
) -> tuple[int, int]:
    """Reads the varint at `position`.

    Args:
      data: the buffer.
      position: the first byte of the varint.
      end: the end of the bytes that it may use.
      bits: the width that the value must fit.
      minimal: whether to refuse an encoding with more bytes than the value needs.

    Returns:
      (value, position after the varint).

    Raises:
      Malformed: The bytes are not such a varint.
    """
    start = position
    value = shift = 0
    while position < end:
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            if value >> bits:
                raise Malformed(f"a varint does not fit {bits} bits", start)
            if minimal and byte == 0 and position - start > 1:
                raise Malformed("a varint is longer than its value needs", start)
            return value, position
        shift += 7
        if shift >= 70:
            raise Malformed("a varint of more than 10 bytes", start)
    raise Malformed("a varint runs over the end", start)
