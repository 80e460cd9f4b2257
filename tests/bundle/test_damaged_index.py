"""Damaged indexes: entries that lie, and the frame of the table (one test a kind of damage)."""

from __future__ import annotations

from pathlib import Path

import cramjam
import pytest

from checkpointable.bundle import BundleReader, DataType, Entry
from checkpointable.bundle.index.entry import encode_entry
from checkpointable.errors import (
    CheckpointUnsupportedError,
)
from tests.bundle.damaged import F4, change, refused
from tests.bundle.helpers import HEADER, block, table, write_files

ENTRY_DAMAGE = {
    "a negative offset": (Entry(F4, (2,), 0, -1 % 2**64, 8, 0), "negative number"),
    "a negative shard": (Entry(F4, (2,), -1 % 2**64, 0, 8, 0), "negative number"),
    "a shard that is not there": (Entry(F4, (2,), 4, 0, 8, 0), "data file 4 of 1"),
    "a size that is not its shape's": (Entry(F4, (3,), 0, 0, 8, 0), "takes 12 bytes, but 8"),
    "a shape that overflows": (Entry(F4, (2**62, 2**62), 0, 0, 8, 0), "takes 8507"),
    "a size past the file": (Entry(F4, (2**40,), 0, 0, 2**42, 0), "it was cut short"),
    "an offset past the file": (Entry(F4, (2,), 0, 2**62, 8, 0), "it was cut short"),
    "an end past 64 bits": (Entry(F4, (2,), 0, 2**63 - 1, 8, 0), "more than 64 bits"),
    "no data type": (Entry(DataType.DT_INVALID, (2,), 0, 0, 8, 0), "data type 0"),
    "too few bytes for its strings": (
        Entry(DataType.DT_STRING, (2**50,), 0, 0, 8, 0),
        "takes at least 1125899906842628 bytes",
    ),
    "too few bytes for its variants": (Entry(DataType.DT_VARIANT, (2,), 0, 0, 8, 0), "at least"),
}


@pytest.mark.parametrize("name", ENTRY_DAMAGE)
def test_an_entry_with(tmp_path, name):
    entry, what = ENTRY_DAMAGE[name]
    index = table(block([(0, b"", HEADER), (0, b"k", encode_entry(entry))]))
    error = refused(write_files(tmp_path / "ck", index, bytes(8)))
    assert error.key == "k"
    assert what in error.what


def raw_entry(size=8, offset=0, key=b"k", shared=0):
    return shared, key, encode_entry(Entry(F4, (size // 4,), 0, offset, size, 0))


INDEX_DAMAGE = {
    "no header": ([raw_entry()], None, "does not start with a header"),
    "nothing in it": ([], None, "no header"),
    "a key twice": (
        [(0, b"", HEADER), raw_entry(), raw_entry(offset=8)],
        None,
        "b'k' does not follow b'k'",
    ),
    "keys out of order": (
        [(0, b"", HEADER), raw_entry(key=b"b"), raw_entry(key=b"a", offset=8)],
        None,
        "b'a' does not follow b'b'",
    ),
    "a key that is not UTF-8": ([(0, b"", HEADER), raw_entry(key=b"\xff")], None, "is not UTF-8"),
    "a key that shares too much": ([(0, b"", HEADER), raw_entry(shared=3)], None, "shares 3 bytes"),
    "values that overlap": (
        [(0, b"", HEADER), raw_entry(key=b"a"), raw_entry(key=b"b", offset=4)],
        None,
        "overlap those of 'a'",
    ),
    "the same bytes for two values": (
        [(0, b"", HEADER), raw_entry(key=b"a"), raw_entry(key=b"b")],
        None,
        "overlap those of 'a'",
    ),
    "a restart point in an entry": ([(0, b"", HEADER), raw_entry()], [0, 2], "restart point"),
    "restart points out of order": ([(0, b"", HEADER), raw_entry()], [9, 0], "restart point"),
    "a header without shards": ([(0, b"", b"\x1a\x02\x08\x01")], None, "counts 0 data files"),
    "a header that is no message": ([(0, b"", b"\xff")], None, "the header: a varint"),
    "an entry that is no message": ([(0, b"", HEADER), (0, b"k", b"\x08")], None, "over the end"),
}


@pytest.mark.parametrize("name", INDEX_DAMAGE)
def test_an_index_with(tmp_path, name):
    entries, restarts, what = INDEX_DAMAGE[name]
    error = refused(write_files(tmp_path / "ck", table(block(entries, restarts)), bytes(16)))
    assert what in error.what
    assert error.path.endswith(".index")


def test_keys_out_of_order_between_blocks(tmp_path):
    index = table(
        block([(0, b"", HEADER), raw_entry(key=b"b")]), block([raw_entry(key=b"a", offset=8)])
    )
    assert "does not follow" in refused(write_files(tmp_path / "ck", index, bytes(16))).what


@pytest.mark.parametrize(
    ("header", "what"),
    [
        (b"\x08\x01\x1a\x02\x10\x02", "needs a reader of format version 2"),
        (b"\x08\x01\x1a\x02\x18\x01", r"\[1\]"),
    ],
)
def test_a_newer_version(tmp_path, header, what):
    prefix = write_files(tmp_path / "ck", table(block([(0, b"", header)])))
    with pytest.raises(CheckpointUnsupportedError, match=what):
        BundleReader(prefix)


def framed(prefix):
    return bytearray(Path(prefix + ".index").read_bytes())


def test_a_wrong_magic(prefix):
    change(prefix + ".index", -1)
    assert "it is not an index of a checkpoint" in refused(prefix).what


def test_padding_that_is_not_zero(prefix):
    change(prefix + ".index", -9)
    assert refused(prefix).what == "the footer's padding is not zero"


def test_a_handle_that_is_longer_than_it_needs(prefix):
    data = framed(prefix)
    end = len(data[:-8].rstrip(b"\0"))
    change(prefix + ".index", end - 1, data[end - 1] | 128)
    assert "longer than its value needs" in refused(prefix).what


def test_a_footer_that_points_past_the_file(prefix):
    data = framed(prefix)
    data[-48:-38] = b"\xff" * 9 + b"\x01"
    Path(prefix + ".index").write_bytes(data)
    assert "footer" in refused(prefix).what or "64 bits" in refused(prefix).what


def test_blocks_that_do_not_join(prefix):
    data = framed(prefix)
    Path(prefix + ".index").write_bytes(data[:-48] + b"\0" * 7 + data[-48:])
    assert "the blocks end at" in refused(prefix).what


def test_a_damaged_block(prefix):
    change(prefix + ".index", 5)
    error = refused(prefix)
    assert "the file is damaged" in error.what
    assert error.offset == 0


def test_an_unknown_compression(tmp_path):
    index = table(block([(0, b"", HEADER)]), kind=2)
    assert (
        "compression 2"
        in refused(write_files(tmp_path / "ck", index), CheckpointUnsupportedError).what
    )


@pytest.mark.parametrize(
    ("packed", "what"),
    [
        (b"", "runs over the end"),
        (b"\xff\xff\xff\xff\x0f" + bytes(40), "more than snappy can pack"),
        (b"\x05\xff\xff", "cannot be decompressed"),
        (b"\x05\x00a", "cannot be decompressed"),
    ],
)
def test_a_compressed_block_that_is_none(tmp_path, packed, what):
    index = table(packed, kind=1)
    assert what in refused(write_files(tmp_path / "ck", index)).what


def test_damage_within_a_compressed_block_has_the_blocks_place(tmp_path):
    entries = [(0, b"", HEADER), (0, b"k", b"\x08")]
    packed = bytes(cramjam.snappy.compress_raw(block(entries)))
    assert refused(write_files(tmp_path / "ck", table(packed, kind=1))).offset <= len(packed)
