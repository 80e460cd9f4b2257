"""What the library asks of a place where bytes lie.

Everything that touches files goes through `Storage`, `WritableFile` and `ReadableFile`, so
one object in their place can record what happens, fail the n-th operation, or forget what
was not synced. All of them raise the errors of `checkpointable.errors`, never a bare
`OSError`, and name the path.

Paths are strings in the form of the operating system; of one place there are several: a relative
one, and the whole one by which it is meant when the program may go elsewhere meanwhile.
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
    """Tells one file from another that later has its name."""

    device: int
    inode: int
    size: int
    modified_ns: int


class WritableFile(abc.ABC):
    """A new file that one writer fills, from several threads at once if it likes.

    While it is open its writer is known to be alive, so `Storage.delete_if_unused` leaves
    it alone: close it only after it has been renamed to its final name.
    """

    path: str  # as created; renaming the file does not change this

    @abc.abstractmethod
    def write_at(self, data: Buffer, offset: int) -> None:
        """Writes all of `data` at byte `offset`. Safe to call from several threads."""

    @abc.abstractmethod
    def sync(self) -> None:
        """Returns when everything written so far would survive a loss of power."""

    def begin_sync(self, offset: int, size: int) -> None:  # noqa: B027 - need not have it
        """Says that a `sync` follows, and that `[offset, offset + size)` will not change before.

        Where the system can begin to make it durable, the disk works while the rest is being
        written. Promises nothing, and raises nothing: `sync` says what went wrong.
        """

    def flush(self) -> None:  # noqa: B027 - most places refuse at once, and need not have it
        """Hands what was written to the system, so that its refusals come now.

        Network file systems may refuse, for want of room, what they had taken, when a file is
        closed. Does nothing where that cannot be; not needed before or after `sync`.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Ends writing. Idempotent."""

    @abc.abstractmethod
    def abort(self) -> None:
        """Closes the file and deletes it under the name it was created with.

        For a writer that failed: never raises, and does nothing after `close`.
        """


class ReadableFile(abc.ABC):
    """A file held open: its bytes stay readable when the name is deleted or replaced."""

    path: str
    size: int
    identity: FileIdentity

    @abc.abstractmethod
    def read(self, offset: int, size: int) -> bytes:
        """The bytes `[offset, offset + size)`, all of them.

        Raises:
          CheckpointCorruptError: the file ends before.
        """

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fills `buffer`, contiguous bytes, with those from byte `offset` on.

        Safe to call from several threads.

        Raises:
          CheckpointCorruptError: the file ends before.
        """
        buffer[:] = self.read(offset, len(buffer))

    @abc.abstractmethod
    def map(self) -> memoryview:
        """A read-only view of the whole file, without a copy where the system can map it.

        Lives as long as something refers to it, also after `close`.
        """

    def map_private(self) -> memoryview:
        """As `map`, but it may be written to: that changes the memory and not the file.

        The same one at each call where the system can map it so; a copy elsewhere.
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

    @abc.abstractmethod
    def create(self, path: str, size: int) -> WritableFile:
        """Makes a new file of `size` zero bytes, with the space for them reserved.

        Raises:
          CheckpointIOError: the path exists, or there is no room (ENOSPC shows here, before
            anything was written, where the system can reserve space).
          CheckpointNotFoundError: the directory does not exist.
        """

    @abc.abstractmethod
    def open(self, path: str) -> ReadableFile:
        """Opens a file for reading.

        Raises:
          CheckpointNotFoundError, CheckpointPermissionError, CheckpointIOError
        """

    @abc.abstractmethod
    def identity(self, path: str) -> FileIdentity | None:
        """What lies under the name now; None where nothing does."""

    @abc.abstractmethod
    def rename(self, source: str, destination: str) -> None:
        """Gives a file another name in one step, replacing what had it."""

    def link(self, source: str, destination: str, *, sync: bool) -> bool:
        """Gives a file a second name in one step; False where that cannot be done.

        Both names are the same file then: for files that are never written again.

        Args:
          sync: its contents would survive a loss of power when this returns.

        Raises:
          CheckpointIOError: something has that name already.
        """
        return False

    @abc.abstractmethod
    def sync_directory(self, directory: str) -> None:
        """Returns when the names in `directory` would survive a loss of power."""

    @abc.abstractmethod
    def list(self, directory: str) -> list[str]:
        """The names in a directory, sorted."""

    @abc.abstractmethod
    def delete(self, path: str) -> None:
        """Removes a file.

        Raises:
          CheckpointNotFoundError: there is none.
        """

    @abc.abstractmethod
    def delete_if_unused(self, path: str) -> bool:
        """Removes a file unless a live writer has it open; tells whether it is gone now."""

    @abc.abstractmethod
    def make_directories(self, directory: str, *, sync: bool = False) -> None:
        """Makes a directory and its parents; content if it exists.

        Args:
          sync: the names of all of them, whoever made them, would survive a loss of power
            when this returns.
        """

    @abc.abstractmethod
    def lock_directory(self, directory: str) -> AbstractContextManager[None]:
        """Holds off everyone else who asks for the lock of this directory; waits for it.

        However long that takes: a place of yours should log whom it waits for, as local files do.
        Leaves no file behind, and is gone with the process that held it. Between threads of
        one process it excludes as well. Not reentrant.
        """

    def exists(self, path: str) -> bool:
        """Whether anything lies under the name."""
        return self.identity(path) is not None

    def is_directory(self, path: str) -> bool:
        """Whether a directory lies under the name."""
        if not self.exists(path):
            return False
        try:
            self.list(path)
        except CheckpointError:
            return False
        return True
