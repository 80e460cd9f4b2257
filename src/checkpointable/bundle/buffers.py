"""Memory that the tasks of one pass over a file use in turn.

A mapped file would need none. But where the disk fails to give a page of it, or somebody has cut
the file short, the system ends the process; a read raises an error that names the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

__all__ = ["PIECE_SIZE", "Buffers"]

# What is read, and then used, at a time: it stays in a processor's own cache between the two.
PIECE_SIZE = 512 * 1024


class Buffers:
    """As many buffers as there are tasks at a time; they go with this object."""

    def __init__(self) -> None:
        self._free: list[memoryview] = []

    @contextmanager
    def borrow(self, size: int) -> Iterator[memoryview]:
        """A buffer of at least `size` bytes, with whatever is in it."""
        try:
            buffer = self._free.pop()
        except IndexError:
            buffer = memoryview(b"")
        if len(buffer) < size:
            buffer = np.empty(max(size, PIECE_SIZE), np.uint8).data
        try:
            yield buffer
        finally:
            self._free.append(buffer)
