"""Files made to exhaust their reader: memory within 32 times their size + 64 MB, time linear."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc

import cramjam
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpointable.bundle import (
    BundleReader,
    DataType,
    Entry,
    Header,
    encode_index,
    write_index,
)
from checkpointable.bundle.index.budget import MEMORY_RATIO, MEMORY_SLACK
from checkpointable.bundle.index.entry import encode_entry
from checkpointable.bundle.index.table_writer import common_prefix_size
from checkpointable.bundle.strings import encode_strings
from checkpointable.errors import CheckpointCorruptError, CheckpointError
from checkpointable.wire.varints import encode_varint
from tests.bundle.helpers import HEADER, REPEATABLE, block, save, table, write_files

EMPTY = encode_entry(Entry(DataType.DT_INT8, (0,), 0, 0, 0, 0))


def number(i):
    return i.to_bytes(4, "big").replace(b"\0", b"\1")


def shared_prefixes(size):
    """Keys of half a megabyte, each stored in a few bytes."""
    long = b"k" * (size // 2)
    entries = [(0, b"", HEADER), (0, long, EMPTY)]
    # Each key is the one before with one byte more.
    entries += [(len(long) + i, b"x", EMPTY) for i in range(size // 30)]
    return table(block(entries))


def tiny_entries(size):
    count = size // 14
    entries = [(0, b"", HEADER)]
    last = b""
    for i in range(count):
        key = b"%07x" % i
        shared = common_prefix_size(last, key)
        entries.append((shared, key[shared:], EMPTY))
        last = key
    return table(block(entries))


def packed_entries(size):
    """The same, compressed: a few bytes an entry."""
    contents = []
    for chunk in range(12):
        entries = [(0, b"", HEADER)] if not chunk else []
        entries.append((0, b"k%03d" % chunk, EMPTY))
        entries += [(4 + i, b"x", EMPTY) for i in range(3000)]
        contents.append(bytes(cramjam.snappy.compress_raw(block(entries))))
    return table(*contents, kind=1)


def zeros_packed(size):
    packed = bytes(cramjam.snappy.compress_raw(bytes(size * 20)))
    return table(packed, kind=1)


def emoji(size):
    """A character that makes each of the others take four bytes of text."""
    long = "🙂".encode() + b"k" * (size // 40)
    entries = [(0, b"", HEADER), (0, long, EMPTY)]
    entries += [(len(long) + i, b"x", EMPTY) for i in range(35 * 40)]
    return table(block(entries))


def many_dimensions(size):
    shape = b"\x12\x00" * (size // 2)
    value = b"\x08\x06\x12" + encode_varint(len(shape)) + shape
    return table(block([(0, b"", HEADER), (0, b"k", value)]))


def many_slices(size):
    value = b"\x08\x06\x12\x02\x12\x00" + b"\x3a\x00" * (size // 2)
    return table(block([(0, b"", HEADER), (0, b"k", value)]))


def many_extents(size):
    extents = b"\x0a\x00" * (size // 2)
    value = b"\x08\x06\x3a" + encode_varint(len(extents)) + extents
    return table(block([(0, b"", HEADER), (0, b"k", value)]))


def many_blocks(size):
    blocks = [block([(0, b"", HEADER)])]
    blocks += [block([(0, number(i), EMPTY)]) for i in range(size // 45)]
    keys = [b""] + [number(i) for i in range(len(blocks) - 1)]
    return table(*blocks, index_keys=keys)


def many_restarts(size):
    return table(block([(0, b"", HEADER)], list(range(size // 4))))


def bad_consumers(size):
    version = b"\x18\x02" * (size // 2)
    return table(block([(0, b"", b"\x08\x01\x1a" + encode_varint(len(version)) + version)]))


def huge_shards(size):
    return table(block([(0, b"", b"\x08\xff\xff\xff\xff\x07"), (0, b"k", EMPTY)]))


HOSTILE = [
    shared_prefixes,
    tiny_entries,
    packed_entries,
    zeros_packed,
    emoji,
    many_dimensions,
    many_slices,
    many_extents,
    many_blocks,
    many_restarts,
    bad_consumers,
    huge_shards,
]

# Opens, lists and verifies a checkpoint; prints the outcome, and how far memory went.
CHILD = """
import sys
import tracemalloc
import cramjam, crc32c, ml_dtypes, google.protobuf.message_factory
from checkpointable.bundle import BundleReader
from checkpointable.errors import CheckpointError
def peak():  # of this program: getrusage's would be that of the one that forked it
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
before = peak()
try:
    with BundleReader(sys.argv[1]) as reader:
        keys = reader.keys()
        for key in keys[:100]:
            reader.entry(key), reader.shape(key)
            try:
                reader.get_tensor(key)
            except CheckpointError:
                pass
        reader.verify()
        print(len(keys), "values", peak() - before)
except CheckpointError as error:
    print(type(error).__name__, peak() - before)
"""


def run(prefix):
    done = subprocess.run(
        [sys.executable, "-c", CHILD, prefix],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    *outcome, used = done.stdout.split()
    return outcome, int(used)


@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__)
def test_memory_stays_bounded(tmp_path, make):
    index = make(1_000_000)
    outcome, used = run(write_files(tmp_path / "ck", index))
    assert used <= MEMORY_RATIO * len(index) + MEMORY_SLACK, outcome


@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__)
def test_work_stays_linear(tmp_path, make):
    """Counted in calls, which are the same on every machine; the budget bounds each one's size."""

    def calls(size):
        prefix = write_files(tmp_path / "ck", make(size))
        count = 0

        def seen(frame, event, argument):
            nonlocal count
            count += 1

        sys.setprofile(seen)
        try:
            with BundleReader(prefix) as reader:
                reader.verify()
                reader.keys()
        except CheckpointError:
            pass
        finally:
            sys.setprofile(None)
        return count

    assert calls(100_000) < 15 * calls(10_000) + 10_000


def test_honest_deep_keys_are_within_the_budget(tmp_path):
    """A chain of 3,000 objects, each with a value: long keys that share nearly all."""
    key, values = "root", {}
    for _ in range(3000):
        key += "/next"
        values[key + "/.ATTRIBUTES/VARIABLE_VALUE"] = np.zeros((), np.int8)
    with BundleReader(save(tmp_path / "ck", values)) as reader:
        assert len(reader.keys()) == 3000


def test_honest_compressed_indexes_are_within_the_budget(tmp_path):
    blocks = []
    for chunk in range(40):
        entries = [(0, b"", HEADER)] if not chunk else []
        for i in range(500):
            value = encode_entry(Entry(DataType.DT_INT8, (1,), 0, chunk * 500 + i, 1, 0))
            entries.append((0, b"model/layer%02d/unit%03d/kernel" % (chunk, i), value))
        blocks.append(bytes(cramjam.snappy.compress_raw(block(entries))))
    prefix = write_files(tmp_path / "ck", table(*blocks, kind=1), bytes(20_000))
    with BundleReader(prefix) as reader:
        assert len(reader) == 20_000


def test_strings_of_few_bytes(tmp_path):
    """Many strings of two bytes: the objects are large beside what is stored."""
    count = 300_000
    data, crc = encode_strings([b"ab"] * count)
    entry = Entry(DataType.DT_STRING, (count,), 0, 0, len(data), crc)
    index = encode_index(Header(), [("s", entry)])
    outcome, used = run(write_files(tmp_path / "ck", index, data))
    assert outcome == ["1", "values"]
    assert used <= MEMORY_RATIO * (len(index) + len(data)) + MEMORY_SLACK


@settings(REPEATABLE, max_examples=500)
@given(st.data())
def test_any_bytes_in_a_block_are_an_index_or_an_error_of_ours(tmp_path_factory, data):
    """Of structure-aware mutations under checksums that hold."""
    entries = [(0, b"", HEADER)]
    for key in ("a", "ab", "b\xff", "\0x"):
        shape = tuple(data.draw(st.lists(st.integers(0, 3), max_size=2)))
        dtype = data.draw(st.sampled_from([1, 6, 7, 21]))
        entries.append((0, key.encode(), encode_entry(Entry(dtype, shape, 0, 0, 5, 0))))
    contents = bytearray(block(entries))
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(contents)))
        what = data.draw(st.sampled_from(["set", "insert", "delete"]))
        if what == "insert":
            contents[at:at] = data.draw(st.binary(max_size=4))
        elif what == "delete":
            del contents[at : at + 2]
        elif at < len(contents):
            contents[at] = data.draw(st.integers(0, 255))
    directory = tmp_path_factory.mktemp("any")
    prefix = write_files(directory / "ck", table(bytes(contents)), b"\x00\x01\xd8\xea\x82\xa2ab")
    error, reader = outcome(BundleReader, prefix, damaged=data.draw(st.booleans()))
    if error is not None:
        assert error.path.startswith(prefix)
        return
    with reader:
        assert outcome(reader.verify)[0] is None
        for key in reader.keys():
            for ask in (reader.get_tensor, reader.view, reader.get_bytes):
                error, _ = outcome(ask, key)
                assert error is None or error.key == key


def outcome(function, *arguments, **options):
    """(one of our errors or None, what the function gave)."""
    try:
        return None, function(*arguments, **options)
    except CheckpointError as error:
        return error, None


@settings(REPEATABLE, max_examples=300)
@given(st.binary(max_size=120))
def test_any_bytes_are_no_index(tmp_path_factory, data):
    prefix = write_files(tmp_path_factory.mktemp("any") / "ck", data)
    with pytest.raises(CheckpointCorruptError):
        BundleReader(prefix)


@pytest.mark.parametrize("kind", [DataType.DT_STRING, DataType.DT_VARIANT, DataType.DT_FLOAT])
def test_no_memory_is_asked_for_what_the_file_does_not_have(tmp_path, kind):
    """Found by `make torture`: the index says four gigabytes, the file has three bytes."""
    shape = (2**30,) if kind == DataType.DT_FLOAT else ()
    entry = Entry(kind, shape, 0, 0, 2**32, 0)
    write_index(tmp_path / "ck.index", Header(), [("v", entry)], durability="flush")
    (tmp_path / "ck.data-00000-of-00001").write_bytes(b"abc")
    tracemalloc.start()
    try:
        with BundleReader(tmp_path / "ck", damaged=True) as reader:
            for read in (reader.get_tensor, reader.get_bytes):
                with pytest.raises(CheckpointError):
                    read("v")
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()
