"""Many threads that do one thing at the same time, and code that is slow where they meet."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from checkpointable.graph.restore_notes import RestoreNotes

THREADS = 8


def at_the_same_time(call: Callable[[], Any]) -> list[Any]:
    """Returns what `call` returns in each of eight threads, which begin together."""
    barrier = threading.Barrier(THREADS)
    results: list[Any] = []

    def run() -> None:
        barrier.wait()
        results.append(call())

    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == THREADS
    return results


@contextmanager
def slow_notes(monkeypatch: Any) -> Iterator[None]:
    """Lets other threads run whenever notes are made, and as often as can be elsewhere."""
    plain = RestoreNotes.__init__

    def slow(self: RestoreNotes, owner: Any = None) -> None:
        time.sleep(0.001)
        plain(self, owner)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    monkeypatch.setattr(RestoreNotes, "__init__", slow)
    try:
        yield
    finally:
        monkeypatch.undo()
        sys.setswitchinterval(interval)
