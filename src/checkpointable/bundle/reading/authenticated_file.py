"""Reads files whose contents are compared with a manifest before they are used.

A memory map changes when another process writes to the file, even after it was verified. So each
chunk is read into private memory, verified there, and used from there: the bytes that are used are
the bytes that were verified. A chunk is read when one of its bytes is first needed; other chunks
take no memory.
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


def size_differs(actual: int, expected: int) -> str:
    """Describes a file whose size is not the one in the manifest."""
    return (
        f"the file has {actual} bytes, but the manifest says {expected}: it was changed since the "
        "manifest was written, or belongs to another checkpoint"
    )


class AuthenticFile(ReadableFile):
    """An open file whose chunks are verified by the hashes in a manifest.

    Every method that returns contents raises `CheckpointCorruptError` if they differ from the
    manifest.

    Args:
      file: The open file; it is closed with this object.
      hashes: The hashes of the file.
      chunk_size: The size of the chunks, in bytes.
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
        """Checks the size of the file.

        Raises:
          CheckpointCorruptError: It is not the size in the manifest.
        """
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
        """Returns the verified bytes `[offset, offset + size)`, read-only, in private memory."""
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
        """Reads and verifies the chunks of the ranges `[start, stop)`, in several threads."""
        self.check_size()
        wanted = self._missing(start, stop)
        if not wanted:
            return
        with self._lock:
            if self._memory is None:
                # Untouched pages take no memory. Aligned, so that values are as in a mapped file.
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
        """Yields (offset, description) of every difference from the manifest.

        The contents are not kept in memory.

        Args:
          progress: Called with the size of each chunk that has been checked.
          threads: The number of threads; None to choose one.
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
        """Returns the numbers of the chunks in these ranges that are not in memory yet."""
        is_there = self._is_there
        if len(start) == 1:  # a single value, usually in memory already: faster without arrays
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
        # Two threads may do this at the same time: they write the same verified bytes.
        memory[start : start + len(contents)] = np.frombuffer(contents, np.uint8)
        self._is_there[number] = True
        return True

    def _right_chunk(self, number: int) -> bytes:
        """Returns the contents of a chunk; empty if they differ from the manifest."""
        contents = self._file.read(*self._extent(number))
        expected = self._leaves[number * HASH_SIZE : (number + 1) * HASH_SIZE]
        return contents if leaf_hash(contents) == expected else b""

    def _extent(self, number: int) -> tuple[int, int]:
        """Returns the offset and size of a chunk, up to the end of the file."""
        start = number * self._chunk_size
        return start, min(self._chunk_size, self._wanted_size - start, self.size - start)

    def _chunk_differs(self, number: int) -> str:
        _, size = self._extent(number)
        return (
            f"the {size} bytes here have another SHA-256 than the manifest says: they were "
            "changed since it was written, or belong to another checkpoint"
        )
