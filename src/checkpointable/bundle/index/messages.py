"""The messages of an index as protobuf classes, in a private descriptor pool.

They serve rare messages only: those with slices, and those with fields of a newer writer, which
protobuf preserves when it writes the message again. `header` and `entry` process all others.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from checkpointable.bundle.format import BIG_ENDIAN, LITTLE_ENDIAN, UNREFERENCED_FIELD
from checkpointable.bundle.index.entry import Entry
from checkpointable.bundle.index.header import Header
from checkpointable.bundle.shapes import FULL_EXTENT
from checkpointable.wire.messages import message_classes

__all__ = ["bundle_messages", "merge_entry", "merge_header"]


@lru_cache(maxsize=1)
def bundle_messages() -> dict[str, type[Any]]:
    """Returns the message classes of an index by name."""
    return message_classes(
        "checkpointable/bundle.proto",
        "checkpointable.bundle_messages",
        {
            "VersionDef": [
                ("producer", 1, "int32"),
                ("min_consumer", 2, "int32"),
                ("bad_consumers", 3, "int32", "repeated"),
            ],
            "Unreferenced": [
                ("shard_id", 1, "int32"),
                ("offset", 2, "int64"),
                ("size", 3, "int64"),
                ("crc32c", 4, "fixed32"),
            ],
            "BundleHeaderProto": [
                ("num_shards", 1, "int32"),
                ("endianness", 2, "int32"),
                ("version", 3, "message", "", "VersionDef"),
                ("unreferenced", UNREFERENCED_FIELD, "message", "repeated", "Unreferenced"),
            ],
            "Dim": [("size", 1, "int64"), ("name", 2, "string")],
            "TensorShapeProto": [
                ("dim", 2, "message", "repeated", "Dim"),
                ("unknown_rank", 3, "bool"),
            ],
            "Extent": [("start", 1, "int64"), ("length", 2, "int64", "optional")],
            "TensorSliceProto": [("extent", 1, "message", "repeated", "Extent")],
            "BundleEntryProto": [
                ("dtype", 1, "int32"),
                ("shape", 2, "message", "", "TensorShapeProto"),
                ("shard_id", 3, "int32"),
                ("offset", 4, "int64"),
                ("size", 5, "int64"),
                ("crc32c", 6, "fixed32"),
                ("slices", 7, "message", "repeated", "TensorSliceProto"),
            ],
        },
    )


def merge_entry(entry: Entry) -> bytes:
    """Returns the message of `entry`: `entry.raw`, if any, with the known fields replaced."""
    message = bundle_messages()["BundleEntryProto"]()
    if entry.raw is not None:
        message.MergeFromString(entry.raw)
    message.dtype = int(entry.dtype)
    message.shape.SetInParent()
    if [dim.size for dim in message.shape.dim] != list(entry.shape):
        del message.shape.dim[:]
        for size in entry.shape:
            message.shape.dim.add(size=size)
    message.shard_id = entry.shard
    message.offset = entry.offset
    message.size = entry.size
    message.crc32c = entry.crc
    stored = [
        [(e.start, e.length if e.HasField("length") else FULL_EXTENT) for e in slice_.extent]
        for slice_ in message.slices
    ]
    if stored != [list(extents) for extents in entry.slices]:
        del message.slices[:]
        for extents in entry.slices:
            added = message.slices.add()
            for start, length in extents:
                extent = added.extent.add(start=start)
                if length != FULL_EXTENT:
                    extent.length = length
    return bytes(message.SerializeToString())


def merge_header(header: Header) -> bytes:
    """Returns the message of `header`: `header.raw`, if any, with the known fields replaced."""
    message = bundle_messages()["BundleHeaderProto"]()
    if header.raw is not None:
        message.MergeFromString(header.raw)
    message.num_shards = header.num_shards
    message.endianness = BIG_ENDIAN if header.big_endian else LITTLE_ENDIAN
    message.version.SetInParent()
    message.version.producer = header.producer
    message.version.min_consumer = header.min_consumer
    message.version.bad_consumers[:] = header.bad_consumers
    del message.unreferenced[:]
    for shard, offset, size, crc in header.unreferenced:
        message.unreferenced.add(shard_id=shard, offset=offset, size=size, crc32c=crc)
    return bytes(message.SerializeToString())
