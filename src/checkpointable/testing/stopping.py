"""A storage that stops working at a given operation, as when the process is killed."""

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
    """Stands for a dead process or machine: no handler catches it, and nothing runs after it."""


class StoppingStorage(RecordingStorage):
    """Stops before a given operation, as a killed process or a power cut does.

    Args:
      at: index of the first operation that does not happen, counted from 0; no later one
        happens either. None: never stop.
      inner, kinds: as for `WatchedStorage`.

    Attributes:
      stopped: whether the storage has stopped.
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
    """A file that the process can no longer clean up once it is dead."""

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
