"""The reader of V1 files has the interface of every reader."""

from __future__ import annotations

import os

import numpy as np
import pytest

import checkpointable as cp
from checkpointable.bundle.v1.reader import V1Reader
from tests.v1.helpers import same, strings, write_v1


def test_reading_into_arrays(tmp_path):
    path = write_v1(
        tmp_path / "m", {"a": np.arange(6.0).reshape(2, 3), "s": strings(b"x", b""), "t": [b"y"]}
    )
    with cp.load_checkpoint(path) as reader:
        target = np.zeros((3, 2)).T
        text = strings(b"", b"")
        for verify in (True, False, "stream"):
            target[...] = 0
            reader.read_into([("a", target), ("s", text)], verify=verify)
            assert target.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
            assert text.tolist() == [b"x", b""]
        frozen = np.zeros((2, 3))
        frozen.flags.writeable = False
        target[...] = -1
        for wrong in (np.zeros((3, 2)), np.zeros((2, 3), np.float32), frozen):
            with pytest.raises(cp.CheckpointMismatchError):
                reader.read_into([("a", target), ("a", wrong)])
        with pytest.raises(TypeError, match="is not an array"):
            reader.read_into([("a", [1, 2])])
        with pytest.raises(cp.CheckpointNotFoundError):
            reader.read_into([("a", target), ("b", target)])
        assert (target == -1).all()


def test_what_a_value_is_belongs_to_the_caller(tmp_path):
    path = write_v1(tmp_path / "m", {"a": np.arange(6.0)})
    with cp.load_checkpoint(path) as reader:
        first = reader.get_tensor("a")
        first += 1
        same(reader.get_tensor("a"), np.arange(6.0))


def test_what_it_cannot_do_it_says(tmp_path):
    path = write_v1(tmp_path / "m", {"kernel": np.arange(6.0)})
    with cp.load_checkpoint(path) as reader:
        for call in (lambda: reader.view("kernel"), lambda: reader.get_bytes("kernel")):
            with pytest.raises(cp.CheckpointUnsupportedError, match=r"before 0\.12 .*get_tensor"):
                call()
        with pytest.raises(cp.CheckpointNotFoundError, match="similar ones are 'kernel'"):
            reader.get_tensor("kernels")
        assert "kernels" not in reader
        assert 3 not in reader


def test_nothing_there(tmp_path):  # S33
    write_v1(tmp_path / "m", {"v": np.zeros(3)})
    with pytest.raises(cp.CheckpointNotFoundError):
        cp.load_checkpoint(tmp_path / "n")
    with pytest.raises(cp.CheckpointNotFoundError):
        V1Reader(tmp_path / "n")


def test_the_newest_of_several_without_a_state_file(tmp_path):  # S32
    for name, time in (("b", 3), ("a", 5), ("c", 4)):
        path = write_v1(tmp_path / name, {"v": np.zeros(3)})
        os.utime(path, (time, time))
    assert cp.latest_checkpoint(tmp_path) == str(tmp_path / "a")
