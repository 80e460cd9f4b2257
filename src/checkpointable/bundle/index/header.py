"""Encodes and decodes the header of an index, its first message.

    BundleHeaderProto  {1 num_shards, 2 endianness, 3 version {1 producer, 2 min_consumer,
                        3 bad_consumers[]}, 51000 unreferenced[] {1 shard_id, 2 offset,
                        3 size, 4 crc32c (fixed32, masked)}}

As for entries (`entry`), the code does not use protobuf except for unknown fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from checkpointable.bundle.format import (
    BIG_ENDIAN,
    INT64_MAX,
    LITTLE_ENDIAN,
    UNREFERENCED_FIELD,
    UNREFERENCED_MAX,
    VERSION,
)
from checkpointable.wire.fields import (
    FIXED32,
    LENGTH,
    VARINT,
    length_field,
    read_fields,
    signed,
    varint_field,
)
from checkpointable.wire.varints import Malformed, decode_varint

__all__ = ["Header", "Unreferenced", "decode_header", "encode_header"]


class Unreferenced(NamedTuple):
    """Bytes of a data file that no value uses, left over from a rename of keys.

    Attributes:
      shard: The number of the data file.
      offset, size: Their position in that file, in bytes.
      crc: Their checksum, masked as stored.
    """

    shard: int
    offset: int
    size: int
    crc: int


@dataclass(frozen=True, slots=True)
class Header:
    """The header of an index, which describes the checkpoint as a whole.

    Attributes:
      num_shards: The number of data files.
      big_endian: Whether the values are stored in big-endian byte order.
      producer: TensorFlow's format version of the writer.
      min_consumer: The oldest version that can read the checkpoint.
      bad_consumers: The versions that must not read it.
      unreferenced: The bytes between values that are not zero.
      raw: The stored message if it has unknown fields, else None.
    """

    num_shards: int = 1
    big_endian: bool = False
    producer: int = VERSION
    min_consumer: int = 0
    bad_consumers: tuple[int, ...] = ()
    unreferenced: tuple[Unreferenced, ...] = ()
    raw: bytes | None = None


def encode_header(header: Header) -> bytes:
    """Returns the message of a header, including the unknown fields of `header.raw`."""
    plain = header.producer >= 0 and header.min_consumer >= 0 and not header.bad_consumers
    if header.raw is not None or header.unreferenced or not plain:
        from checkpointable.bundle.index.messages import merge_header

        return merge_header(header)
    message = varint_field(1, header.num_shards)
    if header.big_endian:
        message += varint_field(2, BIG_ENDIAN)
    version = varint_field(1, header.producer) + varint_field(2, header.min_consumer)
    return message + length_field(3, version)


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
    for number, kind, a, b in read_fields(data, position, end):
        if (number, kind) == (1, VARINT):
            num_shards = signed(a, 32)
        elif (number, kind) == (2, VARINT):
            endianness = signed(a, 32)
        elif (number, kind) == (3, LENGTH):
            version = _decode_version(data, a, b, version)
            known &= version.known
        elif (number, kind) == (UNREFERENCED_FIELD, LENGTH):
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
    known: bool  # whether all of its fields are known


def _decode_version(
    data: bytes | memoryview, position: int, end: int, before: _Version
) -> _Version:
    """Reads the version message in `[position, end)` and merges it into `before`."""
    producer, min_consumer, known = before.producer, before.min_consumer, True
    bad = list(before.bad_consumers)
    for number, kind, a, b in read_fields(data, position, end):
        if (number, kind) == (1, VARINT):
            producer = signed(a, 32)
        elif (number, kind) == (2, VARINT):
            min_consumer = signed(a, 32)
        elif (number, kind) == (3, VARINT):
            bad.append(signed(a, 32))
        elif (number, kind) == (3, LENGTH):
            while a < b:
                value, a = decode_varint(data, a, b)
                bad.append(signed(value, 32))
        else:
            known = False
    return _Version(producer, min_consumer, tuple(bad), known)


def _decode_unreferenced(data: bytes | memoryview, position: int, end: int) -> Unreferenced:
    start = position
    shard = offset = size = crc = 0
    for number, kind, a, b in read_fields(data, position, end):
        if (number, kind) == (1, VARINT):
            shard = signed(a, 32)
        elif (number, kind) == (2, VARINT):
            offset = signed(a)
        elif (number, kind) == (3, VARINT):
            size = signed(a)
        elif (number, kind) == (4, FIXED32):
            crc = int.from_bytes(data[a:b], "little")
    if shard < 0 or offset < 0 or size <= 0 or offset + size > INT64_MAX:
        raise Malformed(f"a gap has {size} bytes at {offset} of data file {shard}", start)
    return Unreferenced(shard, offset, size, crc)
