"""Open files of a `MemoryStorage`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from checkpointable.errors import CheckpointCorruptError, CheckpointIOError
from checkpointable.storage import FileIdentity, ReadableFile, WritableFile
from checkpointable.testing.disk import File

if TYPE_CHECKING:
    from checkpointable.storage.interface import Buffer
    from checkpointable.testing.memory import MemoryStorage

__all__ = ["MemoryReadable", "MemoryWritable", "identity_of", "refused"]


class MemoryWritable(WritableFile):
    """A file that is being written to a `MemoryStorage`."""

    def __init__(self, storage: MemoryStorage, path: str, file: File) -> None:
        self.path = path
        self._storage = storage
        self._file = file
        file.writer = self

    def write_at(self, data: Buffer, offset: int) -> None:
        self._storage._write(self._file, self.path, bytes(data), offset)

    def sync(self) -> None:
        with self._storage._lock:
            self._storage._sync(self._file)

    def close(self) -> None:
        self._file.writer = None

    def abort(self) -> None:
        if self._file.writer is None:
            return
        self.close()
        with self._storage._lock:
            if self._storage._files.get(os.path.abspath(self.path)) is self._file:
                self._storage.delete(self.path)


class MemoryReadable(ReadableFile):
    """A snapshot of a file's contents, taken when it was opened."""

    def __init__(self, path: str, file: File) -> None:
        self.path = path
        self._contents = bytes(file.contents)
        self.size = len(self._contents)
        self.identity = identity_of(file)

    def read(self, offset: int, size: int) -> bytes:
        data = self._contents[offset : offset + size]
        if len(data) != size:
            raise CheckpointCorruptError(
                f"the file ends after {len(data)} of {size} bytes", path=self.path, offset=offset
            )
        return data

    def map(self) -> memoryview:
        return memoryview(self._contents)

    def close(self) -> None:
        pass


def identity_of(file: File) -> FileIdentity:
    """Returns the identity that distinguishes this file from another one of the same name."""
    return FileIdentity(0, file.number, len(file.contents), file.modified)


def refused(number: int, doing: str, path: str) -> CheckpointIOError:
    """Returns the error of an operating system that refused with `number`, an `errno`."""
    return CheckpointIOError.from_os_error(OSError(number, os.strerror(number)), doing, path=path)
