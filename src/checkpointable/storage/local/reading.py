"""Reads and maps local files; a file that was truncated meanwhile is reported as damaged."""

from __future__ import annotations

import errno
import mmap
import os
import stat
import threading
from collections.abc import Callable
from contextlib import suppress

from checkpointable.errors import CheckpointCorruptError, CheckpointIOError
from checkpointable.storage.interface import ReadableFile
from checkpointable.storage.local.system import (
    BINARY,
    CLOSE_ON_EXEC,
    NON_BLOCKING,
    REFUSALS,
    identity_of,
    refusal,
)

__all__ = ["LocalReadableFile"]


class LocalReadableFile(ReadableFile):
    """See `ReadableFile`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._view: memoryview | None = None
        self._private: memoryview | None = None
        self._map_lock = threading.Lock()
        self._open: _Descriptor | None = None
        try:
            # Opening a FIFO or a device could block.
            fd = os.open(path, os.O_RDONLY | BINARY | CLOSE_ON_EXEC | NON_BLOCKING)
        except REFUSALS as error:
            raise refusal(error, "open the file", path) from error
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise CheckpointIOError("not a regular file", path=path, errno=errno.EINVAL)
        except CheckpointIOError:
            os.close(fd)
            raise
        except OSError as error:
            os.close(fd)
            raise refusal(error, "open the file", path) from error
        self._open = _Descriptor(fd)
        self.identity = identity_of(status)
        self.size = status.st_size

    def read(self, offset: int, size: int) -> bytes:
        parts = []
        left = size
        try:
            descriptor = self._descriptor()
            if hasattr(os, "pread"):
                while left > 0:
                    part = os.pread(descriptor.number, left, offset + size - left)
                    if not part:
                        break
                    parts.append(part)
                    left -= len(part)
            else:
                parts.append(bytes(self.map()[offset : offset + size]))
                left -= len(parts[0])
        except OSError as error:
            raise refusal(error, f"read {size} bytes at {offset}", self.path) from error
        if left:
            raise self._ends(offset, size - left, size)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        if not hasattr(os, "preadv"):
            super().read_into(offset, buffer)
            return
        size = len(buffer)
        done = 0
        try:
            descriptor = self._descriptor()
            while done < size:
                count = os.preadv(descriptor.number, (buffer[done:],), offset + done)
                if not count:
                    break
                done += count
        except OSError as error:
            raise refusal(error, f"read {size} bytes at {offset}", self.path) from error
        if done != size:
            raise self._ends(offset, done, size)

    def map(self) -> memoryview:
        with self._map_lock:
            if self._view is None:
                self._view = self._map(mmap.ACCESS_READ)
            elif self._present_size() < self.size:
                raise self._shorter()  # access past the end would end the process
            return self._view

    def map_private(self) -> memoryview:
        with self._map_lock:
            if self._private is None:
                self._private = self._map(mmap.ACCESS_COPY)
            elif self._present_size() < self.size:
                raise self._shorter()
            return self._private

    def _present_size(self) -> int:
        descriptor = self._open
        if descriptor is None:
            return self.size
        try:
            return os.fstat(descriptor.number).st_size
        except OSError:
            return self.size  # no change is known

    def _map(self, access: int) -> memoryview:
        if not self.size:
            return memoryview(b"")
        try:
            descriptor = self._descriptor()  # keeps it open
            return memoryview(mmap.mmap(descriptor.number, self.size, access=access))
        except ValueError as error:  # the file has been truncated since it was opened
            raise self._shorter() from error
        except OSError as error:
            raise refusal(error, "map the file", self.path) from error

    def _shorter(self) -> CheckpointCorruptError:
        return CheckpointCorruptError(
            f"the file had {self.size} bytes when it was opened and is shorter now: it was "
            "overwritten in place; restore it, or use another checkpoint",
            path=self.path,
        )

    def _ends(self, offset: int, available: int, size: int) -> CheckpointCorruptError:
        return CheckpointCorruptError(
            f"the file ends after {available} of {size} bytes", path=self.path, offset=offset
        )

    def _descriptor(self) -> _Descriptor:
        if self._open is None:
            raise OSError(errno.EBADF, "the file was closed")
        return self._open

    def close(self) -> None:
        self._open = self._view = self._private = None


class _Descriptor:
    """A file descriptor that is closed when the last reference is dropped.

    One thread may still be reading when another one closes the file. If the descriptor were closed,
    the system could reuse its number, and the thread would read from another file.
    """

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        with suppress(OSError):
            close(self.number)
