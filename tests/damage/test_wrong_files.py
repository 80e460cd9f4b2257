"""Files that are whole but not what they should be."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import checkpointable as cp
from tests.damage.helpers import DATA, contents, program, restore, save

READERS = [cp.load_checkpoint, cp.list_variables, cp.object_metadata]


def refused(prefix, error, match, *, readers=True):
    """By a restore, which changes nothing, and by the readers."""
    root = program(5)
    with pytest.raises(error, match=match) as caught:
        restore(root, prefix)
    assert contents(root) == contents(program(5))
    for reader in READERS if readers else []:
        with pytest.raises(error, match=match):
            reader(prefix)
    return caught.value


# S33
def test_a_wrong_magic(tmp_path):
    prefix = save(program(3), tmp_path / "c")
    index = Path(f"{prefix}.index")
    index.write_bytes(index.read_bytes()[:-8] + b"\x57\xfb\x80\x8b\x24\x75\x47\xdc")
    error = refused(prefix, cp.CheckpointCorruptError, "not an index of a checkpoint|cut short")
    assert error.path == str(index)
    assert isinstance(error.offset, int)


# S33
@pytest.mark.parametrize("other", [b"", b"\0" * 100, b"PK\x03\x04", b"x" * 10_000, b"\n" * 48])
def test_an_index_that_is_something_else(tmp_path, other):
    prefix = save(program(3), tmp_path / "c")
    Path(f"{prefix}.index").write_bytes(other)
    refused(prefix, cp.CheckpointCorruptError, "c.index")


# S33
def test_an_index_without_its_data(tmp_path):
    prefix = save(program(3), tmp_path / "c")
    os.unlink(prefix + DATA)
    error = refused(prefix, cp.CheckpointCorruptError, "this data file is missing")
    assert error.path == prefix + DATA


# S33
def test_data_without_an_index(tmp_path):
    prefix = save(program(3), tmp_path / "c")
    os.unlink(f"{prefix}.index")
    refused(prefix, cp.CheckpointNotFoundError, "c.index does not exist")


# S33: the same sizes, other values
def test_the_data_of_another_checkpoint(tmp_path):
    def one(value):
        root = program(3)
        root.b.assign(np.full((2, 2), value))
        return root

    prefix, other = save(one(1.5), tmp_path / "c"), save(one(2.5), tmp_path / "d")
    assert os.path.getsize(prefix + DATA) == os.path.getsize(other + DATA)
    shutil.copy(other + DATA, prefix + DATA)
    error = refused(
        prefix, cp.CheckpointCorruptError, "belong to another checkpoint", readers=False
    )
    assert error.key == "b/.ATTRIBUTES/VARIABLE_VALUE"
    assert error.path == prefix + DATA


# S33
def test_the_data_of_another_program(tmp_path):
    root = cp.Checkpointable()
    root.v = cp.Variable(np.zeros(10))
    prefix, other = save(program(3), tmp_path / "c"), save(root, tmp_path / "d")
    shutil.copy(other + DATA, prefix + DATA)
    refused(prefix, cp.CheckpointCorruptError, DATA)


# S33
def test_a_directory_in_place_of_a_file(tmp_path):
    prefix = save(program(3), tmp_path / "c")
    for ending in (DATA, ".index"):
        path = Path(prefix + ending)
        path.unlink()
        path.mkdir()
        error = refused(prefix, cp.CheckpointError, "c")
        assert isinstance(error, OSError | ValueError)
        shutil.rmtree(path)
        save(program(3), tmp_path / "c")


# S33
def test_a_directory_without_checkpoints(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("x")
    for directory in (tmp_path / "empty", tmp_path / "notes"):
        error = refused(directory, cp.CheckpointNotFoundError, "contains no checkpoint")
        assert isinstance(error, FileNotFoundError)
        assert error.path == str(directory)


# S33
def test_a_file_that_is_no_checkpoint(tmp_path):
    path = tmp_path / "model.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    refused(path, cp.CheckpointError, "model.h5")
    path.write_bytes(b"")
    refused(path, cp.CheckpointError, "model.h5")


# S33
def test_a_name_that_no_file_can_have(tmp_path):
    root = program(5)
    for name in ("x" * 5000, "a\0b"):
        with pytest.raises((cp.CheckpointError, ValueError)):
            restore(root, tmp_path / name)
        for reader in READERS:
            with pytest.raises((cp.CheckpointError, ValueError)):
                reader(str(tmp_path / name))
    assert contents(root) == contents(program(5))


IN_PLACE = """
import sys
import numpy as np
import checkpointable as cp

prefix, how = sys.argv[1:]
root = cp.Checkpointable()
root.a = cp.Variable(np.ones(100_000))
root.b = cp.Variable(np.full(100_000, 2.0))
cp.CheckpointableSaver(root).save(prefix)
late = cp.Checkpointable()
late.a = cp.Variable(np.zeros(100_000))
status = cp.CheckpointableSaver(late).restore(prefix).expect_partial()
data = prefix + ".data-00000-of-00001"
size = len(open(data, "rb").read())
with open(data, "r+b") as file:        # not replaced: the same file, changed
    if how == "shorter":
        file.truncate(1000)
    elif how == "empty":
        file.truncate(0)
    else:
        file.write(bytes(size))
b = cp.Variable(np.full(100_000, 7.0))
try:
    late.b = b
except cp.CheckpointError as error:
    print(type(error).__name__, b.numpy().min(), b.numpy().max())
"""


# S26: a file that is changed in place, which no writer of checkpoints does, is noticed
@pytest.mark.parametrize("how", ["shorter", "empty", "overwritten"])
def test_data_that_is_changed_in_place_while_something_waits(tmp_path, how):
    done = subprocess.run(
        [sys.executable, "-c", IN_PLACE, str(tmp_path / "c"), how],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "CheckpointCorruptError 7.0 7.0\n"), done.stderr
