"""The stored form of variants, as far as it can be verified without TensorFlow.

    an element = varint length, message (VariantTensorDataProto), masked crc32c (uint32)

One checksum runs through all elements: over each length as a uint64 in the writer's byte
order, the message, and the four bytes of the checksum so far, as stored after it. Its last
value, masked, is the entry's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from checkpointable.bundle.checksum import check_masked, encode_masked, load_crc32c, mask
from checkpointable.bundle.format import MASKED_SIZE
from checkpointable.wire.varints import Malformed, decode_varint, encode_varint

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["checksum_variants", "decode_variants", "encode_variants"]


def encode_variants(messages: Iterable[bytes]) -> tuple[bytes, int]:
    """The bytes under which variants are stored, a message each, and their masked checksum."""
    crc32c = load_crc32c()
    parts: list[bytes] = []
    crc = 0
    for message in messages:
        crc = crc32c(message, crc32c(len(message).to_bytes(8, "little"), crc))
        stored = encode_masked(crc)
        crc = crc32c(stored, crc)
        parts += (encode_varint(len(message)), message, stored)
    return b"".join(parts), mask(crc)


def decode_variants(data: bytes, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """The messages of stored variants, as an array of `bytes`.

    Args:
      data: the stored bytes, verified.
    """
    array: npt.NDArray[Any] = np.empty(shape, dtype=object)
    flat = array.reshape(-1)
    view = memoryview(data)
    position = 0
    for index in range(flat.size):
        length, position = decode_varint(view, position, len(view))
        flat[index] = bytes(view[position : position + length])
        position += length + MASKED_SIZE
    return array


def checksum_variants(data: memoryview, count: int, *, big_endian: bool) -> int:
    """The checksum, masked, that the entry of `count` variants stored as `data` should hold.

    Raises:
      Malformed: the lengths do not fit (positions are relative to `data`).
    """
    crc32c = load_crc32c()
    order: Literal["big", "little"] = "big" if big_endian else "little"
    crc = position = 0
    for _ in range(count):
        start = position
        length, position = decode_varint(data, position, len(data))
        end = position + length
        if end + MASKED_SIZE > len(data):
            raise Malformed(f"a variant of {length} bytes runs over the value's end", start)
        crc = crc32c(data[position:end], crc32c(length.to_bytes(8, order), crc))
        stored = data[end : end + MASKED_SIZE]
        check_masked("a variant", crc, stored, start, order)
        crc = crc32c(stored, crc)
        position = end + MASKED_SIZE
    if position != len(data):
        raise Malformed(f"{len(data) - position} bytes follow the last variant", position)
    return mask(crc)
