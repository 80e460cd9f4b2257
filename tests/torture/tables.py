"""Tables and messages put together by hand, their checksums right, whatever they say."""

from __future__ import annotations

import struct

from checkpointable.bundle.checksum import crc32c, mask
from checkpointable.bundle.index.table_writer import TableBuilder
from checkpointable.bundle.slices import slice_key
from tests.torture.mutate import fields, message, varint


def known_fields(entry):
    """The fields of a message that is one."""
    found = fields(entry)
    assert found is not None
    return found


def build_table(pairs):
    """A table of these pairs, in the order given."""
    table = TableBuilder()
    for key, value in pairs:
        table.add(key, value)
    return table.finish()


def table_of_block(block, kind, chance):
    """A table of one data block, its checksums right."""
    out = b""

    def put(contents, kind):
        nonlocal out
        handle = varint(len(out)) + varint(len(contents))
        stored = contents + bytes((kind,))
        out += stored + mask(crc32c(stored)).to_bytes(4, "little")
        return handle

    data = put(block, kind)
    empty = (0).to_bytes(4, "little") + (1).to_bytes(4, "little")
    metaindex = put(empty, 0)
    key = b"\xff" * chance.randrange(1, 3)
    entry = bytes((0, len(key), len(data))) + key + data
    index = put(entry + empty, 0)
    return out + (metaindex + index).ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")


def v1_messages():
    """List of values, and parts: v = [1, 2, 3] whole, p = [1, 2, 3, 4] in two parts."""

    def dims(*sizes):
        return message([(2, 2, message([(1, 0, size)])) for size in sizes])

    def slice_of(*extents):
        return message([(1, 2, message([(i + 1, 0, n) for i, n in enumerate(e)])) for e in extents])

    def saved_meta(label, dtype, shape, *slices):
        return message([(1, 2, label), (2, 2, shape), (3, 0, dtype), *((4, 2, s) for s in slices)])

    whole = slice_of(())
    metas = [
        saved_meta(b"p", 1, dims(4), slice_of((0, 2)), slice_of((2, 2))),
        saved_meta(b"v", 1, dims(3), whole),
    ]
    versions = message([(1, 0, 1)])
    meta = message([(1, 2, message([*((1, 2, m) for m in metas), (2, 2, versions)]))])

    def part(label, extents, wire, numbers):
        return (
            slice_key(label.decode(), extents),
            message([(2, 2, message([(1, 2, label), (2, 2, wire), (3, 2, numbers)]))]),
        )

    def floats(*numbers):
        return message([(5, 2, struct.pack(f"<{len(numbers)}f", *numbers))])

    parts = [
        part(b"p", ((0, 2),), slice_of((0, 2)), floats(1, 2)),
        part(b"p", ((2, 2),), slice_of((2, 2)), floats(3, 4)),
        part(b"v", ((0, -1),), whole, floats(1, 2, 3)),
    ]
    return meta, sorted(parts)
