"""Holding off Python's garbage collector while many objects are made that all stay."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["collector_paused"]

_lock = threading.Lock()
_pauses = 0


@contextmanager
def collector_paused() -> Iterator[None]:
    """The collector of cycles does not run by itself in this block (`gc.collect()` still does).

    It runs whenever so many objects were made, and looks through all of them again and again: a
    fifth of the time of a save or restore of many small values. Not for what a program does over
    and over and that takes long (writing): what other threads leave behind waits for the end of
    the block. It stays off where it was.
    """
    global _pauses  # noqa: PLW0603 - the collector is the process's
    with _lock:
        if not _pauses and not gc.isenabled():
            paused = False
        else:
            paused = True
            _pauses += 1
            gc.disable()
    try:
        yield
    finally:
        if paused:
            with _lock:
                _pauses -= 1
                if not _pauses:
                    gc.enable()
