"""Damaged and hostile V1 files: our errors, with file, key and offset; bounded memory (S33)."""

from __future__ import annotations

import random
import re
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import checkpointable as cp
from checkpointable.bundle.v1.values import decode_varints
from checkpointable.wire.varints import Malformed, decode_varint, encode_varint
from tests.v1.helpers import FULL, craft, meta, part, strings, write_slices, write_v1

MIB = 2**20


def a_file(tmp_path, compressible):
    rng = np.random.default_rng(3)
    values = {
        "a": np.zeros(400, np.float32) if compressible else rng.bytes(90),
        "b": np.arange(6, dtype=np.int32).reshape(2, 3),
        "c": strings(b"x", b"yy"),
    }
    path = write_v1(tmp_path / "m", values)
    return path, values


def is_noticed(path) -> bool:
    try:
        reader = cp.load_checkpoint(path)
    except cp.CheckpointCorruptError as error:
        return error.path is not None
    with reader:
        damages = reader.verify()
    return bool(damages) and all(damage.what and damage.offset >= 0 for damage in damages)


@pytest.mark.parametrize("compressible", [True, False])
def test_every_flipped_bit_is_noticed(compressible, tmp_path):
    path, _ = a_file(tmp_path, compressible)
    data = bytearray((tmp_path / "m").read_bytes())
    rng = random.Random(1)
    for offset in range(len(data)):
        bit = 1 << rng.randrange(8)
        data[offset] ^= bit
        (tmp_path / "m").write_bytes(data)
        assert is_noticed(path), f"bit {bit} of byte {offset} of {len(data)}"
        data[offset] ^= bit


def test_every_truncation_is_noticed(tmp_path):
    path, _ = a_file(tmp_path, False)
    data = (tmp_path / "m").read_bytes()
    for size in range(len(data)):
        (tmp_path / "m").write_bytes(data[:size])
        with pytest.raises(cp.CheckpointCorruptError) as caught:
            cp.load_checkpoint(path)
        assert caught.value.path == path


def test_bytes_after_the_end_are_noticed(tmp_path):
    path, _ = a_file(tmp_path, False)
    data = (tmp_path / "m").read_bytes()
    for more in (b"\0", b"\0" * 48, data[-48:], data):
        (tmp_path / "m").write_bytes(data + more)
        with pytest.raises(cp.CheckpointCorruptError):
            cp.load_checkpoint(path)


@pytest.mark.parametrize("contents", [b"", b"\0" * 1000, b"some text\n" * 100])
def test_what_is_no_checkpoint(contents, tmp_path):
    (tmp_path / "m").write_bytes(contents)
    with pytest.raises(cp.CheckpointCorruptError, match=r"too few|it is not a V1 checkpoint"):
        cp.load_checkpoint(tmp_path / "m")


def test_damage_in_one_block_leaves_the_others_readable(tmp_path):
    rng = np.random.default_rng(1)
    values = {name: rng.normal(size=100_000) for name in "abc"}
    path = write_v1(tmp_path / "m", values)
    data = bytearray((tmp_path / "m").read_bytes())
    data[data.index(values["b"][50_000].tobytes())] ^= 1
    (tmp_path / "m").write_bytes(data)
    with cp.load_checkpoint(path) as reader:
        for name in "ac":
            assert (reader.get_tensor(name) == values[name]).all()
        with pytest.raises(cp.CheckpointCorruptError, match="checksum") as caught:
            reader.get_tensor("b")
        assert caught.value.key == "b"
        assert caught.value.path == path
        target = {name: np.zeros(100_000) for name in "abc"}
        with pytest.raises(cp.CheckpointCorruptError):
            reader.read_into(target.items(), verify=True)
        assert not any(array.any() for array in target.values())  # S25
        damages = reader.verify()
        assert {damage.key for damage in damages} == {None, "b"}


# -- good checksums, bad contents ------------------------------------------------------------


def refused(path, match, kind=cp.CheckpointCorruptError):
    """Opening, or reading "v", raises this; verify lists it, or cannot open either."""
    try:
        reader = cp.load_checkpoint(path)
    except kind as error:
        assert re.search(match, str(error))  # noqa: PT017 - it may open, too
        return
    with reader:
        for read in (reader.get_tensor, lambda key: reader.check([key])):
            with pytest.raises(kind, match=match) as caught:
                read("v")
            assert caught.value.key == "v"
        assert bool(reader.verify()) == (kind is cp.CheckpointCorruptError)


NUMBERS = {"float_val": [1, 2, 3, 4, 5, 6]}
WHOLE = part("v", [FULL, FULL], **NUMBERS)


def test_a_crafted_file_is_read(tmp_path):
    path = craft(tmp_path / "m", [meta("v", (2, 3))], [WHOLE])
    with cp.load_checkpoint(path) as reader:
        assert reader.get_tensor("v").tolist() == [[1, 2, 3], [4, 5, 6]]
        assert reader.verify() == []


@pytest.mark.parametrize(
    ("first", "match"),
    [
        (b"none", "does not begin with a list"),
        (b"", "does not list the contents of the file"),
        (b"\x0a\x02\x0a\x00", "has no name"),
        (b"\x0a\x05\x0a\x03\x0a\x01\xff", "not UTF-8"),
        (b"\x0a\x05\x0a\x03\x0a\x01v", "has no parts"),
        (b"\x0a\x7f", "127 bytes where 0 are left"),
        (b"\x0a\x00\x0a\x00", "does not list the contents of the file"),
        (b"\x0f", "wire type 7"),
        (b"\x80" * 20, "varint"),
    ],
)
def test_a_bad_list_of_values(first, match, tmp_path):
    refused(craft(tmp_path / "m", [], [WHOLE], first=first), match)


@pytest.mark.parametrize(
    ("metas", "match"),
    [
        ([meta("v", (2, -3))], "dimension 1 of the shape is -3"),
        ([meta("v", (1,) * 255)], "more than 254 dimensions"),
        ([meta("v", (2, 3)), meta("v", (2, 3))], "listed twice"),
        ([meta("v", (2, 3), [FULL])], "does not fit the shape"),
        ([meta("v", (2, 3), [(1, 2), FULL])], "does not fit the shape"),
        ([meta("v", (2, 3), [(-1, 1), FULL])], "slice starts at -1"),
        ([meta("v", (3, 3))], "has 6 elements, but should have 9"),
        ([meta("v", (2,), [FULL])], "is listed, but not in the file"),
        ([meta("v", (2, 3), [FULL, FULL], [FULL, FULL])], "2 parts do not cover"),
        ([meta("v", (4, 3), [(0, 2), FULL])], "1 parts do not cover"),
        ([meta("v", (2**40, 2**40))], "has 6 elements"),
        ([meta("v", (2, 3), dtype=9)], "has 0 elements, but should have 6"),
    ],
)
def test_a_list_that_the_parts_do_not_bear_out(metas, match, tmp_path):
    refused(craft(tmp_path / "m", metas, [WHOLE]), match)


@pytest.mark.parametrize(
    ("dtype", "numbers", "match"),
    [
        (1, {"double_val": [1] * 6}, "has 0 elements"),
        (1, {"float_val": [1] * 5}, "has 5 elements"),
        (1, {"float_val": [1] * 7}, "has 7 elements"),
        (1, {"tensor_content": struct.pack("<6f", *range(6))}, "has 0 elements"),
        (6, {"int_val": [0, 0, 0, 0, 0, 128]}, "does not fit DT_INT8"),
        (4, {"int_val": [0, 0, 0, 0, 0, -1]}, "does not fit DT_UINT8"),
        (19, {"half_val": [0, 0, 0, 0, 0, 65536]}, "does not fit DT_HALF"),
        (7, {"string_val": [b""] * 7}, "has 7 elements"),
        (8, {"scomplex_val": [1] * 11}, "44 bytes, not a multiple of the 8"),
    ],
)
def test_a_part_of_other_numbers(dtype, numbers, match, tmp_path):
    parts = [part("v", [FULL, FULL], **numbers)]
    refused(craft(tmp_path / "m", [meta("v", (2, 3), dtype=dtype)], parts), match)


@pytest.mark.parametrize("dtype", [0, 14, 20, 21, 22, 23, 24, 99])
def test_kinds_that_the_format_does_not_have(dtype, tmp_path):
    path = craft(tmp_path / "m", [meta("v", (2, 3), dtype=dtype)], [WHOLE])
    refused(path, "dtype DT_", cp.CheckpointUnsupportedError)
    with cp.load_checkpoint(path) as reader:
        assert reader.shape("v") == (2, 3)
        assert reader.verify() == []


def test_an_entry_that_is_another_values(tmp_path):
    key, _ = WHOLE
    other = part("w", [FULL, FULL], **NUMBERS)[1]
    refused(craft(tmp_path / "m", [meta("v", (2, 3))], [(key, other)]), "is a part of 'w'")
    moved = part("v", [(0, 2), FULL], **NUMBERS)[1]
    refused(craft(tmp_path / "m", [meta("v", (2, 3))], [(key, moved)]), "is a part of 'v'")


def test_an_entry_that_nothing_lists(tmp_path):
    path = craft(tmp_path / "m", [meta("v", (2, 3))], [WHOLE, part("w", [FULL, FULL], **NUMBERS)])
    with cp.load_checkpoint(path) as reader:
        assert reader.get_tensor("v").size == 6
        (damage,) = reader.verify()
        assert "does not belong to a listed value" in damage.what


def test_overlapping_parts(tmp_path):
    extents = [[(0, 2), FULL], [(1, 2), FULL]]
    parts = [part("v", e, **NUMBERS) for e in extents]
    path = craft(tmp_path / "m", [meta("v", (4, 3), *extents)], parts)
    with cp.load_checkpoint(path) as reader:
        for read in (reader.get_tensor, lambda key: reader.check([key])):
            with pytest.raises(cp.CheckpointCorruptError, match="2 parts do not cover"):
                read("v")
        assert [damage.key for damage in reader.verify()] == ["v"]


@pytest.mark.parametrize("versions", [{"min_consumer": 2}, {"bad_consumers": [3, 1]}])
def test_a_newer_version_is_unsupported(versions, tmp_path):
    path = craft(tmp_path / "m", [meta("v", (2, 3))], [WHOLE], versions)
    with pytest.raises(cp.CheckpointUnsupportedError, match="version"):
        cp.load_checkpoint(path)


def test_shards_that_differ(tmp_path):
    craft(tmp_path / "m-00000-of-00002", [meta("v", (2, 3))], [WHOLE])
    craft(tmp_path / "m-00001-of-00002", [meta("v", (2, 4))], [WHOLE])
    with pytest.raises(cp.CheckpointCorruptError, match=r"here it is DT_FLOAT of shape \(2, 4\)"):
        cp.load_checkpoint(tmp_path / "m")


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_first_entry_is_refused_or_read(data, tmp_path_factory):
    from tensorflow.core.util.saved_tensor_slice_pb2 import SavedTensorSlices

    message = SavedTensorSlices()
    message.meta.tensor.append(meta("v", (2, 3)))
    first = bytearray(message.SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        first[data.draw(st.integers(0, len(first) - 1))] = data.draw(st.integers(0, 255))
    path = craft(tmp_path_factory.getbasetemp() / "v1-first", [], [WHOLE], first=bytes(first))
    try:
        with cp.load_checkpoint(path) as reader:
            reader.verify()
            for key in reader:
                reader.get_tensor(key)
    except cp.CheckpointError:
        pass


# -- memory ------------------------------------------------------------------------------------


def peak(action) -> int:
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "metas",
    [
        [meta("v", (2**20, 2**20))],
        [meta("v", (2**40,), [(0, 2**39)], [(2**39, 2**39)])],
        [meta("v", (2**62, 2**62))],
        [meta("v", (2**40, 0))],
    ],
)
def test_a_shape_alone_costs_no_memory(metas, tmp_path):
    path = craft(tmp_path / "m", metas, [WHOLE, part("v", [(0, 2**39)], **NUMBERS)])

    def read():
        with cp.load_checkpoint(path) as reader:
            reader.verify()
            with pytest.raises(cp.CheckpointError):
                reader.get_tensor("v")

    read()
    assert peak(read) < 4 * MIB


def test_a_value_costs_its_own_size(tmp_path):
    rng = np.random.default_rng(1)
    values = {f"v{i}": rng.normal(size=MIB // 4) for i in range(8)}  # 2 MiB each
    path = write_v1(tmp_path / "m", values)

    def read():
        with cp.load_checkpoint(path) as reader:
            for key in reader:
                reader.get_tensor(key)
            reader.check(reader)

    read()
    assert peak(read) < 9 * MIB


def test_a_long_value_of_short_numbers(tmp_path):
    path = write_v1(tmp_path / "m", {"v": np.ones(4 * MIB, np.int8)})

    def read():
        with cp.load_checkpoint(path) as reader:
            assert reader.get_tensor("v").sum() == 4 * MIB

    read()
    assert peak(read) < 32 * 5 * MIB


# -- numbers ----------------------------------------------------------------------------------


def one_by_one(run):
    found, position = [], 0
    while position < len(run):
        value, position = decode_varint(run, position, len(run))
        found.append(value)
    return found


@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 300)), st.sampled_from([1, 7, 64, 4096]))
def test_many_varints_as_one_by_one(numbers, chunk):
    run = b"".join(map(encode_varint, numbers))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("checkpointable.bundle.v1.values._CHUNK_SIZE", max(chunk, 10))
        assert decode_varints(run).tolist() == numbers == one_by_one(run)


@given(st.binary(max_size=40))
def test_any_bytes_as_varints(run):
    try:
        expected = one_by_one(run)
    except Malformed:
        expected = None
    try:
        found = decode_varints(run).tolist()
    except Malformed:
        found = None
    # Protobuf drops what is above 64 bits, which the careful decoder refuses.
    assert found == expected or expected is None


def test_unpacked_numbers_are_read_too(tmp_path):
    """As protobuf reads them, though TensorFlow writes them packed."""
    slice_ = b"\x12\x04\x0a\x00\x0a\x00"
    for dtype, numbers in (
        (1, b"".join(b"\x2d" + struct.pack("<f", n) for n in range(6))),
        (3, b"".join(b"\x38" + encode_varint(n) for n in range(6))),
    ):
        saved = b"\x0a\x01v" + slice_ + b"\x1a" + encode_varint(len(numbers)) + numbers
        value = b"\x12" + encode_varint(len(saved)) + saved
        path = craft(tmp_path / "m", [meta("v", (2, 3), dtype=dtype)], [(WHOLE[0], value)])
        with cp.load_checkpoint(path) as reader:
            assert reader.get_tensor("v").reshape(-1).tolist() == list(range(6))


def test_a_part_in_a_file_that_lists_no_such_part(tmp_path):
    path = write_slices(tmp_path / "m", [("v", "4 2 0,2:-", np.zeros((2, 2)))])
    with cp.load_checkpoint(path) as reader, pytest.raises(cp.CheckpointCorruptError):
        reader.get_tensor("v")
