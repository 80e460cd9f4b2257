"""Files of the operating system, with its fast paths where it has them.

Linux has all of them; elsewhere `pwrite`, `posix_fallocate`, `flock` and the syncing of
directories may be missing, and a plain way takes their place.
"""

from __future__ import annotations

import errno
import mmap
import os
import stat
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from checkpointable.errors import (
    CheckpointCorruptError,
    CheckpointError,
    CheckpointIOError,
    CheckpointNotFoundError,
)
from checkpointable.storage.interface import FileIdentity, ReadableFile, Storage, WritableFile

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from checkpointable.storage.interface import Buffer

__all__ = ["LocalStorage"]

# Opened with the lock not yet taken, a file can be deleted by another's clean-up; then the
# writer makes it anew. Each round needs another clean-up in those microseconds.
_CREATE_ATTEMPTS = 8

# Where files cannot be locked, a temporary file's age tells that its writer is gone.
_STALE_AGE_SECONDS = 24 * 3600.0

_CAN_LOCK = bool(fcntl)
_BINARY = getattr(os, "O_BINARY", 0)
_CLOSE_ON_EXEC = getattr(os, "O_CLOEXEC", 0)
_NON_BLOCKING = getattr(os, "O_NONBLOCK", 0)

# The file system cannot reserve space; writing finds out then.
_CANNOT_RESERVE = {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENODEV}
# The file system cannot lock (some network ones); saving goes on without.
_CANNOT_LOCK = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}

# The file system, or the system, has no second names, not between these two places, not for
# this file; or the file has lost its name.
_CANNOT_LINK = {
    *(errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOENT),
    *(errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL),
}


# No file can have such a name: nothing lies there.
_NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}

# What the system's functions raise; ValueError of a path with a NUL in it.
_REFUSALS = (OSError, ValueError)


def _error(error: OSError | ValueError, doing: str, path: str) -> CheckpointError:
    if not isinstance(error, OSError):
        error = OSError(errno.EINVAL, str(error))
    if isinstance(error, FileNotFoundError):
        return CheckpointNotFoundError(f"cannot {doing}: no such file or directory", path=path)
    return CheckpointIOError.from_os_error(error, doing, path=path)


def _identity(status: os.stat_result) -> FileIdentity:
    return FileIdentity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _lock(fd: int, *, wait: bool) -> bool | None:
    """Takes the exclusive lock of an open file; False if another holds it.

    None: there are no locks here, and nobody can tell.
    """
    if not _CAN_LOCK:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _CANNOT_LOCK:
            raise
        return None
    return True


def _unlock(fd: int) -> None:
    """Lets go of the lock of an open file, also for a process that was forked meanwhile.

    Closing would not: the other one has the same open file, and with it the lock.
    """
    if _CAN_LOCK:
        with suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_UN)


def _sync(fd: int) -> None:
    """Returns when what was written to an open file would survive a loss of power."""
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is not None:
        # On macOS `fsync` ends at the disk's own cache. Not every file system has this.
        with suppress(OSError):
            fcntl.fcntl(fd, full)
            return
    os.fsync(fd)


# Files that are being written, and directories that are locked: what a forked process must let
# go of, since it would go on holding locks and disk space that its parent has given up.
_written: weakref.WeakSet[_LocalWritableFile] = weakref.WeakSet()
_locked: weakref.WeakSet[_Descriptor] = weakref.WeakSet()


class _Descriptor:
    """An open file of the system; -1 once it is closed."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:  # an interrupt came before: nobody else could have its lock
        self.close()


class _LocalWritableFile(WritableFile):
    _fd = -1

    def __init__(self, path: str, size: int) -> None:
        self.path = path
        self._seek_lock = threading.Lock()
        _written.add(self)
        try:
            self._create()
            if size:
                self._reserve(size)
        except _REFUSALS as error:
            self.abort()
            raise _error(error, "create the file", path) from error

    def _create(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY | _CLOSE_ON_EXEC
        for _ in range(_CREATE_ATTEMPTS):
            self._fd = os.open(self.path, flags, 0o666)
            with suppress(FileNotFoundError):
                _lock(self._fd, wait=True)
                if os.path.samestat(os.stat(self.path), os.fstat(self._fd)):
                    return
            self.close_here()
        raise OSError(errno.EBUSY, "the file is deleted as soon as it is made")

    def _reserve(self, size: int) -> None:
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(self._fd, 0, size)
                return
            except OSError as error:
                if error.errno not in _CANNOT_RESERVE:
                    raise
        os.ftruncate(self._fd, size)

    def write_at(self, data: Buffer, offset: int) -> None:
        try:
            if hasattr(os, "pwrite"):
                written = os.pwrite(self._fd, data, offset)
                if written == len(data):
                    return
                rest = memoryview(data).cast("B")
                while rest := rest[written:]:
                    offset += written
                    written = os.pwrite(self._fd, rest, offset)
            else:
                with self._seek_lock:
                    os.lseek(self._fd, offset, os.SEEK_SET)
                    rest = memoryview(data).cast("B")
                    while rest:
                        rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            raise _error(error, f"write {len(data)} bytes at {offset}", self.path) from error

    def sync(self) -> None:
        try:
            _sync(self._fd)
        except OSError as error:
            raise _error(error, "make the file durable", self.path) from error

    def flush(self) -> None:
        # Closing a second descriptor makes the system do what it does at the last one's end.
        try:
            os.close(os.dup(self._fd))
        except OSError as error:
            raise _error(error, "hand over what was written", self.path) from error

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            try:
                os.close(fd)
            except OSError as error:
                raise _error(error, "close the file", self.path) from error

    def abort(self) -> None:
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        with suppress(OSError):
            os.unlink(self.path)
        with suppress(OSError):
            os.close(fd)

    def close_here(self) -> None:
        """Lets go of it in a process that was forked from the one that writes it."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        # An interrupt came before anybody had it: its lock would keep others from removing it.
        self.abort()


class _LocalReadableFile(ReadableFile):
    def __init__(self, path: str) -> None:
        self.path = path
        self._view: memoryview | None = None
        self._private: memoryview | None = None
        self._map_lock = threading.Lock()
        self._fd = -1
        try:
            # A FIFO or a device in a checkpoint's place would block or never end.
            fd = os.open(path, os.O_RDONLY | _BINARY | _CLOSE_ON_EXEC | _NON_BLOCKING)
        except _REFUSALS as error:
            raise _error(error, "open the file", path) from error
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise CheckpointIOError("not a regular file", path=path, errno=errno.EINVAL)
        except CheckpointIOError:
            os.close(fd)
            raise
        except OSError as error:
            os.close(fd)
            raise _error(error, "open the file", path) from error
        self._fd = fd
        self.identity = _identity(status)
        self.size = status.st_size

    def read(self, offset: int, size: int) -> bytes:
        try:
            if hasattr(os, "pread"):
                parts = []
                missing = size
                while missing > 0:
                    part = os.pread(self._fd, missing, offset + size - missing)
                    if not part:
                        break
                    parts.append(part)
                    missing -= len(part)
                data = parts[0] if len(parts) == 1 else b"".join(parts)
            else:
                data = bytes(self.map()[offset : offset + size])
        except OSError as error:
            raise _error(error, f"read {size} bytes at {offset}", self.path) from error
        if len(data) != size:
            raise CheckpointCorruptError(
                f"the file ends after {len(data)} of {size} bytes",
                path=self.path,
                offset=offset,
            )
        return data

    def map(self) -> memoryview:
        with self._map_lock:
            if self._view is None:
                self._view = self._map(mmap.ACCESS_READ)
            elif self._fd >= 0 and self._present_size() < self.size:
                raise self._shorter()  # to read beyond the end would end the process
            return self._view

    def map_private(self) -> memoryview:
        with self._map_lock:
            if self._private is None:
                self._private = self._map(mmap.ACCESS_COPY)
            elif self._fd >= 0 and self._present_size() < self.size:
                raise self._shorter()
            return self._private

    def _present_size(self) -> int:
        try:
            return os.fstat(self._fd).st_size
        except OSError:
            return self.size  # nothing is known of a change: what is mapped is there

    def _map(self, access: int) -> memoryview:
        if not self.size:
            return memoryview(b"")
        try:
            return memoryview(mmap.mmap(self._fd, self.size, access=access))
        except ValueError as error:  # the file became shorter than it was when opened
            raise self._shorter() from error
        except OSError as error:
            raise _error(error, "map the file", self.path) from error

    def _shorter(self) -> CheckpointCorruptError:
        return CheckpointCorruptError(
            f"the file is shorter than its {self.size} bytes of a moment ago: it was "
            "overwritten in place",
            path=self.path,
        )

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        self._view = self._private = None
        if fd >= 0:
            os.close(fd)


class LocalStorage(Storage):
    """The file system of this machine."""

    def create(self, path: str, size: int) -> WritableFile:
        return _LocalWritableFile(path, size)

    def open(self, path: str) -> ReadableFile:
        return _LocalReadableFile(path)

    def identity(self, path: str) -> FileIdentity | None:
        try:
            return _identity(os.stat(path))
        except ValueError:
            return None
        except OSError as error:
            if error.errno in _NOT_THERE:
                return None
            raise _error(error, "look at the file", path) from error

    def rename(self, source: str, destination: str) -> None:
        try:
            os.replace(source, destination)
        except _REFUSALS as error:
            raise _error(error, f"rename {os.path.basename(source)} to it", destination) from error

    def link(self, source: str, destination: str, *, sync: bool) -> bool:
        # What a symbolic link leads to: the link itself would lead nowhere from elsewhere.
        path = os.path.realpath(source)
        try:
            os.link(path, destination)
            if sync:
                self._sync_contents(path)
        except OSError as error:
            if error.errno in _CANNOT_LINK:
                return False
            raise _error(error, f"link {os.path.basename(source)} to it", destination) from error
        return True

    @staticmethod
    def _sync_contents(path: str) -> None:
        fd = os.open(path, (os.O_RDWR if os.name == "nt" else os.O_RDONLY) | _CLOSE_ON_EXEC)
        try:
            _sync(fd)
        finally:
            os.close(fd)

    def sync_directory(self, directory: str) -> None:
        try:
            _sync_directory(directory)
        except OSError as error:
            if error.errno not in _CANNOT_RESERVE:
                raise _error(error, "make the directory durable", directory) from error

    def list(self, directory: str) -> list[str]:
        try:
            return sorted(os.listdir(directory))
        except _REFUSALS as error:
            raise _error(error, "list the directory", directory) from error

    def delete(self, path: str) -> None:
        try:
            os.unlink(path)
        except _REFUSALS as error:
            raise _error(error, "delete the file", path) from error

    def delete_if_unused(self, path: str) -> bool:
        try:
            fd = os.open(path, os.O_RDWR | _BINARY | _CLOSE_ON_EXEC | _NON_BLOCKING)
            try:
                free = _lock(fd, wait=False)
                if free is None:
                    free = time.time() - os.fstat(fd).st_mtime >= _STALE_AGE_SECONDS
                if not free:
                    return False
                os.unlink(path)
            finally:
                os.close(fd)
        except FileNotFoundError:
            return True
        except _REFUSALS:
            return False  # somebody else's; none of our business
        return True

    def make_directories(self, directory: str, *, sync: bool = False) -> None:
        made = directory
        parents = []  # of those that are not there yet: their names are what is new
        while sync and made and not os.path.isdir(made):
            above = os.path.dirname(made.rstrip(os.sep)) or os.curdir
            if above == made:
                break
            parents.append(above)
            made = above
        try:
            os.makedirs(directory, exist_ok=True)
        except _REFUSALS as error:
            raise _error(error, "make the directory", directory) from error
        for above in parents:
            self.sync_directory(above)
        if sync:
            _sync_names_above(directory)

    def is_directory(self, path: str) -> bool:
        return os.path.isdir(path)

    @contextmanager
    def lock_directory(self, directory: str) -> Iterator[None]:
        held = _Descriptor(-1)
        with _thread_lock(directory):
            try:
                if _CAN_LOCK:
                    held.fd = os.open(directory, os.O_RDONLY | _CLOSE_ON_EXEC)
                    _locked.add(held)
                    _lock(held.fd, wait=True)
            except _REFUSALS as error:
                _locked.discard(held)
                held.close()
                raise _error(error, "lock the directory", directory) from error
            try:
                yield
            finally:
                _locked.discard(held)
                if held.fd >= 0:
                    _unlock(held.fd)
                held.close()


# For systems without flock, whose threads would otherwise not exclude one another.
_thread_locks: dict[str, threading.Lock] = {}
_thread_locks_lock = threading.Lock()


def _after_fork() -> None:
    """A thread of the parent may hold these locks, and is not there to let go of them."""
    global _thread_locks_lock  # noqa: PLW0603 - the process's
    _thread_locks_lock = threading.Lock()
    _thread_locks.clear()
    for file in list(_written):
        with suppress(OSError):
            file.close_here()
    for held in list(_locked):
        with suppress(OSError):
            held.close()
    _locked.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _thread_lock(directory: str) -> threading.Lock:
    try:
        path = os.path.realpath(directory)
    except ValueError as error:
        raise _error(error, "lock the directory", directory) from error
    with _thread_locks_lock:
        return _thread_locks.setdefault(path, threading.Lock())


# Directories, by (device, inode), whose own names are known to be durable.
_named: set[tuple[int, int]] = set()


def _sync_directory(directory: str) -> None:
    if os.name == "nt":  # directories cannot be opened there, and need not be
        return
    fd = os.open(directory, os.O_RDONLY | _CLOSE_ON_EXEC)
    try:
        _sync(fd)
    finally:
        os.close(fd)


def _sync_names_above(directory: str) -> None:
    """Makes the names of a directory, and of those above, durable: once in a process.

    Whoever made them (the program, `mkdir`, a save that was killed) may not have done so.
    """
    path = os.path.realpath(directory)
    found = []
    with suppress(OSError):
        status = os.stat(path)
        while (status.st_dev, status.st_ino) not in _named:
            found.append((status.st_dev, status.st_ino))
            above = os.path.dirname(path)
            parent = os.stat(above)
            if above == path or parent.st_dev != status.st_dev:  # a root
                break
            with suppress(OSError):  # one that may not be opened was not made by us
                _sync_directory(above)
            path, status = above, parent
    _named.update(found)
