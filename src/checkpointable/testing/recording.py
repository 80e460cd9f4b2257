"""A storage that records what it was asked for."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from checkpointable.storage import Storage
from checkpointable.testing.watched import CHANGES, Operation, WatchedStorage

__all__ = ["RecordingStorage"]


class RecordingStorage(WatchedStorage):
    """Records what it was asked for.

        storage = RecordingStorage()
        with use_storage(storage):
            checkpoint.save("runs/a/ckpt")
        storage.steps                       # [("create", ".ckpt-1.data.tmp"), …]

    Attributes:
      operations: all of them, in order; a failed one too.
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
        """(kind, name) of each, the random part of temporary names left out."""
        return [
            (o.kind, re.sub(r"\.tmp-\d+-[0-9a-f]+$", ".tmp", os.path.basename(o.path)))
            for o in self.operations
        ]
