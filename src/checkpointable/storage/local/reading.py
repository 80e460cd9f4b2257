"""A local file that is being read, or mapped; what shrinks meanwhile is said to be damaged."""

from __future__ import annotations

import errno
import mmap
import os
import stat
import threading

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
        self._fd = -1
        try:
            # A FIFO or a device in a checkpoint's place would block or never end.
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
        self._fd = fd
        self.identity = identity_of(status)
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
            raise refusal(error, f"read {size} bytes at {offset}", self.path) from error
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
            raise refusal(error, "map the file", self.path) from error

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
