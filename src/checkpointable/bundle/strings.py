"""Encodes and decodes string values: the lengths, their checksum, the bytes.

    varint length … (one per element), masked crc32c of the lengths (uint32), bytes …

In the checksums, a length counts as a uint32 in the byte order of the writer, or as a uint64 if it
is larger. The checksum of the entry covers the lengths in that form, the four bytes of their stored
checksum, and the bytes of the strings. In a big-endian checkpoint, the stored checksum is
big-endian, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from checkpointable.bundle.checksum import check_masked, encode_masked, load_crc32c, mask
from checkpointable.bundle.format import STRING_CHECKSUM_SIZE
from checkpointable.errors import CheckpointMismatchError
from checkpointable.wire.varints import Malformed, decode_varint, encode_varint

if TYPE_CHECKING:
    import numpy.typing as npt

    from checkpointable.bundle.checksum import ByteOrder

__all__ = ["EncodedStrings", "checksum_strings", "decode_strings", "encode_strings", "to_bytes"]

_UINT32_MAX = 0xFFFFFFFF
_PIECE_SIZE = 2**20


def to_bytes(element: object, key: str) -> bytes:
    """Returns an element of a string value as bytes; text is encoded as UTF-8.

    Raises:
      CheckpointMismatchError: It is not bytes, nor text that UTF-8 can encode.
    """
    if isinstance(element, bytes):
        return bytes(element)  # also for np.bytes_
    if isinstance(element, (bytearray, memoryview)):
        return bytes(element)
    if isinstance(element, str):
        try:
            return element.encode()
        except UnicodeEncodeError as error:
            raise CheckpointMismatchError(
                f"the text {element!r:.80} cannot be stored as UTF-8: {error.reason}", key=key
            ) from None
    raise CheckpointMismatchError(
        f"an element of type {type(element).__name__} cannot be stored: a value of objects "
        "holds strings (bytes or str)",
        key=key,
    )


def _order(big_endian: bool) -> ByteOrder:
    return "big" if big_endian else "little"


def _lengths_crc(lengths: list[int], *, big_endian: bool) -> int:
    """Returns the checksum of lengths (not masked)."""
    crc32c = load_crc32c()
    order = ">" if big_endian else "<"
    if max(lengths, default=0) <= _UINT32_MAX:
        return crc32c(np.array(lengths, f"{order}u4").tobytes())
    crc = 0
    for length in lengths:
        width = 4 if length <= _UINT32_MAX else 8
        crc = crc32c(length.to_bytes(width, _order(big_endian)), crc)
    return crc


def encode_strings(elements: list[bytes], *, big_endian: bool = False) -> tuple[bytes, int]:
    """Returns (the bytes to store, their checksum as the entry has it, masked)."""
    head, crc = _encode_head(list(map(len, elements)), big_endian=big_endian)
    contents = b"".join(elements)
    return head + contents, mask(load_crc32c()(contents, crc))


def _encode_head(lengths: list[int], *, big_endian: bool) -> tuple[bytes, int]:
    """Returns the bytes before the strings, and the checksum up to there (not masked)."""
    crc = _lengths_crc(lengths, big_endian=big_endian)
    checksum = encode_masked(crc, _order(big_endian))
    head = b"".join(map(encode_varint, lengths)) + checksum
    return head, load_crc32c()(checksum, crc)


class EncodedStrings:
    """Encodes strings as `encode_strings` does, in pieces, without a second copy of all strings.

    Attributes:
      size: The size of the encoded strings, in bytes.
      crc: Their masked checksum.
    """

    __slots__ = ("_elements", "_ends", "_head", "crc", "size")

    def __init__(self, elements: list[bytes]) -> None:
        self._elements = elements
        lengths = list(map(len, elements))
        self._ends = np.cumsum(np.array(lengths, np.int64))
        self._head, crc = _encode_head(lengths, big_endian=False)
        crc32c = load_crc32c()
        for piece in self._contents():
            crc = crc32c(piece, crc)
        self.size = len(self._head) + sum(lengths)
        self.crc = mask(crc)

    def pieces(self) -> Iterator[bytes | memoryview]:
        """Yields the encoded strings in pieces of at most a megabyte."""
        yield from _cut(self._head)
        yield from self._contents()

    def _contents(self) -> Iterator[bytes | memoryview]:
        """Yields the bytes of the strings: small ones joined, large ones split."""
        elements, ends = self._elements, self._ends
        start = done = 0
        while start < len(elements):
            stop = int(np.searchsorted(ends, done + _PIECE_SIZE, "right"))
            if stop == start:
                stop += 1
                yield from _cut(elements[start])
            else:
                yield b"".join(elements[start:stop])
            start, done = stop, int(ends[stop - 1])


def _cut(data: bytes) -> Iterator[memoryview]:
    view = memoryview(data)
    for start in range(0, len(data), _PIECE_SIZE):
        yield view[start : start + _PIECE_SIZE]


def _read_lengths(data: memoryview, count: int) -> tuple[list[int], int]:
    """Returns the lengths, and the position of their end."""
    head = bytes(data[:count])
    if not count or (len(head) == count and max(head) < 128):  # one byte each
        return list(head), count
    lengths = []
    position = 0
    left = len(data) - STRING_CHECKSUM_SIZE
    for _ in range(count):
        length, position = decode_varint(data, position, len(data))
        left -= length
        if left < 0:
            raise Malformed(
                "the lengths of the strings add up to more bytes than are stored", position
            )
        lengths.append(length)
    return lengths, position


def _split(data: memoryview, count: int, *, big_endian: bool) -> tuple[list[int], int, int]:
    """Returns the lengths, the start of the strings, and the checksum of all that precedes them."""
    if not data and not count:  # TensorFlow reads this as an empty value
        return [], 0, 0
    lengths, position = _read_lengths(data, count)
    start = position + STRING_CHECKSUM_SIZE
    if start > len(data):
        raise Malformed("the lengths of the strings run over their bytes", position)
    stored = data[position:start]
    crc = _lengths_crc(lengths, big_endian=big_endian)
    check_masked("the strings' lengths", crc, stored, position, _order(big_endian))
    if start + sum(lengths) != len(data):
        raise Malformed(
            f"the lengths of the strings add up to {sum(lengths)}, but {len(data) - start} bytes "
            "are stored",
            start,
        )
    return lengths, start, load_crc32c()(stored, crc)


def checksum_strings(data: memoryview, count: int, *, big_endian: bool) -> int:
    """Returns the masked checksum of `count` strings that are stored as `data`.

    Raises:
      Malformed: The lengths do not match the data (positions are relative to `data`).
    """
    _, start, crc = _split(data, count, big_endian=big_endian)
    return mask(load_crc32c()(data[start:], crc))


def decode_strings(
    data: memoryview, shape: tuple[int, ...], *, big_endian: bool
) -> tuple[npt.NDArray[Any], int]:
    """Returns an object array of `bytes`, and the masked checksum of the data.

    Raises:
      Malformed: The lengths do not match the data (positions are relative to `data`).
    """
    count = math.prod(shape)
    lengths, position, crc = _split(data, count, big_endian=big_endian)
    crc = mask(load_crc32c()(data[position:], crc))
    array = np.empty(count, object)
    for i, length in enumerate(lengths):
        array[i] = bytes(data[position : position + length])
        position += length
    return array.reshape(shape), crc
