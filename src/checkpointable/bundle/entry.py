"""The two messages of an index: the header, and the entry of a value.

    BundleHeaderProto  {1 num_shards, 2 endianness, 3 version {1 producer, 2 min_consumer,
                        3 bad_consumers[]}, 51000 unreferenced[] {1 shard_id, 2 offset,
                        3 size, 4 crc32c (fixed32, masked)}}
    BundleEntryProto   {1 dtype, 2 shape, 3 shard_id, 4 offset, 5 size, 6 crc32c (fixed32,
                        masked), 7 slices[]}
    TensorShapeProto   {2 dim[] {1 size, 2 name}, 3 unknown_rank}
    TensorSliceProto   {1 extent[] {1 start, 2 length}}; an extent without a length is the
                        whole dimension

They are encoded and read by hand (10,000 values are 10,000 entries); the tests hold that
equal to what protobuf does. A message with fields that this version does not know goes
through protobuf instead, which keeps them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from checkpointable.bundle import wire
from checkpointable.bundle.coding import Malformed, decode_varint, encode_varint
from checkpointable.bundle.dtypes import DataType
from checkpointable.bundle.format import (
    BIG_ENDIAN,
    INT64_MAX,
    LITTLE_ENDIAN,
    RANK_MAX,
    UNREFERENCED_FIELD,
    UNREFERENCED_MAX,
    VERSION,
)

if TYPE_CHECKING:
    from typing import TypeAlias

    # (start, length) a dimension; length -1 stands for the whole dimension.
    Extents: TypeAlias = tuple[tuple[int, int], ...]

__all__ = [
    "FULL_EXTENT",
    "Entry",
    "Header",
    "Unreferenced",
    "decode_entry",
    "decode_header",
    "decode_shape",
    "encode_entry",
    "encode_fields",
    "encode_head",
    "encode_header",
]

FULL_EXTENT = -1


class Unreferenced(NamedTuple):
    """Bytes of a data file that no value uses, left there when the file got new keys.

    Attributes:
      shard: which data file has them.
      offset, size: where in that file they lie, in bytes.
      crc: their checksum, masked as stored.
    """

    shard: int
    offset: int
    size: int
    crc: int


@dataclass(frozen=True, slots=True)
class Header:
    """What an index says of the bundle as a whole.

    Attributes:
      num_shards: the number of data files.
      big_endian: whether the values' bytes are those of a big-endian machine.
      producer, min_consumer, bad_consumers: TensorFlow's version of the writer, the oldest
        that can read it, and those that must not.
      unreferenced: the bytes between values that are not zero.
      raw: the stored message where it has fields that this version does not know, else None.
    """

    num_shards: int = 1
    big_endian: bool = False
    producer: int = VERSION
    min_consumer: int = 0
    bad_consumers: tuple[int, ...] = ()
    unreferenced: tuple[Unreferenced, ...] = ()
    raw: bytes | None = None


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
        count = 1
        for dim in self.shape:
            count *= dim
        return count


# -- encoding ------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def encode_head(dtype: int, shape: tuple[int, ...]) -> bytes:
    """The fields dtype and shape, which few distinct ones of repeat over many values."""
    dims = []
    for size in shape:
        dim = b"\x08" + encode_varint(size) if size else b""
        dims.append(b"\x12" + encode_varint(len(dim)) + dim)
    body = b"".join(dims)
    head = b"\x08" + encode_varint(dtype) if dtype else b""
    return head + b"\x12" + encode_varint(len(body)) + body


def encode_fields(
    dtype: int, shape: tuple[int, ...], shard: int, offset: int, size: int, crc: int
) -> bytes:
    """The entry of a value that is not partitioned; see `Entry` for the arguments."""
    message = encode_head(dtype, shape)
    if shard:
        message += b"\x18" + encode_varint(shard)
    if offset:
        message += b"\x20" + encode_varint(offset)
    if size:
        message += b"\x28" + encode_varint(size)
    if crc:
        message += b"\x35" + crc.to_bytes(4, "little")
    return message


def encode_entry(entry: Entry) -> bytes:
    """The message of an entry, with the fields of `entry.raw` that we do not know."""
    if entry.raw is not None or entry.slices:
        from checkpointable.bundle.messages import merge_entry

        return merge_entry(entry)
    return encode_fields(entry.dtype, entry.shape, entry.shard, entry.offset, entry.size, entry.crc)


def encode_header(header: Header) -> bytes:
    """The message of a header, with the fields of `header.raw` that we do not know."""
    plain = header.producer >= 0 and header.min_consumer >= 0 and not header.bad_consumers
    if header.raw is not None or header.unreferenced or not plain:
        from checkpointable.bundle.messages import merge_header

        return merge_header(header)
    message = b"\x08" + encode_varint(header.num_shards)
    if header.big_endian:
        message += b"\x10" + encode_varint(BIG_ENDIAN)
    version = b"\x08" + encode_varint(header.producer) if header.producer else b""
    if header.min_consumer:
        version += b"\x10" + encode_varint(header.min_consumer)
    return message + b"\x1a" + encode_varint(len(version)) + version


# -- decoding ------------------------------------------------------------------------------


def decode_header(data: bytes | memoryview, position: int, end: int) -> Header:
    """Reads the header message in `[position, end)`.

    Raises:
      Malformed
    """
    start = position
    num_shards = endianness = 0
    version = _Version(0, 0, (), known=True)
    unreferenced: list[Unreferenced] = []
    known = True
    for number, kind, a, b in wire.fields(data, position, end):
        if (number, kind) == (1, wire.VARINT):
            num_shards = wire.signed(a, 32)
        elif (number, kind) == (2, wire.VARINT):
            endianness = wire.signed(a, 32)
        elif (number, kind) == (3, wire.LENGTH):
            version = _decode_version(data, a, b, version)
            known &= version.known
        elif (number, kind) == (UNREFERENCED_FIELD, wire.LENGTH):
            if len(unreferenced) == UNREFERENCED_MAX:
                raise Malformed(f"the header has more than {UNREFERENCED_MAX} gaps", start)
            unreferenced.append(_decode_unreferenced(data, a, b))
        else:
            known = False
    for gap in unreferenced:
        if gap.shard >= num_shards:
            raise Malformed(f"a gap lies in data file {gap.shard} of {num_shards}", start)
    if endianness not in {LITTLE_ENDIAN, BIG_ENDIAN}:
        raise Malformed(f"the header's endianness is {endianness}, neither 0 nor 1", start)
    return Header(
        num_shards,
        endianness == BIG_ENDIAN,
        version.producer,
        version.min_consumer,
        version.bad_consumers,
        tuple(unreferenced),
        None if known else bytes(data[start:end]),
    )


class _Version(NamedTuple):
    producer: int
    min_consumer: int
    bad_consumers: tuple[int, ...]
    known: bool  # all its fields


def _decode_version(
    data: bytes | memoryview, position: int, end: int, before: _Version
) -> _Version:
    """The version message in `[position, end)`, merged into what came before it."""
    producer, min_consumer, known = before.producer, before.min_consumer, True
    bad = list(before.bad_consumers)
    for number, kind, a, b in wire.fields(data, position, end):
        if (number, kind) == (1, wire.VARINT):
            producer = wire.signed(a, 32)
        elif (number, kind) == (2, wire.VARINT):
            min_consumer = wire.signed(a, 32)
        elif (number, kind) == (3, wire.VARINT):
            bad.append(wire.signed(a, 32))
        elif (number, kind) == (3, wire.LENGTH):
            while a < b:
                value, a = decode_varint(data, a, b)
                bad.append(wire.signed(value, 32))
        else:
            known = False
    return _Version(producer, min_consumer, tuple(bad), known)


def _decode_unreferenced(data: bytes | memoryview, position: int, end: int) -> Unreferenced:
    start = position
    shard = offset = size = crc = 0
    for number, kind, a, b in wire.fields(data, position, end):
        if (number, kind) == (1, wire.VARINT):
            shard = wire.signed(a, 32)
        elif (number, kind) == (2, wire.VARINT):
            offset = wire.signed(a)
        elif (number, kind) == (3, wire.VARINT):
            size = wire.signed(a)
        elif (number, kind) == (4, wire.FIXED32):
            crc = int.from_bytes(data[a:b], "little")
    if shard < 0 or offset < 0 or size <= 0 or offset + size > INT64_MAX:
        raise Malformed(f"a gap has {size} bytes at {offset} of data file {shard}", start)
    return Unreferenced(shard, offset, size, crc)


def decode_shape(data: bytes | memoryview, position: int, end: int) -> tuple[tuple[int, ...], bool]:
    """Reads the shape message in `[position, end)`; returns (dimensions, all fields known).

    Raises:
      Malformed: also for a negative dimension, an unknown rank, more than 254 dimensions.
    """
    dims: list[int] = []
    known = True
    for number, kind, a, b in wire.fields(data, position, end):
        if (number, kind) == (2, wire.LENGTH):
            size = 0
            for number_, kind_, a_, _ in wire.fields(data, a, b):
                if (number_, kind_) == (1, wire.VARINT):
                    size = wire.signed(a_)
                else:
                    known = False
            if size < 0:
                raise Malformed(f"dimension {len(dims)} of the shape is {size}", position)
            if len(dims) == RANK_MAX:
                raise Malformed(f"the shape has more than {RANK_MAX} dimensions", position)
            dims.append(size)
        elif (number, kind) == (3, wire.VARINT):
            if a:
                raise Malformed("the shape is of unknown rank", position)
        else:
            known = False
    return tuple(dims), known


def _decode_slice(data: bytes | memoryview, position: int, end: int) -> tuple[Extents, bool]:
    extents: list[tuple[int, int]] = []
    known = True
    for number, kind, a, b in wire.fields(data, position, end):
        if (number, kind) != (1, wire.LENGTH):
            known = False
            continue
        start, length = 0, FULL_EXTENT
        for number_, kind_, a_, _ in wire.fields(data, a, b):
            if (number_, kind_) == (1, wire.VARINT):
                start = wire.signed(a_)
            elif (number_, kind_) == (2, wire.VARINT):
                length = wire.signed(a_)
            else:
                known = False
        if start < 0 or length < FULL_EXTENT:
            raise Malformed(f"a slice starts at {start} and has {length} elements", position)
        if len(extents) == RANK_MAX:
            raise Malformed(f"a slice has more than {RANK_MAX} dimensions", position)
        extents.append((start, length))
    return tuple(extents), known


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
    for number, kind, a, b in wire.fields(data, position, end):
        if (number, kind) == (1, wire.VARINT):
            dtype = wire.signed(a, 32)
        elif (number, kind) == (2, wire.LENGTH):
            more, known_ = decode_shape(data, a, b)
            shapes += 1
            span = (a, b) if shapes == 1 else (-1, -1)
            shape += more  # protobuf merges a message field that occurs twice
            known &= known_
        elif (number, kind) == (3, wire.VARINT):
            shard = wire.signed(a, 32)
        elif (number, kind) == (4, wire.VARINT):
            offset = wire.signed(a)
        elif (number, kind) == (5, wire.VARINT):
            size = wire.signed(a)
        elif (number, kind) == (6, wire.FIXED32):
            crc = int.from_bytes(data[a:b], "little")
        elif (number, kind) == (7, wire.LENGTH):
            extents, known_ = _decode_slice(data, a, b)
            slices.append(extents)
            known &= known_
        else:
            known = False
    if len(shape) > RANK_MAX:
        raise Malformed(f"the shape has more than {RANK_MAX} dimensions", start)
    raw = None if known else bytes(data[start:end])
    return Entry(DataType(dtype), shape, shard, offset, size, crc, tuple(slices), raw), span
