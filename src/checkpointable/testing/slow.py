"""A storage that is slow."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from checkpointable.storage import Storage
from checkpointable.testing.watched import CHANGES, Operation, WatchedStorage

__all__ = ["SlowStorage"]


class SlowStorage(WatchedStorage):
    """Waits before each operation.

    Args:
      seconds: how long to wait.
      inner, kinds: as for `WatchedStorage`.
      sleep: called with `seconds`; a test may pass a function that only counts the calls.
    """

    def __init__(
        self,
        seconds: float,
        inner: Storage | None = None,
        *,
        kinds: frozenset[str] = CHANGES,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        super().__init__(inner, kinds=kinds)
        self._seconds = seconds
        self._sleep = sleep

    @contextmanager
    def around(self, operation: Operation) -> Iterator[None]:
        self._sleep(self._seconds)
        yield
