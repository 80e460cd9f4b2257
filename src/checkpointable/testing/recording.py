"""A storage that records the operations it performs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from checkpointable.storage import Storage
from checkpointable.testing.watched import CHANGES, Operation, WatchedStorage

__all__ = ["RecordingStorage"]


class RecordingStorage(WatchedStorage):
    """Records every operation.

    Example:
        storage = RecordingStorage()
        with use_storage(storage):
            checkpoint.save("runs/a/ckpt")
        storage.steps                       # [("create", ".ckpt-1.data.tmp"), …]

    Attributes:
      operations: every operation in order, failed ones included.
    """

    def __init__(self, inner: Storage | None = None, *, kinds: frozenset[str] = CHANGES) -> None:
        super().__init__(inner, kinds=kinds)
        self.operations: list[Operation] = []

    @contextmanager
    def around(self, operation: Operation) -> Iterator[None]:
        with self.lock:
            self.operations.append(operation)
        yield

    @property
    def steps(self) -> list[tuple[str, str]]:
        """Returns (kind, file name) of each operation; temporary names lose their random part."""
        return [
            (o.kind, re.sub(r"\.tmp-\d+-[0-9a-f]+$", ".tmp", os.path.basename(o.path)))
            for o in self.operations
        ]
