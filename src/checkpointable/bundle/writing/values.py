"""Writes the values of a layout: each byte is read once for its checksum and its way to disk.

Large values go in chunks that stay in the processor's cache between the checksum and the
write, on several threads, straight from their own memory. Small ones are gathered, so that
a thousand of them are one write.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from checkpointable.bundle.checksum import combine, load_crc32c, mask
from checkpointable.bundle.dtypes import byteswapped, numpy_dtype
from checkpointable.bundle.parallel import (
    CHUNK_SIZE,
    WRITE_CHUNK_SIZE,
    run_in_order,
    thread_count,
)
from checkpointable.bundle.strings import EncodedStrings
from checkpointable.bundle.writing.layout import Layout, PlacedValue, check_declared
from checkpointable.storage import WritableFile

if TYPE_CHECKING:
    from typing import TypeAlias

    import numpy.typing as npt

    # (bytes done, bytes in all, key of the value just done)
    Progress: TypeAlias = Callable[[int, int, str], None]

__all__ = ["contents_of", "write_values"]

# Values below this are copied into one buffer with their neighbours.
GATHERED_SIZE = 128 * 1024

# So many bytes in a row are handed to the disk while those after them are still to be written.
SYNC_SIZE = 32 * 2**20


def write_values(
    file: WritableFile,
    layout: Layout,
    *,
    start: int = 0,
    stop: int | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    sync_follows: bool = False,
) -> None:
    """Writes every value of `layout` to its place in `file` and sets its `crc`.

    Args:
      start, stop: write only the values `layout.values[start:stop]`.
      threads: how many; None for as many as there are processors.
      sync_follows: the file is going to be synced, which may begin at once.
      progress: called with (bytes done, bytes in all, key), those before `start` included.

    Raises:
      CheckpointMismatchError: a value is not of the dtype and shape that it declares.
      CheckpointIOError: the disk refused.
    """
    thread_count(threads)  # judges it, also where there is nothing to do
    values = layout.values[start:stop]
    if not values:
        return
    writer = _Writer(file, values, progress, sync_follows=sync_follows)
    if progress is not None:
        writer.total = sum(placed.size for placed in layout.values)
        writer.done = sum(placed.size for placed in layout.values[:start])
    size = values[-1].offset + values[-1].size - values[0].offset
    tasks = ((task, task.run) for task in writer.tasks())
    with closing(run_in_order(tasks, size, threads)) as results:
        for task, crc in results:
            task.finish(crc)
            writer.reached(task.end)


class _Task:
    """Something for a thread to do (`run`), and what its result means (`finish`)."""

    @property
    def end(self) -> int:
        """Where in the file that ends which it writes."""
        raise NotImplementedError

    def run(self) -> int:
        raise NotImplementedError

    def finish(self, crc: int) -> None:
        raise NotImplementedError


class _Writer:
    def __init__(
        self,
        file: WritableFile,
        values: list[PlacedValue],
        progress: Progress | None,
        *,
        sync_follows: bool,
    ) -> None:
        self.file = file
        self._values = values
        self._progress = progress
        self._sync_follows = sync_follows
        self._begun = values[0].offset
        self.done = 0
        self.total = 0

    def tasks(self) -> Iterator[_Task]:
        """All that is to do, in file order; reads the values as it goes."""
        gathered = _Gathered(self)
        for placed in self._values:
            if placed.size >= GATHERED_SIZE or isinstance(placed.payload, EncodedStrings):
                if gathered.values:
                    yield gathered
                    gathered = _Gathered(self)
                yield from self._chunks(placed)
                continue
            gathered.add(placed)
            if gathered.size >= CHUNK_SIZE:
                yield gathered
                gathered = _Gathered(self)
        if gathered.values:
            yield gathered

    def _chunks(self, placed: PlacedValue) -> Iterator[_Task]:
        left = placed.size
        payload = placed.payload
        parts = (
            _pieces(payload) if isinstance(payload, EncodedStrings) else _split(contents_of(placed))
        )
        for part, size in parts:
            left -= size
            yield _Chunk(self, placed, part, placed.offset + placed.size - left - size, left)

    def advance(self, size: int, key: str) -> None:
        if self._progress is not None:
            self.done += size
            self._progress(self.done, self.total, key)

    def reached(self, end: int) -> None:
        """Everything before `end` is written."""
        if self._sync_follows and end - self._begun >= SYNC_SIZE:
            self.file.begin_sync(self._begun, end - self._begun)
            self._begun = end


class _Chunk(_Task):
    """A part of a large value, or all of it."""

    __slots__ = ("_left", "_offset", "_part", "_placed", "_size", "_writer")

    def __init__(
        self, writer: _Writer, placed: PlacedValue, part: npt.NDArray[Any], offset: int, left: int
    ) -> None:
        self._writer = writer
        self._placed = placed
        self._part = part
        self._offset = offset
        self._left = left
        self._size = part.nbytes

    @property
    def end(self) -> int:
        return self._offset + self._size

    def run(self) -> int:
        data = _plain_bytes(self._part).data
        # A string value's checksum is more than that of its bytes, and known already.
        crc = load_crc32c()(data) if self._placed.payload is None else 0
        self._writer.file.write_at(data, self._offset)
        del self._part
        return crc

    def finish(self, crc: int) -> None:
        # Tasks finish in the order they were made, so `crc` is that of the parts before.
        placed = self._placed
        if placed.payload is None:
            placed.crc = combine(placed.crc, crc, self._size)
            if not self._left:
                placed.crc = mask(placed.crc)
        self._writer.advance(self._size, placed.value.key)


class _Gathered(_Task):
    """Small values that lie one after another."""

    __slots__ = ("_parts", "_writer", "size", "values")

    def __init__(self, writer: _Writer) -> None:
        self._writer = writer
        self._parts: list[Any] = []
        self.values: list[PlacedValue] = []
        self.size = 0

    def add(self, placed: PlacedValue) -> None:
        self.values.append(placed)
        self._parts.append(contents_of(placed))
        self.size += placed.size

    @property
    def end(self) -> int:
        return self.values[-1].offset + self.values[-1].size

    def run(self) -> int:
        crc32c = load_crc32c()
        parts = []
        start = position = self.values[0].offset
        # A value costs what one turn of this loop does.
        for placed, contents in zip(self.values, self._parts, strict=True):
            offset = placed.offset
            if offset != position:
                parts.append(bytes(offset - position))
            if placed.payload is None:
                plain = _buffer_dtype(placed.value.dtype)
                if contents.dtype is not plain or not contents.flags.c_contiguous:
                    contents = _plain_bytes(contents)
                placed.crc = mask(crc32c(contents))
            parts.append(contents)
            position = offset + placed.size
        if position > start:
            self._writer.file.write_at(b"".join(parts), start)
        self._parts = []
        return 0

    def finish(self, crc: int) -> None:
        del crc  # each value has its own
        self._writer.advance(self.size, self.values[-1].value.key)


def contents_of(placed: PlacedValue) -> Any:
    """The value, read: an array, or a string value's bytes, where they were put together."""
    if isinstance(placed.payload, bytes):
        return np.frombuffer(placed.payload, np.uint8)
    value = placed.value
    array = np.asarray(value.read())
    if array.shape != value.shape or array.dtype != numpy_dtype(value.dtype):
        check_declared(value, array)
    return array


def _pieces(strings: EncodedStrings) -> Iterator[tuple[npt.NDArray[Any], int]]:
    for piece in strings.pieces():
        yield np.frombuffer(piece, np.uint8), len(piece)


def _split(array: npt.NDArray[Any]) -> Iterator[tuple[npt.NDArray[Any], int]]:
    """Parts of an array, in row-major order, with their sizes: alike, `WRITE_CHUNK_SIZE` at most.

    A part of a contiguous array is a view; that of another is one too, and is made
    contiguous when its turn comes, so that no copy of the whole is ever held.
    """
    if array.nbytes <= WRITE_CHUNK_SIZE:
        yield array, array.nbytes
        return
    rows = array.reshape(-1) if array.flags.c_contiguous else array
    row_size = array.nbytes // len(rows)
    if row_size > WRITE_CHUNK_SIZE:
        for row in rows:
            yield from _split(row)
        return
    count = -(-len(rows) // (WRITE_CHUNK_SIZE // row_size))
    step = -(-len(rows) // count)
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        yield part, part.nbytes


@lru_cache(maxsize=256)
def _buffer_dtype(dtype: int) -> np.dtype[Any] | None:
    """The dtype of arrays that serve as buffers of their bytes, row-major and little endian.

    An array that is C-contiguous and whose dtype is this very object does. None: none do (the
    types of ml_dtypes are not built in, and are no buffers).
    """
    found = numpy_dtype(dtype)
    return found if found.isbuiltin == 1 and sys.byteorder == "little" else None


def _plain_bytes(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """An array's elements as row-major little-endian bytes; no copy if they already are."""
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    array = np.ascontiguousarray(array).reshape(-1)
    if sys.byteorder == "big":
        array = byteswapped(array)
    return array.view(np.uint8)
