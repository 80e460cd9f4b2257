"""A storage around another one that sees every operation before and after it happens.

The base of the storages that record, fail, stop or are slow; they override one method.
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

# What changes the disk, or makes a change durable …
CHANGES = frozenset(
    {
        *("create", "write", "sync", "rename", "link", "delete", "delete_if_unused"),
        *("sync_directory", "make_directories"),
    }
)
# … and what looks at it.
READS = frozenset({"open", "read", "map", "identity", "list", "is_directory"})


class Operation(NamedTuple):
    """Something that a storage was asked to do.

    Attributes:
      kind: one of `CHANGES` or `READS`.
      path: of the file or directory; of a rename or a link the new name.
      source: of a rename or a link, the old name; else "".
      offset, size: of a read or a write, in bytes.
    """

    kind: str
    path: str
    source: str = ""
    offset: int = 0
    size: int = 0


class WatchedStorage(Storage):
    """Does what another storage does, and shows each operation to `around`.

    Args:
      inner: where the operations happen; the local file system if None.
      kinds: which kinds are shown; the rest goes through unseen.
    """

    def __init__(self, inner: Storage | None = None, *, kinds: frozenset[str] = CHANGES) -> None:
        self.inner = LocalStorage() if inner is None else inner
        self.kinds = kinds
        self.lock = threading.RLock()

    def around(self, operation: Operation) -> AbstractContextManager[object]:
        """What surrounds an operation: entered before it, left after it, both may raise."""
        raise NotImplementedError

    def write(self, file: WritableFile, data: Buffer, offset: int) -> None:
        """Does a write; for those that do only a part of it."""
        file.write_at(data, offset)

    @contextmanager
    def watch(self, kind: str, path: str, **more: str | int) -> Iterator[None]:
        """`around`, for the kinds that are asked for."""
        if kind not in self.kinds:
            yield
            return
        with self.around(Operation(kind, path, **more)):  # type: ignore[arg-type]
            yield

    # -- what changes the disk -------------------------------------------------------------

    def create(self, path: str, size: int) -> WritableFile:
        file = None
        try:
            with self.watch("create", path, size=size):
                file = self.inner.create(path, size)
        except BaseException:
            if file is not None:
                file.close()  # nobody else will, and it would look as if someone wrote it
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

    # -- what looks at it ------------------------------------------------------------------

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
