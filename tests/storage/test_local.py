"""Local files: what `Storage` promises, on the fast paths and on the plain ones."""

from __future__ import annotations

import errno
import mmap
import os
import resource
import signal
import subprocess
import sys
import threading

import pytest

from checkpointable.errors import (
    CheckpointCorruptError,
    CheckpointIOError,
    CheckpointNotFoundError,
    CheckpointPermissionError,
)
from checkpointable.storage import LocalStorage
from checkpointable.storage.local import locks, writing


@pytest.fixture(params=["fast", "plain"])
def storage(request, monkeypatch):
    if request.param == "plain":  # as on systems that lack these
        for name in ("pwrite", "pread", "preadv", "posix_fallocate"):
            monkeypatch.delattr(os, name)
        monkeypatch.setattr(locks, "_CAN_LOCK", False)
    return LocalStorage()


def test_a_file_is_written_in_any_order(storage, tmp_path):
    path = str(tmp_path / "f")
    file = storage.create(path, 10)
    assert os.path.getsize(path) == 10
    file.write_at(b"cd", 2)
    file.write_at(memoryview(b"ab"), 0)
    file.write_at(b"", 5)
    file.sync()
    file.close()
    file.close()
    with storage.open(path) as read:
        assert read.size == 10
        assert read.read(0, 10) == b"abcd" + bytes(6)
        assert read.read(1, 2) == b"bc"
        assert read.read(10, 0) == b""
        assert bytes(read.map()) == b"abcd" + bytes(6)
        assert read.map().readonly


def test_several_threads_write_one_file(storage, tmp_path):
    file = storage.create(str(tmp_path / "f"), 64 * 1000)

    def write(i):
        for j in range(i, 1000, 4):
            file.write_at(bytes([j % 256]) * 64, j * 64)

    threads = [threading.Thread(target=write, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    file.close()
    with storage.open(str(tmp_path / "f")) as read:
        assert bytes(read.map()) == b"".join(bytes([j % 256]) * 64 for j in range(1000))


def test_a_short_write_is_gone_on_with(tmp_path, monkeypatch):
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: write(fd, bytes(data)[:3], at))
    file = LocalStorage().create(str(tmp_path / "f"), 10)
    file.write_at(b"0123456789", 0)
    file.close()
    assert (tmp_path / "f").read_bytes() == b"0123456789"


def test_an_empty_file(storage, tmp_path):
    storage.create(str(tmp_path / "f"), 0).close()
    with storage.open(str(tmp_path / "f")) as read:
        assert bytes(read.map()) == b""
        with pytest.raises(CheckpointCorruptError, match="ends after 0 of 1 bytes") as caught:
            read.read(0, 1)
    assert (caught.value.path, caught.value.offset) == (str(tmp_path / "f"), 0)


def test_an_open_file_stays_what_it_was(storage, tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"old")
    read = storage.open(str(path))
    assert storage.identity(str(path)) == read.identity
    path.with_name("g").write_bytes(b"newer")
    storage.rename(str(path.with_name("g")), str(path))
    assert storage.identity(str(path)) != read.identity
    assert read.read(0, 3) == b"old"
    view = read.map()
    storage.delete(str(path))
    read.close()
    assert bytes(view) == b"old"
    assert storage.identity(str(path)) is None
    assert not storage.exists(str(path))


def test_creation_is_exclusive(storage, tmp_path):
    (tmp_path / "f").write_bytes(b"mine")
    with pytest.raises(CheckpointIOError, match="EEXIST"):
        storage.create(str(tmp_path / "f"), 4)
    assert (tmp_path / "f").read_bytes() == b"mine"


def test_abort_removes_the_file_and_nothing_else(storage, tmp_path):
    file = storage.create(str(tmp_path / "f"), 4)
    file.abort()
    file.abort()
    assert os.listdir(tmp_path) == []
    file = storage.create(str(tmp_path / "f"), 4)
    file.close()
    file.abort()
    assert os.listdir(tmp_path) == ["f"]


def test_what_is_not_there(storage, tmp_path):
    missing = str(tmp_path / "no" / "f")
    for ask in (
        storage.open,
        storage.delete,
        storage.list,
        lambda path: storage.create(path, 1),
        lambda path: storage.rename(path, missing + "2"),
    ):
        with pytest.raises(CheckpointNotFoundError) as caught:
            ask(missing)
        assert caught.value.path.startswith(missing)
    assert storage.identity(missing) is None
    assert storage.delete_if_unused(missing)


def test_only_regular_files_are_read(storage, tmp_path):
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for a writer
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(CheckpointIOError, match="not a regular file"):
            storage.open(str(path))


def test_directories(storage, tmp_path):
    deep = str(tmp_path / "a" / "b")
    storage.make_directories(deep)
    storage.make_directories(deep)
    storage.create(os.path.join(deep, "z"), 0).close()
    storage.create(os.path.join(deep, "y"), 0).close()
    storage.sync_directory(deep)
    assert storage.list(deep) == ["y", "z"]
    with pytest.raises(CheckpointIOError):
        storage.make_directories(os.path.join(deep, "z"))


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.EACCES, CheckpointPermissionError),
        (errno.EPERM, CheckpointPermissionError),
        (errno.ENOSPC, CheckpointIOError),
        (errno.EIO, CheckpointIOError),
        (errno.EMFILE, CheckpointIOError),
    ],
)
def test_the_systems_refusals_have_one_form(tmp_path, monkeypatch, number, error):
    """The tests may run as root, to whom no permission is refused: so the system is told to."""
    (tmp_path / "f").write_bytes(b"x")
    storage, path = LocalStorage(), str(tmp_path / "f")
    file = storage.create(path + "2", 1)

    def refuse(*arguments, **options):
        raise OSError(number, os.strerror(number))

    for name in ("open", "stat", "replace", "unlink", "listdir", "makedirs", "pwrite", "fsync"):
        monkeypatch.setattr(os, name, refuse)
    for ask in (
        lambda: storage.open(path),
        lambda: storage.create(path + "3", 1),
        lambda: storage.identity(path),
        lambda: storage.rename(path, path),
        lambda: storage.delete(path),
        lambda: storage.list(str(tmp_path)),
        lambda: storage.make_directories(path),
        lambda: storage.sync_directory(str(tmp_path)),
        lambda: storage.lock_directory(str(tmp_path)).__enter__(),
        lambda: file.write_at(b"x", 0),
        file.sync,
    ):
        with pytest.raises(error) as caught:
            ask()
        assert caught.value.errno == number
        assert caught.value.path is not None
        assert errno.errorcode[number] in str(caught.value)
    assert not storage.delete_if_unused(path)
    monkeypatch.undo()
    file.close()


def test_no_room_shows_at_creation(tmp_path):
    """A limit on the size of files stands for a full disk."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, old[1]))
        with pytest.raises(CheckpointIOError, match="EFBIG"):
            LocalStorage().create(str(tmp_path / "f"), 200_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert os.listdir(tmp_path) == []


def test_a_file_system_that_cannot_reserve_space(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.EOPNOTSUPP, "no")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    LocalStorage().create(str(tmp_path / "f"), 100).close()
    assert os.path.getsize(tmp_path / "f") == 100


def test_a_part_is_read_into_memory(storage, tmp_path):
    (tmp_path / "f").write_bytes(b"0123456789")
    memory = bytearray(6)
    with storage.open(str(tmp_path / "f")) as file:
        file.read_into(4, memoryview(memory)[1:5])
        file.read_into(10, memoryview(memory)[:0])
        assert memory == b"\x004567\x00"
        with pytest.raises(CheckpointCorruptError, match="ends after 2 of 6"):
            file.read_into(8, memoryview(memory))


def test_a_file_that_shrinks_under_its_reader(tmp_path):
    (tmp_path / "f").write_bytes(bytes(100))
    with LocalStorage().open(str(tmp_path / "f")) as read:
        os.truncate(tmp_path / "f", 10)
        with pytest.raises(CheckpointCorruptError, match="ends after 10 of 100"):
            read.read(0, 100)
        with pytest.raises(
            CheckpointCorruptError, match="had 100 bytes when it was opened and is shorter now"
        ):
            read.map()


# -- locks ---------------------------------------------------------------------------------

HOLD = """
import sys
from checkpointable.storage.local import LocalStorage
with LocalStorage().lock_directory(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def child(program, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_the_lock_of_a_directory_excludes_other_processes(tmp_path):
    with child(HOLD, str(tmp_path)) as holder:
        assert holder.stdout.readline() == b"held\n"
        got = threading.Event()

        def take():
            with LocalStorage().lock_directory(str(tmp_path)):
                got.set()

        thread = threading.Thread(target=take)
        thread.start()
        assert not got.wait(0.2)
        holder.kill()  # its lock goes with it
        assert got.wait(30)
        thread.join()
    assert os.listdir(tmp_path) == []


def test_the_lock_of_a_directory_excludes_other_threads(storage, tmp_path):
    inside, most = 0, 0

    def work():
        nonlocal inside, most
        for _ in range(50):
            with storage.lock_directory(str(tmp_path)):
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_saving_goes_on_where_nothing_can_be_locked(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    with LocalStorage().lock_directory(str(tmp_path)):
        LocalStorage().create(str(tmp_path / "f"), 1).close()


def test_a_file_that_is_written_counts_as_used(tmp_path):
    storage, path = LocalStorage(), str(tmp_path / "f")
    file = storage.create(path, 1)
    assert not storage.delete_if_unused(path)
    os.rename(path, path + "2")
    assert not storage.delete_if_unused(path + "2")
    file.close()
    assert storage.delete_if_unused(path + "2")
    assert os.listdir(tmp_path) == []


def test_a_new_file_that_another_cleans_up_is_made_again(tmp_path, monkeypatch):
    """Between its creation and its lock, a file looks like one that a dead writer left."""
    storage, path = LocalStorage(), str(tmp_path / "f")
    lock, cleaned = writing.lock, []

    def clean_up_first(fd, *, wait):
        if wait and not cleaned:
            cleaned.append(True)
            os.unlink(path)
        return lock(fd, wait=wait)

    monkeypatch.setattr(writing, "lock", clean_up_first)
    file = storage.create(path, 3)
    file.write_at(b"abc", 0)
    file.close()
    assert (tmp_path / "f").read_bytes() == b"abc"


def test_without_locks_only_old_files_count_as_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "_CAN_LOCK", False)
    (tmp_path / "f").write_bytes(b"")
    assert not LocalStorage().delete_if_unused(str(tmp_path / "f"))
    os.utime(tmp_path / "f", (0, 0))
    assert LocalStorage().delete_if_unused(str(tmp_path / "f"))


def test_a_file_that_is_closed_while_it_is_mapped_is_no_other_one(tmp_path, monkeypatch):
    # by another thread; the system gives the number to the next file that is opened
    (tmp_path / "f").write_bytes(b"mine")
    (tmp_path / "g").write_bytes(b"else")
    file = LocalStorage().open(str(tmp_path / "f"))
    others = []
    mapped = mmap.mmap

    def late(number, size, access):
        file.close()
        others.append(os.open(tmp_path / "g", os.O_RDONLY))
        return mapped(number, size, access=access)

    monkeypatch.setattr(mmap, "mmap", late)
    try:
        assert bytes(file.map()) == b"mine"
    finally:
        os.close(others[0])
