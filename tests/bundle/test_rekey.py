"""A bundle under other keys: the same data files, a new index, no byte without a checksum."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest

from checkpointable.bundle import (
    BundleReader,
    DataType,
    Entry,
    Header,
    encode_index,
    rekey_bundle,
    write_bundle,
)
from checkpointable.bundle.checksum import crc32c, mask
from checkpointable.bundle.format import UNREFERENCED_MAX
from checkpointable.bundle.index.header import Unreferenced, decode_header, encode_header
from checkpointable.bundle.slices import slice_key
from checkpointable.bundle.strings import encode_strings
from checkpointable.errors import CheckpointCorruptError, CheckpointError, CheckpointIOError
from checkpointable.wire.varints import Malformed
from tests.bundle.helpers import a_few, same, save, values_to_write
from tests.storage.doubles import CutError, CutStorage, WatchedStorage


def rekey(source, target, keys, strings=None, **options):
    with BundleReader(source) as reader:
        rekey_bundle(reader, target, keys, strings or {}, **{"durability": "flush", **options})


def contents(prefix):
    with BundleReader(prefix) as reader:
        assert reader.verify() == []
        return {key: reader.get_tensor(key) for key in reader.keys()}


def names(directory):
    return sorted(os.listdir(directory))


def everywhere(directory):
    """Each bit flipped in turn, and each file a byte shorter and longer, as (what, name)."""
    for name in names(directory):
        path = directory / name
        original = path.read_bytes()
        for position in range(len(original)):
            changed = bytearray(original)
            changed[position] ^= 1 << position % 8
            path.write_bytes(changed)
            yield f"byte {position}", name
        for other in (original + b"\0", original[:-1]) if original else (b"\0",):
            path.write_bytes(other)
            yield f"{len(other)} bytes", name
        path.write_bytes(original)


def assert_every_change_is_found(directory, name):
    """A directory of its own, since data files are shared with where they came from."""
    prefix = directory / name
    count = 0
    for what, file in everywhere(directory):
        try:
            with BundleReader(prefix, damaged=True) as reader:
                found = reader.verify()
        except CheckpointError:
            found = [None]
        assert found, f"{what} of {file}"
        count += 1
    assert count > 300


def copied(source, directory, name="ck"):
    """The checkpoint `source` in files that nothing else shares."""
    directory.mkdir()
    for path in source.parent.glob(f"{source.name}.*"):
        shutil.copy(path, directory / (name + path.name[len(source.name) :]))
    return directory


def test_other_keys_and_the_same_data(tmp_path):
    save(tmp_path / "a", a_few())
    rekey(tmp_path / "a", tmp_path / "b", {"kernel": "z/kernel", "name": "bias", "bias": "name"})
    data = ".data-00000-of-00001"
    assert os.path.samefile(f"{tmp_path / 'a'}{data}", f"{tmp_path / 'b'}{data}")
    old, new = contents(tmp_path / "a"), contents(tmp_path / "b")
    swapped = {"z/kernel": "kernel", "bias": "name", "name": "bias"}
    assert set(new) == {"bias", "empty", "name", "names", "step", "z/kernel"}
    assert all(same(value, old[swapped.get(key, key)]) for key, value in new.items())
    assert names(tmp_path) == ["a" + data, "a.index", "b" + data, "b.index"]


def test_a_new_string_takes_one_shard_more(tmp_path):
    save(tmp_path / "a", a_few())
    rekey(tmp_path / "a", tmp_path / "b", {}, {"name": b"another name"})
    new = contents(tmp_path / "b")
    assert new.pop("name") == b"another name"
    old = contents(tmp_path / "a")
    assert all(same(value, old[key]) for key, value in new.items())
    with BundleReader(tmp_path / "b") as reader:
        assert reader.header.num_shards == 2
        assert reader.entry("name").shard == 1
        (gap,) = reader.header.unreferenced
    with BundleReader(tmp_path / "a") as reader:
        entry = reader.entry("name")
        assert gap[:3] == (entry.shard, entry.offset, entry.size)


def test_no_byte_can_change_unseen(tmp_path):
    save(tmp_path / "a", a_few())
    rekey(tmp_path / "a", tmp_path / "b", {"step": "steps"}, {"name": b"another name"})
    assert_every_change_is_found(copied(tmp_path / "b", tmp_path / "own"), "ck")


def test_a_missing_file_is_found_also_where_no_value_lies_in_it(tmp_path):
    save(tmp_path / "a", {"graph": np.array(b"old", object)})
    rekey(tmp_path / "a", tmp_path / "b", {}, {"graph": b"new"})
    # The one shard had the replaced string alone, so it is left out.
    assert names(tmp_path) == [
        *("a.data-00000-of-00001", "a.index", "b.data-00000-of-00001", "b.index")
    ]
    payload, crc = encode_strings([b"new"])
    gap = Unreferenced(1, 0, 5, mask(crc32c(b"stale")))
    entry = Entry(DataType.DT_STRING, (), 0, 0, len(payload), crc)
    index = encode_index(Header(2, unreferenced=(gap,)), [("graph", entry)])
    (tmp_path / "c.index").write_bytes(index)
    (tmp_path / "c.data-00000-of-00002").write_bytes(payload)
    with pytest.raises(CheckpointCorruptError, match="data file is missing"):
        BundleReader(tmp_path / "c")
    (tmp_path / "c.data-00001-of-00002").write_bytes(b"sta")
    with pytest.raises(CheckpointCorruptError, match="3 bytes, but the index knows of 5"):
        BundleReader(tmp_path / "c")
    (tmp_path / "c.data-00001-of-00002").write_bytes(b"stale")
    assert contents(tmp_path / "c") == {"graph": b"new"}
    (tmp_path / "c.data-00001-of-00002").write_bytes(b"stole")
    with BundleReader(tmp_path / "c") as reader:
        (damage,) = reader.verify()
        assert (damage.key, damage.offset) == (None, 0)
        with pytest.raises(CheckpointCorruptError, match="checksum"):
            reader.check(["graph"])  # before a restore assigns anything


def test_what_no_value_uses_is_carried_over_and_does_not_pile_up(tmp_path):
    save(tmp_path / "0", a_few())
    for i in range(3):
        rekey(tmp_path / f"{i}", tmp_path / f"{i + 1}", {}, {"name": b"name %d" % i})
        assert contents(tmp_path / f"{i + 1}")["name"] == b"name %d" % i
        with BundleReader(tmp_path / f"{i + 1}") as reader:
            assert reader.header.num_shards == 2
            assert len(reader.header.unreferenced) == 1
    rekey(tmp_path / "3", tmp_path / "4", {"step": "steps"})
    with BundleReader(tmp_path / "4") as reader:
        assert reader.header.num_shards == 2
        assert len(reader.header.unreferenced) == 1
    assert_every_change_is_found(copied(tmp_path / "4", tmp_path / "own"), "ck")


def test_an_existing_checkpoint_is_refused_or_replaced(tmp_path):
    save(tmp_path / "a", a_few())
    save(tmp_path / "b", {"other": np.arange(5)})
    before = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
    with pytest.raises(CheckpointIOError, match="exists already"):
        rekey(tmp_path / "a", tmp_path / "b", {})
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == before
    sizes = []
    for i in range(4):
        rekey(tmp_path / "a", tmp_path / "b", {"step": f"step{i}"}, overwrite=True)
        assert f"step{i}" in contents(tmp_path / "b")
        with BundleReader(tmp_path / "b") as reader:
            sizes.append(reader.header.num_shards)
        assert len(names(tmp_path)) == 3 + sizes[-1]
    assert sizes == [2, 1, 2, 1]  # never that of the index that is there
    assert contents(tmp_path / "a").keys() == a_few().keys()


def test_a_checkpoint_is_not_written_over_itself(tmp_path):
    save(tmp_path / "a", a_few())
    (tmp_path / "d").mkdir()
    for target in (tmp_path / "a", tmp_path / "d" / ".." / "a"):
        with pytest.raises(ValueError, match="over itself"):
            rekey(tmp_path / "a", target, {}, overwrite=True)


def test_two_values_under_one_key(tmp_path):
    save(tmp_path / "a", a_few())
    with pytest.raises(ValueError, match="two values would have the same key"):
        rekey(tmp_path / "a", tmp_path / "b", {"step": "bias"})
    with pytest.raises(ValueError, match="empty"):
        rekey(tmp_path / "a", tmp_path / "b", {"step": ""})
    assert len(names(tmp_path)) == 2


def test_a_source_that_is_not_whole(tmp_path):
    save(tmp_path / "a", a_few())
    with open(tmp_path / "a.data-00000-of-00001", "ab") as file:
        file.write(b"more")
    with pytest.raises(CheckpointCorruptError, match="longer"):
        rekey(tmp_path / "a", tmp_path / "b", {})


def test_parts_get_new_keys_too(tmp_path):
    data = np.arange(6, dtype=np.int32)
    write_bundle(
        tmp_path / "a", values_to_write({"x": data[:4], "y": data[4:]}), durability="flush"
    )
    with BundleReader(tmp_path / "a") as reader:
        x, y, header = reader.entry("x"), reader.entry("y"), reader.header
    slices = (((0, 4),), ((4, -1),))
    whole = Entry(DataType.DT_INT32, (6,), 0, 0, 0, 0, slices, b"\x7a\x03new")
    entries = [("v/w", whole), (slice_key("v/w", slices[0]), x), (slice_key("v/w", slices[1]), y)]
    (tmp_path / "a.index").write_bytes(encode_index(header, entries))
    rekey(tmp_path / "a", tmp_path / "b", {"v/w": "é/w"})
    new = contents(tmp_path / "b")
    assert list(new) == ["é/w"]
    assert same(new["é/w"], data)
    with BundleReader(tmp_path / "b") as reader:
        assert b"\x7a\x03new" in reader.entry("é/w").raw  # what a newer writer added


def test_empty_values_alone(tmp_path):
    save(tmp_path / "a", {"e": np.zeros((0, 3))})
    rekey(tmp_path / "a", tmp_path / "b", {"e": "f"})
    assert contents(tmp_path / "b")["f"].shape == (0, 3)


def test_a_big_endian_bundle(tmp_path):
    payload, crc = encode_strings([b"net"], big_endian=True)
    data = np.array([7], ">i4").tobytes() + payload
    entries = [
        ("i", Entry(DataType.DT_INT32, (1,), 0, 0, 4, mask(crc32c(data[:4])))),
        ("s", Entry(DataType.DT_STRING, (), 0, 4, len(payload), crc)),
    ]
    (tmp_path / "a.index").write_bytes(encode_index(Header(big_endian=True), entries))
    (tmp_path / "a.data-00000-of-00001").write_bytes(data)
    rekey(tmp_path / "a", tmp_path / "b", {"i": "j"}, {"s": b"another"})
    assert same(contents(tmp_path / "b")["j"], np.array([7], np.int32))
    assert contents(tmp_path / "b")["s"] == b"another"


def test_a_failure_or_a_power_cut_at_any_step_leaves_a_whole_checkpoint(tmp_path):
    def sources(directory):
        save(directory / "a", a_few())
        save(directory / "b", {"other": np.arange(5)})

    def run(directory, storage):
        options = {"overwrite": True, "storage": storage, "durability": "fsync"}
        rekey(directory / "a", directory / "b", {"step": "steps"}, {"name": b"new"}, **options)

    def check(directory, *, done):
        found = contents(directory / "b")
        assert set(found) in ([{"other"}] if not done else []) + [{*a_few(), "steps"} - {"step"}]
        assert contents(directory / "a").keys() == a_few().keys()

    for step in range(100):
        directory = tmp_path / f"fail-{step}"
        sources(directory)
        storage = WatchedStorage(step)
        try:
            run(directory, storage)
        except CheckpointIOError:
            pass
        check(directory, done=len(storage.steps) <= step)
        assert not [name for name in names(directory) if name.startswith(".")]
        if len(storage.steps) <= step:
            break
    assert step > 10
    for step in range(100):
        done = False
        for lost in range(5):
            directory = tmp_path / f"cut-{step}-{lost}"
            sources(directory)
            storage = CutStorage(step)
            storage.durable |= {e.stat().st_ino for e in os.scandir(directory)}
            try:
                run(directory, storage)
                done = True
            except CutError:
                pass
            storage.reopen(directory, lose_names=lost, lose_contents=True)
            check(directory, done=done)
        if done:
            break
    assert step > 10


# -- the header's field ---------------------------------------------------------------------


def test_the_field_survives_beside_unknown_ones():
    gaps = (Unreferenced(0, 5, 7, 9), Unreferenced(3, 2**40, 1, 2**32 - 1))
    encoded = encode_header(Header(4, unreferenced=gaps))
    assert decode_header(encoded, 0, len(encoded)) == Header(4, unreferenced=gaps)
    stored = encoded + b"\x7a\x01x"
    header = decode_header(stored, 0, len(stored))
    assert (header.unreferenced, header.raw) == (gaps, stored)
    again = encode_header(replace(header, unreferenced=gaps[:1]))
    assert decode_header(again, 0, len(again)).unreferenced == gaps[:1]
    assert b"\x7a\x01x" in again


@pytest.mark.parametrize(
    ("gap", "what"),
    [
        (Unreferenced(2, 0, 1, 0), "data file 2 of 2"),
        (Unreferenced(-1, 0, 1, 0), "data file -1"),
        (Unreferenced(0, -1, 1, 0), "1 bytes at -1"),
        (Unreferenced(0, 0, 0, 0), "0 bytes at 0"),
        (Unreferenced(0, 2**63 - 1, 1, 0), "1 bytes at 9223372036854775807"),
    ],
)
def test_a_field_that_cannot_be(gap, what):
    encoded = encode_header(Header(2, unreferenced=(gap,)))
    with pytest.raises(Malformed, match=what):
        decode_header(encoded, 0, len(encoded))


def test_no_more_fields_than_can_be_meant():
    gaps = tuple(Unreferenced(0, i, 1, 0) for i in range(UNREFERENCED_MAX + 1))
    encoded = encode_header(Header(1, unreferenced=gaps))
    with pytest.raises(Malformed, match="more than 1000"):
        decode_header(encoded, 0, len(encoded))
    encoded = encode_header(Header(1, unreferenced=gaps[1:]))
    assert decode_header(encoded, 0, len(encoded)).unreferenced == gaps[1:]


@pytest.mark.parametrize(
    "gaps",
    [
        (Unreferenced(0, 3, 2, 0),),  # over the value's end
        (Unreferenced(0, 4, 4, 0), Unreferenced(0, 7, 2, 0)),  # over one another
    ],
)
def test_fields_that_overlap(tmp_path, gaps):
    save(tmp_path / "a", {"v": np.array(1, np.int32)})
    with BundleReader(tmp_path / "a") as reader:
        entries = reader.raw_entries()
    (tmp_path / "a.index").write_bytes(encode_index(Header(unreferenced=gaps), entries))
    with pytest.raises(CheckpointCorruptError, match="overlap"):
        BundleReader(tmp_path / "a")


def test_tensorflow_reads_it(tmp_path):
    import tensorflow as tf

    save(tmp_path / "a", a_few())
    rekey(tmp_path / "a", tmp_path / "b", {"kernel": "k"}, {"name": b"another"})
    reader = tf.train.load_checkpoint(str(tmp_path / "b"))
    assert set(reader.get_variable_to_shape_map()) == {*a_few(), "k"} - {"kernel"}
    assert reader.get_tensor("name") == b"another"
    assert same(reader.get_tensor("k"), a_few()["kernel"])
