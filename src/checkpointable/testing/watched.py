"""A storage that wraps another one and intercepts its operations.

Base class of the storages that record, fail, stop or are slow: each overrides one method.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from checkpointable.storage import (
    FileIdentity,
    LocalStorage,
    ReadableFile,
    Storage,
    WritableFile,
)

if TYPE_CHECKING:
    from checkpointable.storage.interface import Buffer

__all__ = ["CHANGES", "READS", "Operation", "WatchedStorage"]

# Operations that change the disk or make a change durable …
CHANGES = frozenset(
    {
        *("create", "write", "sync", "rename", "link", "delete", "delete_if_unused"),
        *("sync_directory", "make_directories"),
    }
)
# … and operations that only read.
READS = frozenset({"open", "read", "map", "identity", "list", "is_directory"})


class Operation(NamedTuple):
    """One operation of a storage.

    Attributes:
      kind: one of `CHANGES` or `READS`.
      path: the file or directory; for a rename or a link, the new name.
      source: for a rename or a link, the old name; else "".
      offset, size: for a read or a write, in bytes.
    """

    kind: str
    path: str
    source: str = ""
    offset: int = 0
    size: int = 0


class WatchedStorage(Storage):
    """Forwards operations to another storage and passes each to `around`.

    Args:
      inner: the storage that performs the operations; None: the local file system.
      kinds: kinds of operations to pass to `around`; all others are forwarded directly.
    """

    def __init__(self, inner: Storage | None = None, *, kinds: frozenset[str] = CHANGES) -> None:
        self.inner = LocalStorage() if inner is None else inner
        self.kinds = kinds
        self.lock = threading.RLock()

    def around(self, operation: Operation) -> AbstractContextManager[object]:
        """Returns a context manager that surrounds the operation; both ends may raise."""
        raise NotImplementedError

    def write(self, file: WritableFile, data: Buffer, offset: int) -> None:
        """Performs a write. Override it to write only a part."""
        file.write_at(data, offset)

    @contextmanager
    def watch(self, kind: str, path: str, **more: str | int) -> Iterator[None]:
        """Runs the block inside `around` if `kind` is one of `kinds`."""
        if kind not in self.kinds:
            yield
            return
        with self.around(Operation(kind, path, **more)):  # type: ignore[arg-type]
            yield

    # -- changes ---------------------------------------------------------------------------

    def create(self, path: str, size: int) -> WritableFile:
        file = None
        try:
            with self.watch("create", path, size=size):
                file = self.inner.create(path, size)
        except BaseException:
            if file is not None:
                file.close()  # otherwise its lock would suggest a live writer
            raise
        return _WatchedWritable(self, file)

    def rename(self, source: str, destination: str) -> None:
        with self.watch("rename", destination, source=source):
            self.inner.rename(source, destination)

    def link(self, source: str, destination: str, *, sync: bool) -> bool:
        with self.watch("link", destination, source=source):
            return self.inner.link(source, destination, sync=sync)

    def sync_directory(self, directory: str) -> None:
        with self.watch("sync_directory", directory):
            self.inner.sync_directory(directory)

    def delete(self, path: str) -> None:
        with self.watch("delete", path):
            self.inner.delete(path)

    def delete_if_unused(self, path: str) -> bool:
        with self.watch("delete_if_unused", path):
            return self.inner.delete_if_unused(path)

    def make_directories(self, directory: str, *, sync: bool = False) -> None:
        with self.watch("make_directories", directory):
            self.inner.make_directories(directory, sync=sync)

    # -- reads -----------------------------------------------------------------------------

    def open(self, path: str) -> ReadableFile:
        with self.watch("open", path):
            file = self.inner.open(path)
        return _WatchedReadable(self, file)

    def identity(self, path: str) -> FileIdentity | None:
        with self.watch("identity", path):
            return self.inner.identity(path)

    def list(self, directory: str) -> list[str]:
        with self.watch("list", directory):
            return self.inner.list(directory)

    def is_directory(self, path: str) -> bool:
        with self.watch("is_directory", path):
            return self.inner.is_directory(path)

    def lock_directory(self, directory: str) -> AbstractContextManager[None]:
        return self.inner.lock_directory(directory)


class _WatchedWritable(WritableFile):
    def __init__(self, storage: WatchedStorage, file: WritableFile) -> None:
        self.path = file.path
        self._storage = storage
        self._file = file

    def write_at(self, data: Buffer, offset: int) -> None:
        with self._storage.watch("write", self.path, offset=offset, size=len(data)):
            self._storage.write(self._file, data, offset)

    def sync(self) -> None:
        with self._storage.watch("sync", self.path):
            self._file.sync()

    def begin_sync(self, offset: int, size: int) -> None:
        self._file.begin_sync(offset, size)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def abort(self) -> None:
        self._file.abort()


class _WatchedReadable(ReadableFile):
    def __init__(self, storage: WatchedStorage, file: ReadableFile) -> None:
        self.path, self.size, self.identity = file.path, file.size, file.identity
        self._storage = storage
        self._file = file

    def read(self, offset: int, size: int) -> bytes:
        with self._storage.watch("read", self.path, offset=offset, size=size):
            return self._file.read(offset, size)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        with self._storage.watch("read", self.path, offset=offset, size=len(buffer)):
            self._file.read_into(offset, buffer)

    def map(self) -> memoryview:
        with self._storage.watch("map", self.path):
            return self._file.map()

    def map_private(self) -> memoryview:
        with self._storage.watch("map", self.path):
            return self._file.map_private()

    def close(self) -> None:
        self._file.close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
