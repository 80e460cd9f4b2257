"""The message of an index for each value: what it is, and where its bytes are.

    BundleEntryProto   {1 dtype, 2 shape, 3 shard_id, 4 offset, 5 size, 6 crc32c (fixed32,
                        masked), 7 slices[]}; shape and slices: `shapes`

It is encoded and read by hand (10,000 values are 10,000 entries); the tests hold that
equal to what protobuf does. A message with fields that this version does not know goes
through protobuf instead, which keeps them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from checkpointable.bundle.dtypes import DataType
from checkpointable.bundle.format import RANK_MAX
from checkpointable.bundle.shapes import decode_shape, decode_slice
from checkpointable.wire.fields import (
    FIXED32,
    LENGTH,
    VARINT,
    length_field,
    read_fields,
    signed,
    varint_field,
)
from checkpointable.wire.varints import Malformed

if TYPE_CHECKING:
    from checkpointable.bundle.shapes import Extents

__all__ = [
    "Entry",
    "decode_entry",
    "decode_entry_at",
    "encode_entry",
    "encode_fields",
    "encode_head",
]


@dataclass(frozen=True, slots=True)
class Entry:
    """What an index says of one value.

    Attributes:
      dtype: the kind of its elements.
      shape: its dimensions.
      shard: which data file has its bytes.
      offset, size: where in that file they lie, in bytes.
      crc: their checksum, masked as stored.
      slices: of a partitioned value, the extents of its parts, whose bytes the entries of
        the parts describe; else empty.
      raw: the stored message where it has fields that this version does not know, else None.
    """

    dtype: DataType
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc: int
    slices: tuple[Extents, ...] = ()
    raw: bytes | None = None

    @property
    def num_elements(self) -> int:
        """The product of the dimensions; 1 for a scalar."""
        return math.prod(self.shape)


# -- encoding ------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def encode_head(dtype: int, shape: tuple[int, ...]) -> bytes:
    """The fields dtype and shape, which few distinct ones of repeat over many values."""
    dims = b"".join(length_field(2, varint_field(1, size)) for size in shape)
    return varint_field(1, dtype) + length_field(2, dims)


def encode_fields(
    dtype: int, shape: tuple[int, ...], shard: int, offset: int, size: int, crc: int
) -> bytes:
    """The entry of a value that is not partitioned; see `Entry` for the arguments."""
    message = encode_head(dtype, shape)
    message += varint_field(3, shard) + varint_field(4, offset) + varint_field(5, size)
    if crc:
        message += b"\x35" + crc.to_bytes(4, "little")
    return message


def encode_entry(entry: Entry) -> bytes:
    """The message of an entry, with the fields of `entry.raw` that we do not know."""
    if entry.raw is not None or entry.slices:
        from checkpointable.bundle.index.messages import merge_entry

        return merge_entry(entry)
    return encode_fields(entry.dtype, entry.shape, entry.shard, entry.offset, entry.size, entry.crc)


# -- decoding ------------------------------------------------------------------------------


def decode_entry(data: bytes | memoryview, position: int, end: int) -> Entry:
    """Reads the entry message in `[position, end)`.

    Says nothing about whether the numbers make sense together: `Index` judges that.

    Raises:
      Malformed
    """
    return decode_entry_at(data, position, end)[0]


def decode_entry_at(
    data: bytes | memoryview, position: int, end: int
) -> tuple[Entry, tuple[int, int]]:
    """As `decode_entry`; returns also where the shape message is, (-1, -1) if not just once."""
    start = position
    span = (-1, -1)
    shapes = 0
    dtype = shard = offset = size = crc = 0
    shape: tuple[int, ...] = ()
    slices: list[Extents] = []
    known = True
    for number, kind, a, b in read_fields(data, position, end):
        if (number, kind) == (1, VARINT):
            dtype = signed(a, 32)
        elif (number, kind) == (2, LENGTH):
            more, known_ = decode_shape(data, a, b)
            shapes += 1
            span = (a, b) if shapes == 1 else (-1, -1)
            shape += more  # protobuf merges a message field that occurs twice
            known &= known_
        elif (number, kind) == (3, VARINT):
            shard = signed(a, 32)
        elif (number, kind) == (4, VARINT):
            offset = signed(a)
        elif (number, kind) == (5, VARINT):
            size = signed(a)
        elif (number, kind) == (6, FIXED32):
            crc = int.from_bytes(data[a:b], "little")
        elif (number, kind) == (7, LENGTH):
            extents, known_ = decode_slice(data, a, b)
            slices.append(extents)
            known &= known_
        else:
            known = False
    if len(shape) > RANK_MAX:
        raise Malformed(f"the shape has more than {RANK_MAX} dimensions", start)
    raw = None if known else bytes(data[start:end])
    return Entry(DataType(dtype), shape, shard, offset, size, crc, tuple(slices), raw), span
