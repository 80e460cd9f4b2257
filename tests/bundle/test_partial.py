"""Values where they lie in the file, and parts of values."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import checkpointable as cp
from checkpointable.bundle import BundleReader, DataType, ValueToWrite, datatype_of, write_bundle

KEY = "v/.ATTRIBUTES/VARIABLE_VALUE"


def value_to_write(key, array, cuts=()):
    """Of a partitioned value where there are cuts of the first dimension."""
    kind = datatype_of(array.dtype)
    bounds = [0, *cuts, len(array)] if cuts else []
    rest = tuple((0, size) for size in array.shape[1:])
    parts = tuple(
        (((a, b - a), *rest), ValueToWrite("", kind, array[a:b].shape, lambda a=a, b=b: array[a:b]))
        for a, b in pairwise(bounds)
    )
    return ValueToWrite(key, kind, array.shape, lambda: array, parts)


@pytest.fixture(scope="module")
def values(tmp_path_factory):
    directory = tmp_path_factory.mktemp("partial")
    rng = np.random.default_rng(0)
    found = {
        "cube": rng.integers(0, 99, (7, 5, 6)).astype("f4"),
        "scalar": np.array(3, np.int64),
        "empty": np.zeros((3, 0), "f8"),
        "text": np.array([[b"a", b"bc"], [b"", b"d"]], object),
        "divided": rng.integers(0, 99, (9, 4)).astype("i2"),
    }
    values_to_write = [
        value_to_write(k, v, (2, 3, 8) if k == "divided" else ()) for k, v in found.items()
    ]
    write_bundle(directory / "ck", values_to_write, durability="flush")
    with BundleReader(directory / "ck") as reader:
        yield found, reader


places = st.integers(-10, 10)
bounds = st.none() | places
slices = st.builds(slice, bounds, bounds, bounds.filter(lambda step: step != 0))
indices = (
    st.lists(places | slices | st.just(...), max_size=4).map(tuple) | places | slices | st.just(...)
)


@given(st.sampled_from(["cube", "scalar", "empty", "text", "divided"]), indices)
def test_a_slice_is_that_of_the_whole(values, key, index):
    found, reader = values
    try:
        expected = found[key][index if isinstance(index, tuple) else (index,)]
    except IndexError:
        with pytest.raises(IndexError):
            reader.get_slice(key, index)
        return
    chosen = reader.get_slice(key, index)
    assert isinstance(chosen, np.ndarray)
    assert chosen.dtype == found[key].dtype
    assert chosen.flags.c_contiguous
    assert chosen.flags.owndata or chosen.base is not None
    assert chosen.shape == np.shape(expected)
    assert np.array_equal(chosen, expected)


@pytest.mark.parametrize("index", [[0, 1], np.array([1]), True, None, "a", 1.0, (slice(None), [0])])
def test_other_indices_are_refused(values, index):
    with pytest.raises(TypeError, match="made of integers, slices and"):
        values[1].get_slice("cube", index)


def test_a_slice_of_the_other_byte_order(tmp_path, monkeypatch):
    array = np.arange(12, dtype="c8").reshape(3, 4)
    write_bundle(tmp_path / "ck", [value_to_write("v", array)], durability="flush")
    with BundleReader(tmp_path / "ck") as reader:
        monkeypatch.setattr(reader._contents, "swap", True)
        swapped = reader.get_slice("v", np.s_[1:, ::2])
        monkeypatch.undo()
        plain = reader.get_slice("v", np.s_[1:, ::2])
    assert swapped.tobytes() == plain.view("u4").byteswap().tobytes()


@pytest.fixture
def saved(tmp_path):
    checkpoint = cp.Checkpoint(
        v=cp.Variable(np.arange(5000.0)), s=cp.Variable(3), text=cp.Variable("hello")
    )
    return checkpoint.write(tmp_path / "ck")


@pytest.mark.parametrize("mmap", [True, "c"])
def test_arrays_on_the_mapped_file(saved, mmap):
    data = Path(f"{saved}.data-00000-of-00001")
    before = data.read_bytes()
    with cp.load_checkpoint(saved, mmap=mmap) as reader:
        first, second = reader.get_tensor(KEY), reader.get_tensor(KEY)
        assert reader.get_tensor("text/.ATTRIBUTES/VARIABLE_VALUE") == b"hello"
        assert reader.get_tensor("s/.ATTRIBUTES/VARIABLE_VALUE") == 3
        reader.check([KEY])
    assert np.shares_memory(first, second)
    assert first.ctypes.data % 64 == 0
    assert np.array_equal(first, np.arange(5000.0))  # also after the reader is closed
    assert first.flags.writeable == (mmap == "c")
    if mmap == "c":
        first[:] = 0
        assert np.array_equal(cp.load_checkpoint(saved).get_tensor(KEY), np.arange(5000.0))
    assert data.read_bytes() == before


def test_other_ways_of_mapping_are_refused(saved):
    with pytest.raises(ValueError, match="mmap is 'r'"):
        cp.load_checkpoint(saved, mmap="r")


def test_checksums_on_demand(saved):
    data = Path(f"{saved}.data-00000-of-00001")
    contents = bytearray(data.read_bytes())
    with cp.load_checkpoint(saved) as reader:
        entry = reader.entry(KEY)
    contents[entry.offset + 8 * 4000] ^= 1
    data.write_bytes(contents)
    with cp.load_checkpoint(saved, mmap=True) as reader:
        assert (reader.get_tensor(KEY)[:100] == np.arange(100.0)).all()
        assert (reader.get_slice(KEY, slice(100)) == np.arange(100.0)).all()
        reader.check(["s/.ATTRIBUTES/VARIABLE_VALUE"])
        with pytest.raises(cp.CheckpointCorruptError, match="checksum"):
            reader.check([KEY])
    with cp.load_checkpoint(saved) as reader, pytest.raises(cp.CheckpointCorruptError):
        reader.get_tensor(KEY)


READS_LITTLE = """
import sys
from itertools import pairwise
import numpy as np
from pathlib import Path
from checkpointable.bundle import BundleReader

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("RssFile", "RssShmem")))

with BundleReader(sys.argv[1], mmap=True) as reader:
    for key in ("plain", "divided"):
        reader.get_slice(key, np.s_[:1, :1])
        before = resident()
        found = reader.get_slice(key, np.s_[1000:1010, ::2])
        assert found.shape == (10, 2048) and (found == 1).all()
        assert resident() - before < 4096, resident() - before  # of 65,536 kilobytes
"""


def test_a_slice_reads_no_more_than_it_must(tmp_path):
    if not Path("/proc/self/status").exists():
        pytest.skip("needs /proc")
    array = np.ones((4096, 4096), np.int32)
    values_to_write = [
        value_to_write("plain", array),
        value_to_write("divided", array, (1005, 2000)),
    ]
    assert values_to_write[0].dtype == DataType.DT_INT32
    write_bundle(tmp_path / "ck", values_to_write, durability="flush")
    done = subprocess.run(
        [sys.executable, "-c", READS_LITTLE, str(tmp_path / "ck")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
