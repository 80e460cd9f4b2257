"""Computes the hashes of the chunks of data files, for manifests.

A file that is being written is hashed from the memory that is written, and never read back. So the
signature covers the data of the program, even if others can write to the disk.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from checkpointable.bundle.parallel import run_in_order
from checkpointable.bundle.writing.layout import Layout
from checkpointable.manifest.format import HASH_SIZE, chunk_count
from checkpointable.manifest.tree import leaf_hash
from checkpointable.storage import ReadableFile, WritableFile

if TYPE_CHECKING:
    from checkpointable.storage.interface import Buffer

__all__ = ["HashedFile", "hash_file"]


class _Part:
    """A chunk that has been written in part."""

    __slots__ = ("contents", "missing")

    def __init__(self, size: int) -> None:
        self.contents = bytearray(size)
        self.missing = size


class HashedFile(WritableFile):
    """A data file for the values of a layout, whose chunks are hashed as they are written.

    A chunk is hashed by the thread that completes it. Chunks that a single write covers are hashed
    in place. The others are copied until they are complete; these are few at a time, because values
    are written in file order. Gaps between values count as zeros, written or not.

    Args:
      file: The file to write.
      layout: The values that will be written, each once.
      chunk_size: The size of a chunk, in bytes.
    """

    def __init__(self, file: WritableFile, layout: Layout, chunk_size: int) -> None:
        self.path = file.path
        self.size = layout.size
        self._file = file
        self._chunk_size = chunk_size
        self._leaves = bytearray(chunk_count(layout.size, chunk_size) * HASH_SIZE)
        self._hashed = 0
        self._parts: dict[int, _Part] = {}
        self._lock = threading.Lock()
        values = [placed for placed in layout.values if placed.size]
        start = np.fromiter((placed.offset for placed in values), np.int64, len(values))
        size = np.fromiter((placed.size for placed in values), np.int64, len(values))
        # The gaps: from the end of a value to the start of the next one.
        self._gap_start = start + size
        self._gap_end = np.append(start[1:], layout.size)

    @property
    def leaves(self) -> bytes:
        """The concatenated hashes of all chunks, once everything has been written."""
        assert self._hashed * HASH_SIZE == len(self._leaves), "not everything is written"
        return bytes(self._leaves)

    def write_at(self, data: Buffer, offset: int) -> None:
        self._file.write_at(data, offset)
        if len(data):
            self._take_in(memoryview(data).cast("B"), offset)

    def sync(self) -> None:
        self._file.sync()

    def begin_sync(self, offset: int, size: int) -> None:
        self._file.begin_sync(offset, size)

    def close(self) -> None:
        self._file.close()

    def abort(self) -> None:
        self._file.abort()

    def _past_gap(self, position: int) -> int:
        """Returns the position, or the start of the next value if it is in a gap."""
        at = int(np.searchsorted(self._gap_start, position, "right")) - 1
        return position if at < 0 else max(position, self._gap_end.item(at))

    def _take_in(self, data: memoryview, offset: int) -> None:
        end = offset + len(data)
        # Together with the gaps after them, the writes cover each byte of the file once.
        known_from, known_to = self._past_gap(offset), self._past_gap(end)
        size = self._chunk_size
        for number in range(known_from // size, chunk_count(known_to, size)):
            start = number * size
            stop = min(start + size, self.size)
            if offset <= start and stop <= end:
                self._set(number, data[start - offset : stop - offset])
                continue
            with self._lock:
                part = self._parts.get(number)
                if part is None:
                    part = self._parts[number] = _Part(stop - start)
            first, last = max(start, offset), min(stop, end)
            if first < last:
                part.contents[first - start : last - start] = data[first - offset : last - offset]
            with self._lock:
                part.missing -= min(stop, known_to) - max(start, known_from)
                complete = not part.missing
                if complete:
                    del self._parts[number]
            if complete:
                self._set(number, part.contents)

    def _set(self, number: int, chunk: Buffer) -> None:
        digest = leaf_hash(chunk)
        with self._lock:
            self._leaves[number * HASH_SIZE : (number + 1) * HASH_SIZE] = digest
            self._hashed += 1


def hash_file(
    file: ReadableFile,
    chunk_size: int,
    progress: Callable[[int], None] | None = None,
    threads: int | None = None,
) -> bytes:
    """Returns the concatenated hashes of all chunks of an open file.

    Args:
      file: The open file.
      chunk_size: The size of a chunk, in bytes.
      progress: Called with the size of each chunk that has been hashed.
      threads: The number of threads; None to choose one.
    """

    def hashed(start: int) -> bytes:
        return leaf_hash(file.read(start, min(chunk_size, file.size - start)))

    tasks = ((start, partial(hashed, start)) for start in range(0, file.size, chunk_size))
    leaves = []
    with closing(run_in_order(tasks, file.size, threads)) as done:
        for start, leaf in done:
            leaves.append(leaf)
            if progress is not None:
                progress(min(chunk_size, file.size - start))
    return b"".join(leaves)
