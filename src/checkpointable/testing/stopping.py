"""A storage that stops for good at an operation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from checkpointable.storage import Storage, WritableFile
from checkpointable.testing.recording import RecordingStorage
from checkpointable.testing.watched import CHANGES, Operation

if TYPE_CHECKING:
    from checkpointable.storage.interface import Buffer

__all__ = ["Stopped", "StoppingStorage"]


class Stopped(BaseException):
    """The machine, or the process, is gone; nothing handles it, and nothing works after it."""


class StoppingStorage(RecordingStorage):
    """Stops for good before an operation, as a process that is killed or a power cut does.

    Args:
      at: the number of the operation that does not happen any more, nor any after it, from 0;
        None: none.
      inner, kinds: as `WatchedStorage`.

    Attributes:
      stopped: whether it has.
    """

    def __init__(
        self, at: int | None, inner: Storage | None = None, *, kinds: frozenset[str] = CHANGES
    ) -> None:
        super().__init__(inner, kinds=kinds)
        self._at = at
        self.stopped = False

    @contextmanager
    def around(self, operation: Operation) -> Iterator[None]:
        with self.lock:
            if self.stopped or len(self.operations) == self._at:
                self.stopped = True
                raise Stopped
            self.operations.append(operation)
        yield

    def create(self, path: str, size: int) -> WritableFile:
        return _Mortal(self, super().create(path, size))


class _Mortal(WritableFile):
    """A file that a dead process cannot clean up."""

    def __init__(self, storage: StoppingStorage, file: WritableFile) -> None:
        self.path = file.path
        self._storage = storage
        self._file = file

    def write_at(self, data: Buffer, offset: int) -> None:
        self._file.write_at(data, offset)

    def sync(self) -> None:
        self._file.sync()

    def begin_sync(self, offset: int, size: int) -> None:
        self._file.begin_sync(offset, size)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def abort(self) -> None:
        if self._storage.stopped:
            self._file.close()
        else:
            self._file.abort()
