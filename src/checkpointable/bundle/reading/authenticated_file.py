"""Files of which nothing is used before it has been compared with a manifest.

A mapped file changes when somebody writes to it, also after it was verified. So each chunk is
read into memory of our own, compared there, and used from there: what was verified is what is
used, however late, and whatever becomes of the file. A chunk is read when something of it is
first wanted; one that nobody wants takes no memory.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from checkpointable.bundle.format import ALIGNMENT
from checkpointable.bundle.parallel import run_in_order
from checkpointable.errors import CheckpointCorruptError
from checkpointable.manifest.format import HASH_SIZE, chunk_count
from checkpointable.manifest.tree import leaf_hash
from checkpointable.storage import ReadableFile

if TYPE_CHECKING:
    import numpy.typing as npt

    from checkpointable.manifest import FileHashes

__all__ = ["AuthenticFile", "size_differs"]


def size_differs(found: int, wanted: int) -> str:
    """The words for a file that has another size than the manifest says."""
    return (
        f"the file has {found} bytes, but the manifest says {wanted}: it was changed since the "
        "manifest was written, or belongs to another checkpoint"
    )


class AuthenticFile(ReadableFile):
    """An open file, used by way of the hashes that a manifest has of it.

    Args:
      file: open; closed with this one.
      hashes: of the file.
      chunk_size: of the manifest.

    Raises:
      CheckpointCorruptError: by every method that gives contents: they are not as the manifest
        says.
    """

    def __init__(self, file: ReadableFile, hashes: FileHashes, chunk_size: int) -> None:
        self.path = file.path
        self.size = file.size
        self.identity = file.identity
        self._file = file
        self._wanted_size = hashes.size
        self._leaves = hashes.leaves
        self._chunk_size = chunk_size
        self._memory: npt.NDArray[np.uint8] | None = None
        self._lock = threading.Lock()
        self._is_there = bytearray(chunk_count(hashes.size, chunk_size))

    def check_size(self) -> None:
        """Raises if the file is shorter or longer than the manifest says."""
        if self.size != self._wanted_size:
            raise CheckpointCorruptError(
                size_differs(self.size, self._wanted_size),
                path=self.path,
                offset=min(self.size, self._wanted_size),
            )

    def read(self, offset: int, size: int) -> bytes:
        return bytes(self.view(offset, size))

    def read_into(self, offset: int, buffer: memoryview) -> None:
        buffer[:] = self.view(offset, len(buffer))

    def map(self) -> memoryview:
        return self.view(0, self.size)

    def view(self, offset: int, size: int) -> memoryview:
        """The bytes `[offset, offset + size)`, in memory of our own, read-only."""
        self.load(np.array([offset]), np.array([offset + size]))
        memory = self._memory
        if memory is None:
            return memoryview(b"")
        return memory[offset : offset + size].data.toreadonly()

    def load(
        self,
        start: npt.NDArray[np.int64],
        stop: npt.NDArray[np.int64],
        threads: int | None = None,
    ) -> None:
        """Brings in the chunks that the ranges `[start, stop)` touch, on several threads."""
        self.check_size()
        wanted = self._missing(start, stop)
        if not wanted:
            return
        with self._lock:  # of several threads one makes it
            if self._memory is None:
                # Untouched, it takes no memory; aligned, so that values are as in a mapped file.
                space = np.empty(self.size + ALIGNMENT, np.uint8)
                self._memory = space[-space.ctypes.data % ALIGNMENT :][: self.size]
            memory = self._memory
        tasks = ((number, partial(self._bring_in, memory, number)) for number in wanted)
        size = len(wanted) * self._chunk_size
        with closing(run_in_order(tasks, size, threads)) as results:
            for number, right in results:
                if not right:
                    raise CheckpointCorruptError(
                        self._chunk_differs(number),
                        path=self.path,
                        offset=number * self._chunk_size,
                    )

    def damage(
        self, progress: Callable[[int], None] | None = None, threads: int | None = None
    ) -> Iterator[tuple[int, str]]:
        """(offset, what is wrong) of all that differs from the manifest; keeps nothing.

        Args:
          progress: called with the bytes of each chunk that is done.
        """
        if self.size != self._wanted_size:
            offset = min(self.size, self._wanted_size)
            yield offset, size_differs(self.size, self._wanted_size)
        numbers = range(min(len(self._is_there), chunk_count(self.size, self._chunk_size)))
        tasks = ((number, partial(self._right_chunk, number)) for number in numbers)
        with closing(run_in_order(tasks, self.size, threads)) as results:
            for number, contents in results:
                if not contents:
                    yield number * self._chunk_size, self._chunk_differs(number)
                if progress is not None:
                    progress(self._extent(number)[1])

    def close(self) -> None:
        self._file.close()
        self._memory = None
        self._is_there = bytearray(len(self._is_there))

    def _missing(self, start: npt.NDArray[np.int64], stop: npt.NDArray[np.int64]) -> list[int]:
        """The numbers of the chunks in these ranges that are not there yet."""
        is_there = self._is_there
        if len(start) == 1:  # one value, mostly there already: without arrays
            first, last = start.item(0) // self._chunk_size, stop.item(0)
            chunks: Iterable[int] = range(first, chunk_count(last, self._chunk_size))
        else:
            filled = stop > start
            borders = np.zeros(len(is_there) + 1, np.int64)
            np.add.at(borders, start[filled] // self._chunk_size, 1)
            np.add.at(borders, -(-stop[filled] // self._chunk_size), -1)
            chunks = np.flatnonzero(np.cumsum(borders[:-1])).tolist()
        return [number for number in chunks if not is_there[number]]

    def _bring_in(self, memory: npt.NDArray[np.uint8], number: int) -> bool:
        contents = self._right_chunk(number)
        if not contents:
            return False
        start = number * self._chunk_size
        # Two threads may do this at once: both have the same bytes, since both are right.
        memory[start : start + len(contents)] = np.frombuffer(contents, np.uint8)
        self._is_there[number] = True
        return True

    def _right_chunk(self, number: int) -> bytes:
        """A chunk, if it is as the manifest says; else nothing."""
        contents = self._file.read(*self._extent(number))
        expected = self._leaves[number * HASH_SIZE : (number + 1) * HASH_SIZE]
        return contents if leaf_hash(contents) == expected else b""

    def _extent(self, number: int) -> tuple[int, int]:
        """Offset and size of a chunk, as far as the file has it."""
        start = number * self._chunk_size
        return start, min(self._chunk_size, self._wanted_size - start, self.size - start)

    def _chunk_differs(self, number: int) -> str:
        _, size = self._extent(number)
        return (
            f"the {size} bytes here have another SHA-256 than the manifest says: they were "
            "changed since it was written, or belong to another checkpoint"
        )
