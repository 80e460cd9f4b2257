"""Whole indexes: the fast way reads what the plain way reads, and both what was written."""

from __future__ import annotations

import cramjam
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpointable.bundle import DataType, Entry, Header, encode_index, itemsize
from checkpointable.bundle.index.budget import Budget
from checkpointable.bundle.index.fast import load_fast
from checkpointable.bundle.index.index import Index, load_header, load_index
from checkpointable.bundle.index.plain import load_plainly
from checkpointable.bundle.index.table_reader import read_data_blocks
from checkpointable.bundle.index.table_writer import TableBuilder
from checkpointable.errors import CheckpointError
from tests.bundle.helpers import HEADER, REPEATABLE, block, table

texts = st.one_of(
    st.text(st.sampled_from("ab/"), min_size=1, max_size=12),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5),
)


@st.composite
def tables(draw, keys=texts):
    """An index of entries that make sense, in blocks of some size."""
    names = draw(st.lists(keys, unique=True, max_size=70))
    entries = {}
    offset = 0
    for name in names:
        dtype = draw(st.sampled_from([DataType.DT_FLOAT, DataType.DT_INT8, DataType.DT_STRING]))
        shape = tuple(draw(st.lists(st.integers(0, 200), max_size=3)))
        count = int(np.prod(shape, dtype=object)) if shape else 1
        size = count * itemsize(dtype) if dtype != DataType.DT_STRING else count + 4
        shard = draw(st.sampled_from([0, 0, 1]))
        crc = draw(st.integers(0, 2**32 - 1))
        entries[name] = Entry(dtype, shape, shard, offset, size, crc)
        offset += size + draw(st.integers(0, 300))
    return entries, draw(st.sampled_from([60, 300, 4096]))


def encode(entries, block_size):
    from checkpointable.bundle.index.entry import encode_entry
    from checkpointable.bundle.index.header import encode_header

    builder = TableBuilder(block_size)
    builder.add(b"", encode_header(Header(2)))
    for key in sorted(entries):
        builder.add(key.encode(), encode_entry(entries[key]))
    return builder.finish()


def both(data):
    """What the fast way and the plain way make of a table: (loaded or None, loaded or error)."""
    try:
        blocks = read_data_blocks(data, "x", Budget("x", len(data)))
    except CheckpointError as error:
        return None, error
    fast = load_fast(blocks, Budget("x", len(data)))
    try:
        return fast, load_plainly("x", blocks, Budget("x", len(data)))
    except CheckpointError as error:
        return fast, error


def assert_equal(fast, plain):
    assert fast.header == plain.header
    assert fast.buffer == plain.buffer
    assert len(fast.keys) == len(plain.keys)
    wanted = plain.keys.rows
    for key in [*list(wanted)[:40], "", "no such key", "\udc80", "é", 3, None]:
        found = wanted.get(key, -1) if isinstance(key, str) else -1
        assert fast.keys.find(key) == found
    assert fast.keys.rows == wanted
    assert list(fast.keys.rows) == list(wanted)
    for name in plain.columns.__slots__:
        assert getattr(fast.columns, name).tolist() == getattr(plain.columns, name).tolist(), name
    assert (fast.parts, fast.partitioned) == (plain.parts, plain.partitioned)
    quick, slow = Index("x", fast), Index("x", plain)
    entries = [slow.entry_of(row) for row in range(len(plain.columns.dtype))]
    assert quick.kinds == slow.kinds == [(entry.dtype, entry.shape) for entry in entries]


@settings(REPEATABLE, max_examples=150)
@given(tables())
def test_the_fast_way_equals_the_plain_way(case):
    entries, block_size = case
    data = encode(entries, block_size)
    fast, plain = both(data)
    assert list(plain.keys.rows) == sorted(entries)
    if min(entries, default="a")[0] == "\0":
        assert fast is None
    else:
        assert_equal(fast, plain)
    index = load_index(data, "x") if all_apart(entries) else None
    for key, entry in entries.items():
        if index is not None:
            row = index.find(key)
            assert index.entry_of(row) == entry
            assert index.shape_of(row) == entry.shape
            assert index.kinds[row] == (entry.dtype, entry.shape)


def all_apart(entries):
    ends = {}
    for entry in entries.values():
        if entry.size and entry.offset < ends.get(entry.shard, 0):
            return False
        ends[entry.shard] = max(ends.get(entry.shard, 0), entry.offset + entry.size)
    return True


@settings(REPEATABLE, max_examples=400)
@given(tables(st.text(st.sampled_from("ab"), min_size=1, max_size=6)), st.data())
def test_what_the_fast_way_takes_the_plain_way_takes_alike(case, data):
    """Of entries with a changed byte, under checksums that hold."""
    entries, block_size = case
    stored = bytearray(encode(entries, block_size))
    blocks = read_data_blocks(bytes(stored), "x", Budget("x", len(stored)))
    contents = [bytearray(b.data[b.start : b.end]) for b in blocks]
    for _ in range(data.draw(st.integers(1, 2))):
        changed = data.draw(st.sampled_from(contents))
        at = data.draw(st.integers(0, len(changed) - 1))
        changed[at] ^= 1 << data.draw(st.integers(0, 7))
    fast, plain = both(table(*map(bytes, contents)))
    if fast is not None:
        assert not isinstance(plain, CheckpointError), plain
        assert_equal(fast, plain)


def test_a_large_index_takes_the_fast_way():
    entries = [
        (
            f"layer{i % 97}/unit{i}/é" if i % 5 else f"u{i}",
            Entry(DataType.DT_INT8, (i % 3, 2), 0, i * 4, i % 3 * 2, i),
        )
        for i in range(20_000)
    ]
    data = encode_index(Header(), entries)
    fast, plain = both(data)
    assert_equal(fast, plain)


def test_snappy_blocks_are_read():
    entries = [
        (f"layer/kernel{i:04d}", Entry(DataType.DT_INT8, (4,), 0, i * 4, 4, i)) for i in range(900)
    ]
    plain_blocks = read_data_blocks(
        data := encode_index(Header(), entries), "x", Budget("x", 1 << 20)
    )
    packed = [bytes(cramjam.snappy.compress_raw(b.data[b.start : b.end])) for b in plain_blocks]
    index, stored = load_index(table(*packed, kind=1), "x"), load_index(data, "x")
    assert index.rows == stored.rows
    assert all(index.entry_of(row) == stored.entry_of(row) for row in index.rows.values())
    assert load_header(table(*packed, kind=1), "x") == Header()


def test_snappys_published_format_is_what_is_decompressed():
    # format_description.txt: a literal of 4 ("abcd"), a copy of 8 from 4 back.
    packed = b"\x0c" + b"\x0cabcd" + b"\x11\x04"
    assert bytes(cramjam.snappy.decompress_raw(packed)) == b"abcdabcdabcd"


def test_blocks_of_other_restart_intervals_are_read():
    entry = bytes.fromhex("080612021200")
    whole = block([(0, b"", HEADER), (0, b"a", entry), (0, b"b", entry)], [0, 9, 19])
    index = load_index(table(whole), "x")
    assert list(index.rows) == ["a", "b"]
    long_run = [(0, b"", HEADER)] + [(0, f"{i:03d}".encode(), entry) for i in range(200)]
    fast, plain = both(table(block(long_run)))
    assert fast is None
    assert len(plain.keys) == 200


def test_keys_that_share_less_than_they_could_are_read_plainly():
    entry = bytes.fromhex("080612021200")
    fast, plain = both(table(block([(0, b"", HEADER), (0, b"aa", entry), (0, b"ab", entry)])))
    assert fast is None
    assert list(plain.keys.rows) == ["aa", "ab"]


def test_an_index_without_values():
    assert load_index(encode_index(Header(), []), "x").rows == {}


@pytest.mark.parametrize("finds", [1, 31, 33, 200])
def test_single_keys_are_found_before_and_after_all_become_text(finds):
    entries = [(f"k{i:05d}", Entry(DataType.DT_INT8, (1,), 0, i, 1, i)) for i in range(500)]
    index = load_index(encode_index(Header(), entries), "x")
    for i in range(finds):
        assert index.find(f"k{i * 2:05d}") == i * 2
        assert index.find(f"k{i}") == -1
