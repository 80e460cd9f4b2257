"""Encodes and decodes the entries of an index: the type of a value, and the location of its bytes.

    BundleEntryProto   {1 dtype, 2 shape, 3 shard_id, 4 offset, 5 size, 6 crc32c (fixed32,
                        masked), 7 slices[]}; shape and slices: `shapes`

The code does not use protobuf, because a checkpoint of 10,000 values has 10,000 entries; the tests
compare it with protobuf. Only a message with unknown fields is processed by protobuf, which keeps
them.
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
    """The entry of one value.

    Attributes:
      dtype: The data type.
      shape: The shape.
      shard: The number of the data file with its bytes.
      offset: The offset of the bytes in that file.
      size: The number of bytes.
      crc: Their masked checksum.
      slices: For a partitioned value, the extents of its parts; the entries of the parts describe
        the bytes. Otherwise empty.
      raw: The stored message if it has unknown fields, else None.
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
    """Returns the fields dtype and shape; cached, because many values share them."""
    dims = b"".join(length_field(2, varint_field(1, size)) for size in shape)
    return varint_field(1, dtype) + length_field(2, dims)


def encode_fields(
    dtype: int, shape: tuple[int, ...], shard: int, offset: int, size: int, crc: int
) -> bytes:
    """Returns the message for a value that is not partitioned; see `Entry` for the arguments."""
    message = encode_head(dtype, shape)
    message += varint_field(3, shard) + varint_field(4, offset) + varint_field(5, size)
    if crc:
        message += b"\x35" + crc.to_bytes(4, "little")
    return message


def encode_entry(entry: Entry) -> bytes:
    """Returns the message of an entry, including the unknown fields of `entry.raw`."""
    if entry.raw is not None or entry.slices:
        from checkpointable.bundle.index.messages import merge_entry

        return merge_entry(entry)
    return encode_fields(entry.dtype, entry.shape, entry.shard, entry.offset, entry.size, entry.crc)


# -- decoding ------------------------------------------------------------------------------


def decode_entry(data: bytes | memoryview, position: int, end: int) -> Entry:
    """Reads the entry message in `[position, end)`.

    Does not check whether the numbers are consistent; `load_index` does.

    Raises:
      Malformed
    """
    return decode_entry_at(data, position, end)[0]


def decode_entry_at(
    data: bytes | memoryview, position: int, end: int
) -> tuple[Entry, tuple[int, int]]:
    """Like `decode_entry`; also returns the span of the shape message.

    The span is (-1, -1) unless the message occurs exactly once.
    """
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
            more, all_known = decode_shape(data, a, b)
            shapes += 1
            span = (a, b) if shapes == 1 else (-1, -1)
            shape += more  # protobuf merges a message field that occurs twice
            known &= all_known
        elif (number, kind) == (3, VARINT):
            shard = signed(a, 32)
        elif (number, kind) == (4, VARINT):
            offset = signed(a)
        elif (number, kind) == (5, VARINT):
            size = signed(a)
        elif (number, kind) == (6, FIXED32):
            crc = int.from_bytes(data[a:b], "little")
        elif (number, kind) == (7, LENGTH):
            extents, all_known = decode_slice(data, a, b)
            slices.append(extents)
            known &= all_known
        else:
            known = False
    if len(shape) > RANK_MAX:
        raise Malformed(f"the shape has more than {RANK_MAX} dimensions", start)
    raw = None if known else bytes(data[start:end])
    return Entry(DataType(dtype), shape, shard, offset, size, crc, tuple(slices), raw), span
