"""A storage whose operations fail as those of disks do."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING

from checkpointable.errors import CheckpointIOError
from checkpointable.storage import Storage, WritableFile
from checkpointable.testing.recording import RecordingStorage
from checkpointable.testing.watched import CHANGES, Operation

if TYPE_CHECKING:
    from checkpointable.storage.interface import Buffer

__all__ = ["Fault", "FaultyStorage"]

_SECTOR = 512  # bytes that a disk writes atomically


class Fault(Enum):
    """A kind of failure."""

    EIO = "input/output error"
    ENOSPC = "no space left"
    EACCES = "permission denied"
    # Half of a write is written; any other operation fails as with ENOSPC.
    SHORT_WRITE = "no space left after a part"
    # Every other sector of a write is written; any other operation fails as with EIO.
    TORN_WRITE = "input/output error after some sectors"

    @property
    def errno(self) -> int:
        """The `errno` that the operating system reports."""
        name = {"SHORT_WRITE": "ENOSPC", "TORN_WRITE": "EIO"}.get(self.name, self.name)
        return int(getattr(errno, name))


class FaultyStorage(RecordingStorage):
    """Fails at a given operation, or at every operation from there on.

    Args:
      at: index of the operation that fails, counted from 0; None: nothing fails.
      fault: the kind of failure.
      inner, kinds: as for `WatchedStorage`.
      after: perform the operation, then fail, as when a disk's acknowledgement is lost.
      lasting: every later operation fails too, as on a full or read-only disk.
      error: raise this exception in place of the error of `fault`.
    """

    def __init__(
        self,
        at: int | None,
        fault: Fault = Fault.EIO,
        inner: Storage | None = None,
        *,
        after: bool = False,
        lasting: bool = False,
        error: BaseException | None = None,
        kinds: frozenset[str] = CHANGES,
    ) -> None:
        super().__init__(inner, kinds=kinds)
        self._at = at
        self._fault = fault
        self._after = after
        self._lasting = lasting
        self._error = error
        self._write = threading.local()

    @contextmanager
    def around(self, operation: Operation) -> Iterator[None]:
        with self.lock:
            number = len(self.operations)
            self.operations.append(operation)
        fails = self._at is not None and (
            number >= self._at if self._lasting else number == self._at
        )
        if not fails:
            yield
            return
        partly = operation.kind == "write" and self._fault in {Fault.SHORT_WRITE, Fault.TORN_WRITE}
        self._write.partial = partly
        if self._after or partly:
            yield
        raise self._raised(operation)

    def _raised(self, operation: Operation) -> BaseException:
        if self._error is not None:
            return self._error
        error = OSError(self._fault.errno, self._fault.value)
        return CheckpointIOError.from_os_error(error, operation.kind, path=operation.path)

    def write(self, file: WritableFile, data: Buffer, offset: int) -> None:
        partial = getattr(self._write, "partial", False)
        self._write.partial = False
        if not partial:
            file.write_at(data, offset)
        elif self._fault is Fault.SHORT_WRITE:
            file.write_at(bytes(data)[: len(data) // 2], offset)
        else:
            contents = bytes(data)
            for start in range(0, len(contents), 2 * _SECTOR):
                file.write_at(contents[start : start + _SECTOR], offset + start)
