"""The system refuses: a permission, a disk that is full or broken, in every call of a file."""

from __future__ import annotations

import errno
import mmap
import os
import subprocess
import sys

import numpy as np
import pytest

import checkpointable as cp
from tests.damage.helpers import DATA, contents, program, restore, save

READERS = [cp.load_checkpoint, cp.list_variables, cp.object_metadata, cp.latest_checkpoint]


def refuse(monkeypatch, function, number, *, path="", after=0, once=False, module=os):
    """The calls of an `os` function fail, from the `after`-th on or that one alone; those that
    name a path, only where `path` is a part of it. Returns the list of the calls that failed.
    """
    original = getattr(module, function)
    counted, failed = [0], []

    def refusing(*arguments, **keywords):
        first = str(arguments[0]) if arguments else ""
        if path in first:
            counted[0] += 1
            if counted[0] == after + 1 or (counted[0] > after and not once):
                failed.append(first)
                raise OSError(number, os.strerror(number), first)
        return original(*arguments, **keywords)

    monkeypatch.setattr(module, function, refusing)
    return failed


# S33: each file, each reason
@pytest.mark.parametrize("ending", [".index", DATA])
@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EIO, errno.EMFILE])
def test_a_file_that_cannot_be_opened(tmp_path, monkeypatch, ending, number):
    prefix, root = save(program(3), tmp_path / "c"), program(5)
    failed = refuse(monkeypatch, "open", number, path=prefix + ending)
    no_permission = number in {errno.EACCES, errno.EPERM}
    kind = cp.CheckpointPermissionError if no_permission else cp.CheckpointIOError
    with pytest.raises(kind, match=f"{prefix}{ending}: cannot open") as caught:
        restore(root, prefix)
    assert failed
    assert caught.value.errno == number
    assert isinstance(caught.value, PermissionError) == no_permission
    assert isinstance(caught.value, OSError)
    assert contents(root) == contents(program(5))
    for reader in READERS[:3]:
        with pytest.raises(kind):
            reader(prefix)


# S33
@pytest.mark.parametrize("function", ["open", "fstat", "pread", "read", "mmap", "stat", "listdir"])
def test_reading_fails_somewhere(tmp_path, monkeypatch, function):
    prefix, root = save(program(3), tmp_path / "c"), program(5)
    module = mmap if function == "mmap" else os
    for after in range(12):
        with monkeypatch.context() as patch:
            refuse(patch, function, errno.EIO, after=after, module=module)
            try:
                restore(root, prefix)
            except cp.CheckpointError as error:
                caught = error
            else:
                assert contents(root) == contents(program(3))
                root = program(5)
                continue
        assert contents(root) == contents(program(5))
        assert str(tmp_path) in str(caught)


# S33
def test_a_directory_that_cannot_be_listed(tmp_path, monkeypatch):
    prefix, root = save(program(3), tmp_path / "c"), program(5)
    refuse(monkeypatch, "listdir", errno.EACCES, path=str(tmp_path))
    with pytest.raises(cp.CheckpointError):
        restore(root, prefix + "-7")
    assert contents(root) == contents(program(5))
    os.unlink(tmp_path / "checkpoint")
    with pytest.raises(cp.CheckpointPermissionError, match=str(tmp_path)):
        cp.latest_checkpoint(tmp_path)


# S32: an unreadable state file is no reason to start over
def test_a_state_file_that_cannot_be_read(tmp_path, monkeypatch, caplog):
    prefix = save(program(3), tmp_path / "c")
    refuse(monkeypatch, "open", errno.EACCES, path=str(tmp_path / "checkpoint"))
    assert cp.latest_checkpoint(tmp_path) == prefix
    assert "Permission denied" in caplog.text


WRITING = ["open", "posix_fallocate", "pwrite", "fsync", "replace", "makedirs", "stat", "listdir"]


# S18: after a failed save the previous checkpoint is the latest, and whole
@pytest.mark.parametrize("function", WRITING)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("overwrite", [False, True], ids=["another", "the same prefix"])
@pytest.mark.parametrize("once", [False, True], ids=["from then on", "once"])
def test_writing_fails_somewhere(tmp_path, monkeypatch, function, number, overwrite, once):
    for after in range(20):
        directory = tmp_path / str(after)
        first, failed = save(program(3), directory / "c-1"), []
        files = set(os.listdir(directory))
        second, problem = directory / ("c-1" if overwrite else "c-2"), None
        with monkeypatch.context() as patch:
            failed = refuse(patch, function, number, after=after, once=once, path="")
            try:
                cp.CheckpointableSaver(program(4)).save(second)
            except cp.CheckpointError as error:
                problem = error
        found = program(5)
        restore(found, cp.latest_checkpoint(directory)).assert_consumed()
        if problem is None:
            assert contents(found) == contents(program(4))
        else:
            assert str(directory) in str(problem)
            # The new one only if the failure came after the switch: then it is whole, too.
            assert contents(found) in (contents(program(3)), contents(program(4)))
            if not overwrite:
                is_new = contents(found) == contents(program(4))
                assert cp.latest_checkpoint(directory) == (str(second) if is_new else first)
        if problem is not None and once:
            left = set(os.listdir(directory)) - files
            assert not [name for name in left if name.startswith(".")]
            # Only where the state file or the last syncing failed, the new one is there.
            whole = (directory / "c-2.index").exists() or contents(found) != contents(program(3))
            assert left == set() or whole
        save(program(6), second)
        restore(found, second).assert_consumed()
        assert contents(found) == contents(program(6))
        assert not [name for name in os.listdir(directory) if name.startswith(".")]
        if not failed:
            return
    pytest.fail("the save never succeeded")


LIMITED = """
import os
import resource
import signal
import sys

import numpy as np
import checkpointable as cp

directory, limit = sys.argv[1], int(sys.argv[2])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
root = cp.Checkpointable()
root.v = cp.Variable(np.ones(5_000))
saver = cp.CheckpointableSaver(root)
first = saver.save(f"{directory}/c", 1)
before = sorted(os.listdir(directory))
root.v.assign(np.full(5_000, 2.0))
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
for number in (1, 2):
    try:
        saver.save(f"{directory}/c", number)
        print("saved")
    except cp.CheckpointIOError as error:
        assert isinstance(error, OSError) and error.errno and directory in str(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
assert sorted(os.listdir(directory)) == before, os.listdir(directory)
assert cp.latest_checkpoint(directory) == first
saver.restore(first).assert_consumed()
assert root.v.numpy().tolist() == [1.0] * 5_000
print(saver.save(f"{directory}/c", 2) == cp.latest_checkpoint(directory))
"""


# S18
@pytest.mark.parametrize("limit", [0, 100, 39_999])
def test_a_disk_that_is_full(tmp_path, limit):
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path), str(limit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


# S18 S25: a value that cannot be read leaves the previous checkpoint, a full memory too
@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt, RecursionError])
def test_an_interrupt_in_the_middle_of_a_save(tmp_path, error):
    class Interrupting(cp.Checkpointable):
        def _gather_saveables_for_checkpoint(self):
            def read():
                raise error

            return {"v": cp.Value("float32", (), read, lambda contents: None)}

    root = program(3)
    first = save(root, tmp_path / "c")
    files = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    root.zz = Interrupting()
    root.big = cp.Variable(np.zeros(1_000_000))
    with pytest.raises(error):
        save(root, tmp_path / "c")
    assert {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)} == files
    assert cp.latest_checkpoint(tmp_path) == first
