"""Real trouble with real files: a full disk, one that may not be written, files that go away."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from contextlib import contextmanager

import numpy as np
import pytest

import checkpointable as cp
from checkpointable.storage import use_storage
from checkpointable.testing import Fault, FaultyStorage, RecordingStorage
from tests.torture.children import VALUE, child, may_mount, program, value_of

# -- full ----------------------------------------------------------------------------------

LIMITED = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
directory = sys.argv[1]
manager = cp.CheckpointManager(program(1), directory, 2)
manager.save()
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
manager.checkpoint.v = cp.Variable(np.full(100_000, 2, np.int32))
try:
    manager.save()
except cp.CheckpointIOError as error:
    print(errno.errorcode[error.errno], int(manager.checkpoint.save_counter))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
print(*sorted(os.listdir(directory)))
print(value_of(manager.save()))
"""


@pytest.mark.parametrize("limit", [0, 100, 5_000, 200_000, 399_999])
def test_a_file_that_may_not_grow(tmp_path, limit):
    found = child(LIMITED, tmp_path, limit)
    assert found == [
        *("EFBIG", "1"),
        *("checkpoint", "checkpoint.history.json", "ckpt-1.data-00000-of-00001", "ckpt-1.index"),
        "2",
    ]


LIMITED_ASYNC = """
import logging, resource, signal
logging.disable(logging.CRITICAL)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
directory = sys.argv[1]
manager = cp.CheckpointManager(program(1), directory, 2)
manager.save()
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
manager.checkpoint.v = cp.Variable(np.full(100_000, 2, np.int32))
for seen in (True, False):
    handle = manager.save_async()
    try:
        if seen:
            handle.result()
        else:
            manager.save_async()      # which nobody has asked for its result
    except cp.CheckpointIOError as error:
        print(errno.errorcode[error.errno])
    print(value_of(cp.latest_checkpoint(directory)), len(manager.checkpoints))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
print(value_of(manager.save_async().result()))
print(*sorted(name for name in os.listdir(directory) if name.startswith(".")))
"""


@pytest.mark.parametrize("limit", [0, 200_000])
def test_an_asynchronous_save_of_a_file_that_may_not_grow(tmp_path, limit):
    """The error comes at `result`, or at the next save; the one before stays the latest."""
    assert child(LIMITED_ASYNC, tmp_path, limit) == ["EFBIG", "1", "1", "EFBIG", "1", "1", "2"]


FULL = """
directory = sys.argv[1]
manager = cp.CheckpointManager(program(1, 40_000), directory, 2)
def save():
    return manager.save() if sys.argv[2] == "save" else manager.save_async().result()
outcomes = []
for turn in range(12):
    try:
        outcomes.append(value_of(save()))
        manager.checkpoint.v.assign(np.full(40_000, turn + 2, np.int32))
    except cp.CheckpointIOError as error:
        outcomes.append(errno.errorcode[error.errno])
        size = os.statvfs(directory).f_bavail
        latest = cp.latest_checkpoint(directory)
        assert latest is not None
        assert value_of(latest) == outcomes[-2]
        break
assert outcomes[-1] == "ENOSPC", outcomes
assert not [name for name in os.listdir(directory) if name.startswith(".")]
os.unlink(os.path.join(directory, "ballast"))
print(value_of(save()) > 1)
"""


@pytest.mark.parametrize("method", ["save", "save_async"])
def test_a_small_file_system_that_fills_up(tmp_path, method):
    """400 KB of 1 MB are taken: the third checkpoint has no room beside the other two."""
    mounted = tmp_path / "small"
    mounted.mkdir()
    mount = f"mount -t tmpfs -o size=1m none '{mounted}'"
    if not may_mount(mount):  # the limit on the size of files has shown the same
        return
    mount += f" && head -c 650000 /dev/zero > '{mounted}/ballast'"
    assert child(FULL, mounted, method, mount=mount) == ["True"]


def test_room_for_the_data_and_none_for_the_index(tmp_path):
    """The data goes again, what was there stays, and the next save has room."""

    class NoIndex(RecordingStorage):
        def around(self, operation):
            if operation.kind == "create" and ".index.tmp-" in operation.path:
                raise cp.CheckpointIOError("no space left", path=operation.path, errno=errno.ENOSPC)
            return super().around(operation)

    checkpoint = program(1)
    checkpoint.write(tmp_path / "ck")
    before = sorted(os.listdir(tmp_path))
    checkpoint.v.assign(np.full(1000, 2, np.int32))
    with use_storage(NoIndex()), pytest.raises(cp.CheckpointIOError, match="no space left"):
        checkpoint.write(tmp_path / "ck")
    assert sorted(os.listdir(tmp_path)) == before
    assert value_of(tmp_path / "ck") == 1
    assert value_of(checkpoint.write(tmp_path / "ck")) == 2


# -- read-only -----------------------------------------------------------------------------

READ_ONLY = """
directory = sys.argv[1]
program().restore(cp.latest_checkpoint(directory))  # loads what it needs, while it may
program().save(directory + "-other/ckpt")
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
checkpoint = program()
checkpoint.restore(cp.latest_checkpoint(directory)).assert_consumed()
print(int(checkpoint.v.numpy()[0]))
for method in ("save", "write", "save_async", "write_async"):
    try:
        saved = getattr(checkpoint, method)(directory + "/ckpt")
        if method.endswith("_async"):
            saved.result()
    except cp.CheckpointPermissionError as error:
        print(errno.errorcode[error.errno], int(checkpoint.save_counter))
print(int(checkpoint.v.numpy()[0]))
"""


def test_a_directory_that_may_not_be_written():
    """As somebody who is not root: to root nothing is read-only."""
    with tempfile.TemporaryDirectory() as parent:
        os.chmod(parent, 0o755)
        directory = os.path.join(parent, "a")
        program(3).save(f"{directory}/ckpt")
        os.chmod(directory, 0o555)
        before = sorted(os.listdir(directory))
        try:
            assert child(READ_ONLY, directory) == [
                *("3", "EACCES", "1", "EACCES", "1"),
                *("EACCES", "2", "EACCES", "2", "3"),  # asynchronous: no number is used again
            ]
            assert sorted(os.listdir(directory)) == before
        finally:
            os.chmod(directory, 0o755)


def test_a_disk_that_has_become_read_only(tmp_path):
    manager = cp.CheckpointManager(program(1), tmp_path, 2)
    manager.save()
    before = sorted(os.listdir(tmp_path))
    with use_storage(FaultyStorage(0, Fault.EACCES, lasting=True)):
        with pytest.raises(cp.CheckpointPermissionError):
            manager.save()
        manager.checkpoint.v.assign(np.zeros(1000, np.int32))
        manager.restore_or_initialize()
    assert (manager.checkpoint.v.numpy() == 1).all()
    assert sorted(os.listdir(tmp_path)) == before
    assert manager.save() == str(tmp_path / "ckpt-2")


# -- gone ----------------------------------------------------------------------------------


def test_the_directory_is_deleted_under_the_saver(tmp_path):
    """The next save makes it again, and knows that what was in it is gone."""
    directory = tmp_path / "a"
    manager = cp.CheckpointManager(program(1), directory, 2, best=("loss", "min", 1))
    for loss in (3, 1, 2, 5):
        manager.save(metrics={"loss": loss})
    shutil.rmtree(directory)
    with pytest.raises(cp.CheckpointNotFoundError):
        manager.restore_or_initialize()
    path = manager.save(metrics={"loss": 4})
    assert value_of(path) == 1
    assert cp.latest_checkpoint(directory) == path
    again = cp.CheckpointManager(program(), directory, 2)
    again.restore_or_initialize()
    assert (again.checkpoint.v.numpy() == 1).all()


class _Vanishing(RecordingStorage):
    """Its directory is deleted before an operation."""

    def __init__(self, number, directory):
        super().__init__()
        self._number = number
        self._directory = directory

    @contextmanager
    def around(self, operation):
        if len(self.operations) == self._number:
            shutil.rmtree(self._directory)
        with super().around(operation):
            yield


def test_the_directory_is_deleted_during_a_save(tmp_path):
    """Between any two operations: an error that says so, and no half checkpoint."""
    for number in range(1, 12):
        directory = tmp_path / str(number)

        storage = _Vanishing(number, directory)
        checkpoint = program(2)
        path, problem = None, ""
        with use_storage(storage):
            try:
                path = checkpoint.save(directory / "ckpt")
            except (cp.CheckpointIOError, cp.CheckpointNotFoundError) as error:
                problem = str(error)
        assert path is not None or str(directory) in problem
        if directory.exists() and (directory / "ckpt-1.index").exists():
            assert value_of(directory / "ckpt-1") == 2
        elif path is not None:
            raise AssertionError("the save said nothing")
        assert value_of(checkpoint.save(directory / "ckpt")) == 2


def test_the_directory_is_deleted_during_an_asynchronous_save(tmp_path):
    """Between any two operations: `result` says so, or the checkpoint is whole."""
    for number in range(1, 12):
        directory = tmp_path / str(number)
        checkpoint = program(2)
        path, problem = None, ""
        with use_storage(_Vanishing(number, directory)):
            try:
                path = checkpoint.save_async(directory / "ckpt").result()
            except (cp.CheckpointIOError, cp.CheckpointNotFoundError) as error:
                problem = str(error)
        assert path is not None or str(directory) in problem
        assert path is None or value_of(path) == 2
        assert value_of(checkpoint.save_async(directory / "ckpt").result()) == 2


def test_a_data_file_vanishes_during_a_deferred_restore(tmp_path):
    """Its bytes stay readable: restore holds the file open (S26)."""
    path = program(3).save(tmp_path / "ckpt")
    late = cp.Checkpoint()
    late.restore(path)
    os.unlink(f"{path}.data-00000-of-00001")
    late.v = cp.Variable(np.zeros(1000, np.int32))
    assert (late.v.numpy() == 3).all()
    with pytest.raises(cp.CheckpointCorruptError, match="data file is missing"):
        program().restore(path)


def test_a_data_file_is_cut_or_damaged_during_a_deferred_restore(tmp_path):
    path = program(3).save(tmp_path / "ckpt")
    data = f"{path}.data-00000-of-00001"
    with cp.load_checkpoint(path) as reader:
        offset = reader.entry(VALUE).offset
    late = cp.Checkpoint()
    late.restore(path)
    with open(data, "r+b") as file:
        file.seek(offset + 5)
        file.write(b"\xff")
    with pytest.raises(cp.CheckpointCorruptError) as caught:
        late.v = cp.Variable(np.zeros(1000, np.int32))
    assert caught.value.key == VALUE
