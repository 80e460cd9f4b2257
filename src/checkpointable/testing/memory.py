"""An in-memory file system that simulates power loss.

The model is the minimum that POSIX guarantees:

- File contents are durable after the file is synced. A file's name is durable after its
  directory is synced; the name of a directory is durable after its parent is synced.
- Any other change may or may not survive, independently of later changes: a write (possibly
  only some of its sectors), the size of a new file, and each change of a name. A rename is a
  single change: it moves the name completely or not at all.

Real file systems preserve more of the order than this, so a program that is correct here is
correct on them.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from checkpointable.errors import (
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
from checkpointable.testing.memory_files import (
    MemoryReadable,
    MemoryWritable,
    identity_of,
    refused,
)

__all__ = ["MemoryStorage"]

_NAME_BYTES_MAX = 255  # the limit of common file systems


class MemoryStorage(Storage):
    """Keeps files in memory and simulates power cuts.

    Example:
        storage = MemoryStorage()
        with use_storage(storage):
            checkpoint.save("/runs/a/ckpt", durability="flush")
        storage.unsynced                        # changes that may be lost
        disk = storage.after_power_cut({0: LOST, 3: TORN})

    Paths are made absolute. "/" and the working directory exist from the start.

    Attributes:
      unsynced: changes that are not durable yet, oldest first.
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
        """Returns the disk as the machine finds it after a power cut. Leaves this one unchanged.

        Args:
          lost: indices into `unsynced` of the changes that did not reach the disk. A mapping
            gives each its fate: `LOST`, or for a write `TORN` (every other sector was written).
        """
        fates = lost if isinstance(lost, Mapping) else dict.fromkeys(lost, LOST)
        with self._lock:
            disk = MemoryStorage()
            disk._files, disk._directories = after_cut(
                self._durable_files, self._durable_directories, self.unsynced, fates
            )
            disk.make_durable()
            return disk

    def make_durable(self) -> None:
        """Makes every change durable, as a clean unmount does."""
        with self._lock:
            self.unsynced.clear()
            self._durable_files = dict(self._files)
            self._durable_directories = set(self._directories)
            for file in self._files.values():
                file.durable = bytearray(file.contents)

    def copy(self) -> MemoryStorage:
        """Returns a new disk with the same contents, all of them durable."""
        return self.after_power_cut()

    def contents(self) -> dict[str, bytes]:
        """Returns the contents of every file by its path."""
        with self._lock:
            return {path: bytes(file.contents) for path, file in sorted(self._files.items())}

    def put(self, path: str, contents: bytes) -> None:
        """Creates or replaces a file durably, with its directory where that is missing."""
        with self._lock:
            path = os.path.abspath(path)
            self.make_directories(os.path.dirname(path))
            file = File()
            file.contents = bytearray(contents)
            self._files[path] = file
            self.make_durable()

    def flip(self, path: str, offset: int, bit: int) -> None:
        """Flips one bit of a file, as a failing disk may. Name, size and time do not change."""
        with self._lock:
            file = self._files[os.path.abspath(path)]
            file.contents[offset] ^= 1 << bit
            file.durable = bytearray(file.contents)

    # -- Storage ---------------------------------------------------------------------------

    def create(self, path: str, size: int) -> WritableFile:
        with self._lock:
            where = self._checked(path, "create the file")
            if where in self._files or where in self._directories:
                raise refused(errno.EEXIST, "create the file", path)
            file = self._files[where] = File()
            self.unsynced.append(Change("name", where, file))
            if size:
                file.contents.extend(bytes(size))
                self.unsynced.append(Change("size", where, file, offset=size))
            return MemoryWritable(self, path, file)

    def open(self, path: str) -> ReadableFile:
        with self._lock:
            where = self._checked(path, "open the file")
            if where in self._directories:
                raise CheckpointIOError("not a regular file", path=path, errno=errno.EINVAL)
            return MemoryReadable(path, self._file(where, path, "open the file"))

    def identity(self, path: str) -> FileIdentity | None:
        with self._lock:
            where = os.path.abspath(path)
            if where in self._directories:
                return FileIdentity(0, 0, 0, 0)
            file = self._files.get(where)
            return None if file is None else identity_of(file)

    def rename(self, source: str, destination: str) -> None:
        with self._lock:
            old = os.path.abspath(source)
            new = self._checked(destination, "rename")
            file = self._file(old, source, "rename")
            if new in self._directories:
                raise refused(errno.EISDIR, "rename", destination)
            if new != old:
                del self._files[old]
                self._files[new] = file
                self.unsynced.append(Change("rename", new, file, old))

    def link(self, source: str, destination: str, *, sync: bool) -> bool:
        with self._lock:
            new = self._checked(destination, "link")
            file = self._files.get(os.path.abspath(source))
            if file is None:
                return False
            if new in self._files or new in self._directories:
                raise refused(errno.EEXIST, "link", destination)
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
                raise refused(errno.EISDIR, "delete the file", path)
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
                    raise refused(errno.EEXIST, "make the directory", directory)
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

    # -- helpers -----------------------------------------------------------------------------

    def _checked(self, path: str, doing: str) -> str:
        if "\0" in path or len(os.fsencode(os.path.basename(path))) > _NAME_BYTES_MAX:
            raise refused(errno.EINVAL if "\0" in path else errno.ENAMETOOLONG, doing, path)
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
