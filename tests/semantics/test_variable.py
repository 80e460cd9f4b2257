"""Variables: arrays of fixed shape and dtype, changed in place."""

from __future__ import annotations

import copy
import pickle

import ml_dtypes
import numpy as np
import pytest

import checkpointable as cp
from tests.semantics.helpers import Module, restore, save


def test_it_copies_what_it_is_made_of():
    source = np.arange(3.0)
    v = cp.Variable(source, name="scope/v")
    source[0] = 9
    assert v.numpy().tolist() == [0, 1, 2]
    assert (v.shape, v.dtype, v.name) == ((3,), np.dtype("float64"), "scope/v")
    assert "scope/v" in repr(v)
    assert cp.Variable(1).name is None


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (1, None, "int64"),
        (1.5, None, "float64"),
        (True, None, "bool"),
        (1j, None, "complex128"),
        ([1, 2], "float32", "float32"),
        ([1, 2], "bfloat16", "bfloat16"),
        (1, "int4", "int4"),
        (np.float16(1), None, "float16"),
        ("text", None, "object"),
        ([b"a", "b"], None, "object"),
        (np.array([1], ">i4"), "int32", "int32"),
    ],
)
def test_its_dtype(value, dtype, expected):
    assert cp.Variable(value, dtype=dtype).dtype.name == expected


def test_assign_changes_it_in_place():
    v = cp.Variable(np.zeros((2, 3)))
    memory = np.asarray(v)
    assert v.assign(np.ones((2, 3), np.int8)) is v
    assert v.assign_add(np.full((2, 3), 2)) is v
    assert memory.tolist() == [[3, 3, 3], [3, 3, 3]]
    assert np.shares_memory(np.asarray(v), memory)
    assert not np.shares_memory(v.numpy(), memory)


def test_another_shape_is_refused():
    v = cp.Variable(np.zeros(3), name="v")
    for change in (v.assign, v.assign_add):
        for value in (0.0, np.zeros(2), np.zeros((3, 1)), np.zeros((1, 3))):
            with pytest.raises(ValueError, match="shape"):
                change(value)
    assert v.numpy().tolist() == [0, 0, 0]


def test_strings():
    v = cp.Variable(["a", b"\xff\0", "ü"])
    assert v.numpy().tolist() == [b"a", b"\xff\0", "ü".encode()]
    v.assign(["", "x", b"y"])
    assert v.numpy().tolist() == [b"", b"x", b"y"]
    with pytest.raises(TypeError, match="strings"):
        v.assign([1, 2, 3])
    assert cp.Variable("scalar").shape == ()


def test_numbers_and_arrays_are_made_of_it():
    v = cp.Variable(3)
    assert int(v) == float(v) == 3
    assert [10, 20, 30, 40][v] == 40
    assert np.asarray(v, dtype=np.float32).dtype == np.float32
    assert (np.asarray(cp.Variable([1.0, 2.0])) * 2).tolist() == [2, 4]


# S20: whatever the memory looked like when it was made
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3).T,
        np.arange(12.0)[::-2],
        np.arange(3, dtype=">f8"),
        np.broadcast_to(np.float32(2), (2, 2)),
        np.zeros((0, 3)),
        np.array(5),
        np.arange(4, dtype=ml_dtypes.bfloat16),
    ],
    ids=["transposed", "reversed", "big endian", "broadcast", "empty", "scalar", "bfloat16"],
)
def test_any_layout_is_saved_and_restored(tmp_path, array):
    root = Module(v=cp.Variable(array))
    path = save(root, tmp_path / "c")
    root.v.assign(np.zeros(array.shape))
    restore(root, path).assert_consumed()
    assert root.v.numpy().tolist() == array.tolist()
    other = Module()
    restore(other, path)
    other.v = cp.Variable(np.zeros(array.shape), dtype=array.dtype.newbyteorder("="))
    assert other.v.numpy().tolist() == array.tolist()


def test_copies_have_memory_of_their_own():
    v = cp.Variable([1.0, 2.0], name="v")
    for other in (copy.deepcopy(v), pickle.loads(pickle.dumps(v))):
        other.assign([3, 4])
        assert (other.name, other.numpy().tolist()) == ("v", [3, 4])
    assert v.numpy().tolist() == [1, 2]
