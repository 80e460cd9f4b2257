"""Damaged files: found always, and named (one test a kind of damage; indexes: the next file)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from checkpointable.bundle import BundleReader, DataType, Entry, Header, encode_index
from checkpointable.bundle.checksum import crc32c, mask
from checkpointable.errors import (
    CheckpointCorruptError,
    CheckpointError,
    CheckpointIOError,
    CheckpointMismatchError,
    CheckpointNotFoundError,
    CheckpointUnsupportedError,
)
from tests.bundle.damaged import DATA, F4, change, read_all, refused
from tests.bundle.helpers import a_few, save, strings, write_files

# -- every byte ----------------------------------------------------------------------------


def test_every_flipped_bit_of_the_index(prefix):
    path = Path(prefix + ".index")
    good = path.read_bytes()
    for at in range(len(good)):
        for bit in range(8):
            bad = bytearray(good)
            bad[at] ^= 1 << bit
            path.write_bytes(bad)
            with pytest.raises((CheckpointCorruptError, CheckpointUnsupportedError)):
                BundleReader(prefix)


def test_every_flipped_bit_of_the_data(prefix):
    path = Path(prefix + DATA)
    good = path.read_bytes()
    assert len(good) > sum(v.nbytes for v in a_few().values() if v.dtype != object)  # has gaps
    for at in range(len(good)):
        for bit in range(8):
            bad = bytearray(good)
            bad[at] ^= 1 << bit
            path.write_bytes(bad)
            error = refused(prefix)
            assert error.path == str(path)
            assert error.offset is not None
            with BundleReader(prefix) as reader:
                damages = reader.verify()
            assert len(damages) == 1
            assert (damages[0].path, damages[0].key) == (error.path, error.key)


@pytest.mark.parametrize("ending", [".index", DATA])
def test_every_truncation(prefix, ending):
    path = Path(prefix + ending)
    good = path.read_bytes()
    for size in range(len(good)):
        path.write_bytes(good[:size])
        assert refused(prefix).path == str(path)


@pytest.mark.parametrize("ending", [".index", DATA])
def test_bytes_that_follow(prefix, ending):
    path = Path(prefix + ending)
    path.write_bytes(path.read_bytes() + b"\0")
    error = refused(prefix)
    assert error.path == str(path)
    if ending == DATA:
        assert "longer than" in error.what


# -- the files -----------------------------------------------------------------------------


def test_no_such_checkpoint_names_those_beside_it(prefix):  # S33
    other = prefix + "2"
    with pytest.raises(CheckpointNotFoundError, match=r"no checkpoint of this name.*'ck'") as e:
        BundleReader(other)
    assert isinstance(e.value, FileNotFoundError)
    assert e.value.path == other
    with pytest.raises(FileNotFoundError, match="its directory has none"):
        BundleReader(os.path.join(prefix + "-dir", "ck"))


def test_a_missing_data_file_is_named(prefix):
    os.unlink(prefix + DATA)
    error = refused(prefix)
    assert error.path == prefix + DATA
    assert "this data file is missing" in error.what
    with BundleReader(prefix, damaged=True) as reader:
        assert "step" in reader
        damages = reader.verify()
        assert damages[0] == (prefix + DATA, None, 0, "the data file is missing")
        assert {d.key for d in damages[1:]} == {"bias", "kernel", "name", "names", "step"}
        with pytest.raises(CheckpointCorruptError, match="missing"):
            reader.get_tensor("step")
        with pytest.raises(CheckpointCorruptError, match="missing"):
            reader.read_into([("step", np.zeros((), np.int64))])
        assert reader.get_tensor("empty").shape == (0, 4)


def test_what_is_whole_of_a_truncated_file_can_be_saved(prefix):
    with BundleReader(prefix) as reader:
        cut = reader.entry("names").offset + 2
    os.truncate(prefix + DATA, cut)
    error = refused(prefix)
    assert (error.path, error.key) == (prefix + DATA, "names")
    assert "it was cut short" in error.what
    with BundleReader(prefix, damaged=True) as reader:
        assert (reader.get_tensor("kernel") == a_few()["kernel"]).all()
        assert [damage.key for damage in reader.verify()] == [None, "names", "step"]
        for key in ("names", "step"):
            with pytest.raises(CheckpointCorruptError):
                reader.get_tensor(key)
        for verify in (False, "stream", True):
            with pytest.raises(CheckpointCorruptError, match=r"cut short|shorter than"):
                reader.read_into([("step", np.zeros((), np.int64))], verify)


def test_the_data_of_another_checkpoint(tmp_path, prefix):
    other = save(
        tmp_path / "other", {k: v[...] + 1 if v.dtype != object else v for k, v in a_few().items()}
    )
    os.replace(other + DATA, prefix + DATA)
    error = refused(prefix)
    assert error.key == "bias"
    assert "belong to another checkpoint" in error.what


def test_a_data_file_that_no_value_is_in(prefix):
    index = Path(prefix + ".index")
    with BundleReader(prefix) as reader:
        index.write_bytes(encode_index(Header(3), reader.raw_entries()))
    os.replace(prefix + DATA, prefix + ".data-00000-of-00003")
    Path(prefix + ".data-00002-of-00003").write_bytes(b"")
    read_all(prefix)
    Path(prefix + ".data-00002-of-00003").write_bytes(b"x")
    error = refused(prefix)
    assert error.path == prefix + ".data-00002-of-00003"


def test_a_single_file_is_not_read_yet(tmp_path):
    (tmp_path / "model.ckpt").write_bytes(bytes(100))
    with pytest.raises(CheckpointUnsupportedError, match=r"before 0\.12 \(V1\)"):
        BundleReader(tmp_path / "model.ckpt")


def test_directories_and_pipes_in_a_files_place(prefix):
    os.unlink(prefix + DATA)
    os.mkdir(prefix + DATA)
    assert refused(prefix, CheckpointIOError).path == prefix + DATA
    os.rmdir(prefix + DATA)
    os.mkfifo(prefix + DATA)
    assert "not a regular file" in refused(prefix, CheckpointIOError).what


# -- values --------------------------------------------------------------------------------


def test_a_damaged_value_is_named_and_nothing_is_assigned(prefix):
    with BundleReader(prefix) as reader:
        offset = reader.entry("kernel").offset
    change(prefix + DATA, offset + 3)
    with BundleReader(prefix) as reader:
        for ask in (
            lambda: reader.get_tensor("kernel"),
            lambda: reader.get_bytes("kernel"),
            lambda: reader.check(["bias", "kernel"]),
            lambda: reader.read_into([("kernel", np.zeros((3, 4), np.int16))], verify=True),
            lambda: reader.read_into([("kernel", np.zeros((3, 4), np.int16))], verify="stream"),
        ):
            with pytest.raises(CheckpointCorruptError, match="has the checksum 0x") as caught:
                ask()
            assert caught.value.key == "kernel"
            assert caught.value.path == prefix + DATA
            assert caught.value.offset == offset
        reader.check(["bias", "step"])
        assert (reader.get_tensor("bias") == a_few()["bias"]).all()
        assert [damage.key for damage in reader.verify()] == ["kernel"]


def test_damage_in_a_large_value(tmp_path):
    values = {f"v{i}": np.random.default_rng(i).random(400_000) for i in range(5)}
    prefix = save(tmp_path / "ck", values)
    with BundleReader(prefix) as reader:
        offset = reader.entry("v3").offset
    change(prefix + DATA, offset + 3_000_000)
    with BundleReader(prefix) as reader:
        into = {key: np.zeros_like(value) for key, value in values.items()}
        for verify in (True, "stream"):
            for threads in (1, 3):
                with pytest.raises(CheckpointCorruptError) as caught:
                    reader.read_into(into.items(), verify, threads)
                assert (caught.value.key, caught.value.offset) == ("v3", offset)
            if verify is True:
                assert not any(array.any() for array in into.values())
        assert [damage.key for damage in reader.verify()] == ["v3"]


def test_the_gap_between_values(prefix):
    with BundleReader(prefix) as reader:
        entry = reader.entry("bias")
        gap = reader.entry("kernel").offset
        assert entry.offset + entry.size <= gap
        end = max(reader.entry(k).offset + reader.entry(k).size for k in ("name", "names"))
        assert end < reader.entry("step").offset
    change(prefix + DATA, end)
    error = refused(prefix)
    assert (error.what, error.offset) == ("the gap between values is not zero", end)


STRING_DAMAGE = {
    "lengths that do not add up": (b"\x01\x05", None, b"ab", "add up to"),
    "a length without end": (b"\xff\xff", None, b"\xff\xff", "varint"),
    "lengths under a wrong checksum": (
        b"\x01\x01",
        7,
        b"ab",
        "checksum of the strings' lengths is",
    ),
    "a huge length": (
        b"\x01\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        None,
        b"ab",
        "more bytes than are stored",
    ),
}


@pytest.mark.parametrize("name", STRING_DAMAGE)
def test_strings_with(tmp_path, name):
    lengths, checksum, body, what = STRING_DAMAGE[name]
    if checksum is None:
        numbers = [n for n in lengths if n < 128]
        checksum = mask(crc32c(b"".join(n.to_bytes(4, "little") for n in numbers)))
    data = lengths + checksum.to_bytes(4, "little") + body
    entry = Entry(DataType.DT_STRING, (2,), 0, 0, len(data), 1)
    prefix = write_files(tmp_path / "ck", encode_index(Header(), [("s", entry)]), data)
    with BundleReader(prefix) as reader:
        for ask in (reader.get_tensor, lambda key: reader.check([key]), reader.get_bytes):
            with pytest.raises(CheckpointCorruptError, match=what) as caught:
                ask("s")
            assert caught.value.key == "s"
        assert len(reader.verify()) == 1


# -- shapes that NumPy lacks ---------------------------------------------------------------


def test_more_dimensions_than_numpy_has(tmp_path):
    entry = Entry(F4, (1,) * 80, 0, 0, 4, mask(crc32c(bytes(4))))
    prefix = write_files(tmp_path / "ck", encode_index(Header(), [("k", entry)]), bytes(4))
    with BundleReader(prefix) as reader:
        assert reader.verify() == []
        for ask in (reader.get_tensor, reader.view):
            with pytest.raises(CheckpointUnsupportedError, match="NumPy has no array"):
                ask("k")
        with pytest.raises(CheckpointMismatchError):
            reader.read_into([("k", np.zeros((1,) * 30, "f4"))])


def test_an_empty_value_of_an_absurd_shape(tmp_path):
    entry = Entry(F4, (2**62, 2**62, 0), 0, 0, 0, mask(0))
    prefix = write_files(tmp_path / "ck", encode_index(Header(), [("k", entry)]))
    with BundleReader(prefix) as reader:
        assert reader.shape("k") == (2**62, 2**62, 0)
        assert reader.verify() == []
        with pytest.raises(CheckpointError):
            reader.get_tensor("k")


def test_odd_keys_are_keys_and_no_paths(tmp_path):
    values = {key: np.ones(2) for key in ("../../etc/passwd", "a\0b", "\0", "\n", "/", "é" * 300)}
    with BundleReader(save(tmp_path / "ck", values)) as reader:
        assert reader.keys() == sorted(values)
        reader.check(values)
    assert sorted(os.listdir(tmp_path)) == ["ck" + DATA, "ck.index"]


def test_errors_survive_the_way_between_processes(prefix):
    import pickle

    os.unlink(prefix + DATA)
    error = refused(prefix)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.path) == (str(error), error.path)


def test_strings_are_verified_whatever_is_asked(tmp_path):
    prefix = save(tmp_path / "ck", {"s": strings(b"abc", b"def"), "v": np.zeros(2)})
    change(prefix + DATA, 7)
    into = np.ones(2)
    with BundleReader(prefix) as reader, pytest.raises(CheckpointCorruptError) as caught:
        reader.read_into([("v", into), ("s", strings(b"", b""))], verify=False)
    assert caught.value.key == "s"
    assert (into == 1).all()
