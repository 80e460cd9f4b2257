"""A file system in memory that knows what a cut of the power would leave of it.

The model, which is the least that POSIX promises:

- what was written to a file is safe once the file is synced, its name once the directory is
  synced that it is in; a directory's own name is in its parent;
- anything else may be lost or not, each change by itself and whatever came after it: a write
  (of which some sectors may be there and others not), the size of a new file, and each
  change of names. A rename is one change: both names or neither.

File systems of today keep more of the order than that; a program that is right here is right
there.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from checkpointable.errors import (
    CheckpointCorruptError,
    CheckpointError,
    CheckpointIOError,
    CheckpointNotFoundError,
)
from checkpointable.storage import FileIdentity, ReadableFile, Storage, WritableFile
from checkpointable.testing.disk import (
    LOST,
    Change,
    File,
    after_cut,
    apply_contents,
    apply_name,
    next_number,
    parents,
)

if TYPE_CHECKING:
    from checkpointable.storage.interface import Buffer

__all__ = ["MemoryStorage"]

_NAME_BYTES_MAX = 255  # as the common file systems have it


class MemoryStorage(Storage):
    """Files in memory; `after_power_cut` is the disk that the next start of the machine finds.

        storage = MemoryStorage()
        with use_storage(storage):
            checkpoint.save("/runs/a/ckpt", durability="flush")
        storage.unsynced                        # what may be lost
        found = storage.after_power_cut({0: LOST, 3: TORN})

    Paths are made absolute; "/" and the working directory exist from the start.

    Attributes:
      unsynced: every change that is not durable, oldest first.
    """

    def __init__(self) -> None:
        self.unsynced: list[Change] = []
        self._lock = threading.RLock()
        self._files: dict[str, File] = {}
        self._durable_files: dict[str, File] = {}
        self._directories: set[str] = set()
        self._durable_directories: set[str] = set()
        self._locks: dict[str, threading.Lock] = {}
        for path in parents(os.path.abspath("x")):
            self._directories.add(path)
            self._durable_directories.add(path)

    def after_power_cut(self, lost: Mapping[int, str] | Iterable[int] = ()) -> MemoryStorage:
        """The disk as the machine finds it; this one stays as it is.

        Args:
          lost: numbers in `unsynced` of what has not reached the disk; as a mapping to `LOST`
            or, of a write, `TORN`: every other sector of it has.
        """
        fates = lost if isinstance(lost, Mapping) else dict.fromkeys(lost, LOST)
        with self._lock:
            found = MemoryStorage()
            found._files, found._directories = after_cut(
                self._durable_files, self._durable_directories, self.unsynced, fates
            )
            found.make_durable()
            return found

    def make_durable(self) -> None:
        """Syncs everything, as a clean unmount does."""
        with self._lock:
            self.unsynced.clear()
            self._durable_files = dict(self._files)
            self._durable_directories = set(self._directories)
            for file in self._files.values():
                file.durable = bytearray(file.contents)

    def copy(self) -> MemoryStorage:
        """Another disk of the same contents, all of it durable."""
        return self.after_power_cut()

    def contents(self) -> dict[str, bytes]:
        """path -> contents of every file."""
        with self._lock:
            return {path: bytes(file.contents) for path, file in sorted(self._files.items())}

    def put(self, path: str, contents: bytes) -> None:
        """Makes or replaces a file, durably; its directory too if need be."""
        with self._lock:
            path = os.path.abspath(path)
            self.make_directories(os.path.dirname(path))
            file = File()
            file.contents = bytearray(contents)
            self._files[path] = file
            self.make_durable()

    def flip(self, path: str, offset: int, bit: int) -> None:
        """Changes one bit of a file, as a disk may: name, size and time stay what they are."""
        with self._lock:
            file = self._files[os.path.abspath(path)]
            file.contents[offset] ^= 1 << bit
            file.durable = bytearray(file.contents)

    # -- Storage ---------------------------------------------------------------------------

    def create(self, path: str, size: int) -> WritableFile:
        with self._lock:
            where = self._place(path, "create the file")
            if where in self._files or where in self._directories:
                raise _refused(errno.EEXIST, "create the file", path)
            file = self._files[where] = File()
            self.unsynced.append(Change("name", where, file))
            if size:
                file.contents.extend(bytes(size))
                self.unsynced.append(Change("size", where, file, offset=size))
            return _MemoryWritable(self, path, file)

    def open(self, path: str) -> ReadableFile:
        with self._lock:
            where = self._place(path, "open the file")
            if where in self._directories:
                raise CheckpointIOError("not a regular file", path=path, errno=errno.EINVAL)
            return _MemoryReadable(path, self._file(where, path, "open the file"))

    def identity(self, path: str) -> FileIdentity | None:
        with self._lock:
            where = os.path.abspath(path)
            if where in self._directories:
                return FileIdentity(0, 0, 0, 0)
            file = self._files.get(where)
            return None if file is None else _identity(file)

    def rename(self, source: str, destination: str) -> None:
        with self._lock:
            old = os.path.abspath(source)
            new = self._place(destination, "rename")
            file = self._file(old, source, "rename")
            if new in self._directories:
                raise _refused(errno.EISDIR, "rename", destination)
            if new != old:
                del self._files[old]
                self._files[new] = file
                self.unsynced.append(Change("rename", new, file, old))

    def link(self, source: str, destination: str, *, sync: bool) -> bool:
        with self._lock:
            new = self._place(destination, "link")
            file = self._files.get(os.path.abspath(source))
            if file is None:
                return False
            if new in self._files or new in self._directories:
                raise _refused(errno.EEXIST, "link", destination)
            self._files[new] = file
            self.unsynced.append(Change("name", new, file))
            if sync:
                self._sync(file)
            return True

    def sync_directory(self, directory: str) -> None:
        with self._lock:
            where = os.path.abspath(directory)
            if where not in self._directories:
                raise CheckpointNotFoundError("no such directory", path=directory)
            left = []
            for change in self.unsynced:
                if where in change.directories():
                    apply_name(change, change.file, self._durable_files, self._durable_directories)
                else:
                    left.append(change)
            self.unsynced[:] = left

    def list(self, directory: str) -> list[str]:
        with self._lock:
            where = os.path.abspath(directory)
            if where not in self._directories:
                raise CheckpointNotFoundError(
                    "cannot list the directory: no such file or directory", path=directory
                )
            inside = (*self._files, *(self._directories - {os.sep}))
            return sorted(os.path.basename(p) for p in inside if os.path.dirname(p) == where)

    def is_directory(self, path: str) -> bool:
        with self._lock:
            return os.path.abspath(path) in self._directories

    def delete(self, path: str) -> None:
        with self._lock:
            where = os.path.abspath(path)
            if where in self._directories:
                raise _refused(errno.EISDIR, "delete the file", path)
            self._file(where, path, "delete the file")
            del self._files[where]
            self.unsynced.append(Change("remove", where))

    def delete_if_unused(self, path: str) -> bool:
        with self._lock:
            file = self._files.get(os.path.abspath(path))
            if file is not None and file.writer is not None:
                return False
            try:
                self.delete(path)
            except CheckpointNotFoundError:
                return True
            except CheckpointError:
                return False
            return True

    def make_directories(self, directory: str, *, sync: bool = False) -> None:
        with self._lock:
            made = os.path.abspath(directory)
            for path in (*reversed(parents(made)), made):
                if path in self._files:
                    raise _refused(errno.EEXIST, "make the directory", directory)
                if path not in self._directories:
                    self._directories.add(path)
                    self.unsynced.append(Change("directory", path))
                if sync and path != os.sep:
                    self.sync_directory(os.path.dirname(path))

    @contextmanager
    def lock_directory(self, directory: str) -> Iterator[None]:
        with self._lock:
            where = os.path.abspath(directory)
            if where not in self._directories:
                raise CheckpointNotFoundError("no such directory", path=directory)
            lock = self._locks.setdefault(where, threading.Lock())
        with lock:
            yield

    # -- parts of the above ----------------------------------------------------------------

    def _place(self, path: str, doing: str) -> str:
        if "\0" in path or len(os.fsencode(os.path.basename(path))) > _NAME_BYTES_MAX:
            raise _refused(errno.EINVAL if "\0" in path else errno.ENAMETOOLONG, doing, path)
        where = os.path.abspath(path)
        if os.path.dirname(where) not in self._directories:
            raise CheckpointNotFoundError(f"cannot {doing}: no such directory", path=path)
        return where

    def _file(self, where: str, path: str, doing: str) -> File:
        file = self._files.get(where)
        if file is None:
            raise CheckpointNotFoundError(f"cannot {doing}: no such file or directory", path=path)
        return file

    def _sync(self, file: File) -> None:
        mine = [c for c in self.unsynced if c.file is file and not c.directories()]
        for change in mine:
            apply_contents(change, file.durable)
        self.unsynced[:] = [c for c in self.unsynced if c.directories() or c.file is not file]

    def _write(self, file: File, path: str, data: bytes, offset: int) -> None:
        with self._lock:
            change = Change("write", os.path.abspath(path), file, offset=offset, data=data)
            apply_contents(change, file.contents)
            file.modified = next_number()
            self.unsynced.append(change)


class _MemoryWritable(WritableFile):
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


class _MemoryReadable(ReadableFile):
    def __init__(self, path: str, file: File) -> None:
        self.path = path
        self._contents = bytes(file.contents)
        self.size = len(self._contents)
        self.identity = _identity(file)

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


def _identity(file: File) -> FileIdentity:
    return FileIdentity(0, file.number, len(file.contents), file.modified)


def _refused(number: int, doing: str, path: str) -> CheckpointIOError:
    return CheckpointIOError.from_os_error(OSError(number, os.strerror(number)), doing, path=path)
