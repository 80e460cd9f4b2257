"""A storage that fails at an operation, in the ways in which disks do."""

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

_SECTOR = 512  # what a disk writes whole or not at all


class Fault(Enum):
    """What goes wrong."""

    EIO = "input/output error"
    ENOSPC = "no space left"
    EACCES = "permission denied"
    # Of a write, a beginning has been written; of anything else as ENOSPC.
    SHORT_WRITE = "no space left after a part"
    # Of a write, every other sector has been written; of anything else as EIO.
    TORN_WRITE = "input/output error after some sectors"

    @property
    def errno(self) -> int:
        """The number that the system gives with it."""
        name = {"SHORT_WRITE": "ENOSPC", "TORN_WRITE": "EIO"}.get(self.name, self.name)
        return int(getattr(errno, name))


class FaultyStorage(RecordingStorage):
    """Fails one operation, or all from one on.

    Args:
      at: the number of the operation that fails, from 0; None: none does.
      fault: how.
      after: fail once the operation is done, as a disk does whose answer is lost.
      lasting: everything after it fails as well (a full disk, a read-only one).
      error: raise this instead of what `fault` says.
      inner, kinds: as `WatchedStorage`.
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
