"""The index's messages: by hand and by protobuf they are the same bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpointable.bundle.dtypes import DataType
from checkpointable.bundle.index.entry import Entry, decode_entry, encode_entry, encode_fields
from checkpointable.bundle.index.header import Header, decode_header, encode_header
from checkpointable.bundle.index.messages import bundle_messages
from checkpointable.wire.varints import Malformed
from tests.bundle.helpers import REPEATABLE

dims = st.one_of(st.integers(0, 300), st.integers(0, 2**63 - 1))
sizes = st.one_of(st.integers(0, 300), st.integers(0, 2**63 - 1))
extents = st.lists(st.tuples(st.integers(0, 2**62), st.integers(-1, 2**62)), max_size=4).map(tuple)
entries = st.builds(
    Entry,
    dtype=st.sampled_from(DataType),
    shape=st.lists(dims, max_size=6).map(tuple),
    shard=st.one_of(st.just(0), st.integers(0, 2**31 - 1)),
    offset=sizes,
    size=sizes,
    crc=st.one_of(st.just(0), st.integers(0, 2**32 - 1)),
    slices=st.one_of(st.just(()), st.lists(extents, min_size=1, max_size=3).map(tuple)),
)


def protobuf_entry(entry):
    message = bundle_messages()["BundleEntryProto"](
        dtype=entry.dtype,
        shard_id=entry.shard,
        offset=entry.offset,
        size=entry.size,
        crc32c=entry.crc,
    )
    message.shape.SetInParent()
    for dim in entry.shape:
        message.shape.dim.add(size=dim)
    for slice_ in entry.slices:
        added = message.slices.add()
        for start, length in slice_:
            extent = added.extent.add(start=start)
            if length != -1:
                extent.length = length
    return message.SerializeToString()


@REPEATABLE
@given(entries)
def test_entries_are_protobufs_bytes(entry):
    encoded = encode_entry(entry)
    assert encoded == protobuf_entry(entry)
    assert decode_entry(encoded, 0, len(encoded)) == entry
    if not entry.slices:
        fields = (entry.dtype, entry.shape, entry.shard, entry.offset, entry.size, entry.crc)
        assert encode_fields(*fields) == encoded


@REPEATABLE
@given(
    st.builds(
        Header,
        num_shards=st.integers(1, 2**31 - 1),
        big_endian=st.booleans(),
        producer=st.integers(-5, 2**31 - 1),
        min_consumer=st.integers(-5, 9),
        bad_consumers=st.lists(st.integers(-9, 2**31 - 1), max_size=3).map(tuple),
    )
)
def test_headers_are_protobufs_bytes(header):
    message = bundle_messages()["BundleHeaderProto"](
        num_shards=header.num_shards, endianness=int(header.big_endian)
    )
    message.version.SetInParent()
    message.version.producer = header.producer
    message.version.min_consumer = header.min_consumer
    message.version.bad_consumers[:] = header.bad_consumers
    encoded = encode_header(header)
    assert encoded == message.SerializeToString()
    assert decode_header(encoded, 0, len(encoded)) == header


@pytest.mark.parametrize(
    "unknown",
    [
        b"\x7a\x03new",  # a field 15 of the entry
        b"\x12\x06\x12\x04\x08\x03\x50\x01",  # a field 10 of a dimension
        b"\x12\x05\x12\x03\x12\x01n",  # the name of a dimension
        b"\x3d\x01\0\0\0",  # a field 7 that is no message
    ],
)
def test_unknown_fields_survive(unknown):
    stored = b"\x08\x01\x28\x0c" + unknown
    entry = decode_entry(stored, 0, len(stored))
    assert entry.raw == stored
    again = encode_entry(Entry(entry.dtype, entry.shape, 3, 5, 12, 9, (), entry.raw))
    read = decode_entry(again, 0, len(again))
    assert (read.shape, read.shard, read.offset) == (entry.shape, 3, 5)
    assert unknown[2:] in again or unknown in again


def test_unknown_fields_of_the_header_survive():
    stored = b"\x08\x02\x1a\x04\x08\x01\x50\x07\x7a\x01x"
    header = decode_header(stored, 0, len(stored))
    again = encode_header(Header(5, raw=header.raw))
    assert decode_header(again, 0, len(again)).num_shards == 5
    assert b"\x50\x07" in again
    assert b"\x7a\x01x" in again


def test_fields_in_another_order_and_twice_mean_what_protobuf_says():
    stored = b"\x28\x03\x20\x09\x12\x04\x12\x02\x08\x02\x08\x03\x12\x04\x12\x02\x08\x05\x28\x04"
    message = bundle_messages()["BundleEntryProto"].FromString(stored)
    entry = decode_entry(stored, 0, len(stored))
    assert entry.shape == tuple(dim.size for dim in message.shape.dim) == (2, 5)
    assert entry.size == message.size == 4
    assert entry.dtype == message.dtype == 3


@REPEATABLE
@given(st.binary(max_size=24))
def test_what_protobuf_takes_we_take_alike(data):
    from google.protobuf.message import DecodeError

    try:
        message = bundle_messages()["BundleEntryProto"].FromString(data)
    except DecodeError:
        return  # whether we refuse it too is for the tests of damage
    try:
        entry = decode_entry(data, 0, len(data))
    except Malformed:
        return  # negative dimensions and the like, or groups, which no writer uses
    assert entry.dtype == message.dtype
    assert entry.shape == tuple(dim.size for dim in message.shape.dim)
    assert (entry.shard, entry.offset) == (message.shard_id, message.offset)
    assert (entry.size, entry.crc) == (message.size, message.crc32c)
    assert len(entry.slices) == len(message.slices)


@pytest.mark.parametrize(
    ("stored", "what"),
    [
        (b"\x08", "runs over the end"),
        (b"\x12\x05\x12", "5 bytes where 1 are left"),
        (b"\x00\x01", "number 0"),
        (b"\x0b", "wire type 3"),
        (b"\x35\x01\x02", "4 bytes where 2 are left"),
        (b"\x12\x0d\x12\x0b\x08" + b"\xff" * 9 + b"\x01", "dimension 0 of the shape is -1"),
        (b"\x12\x02\x18\x01", "unknown rank"),
        (b"\x12\xfe\x03" + b"\x12\x00" * 255, "more than 254 dimensions"),
        (b"\x3a\x0d\x0a\x0b\x08" + b"\xff" * 9 + b"\x01", "slice starts at -1"),
    ],
)
def test_malformed_messages(stored, what):
    with pytest.raises(Malformed, match=what):
        decode_entry(stored, 0, len(stored))


def test_an_endianness_that_is_none():
    with pytest.raises(Malformed, match="endianness is 2"):
        decode_header(b"\x08\x01\x10\x02", 0, 4)


def test_messages_stay_out_of_the_default_pool():
    from google.protobuf import descriptor_pool

    bundle_messages()
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName("checkpointable.bundle.BundleEntryProto")
