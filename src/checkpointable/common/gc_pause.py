"""Pauses Python's garbage collector while many objects are made that all stay."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["collector_paused"]

_lock = threading.Lock()
_pauses = 0


class _Pause:
    """The pause of one block; its deletion ends it too, if two interrupts kept `end` from it."""

    counted = False

    def begin(self) -> None:
        global _pauses  # noqa: PLW0603 - the collector is the process's
        with _lock:
            if _pauses or gc.isenabled():
                self.counted = True
                _pauses += 1
                gc.disable()

    def end(self) -> None:
        global _pauses  # noqa: PLW0603
        if self.counted:
            with _lock:
                # A process that was forked within the block has no pause to end.
                _pauses = max(0, _pauses - 1)
                self.counted = False
                if not _pauses:
                    gc.enable()

    def __del__(self) -> None:
        self.end()


@contextmanager
def collector_paused() -> Iterator[None]:
    """Disables automatic garbage collection in this block; `gc.collect()` still works.

    The collector runs after every few hundred new objects and traverses all young ones again:
    a fifth of the time of a save or restore of many small values.

    The pause affects the whole process. Use it for work in memory that takes milliseconds, such as
    decoding and matching, and never around I/O: cyclic garbage of other threads is not freed
    before the block ends. If collection is disabled already, it stays disabled.
    """
    pause = _Pause()
    try:
        pause.begin()
        yield
    finally:
        try:
            pause.end()
        except BaseException:
            # The traceback of the interrupt may keep `pause` alive, so `__del__` is not enough.
            pause.end()
            raise


def _after_fork() -> None:
    """Ends pauses in a forked process: the threads that began them do not exist there."""
    global _lock, _pauses  # noqa: PLW0603
    _lock = threading.Lock()
    if _pauses:
        _pauses = 0
        gc.enable()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
