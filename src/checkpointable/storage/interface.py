"""The interface of storages: `Storage`, `WritableFile` and `ReadableFile`.

All file operations go through these classes, so a subclass can store checkpoints elsewhere. In
tests, it can record operations, fail the n-th one, or lose data that was not synced. Their methods
raise the errors of `checkpointable.errors` with the path, never a bare `OSError`.

Paths are strings in the form of the operating system. They may be relative or absolute, and both
forms must name the same file.
"""

from __future__ import annotations

import abc
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from checkpointable.errors import CheckpointError

if TYPE_CHECKING:
    from typing import TypeAlias

    # Anything with the buffer protocol, C-contiguous.
    Buffer: TypeAlias = bytes | bytearray | memoryview

__all__ = ["FileIdentity", "ReadableFile", "Storage", "WritableFile"]


class FileIdentity(NamedTuple):
    """Distinguishes a file from another one that later has the same name."""

    device: int
    inode: int
    size: int
    modified_ns: int


class WritableFile(abc.ABC):
    """A new file that one writer fills, possibly from several threads.

    While it is open, `Storage.delete_if_unused` does not delete it. So close it only after it has
    been renamed to its final name.
    """

    path: str  # the path at creation; renaming the file does not change it

    @abc.abstractmethod
    def write_at(self, data: Buffer, offset: int) -> None:
        """Writes all of `data` at byte `offset`. Thread-safe."""

    @abc.abstractmethod
    def sync(self) -> None:
        """Returns when everything written so far would survive a power failure."""

    def begin_sync(self, offset: int, size: int) -> None:  # noqa: B027 - optional
        """Announces that a `sync` follows and that `[offset, offset + size)` will not change.

        The system may start to make these bytes durable while others are still being written. Never
        raises; `sync` reports errors.
        """

    def flush(self) -> None:  # noqa: B027 - optional
        """Passes written data to the system, so that its errors are raised now.

        Network file systems may accept data and report that the disk is full when the file is
        closed. Storages that report errors immediately need not implement this. Not needed before
        or after `sync`.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Ends writing. Idempotent."""

    @abc.abstractmethod
    def abort(self) -> None:
        """Closes the file and deletes it under the name that it was created with.

        For writers that failed. Never raises, and does nothing after `close`.
        """


class ReadableFile(abc.ABC):
    """An open file. Its bytes stay readable if its name is deleted or replaced."""

    path: str
    size: int
    identity: FileIdentity

    @abc.abstractmethod
    def read(self, offset: int, size: int) -> bytes:
        """Returns all of the bytes `[offset, offset + size)`.

        Raises:
          CheckpointCorruptError: The file is shorter.
        """

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fills `buffer`, which is contiguous, with the bytes from `offset` on. Thread-safe.

        Raises:
          CheckpointCorruptError: The file is shorter.
        """
        buffer[:] = self.read(offset, len(buffer))

    @abc.abstractmethod
    def map(self) -> memoryview:
        """Returns a read-only view of the whole file, without a copy if it can be mapped.

        The view stays valid after `close`.
        """

    def map_private(self) -> memoryview:
        """Returns a writable view like `map`. Writes change the memory and not the file.

        All calls return the same view if the system can map the file so, else a copy.
        """
        return memoryview(bytearray(self.map()))

    @abc.abstractmethod
    def close(self) -> None:
        """Idempotent."""

    def __enter__(self) -> ReadableFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Storage(abc.ABC):
    """A tree of files with atomic rename."""

    def path_of(self, given: str) -> str:
        """Returns a path that a user gave, in the form in which the other methods take it.

        By default this is the path as given, which may be a URL. Local files expand `~`.

        Raises:
          CheckpointUnsupportedError: the storage cannot have such a path.
        """
        return given

    @abc.abstractmethod
    def create(self, path: str, size: int) -> WritableFile:
        """Creates a file of `size` zero bytes and reserves the space for them.

        Raises:
          CheckpointIOError: The path exists, or the disk is full (ENOSPC is raised here, before
            anything is written, if the system can reserve space).
          CheckpointNotFoundError: The directory does not exist.
        """

    @abc.abstractmethod
    def open(self, path: str) -> ReadableFile:
        """Opens a file for reading.

        Raises:
          CheckpointNotFoundError: There is no such file.
          CheckpointPermissionError, CheckpointIOError: It cannot be opened.
        """

    @abc.abstractmethod
    def identity(self, path: str) -> FileIdentity | None:
        """Returns the identity of the file that has this path now; None if there is none."""

    @abc.abstractmethod
    def rename(self, source: str, destination: str) -> None:
        """Renames a file atomically, replacing an existing file."""

    def link(self, source: str, destination: str, *, sync: bool) -> bool:
        """Gives a file a second name (a hard link), atomically.

        For files that are never written again.

        Args:
          source: The path of the file.
          destination: The second name.
          sync: Return when the contents of the file would survive a power failure.

        Returns:
          False if the storage cannot do this.

        Raises:
          CheckpointIOError: The name exists already.
        """
        return False

    @abc.abstractmethod
    def sync_directory(self, directory: str) -> None:
        """Returns when the names in `directory` would survive a power failure."""

    @abc.abstractmethod
    def list(self, directory: str) -> list[str]:
        """Returns the sorted names in a directory."""

    @abc.abstractmethod
    def delete(self, path: str) -> None:
        """Removes a file.

        Raises:
          CheckpointNotFoundError: There is no such file.
        """

    @abc.abstractmethod
    def delete_if_unused(self, path: str) -> bool:
        """Removes a file unless a live writer has it open; returns whether it was removed."""

    @abc.abstractmethod
    def make_directories(self, directory: str, *, sync: bool = False) -> None:
        """Creates a directory and its parents, if they do not exist.

        Args:
          directory: The path.
          sync: Return when the names of all of them would survive a power failure, even of
            those that existed before.
        """

    @abc.abstractmethod
    def lock_directory(self, directory: str) -> AbstractContextManager[None]:
        """Returns a context manager that holds the exclusive lock of a directory.

        Waits for the lock as long as necessary; implementations should log the holder after some
        seconds, as local files do. The lock excludes other processes and other threads of this
        process, is released if the process dies, and leaves no file behind. Not reentrant.
        """

    def exists(self, path: str) -> bool:
        """Returns whether the path exists."""
        return self.identity(path) is not None

    def is_directory(self, path: str) -> bool:
        """Returns whether the path is that of a directory."""
        if not self.exists(path):
            return False
        try:
            self.list(path)
        except CheckpointError:
            return False
        return True
