"""A local file that is being written: it is locked, and its space is reserved."""

from __future__ import annotations

import errno
import os
import threading
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING

from checkpointable.storage.interface import WritableFile
from checkpointable.storage.local.locks import lock
from checkpointable.storage.local.syncing import begin_sync, sync
from checkpointable.storage.local.system import (
    BINARY,
    CLOSE_ON_EXEC,
    REFUSALS,
    UNSUPPORTED,
    refusal,
)

if TYPE_CHECKING:
    from checkpointable.storage.interface import Buffer

__all__ = ["LocalWritableFile"]

# A new file is not locked for some microseconds. If the clean-up of another process deletes it in
# that time, the writer creates it again, up to this many times.
_CREATE_ATTEMPTS = 8


class LocalWritableFile(WritableFile):
    """See `WritableFile`."""

    _fd = -1

    def __init__(self, path: str, size: int) -> None:
        self.path = path
        self._seek_lock = threading.Lock()
        _written.add(self)
        try:
            self._create()
            if size:
                self._reserve(size)
        except REFUSALS as error:
            self.abort()
            raise refusal(error, "create the file", path) from error

    def _create(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY | CLOSE_ON_EXEC
        for _ in range(_CREATE_ATTEMPTS):
            self._fd = os.open(self.path, flags, 0o666)
            with suppress(FileNotFoundError):
                lock(self._fd, wait=True)
                if os.path.samestat(os.stat(self.path), os.fstat(self._fd)):
                    return
            self.close_here()
        raise OSError(errno.EBUSY, "another process keeps deleting the new file")

    def _reserve(self, size: int) -> None:
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(self._fd, 0, size)
                return
            except OSError as error:
                if error.errno not in UNSUPPORTED:
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
            raise refusal(error, f"write {len(data)} bytes at {offset}", self.path) from error

    def sync(self) -> None:
        try:
            sync(self._fd)
        except OSError as error:
            raise refusal(error, "make the file durable", self.path) from error

    def begin_sync(self, offset: int, size: int) -> None:
        begin_sync(self._fd, offset, size)

    def flush(self) -> None:
        # Closing a duplicate descriptor makes the system flush as if the last one were closed.
        try:
            os.close(os.dup(self._fd))
        except OSError as error:
            raise refusal(error, "flush the written data", self.path) from error

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            try:
                os.close(fd)
            except OSError as error:
                raise refusal(error, "close the file", self.path) from error

    def abort(self) -> None:
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        with suppress(OSError):
            os.unlink(self.path)
        with suppress(OSError):
            os.close(fd)

    def close_here(self) -> None:
        """Closes the file in a process that was forked from its writer; does not delete it."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        # An interrupt came before the caller got the file. While locked, nobody else can remove it.
        self.abort()


# Files that are being written. A forked process closes them: otherwise it would keep locks and disk
# space that its parent has released.
_written: weakref.WeakSet[LocalWritableFile] = weakref.WeakSet()


def _after_fork() -> None:
    for file in list(_written):
        with suppress(OSError):
            file.close_here()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
