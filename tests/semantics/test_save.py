"""Saving: the files, their names, their numbers; what a failed save leaves."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import checkpointable as cp
from checkpointable.saving.values_to_write import _value_read_now, values_to_write
from tests.semantics.helpers import Counter, Module, keys, restore, save, variable


def files(directory):
    return sorted(path.name for path in directory.iterdir())


# S14
def test_a_first_save_makes_exactly_two_files_and_the_state_file(tmp_path):
    path = cp.CheckpointableSaver(Module(v=variable())).save(tmp_path / "runs" / "a" / "ckpt", 3)
    assert path == str(tmp_path / "runs" / "a" / "ckpt-3")
    assert files(tmp_path / "runs" / "a") == [
        *("checkpoint", "ckpt-3.data-00000-of-00001", "ckpt-3.index"),
    ]
    assert cp.latest_checkpoint(tmp_path / "runs" / "a") == path


# S14
def test_without_a_number_the_prefix_is_the_path(tmp_path):
    path = save(Module(v=variable()), tmp_path / "ckpt")
    assert path == str(tmp_path / "ckpt")
    assert files(tmp_path) == ["checkpoint", "ckpt.data-00000-of-00001", "ckpt.index"]


class Tensor:
    """What a framework's scalar looks like: it has `__array__` and `__index__`."""

    def __init__(self, value):
        self.value = value

    def numpy(self):
        return np.int64(self.value)

    def __array__(self, dtype=None, copy=None):
        return np.array(self.value, dtype=np.int64)


NUMBERS = {
    "int": lambda: 7,
    "zero": lambda: 0,
    "numpy": lambda: np.int32(7),
    "array": lambda: np.array(7),
    "array of one": lambda: np.array([7]),
    "variable": lambda: cp.Variable(7),
    "tensor": lambda: Tensor(7),
}


# S14
@pytest.mark.parametrize("kind", NUMBERS)
def test_the_number_is_an_int_or_a_variable(tmp_path, kind):
    path = save(Module(v=variable()), tmp_path / "ckpt", NUMBERS[kind]())
    assert path == str(tmp_path / ("ckpt-0" if kind == "zero" else "ckpt-7"))


# S14
def test_the_number_of_other_frameworks(tmp_path):
    import tensorflow as tf
    import torch

    for number in (tf.Variable(7), tf.constant(7), torch.tensor(7)):
        assert save(Module(v=variable()), tmp_path / "ckpt", number).endswith("ckpt-7")


# S14
@pytest.mark.parametrize("number", [1.5, np.zeros(2, int), np.float32(1)], ids=repr)
def test_other_numbers_are_refused(tmp_path, number):
    with pytest.raises(ValueError, match="checkpoint_number must be one integer"):
        save(Module(v=variable()), tmp_path / "ckpt", number)


# S14
def test_the_arguments_keep_the_originals_names(tmp_path):
    root = Module(v=variable(1))
    saver = cp.CheckpointableSaver(root_checkpointable=root)
    path = saver.save(
        file_prefix=str(tmp_path / "ckpt"), checkpoint_number=2, session=None, durability="fsync"
    )
    saver.restore(save_path=path).assert_consumed()


# S14
@pytest.mark.parametrize("prefix", ["", "runs/", "/"])
def test_a_directory_is_no_prefix(tmp_path, monkeypatch, prefix):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="names a directory"):
        save(Module(v=variable()), prefix)
    with pytest.raises(TypeError, match="str or a path, not bytes"):
        save(Module(v=variable()), b"ckpt")


# S14
def test_a_prefix_without_a_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = Module(v=variable(2))
    assert save(root, "ckpt", 1) == "ckpt-1"
    assert files(tmp_path) == ["checkpoint", "ckpt-1.data-00000-of-00001", "ckpt-1.index"]
    restore(root, "ckpt-1").assert_consumed()
    assert cp.latest_checkpoint(".") == os.path.join(".", "ckpt-1")


# S14
def test_odd_prefixes(tmp_path):
    root = Module(v=variable(2))
    for name in ("a b", "ü", "x.index", "y.data-00000-of-00001", "-1", "%s", "a\nb", "x" * 200):
        path = save(root, tmp_path / name / name, 1)
        root.v.assign(0)
        restore(root, path).assert_consumed()
        restore(root, cp.latest_checkpoint(tmp_path / name)).assert_consumed()
        assert float(root.v) == 2


# S14
def test_a_root_that_takes_no_part(tmp_path):
    for root in (3, [1], np.zeros(3), None):
        with pytest.raises(TypeError, match="it is neither a Checkpointable nor"):
            cp.CheckpointableSaver(root)


# S14
def test_progress_is_told_every_byte(tmp_path):
    root = Module(a=cp.Variable(np.zeros(1_000_000)), b=cp.Variable(np.zeros(10)))
    told = []
    cp.CheckpointableSaver(root).save(
        tmp_path / "c", durability="flush", progress=lambda *args: told.append(args)
    )
    done, total, key = told[-1]
    assert done == total > 8_000_000
    assert [d for d, _, _ in told] == sorted(d for d, _, _ in told)
    assert isinstance(key, str)


# S17
def test_objects_added_between_two_saves_are_in_the_second(tmp_path):
    root = Module(a=variable(1))
    saver = cp.CheckpointableSaver(root)
    first = saver.save(tmp_path / "c", 1, durability="flush")
    root.b, root.items = variable(2), []
    root.items.append(Counter(3))
    second = saver.save(tmp_path / "c", 2, durability="flush")
    del root.a
    third = saver.save(tmp_path / "c", 3, durability="flush")
    assert [keys(p) for p in (first, second, third)] == [
        *(["a"], ["a", "b", "items/0"], ["b", "items/0"]),
    ]


class Failing(cp.PythonState):
    def serialize(self):
        raise RuntimeError("no state today")

    def deserialize(self, string_value):
        raise AssertionError("never")


def failing_value(when):
    """A value whose contents are asked for, and are not what they should be."""

    class Odd(cp.Checkpointable):
        def _gather_saveables_for_checkpoint(self):
            def read():
                if when == "raises":
                    raise RuntimeError("no value today")
                return np.zeros(
                    4 if when == "shape" else 3, "float64" if when != "dtype" else "int8"
                )

            return {"v": cp.Value("float64", (3,), read, lambda contents: None)}

    return Odd()


FAILURES = {
    "python state": (Failing, RuntimeError),
    "raises": (lambda: failing_value("raises"), RuntimeError),
    "shape": (lambda: failing_value("shape"), cp.CheckpointMismatchError),
    "dtype": (lambda: failing_value("dtype"), cp.CheckpointMismatchError),
    "objects": (lambda: cp.Variable(np.array([object()])), TypeError),
}


# S18
@pytest.mark.parametrize("failure", [name for name in FAILURES if name != "objects"])
@pytest.mark.parametrize("number", [1, 2], ids=["the same prefix", "another"])
def test_a_failed_save_leaves_the_previous_one_latest_and_nothing_else(tmp_path, failure, number):
    make, error = FAILURES[failure]
    root = Module(a=cp.Variable(np.arange(5.0)))
    path = save(root, tmp_path / "c", 1)
    before = {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}
    root.a.assign(np.zeros(5))
    root.b = make()
    with pytest.raises(error):
        save(root, tmp_path / "c", number)
    assert {name: (tmp_path / name).read_bytes() for name in files(tmp_path)} == before
    assert cp.latest_checkpoint(tmp_path) == path
    del root.b
    restore(root, path).assert_consumed()
    assert root.a.numpy().tolist() == [0, 1, 2, 3, 4]


# S18
def test_the_same_prefix_may_be_written_again_and_again(tmp_path):
    root = Module(v=cp.Variable(np.zeros(1000)))
    for number in range(5):
        root.v.assign(np.full(1000, number))
        path = save(root, tmp_path / "c")
        shards = 1 + number % 2
        assert files(tmp_path) == sorted(
            ["checkpoint", "c.index"]
            + [f"c.data-{shard:05d}-of-{shards:05d}" for shard in range(shards)]
        )
        other = Module(v=cp.Variable(np.zeros(1000)))
        restore(other, path).assert_consumed()
        assert other.v.numpy()[0] == number


# S18
def test_what_a_killed_save_leaves_is_no_checkpoint_and_goes_at_the_next(tmp_path):
    root = Module(v=variable(1))
    path = save(root, tmp_path / "ckpt", 1)
    left = [".ckpt-2.data.tmp-999999-0123abcd", ".ckpt-2.index.tmp-999999-0123abcd"]
    for name in left:
        (tmp_path / name).write_bytes(b"half of it")
    (tmp_path / "ckpt-3.data-00000-of-00001").write_bytes(b"data without an index")
    assert cp.latest_checkpoint(tmp_path) == path
    (tmp_path / "checkpoint").unlink()
    assert cp.latest_checkpoint(tmp_path) == path
    with pytest.raises(cp.CheckpointNotFoundError):
        restore(root, str(tmp_path / "ckpt-3"))
    with pytest.raises(cp.CheckpointNotFoundError):
        restore(root, str(tmp_path / "ckpt-2"))
    save(root, tmp_path / "ckpt", 4)
    assert not any(name in files(tmp_path) for name in left)


def test_values_of_a_dtype_that_files_have_not(tmp_path):
    root = Module(v=cp.Variable(np.array(["2020-01-01"], dtype="datetime64[D]")))
    with pytest.raises(cp.CheckpointUnsupportedError, match="datetime64"):
        save(root, tmp_path / "c")
    with pytest.raises(TypeError, match="strings"):
        cp.Variable(np.array([object()]))
    assert files(tmp_path) == []


@given(
    st.sampled_from(["float32", "int8", "bool", "complex64", "bfloat16", ">i4"]),
    st.lists(st.integers(0, 3), max_size=3).map(tuple),
    st.booleans(),
)
def test_what_is_recorded_late_is_what_would_be_recorded_at_once(dtype, shape, fresh):
    contents = np.ones(shape, cp.Variable(0, dtype=dtype.lstrip(">")).dtype)
    contents = contents.astype(contents.dtype.newbyteorder(">")) if dtype[0] == ">" else contents
    value = cp.Value(contents.dtype, shape, lambda: contents, print)
    if fresh:
        value = type("Fresh", (cp.Value,), {"fresh": True})(
            contents.dtype, shape, lambda: contents, print
        )
    (late,) = values_to_write([("key", value)])
    at_once = _value_read_now("key", value)
    assert late._replace(read=None) == at_once._replace(read=None)
    assert np.array_equal(late.read(), at_once.read())
    assert late.fresh == fresh
