"""Encodes and decodes variants as far as that is possible without TensorFlow.

    an element = varint length, message (VariantTensorDataProto), masked crc32c (uint32)

One checksum covers all elements: each length as a uint64 in the byte order of the writer, the
message, and the four bytes of the checksum so far, as they are stored after it. Its final value,
masked, is the checksum of the entry.
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
    """Returns the stored bytes of variants, given as messages, and their masked checksum."""
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
    """Returns the messages of stored variants, as an object array of `bytes`.

    Args:
      data: The stored bytes, verified.
      shape: The shape of the value.
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
    """Returns the masked checksum of `count` variants that are stored as `data`.

    Raises:
      Malformed: The lengths do not match the data (positions are relative to `data`).
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
