"""The stored form of variants, as far as it can be verified without TensorFlow.

    an element = varint length, message (VariantTensorDataProto), masked crc32c (uint32)

One checksum runs through all elements: over each length as a uint64 in the writer's byte
order, the message, and the four bytes of the checksum so far, as stored after it. Its last
value, masked, is the entry's.
"""

from __future__ import annotations

from typing import Literal

from checkpointable.bundle.checksum import load_crc32c, mask
from checkpointable.bundle.coding import Malformed, decode_varint

__all__ = ["checksum_variants"]


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
        if end + 4 > len(data):
            raise Malformed(f"a variant of {length} bytes runs over the value's end", start)
        crc = crc32c(data[position:end], crc32c(length.to_bytes(8, order), crc))
        stored = data[end : end + 4]
        found = int.from_bytes(stored, order)
        if found != mask(crc):
            raise Malformed(
                f"a variant has the checksum {mask(crc):#010x}, but {found:#010x} is stored", start
            )
        crc = crc32c(stored, crc)
        position = end + 4
    if position != len(data):
        raise Malformed(f"{len(data) - position} bytes follow the last variant", position)
    return mask(crc)
