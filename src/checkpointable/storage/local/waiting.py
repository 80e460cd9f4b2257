"""A word about who holds a lock, where somebody has to wait for it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from checkpointable.common.logs import logger

__all__ = ["THREAD", "process_holding", "said_if_long"]

SECONDS_BEFORE_A_WORD = 10.0

THREAD = "another thread of this process"
_PROCESS_OF_ANY = "another process, maybe of another machine"


@contextmanager
def said_if_long(directory: str, holder: Callable[[], str]) -> Iterator[None]:
    """Within the block somebody waits for the lock of a directory: logs it, if it takes long.

    Args:
      holder: says who holds it; asked when there is a word to be said.
    """

    def say() -> None:
        logger.warning(
            "%s: waiting for %s, which saves or deletes here and holds the lock of the directory. "
            "This goes on when that is done, or has ended; nothing is lost meanwhile",
            directory or os.curdir,
            holder(),
        )

    timer = threading.Timer(SECONDS_BEFORE_A_WORD, say)
    timer.daemon = True
    with suppress(RuntimeError):  # no more threads: then nothing is said
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def process_holding(fd: int) -> str:
    """Who has the lock (`flock`) of an open file, as far as the system tells."""
    with suppress(OSError, ValueError):  # Linux alone has this
        status = os.fstat(fd)
        device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
        place = f"{device}:{status.st_ino}"
        with open("/proc/locks", encoding="ascii") as locks:
            for line in locks:
                words = line.split()
                if words[1:2] == ["FLOCK"] and words[5:6] == [place]:
                    return f"process {int(words[4])}{_name_of(words[4])}"
    return _PROCESS_OF_ANY


def _name_of(process: str) -> str:
    with suppress(OSError, UnicodeError), open(f"/proc/{process}/comm", encoding="utf-8") as file:
        return f" ({file.read().strip()!a})"
    return ""
