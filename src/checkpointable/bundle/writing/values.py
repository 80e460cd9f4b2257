"""Writes the values of a layout into a data file, with their checksums.

Large values are written in chunks that stay in the CPU cache between checksum and write, in several
threads, directly from the memory of the value. Small values are gathered, so that a thousand of
them become one write.
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

# Smaller values (in bytes) are copied into one buffer with their neighbors.
GATHERED_SIZE = 128 * 1024

# The disk starts to write after this many bytes, while later ones are still being produced.
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
    """Writes values to their offsets in `file`, and sets `crc` of each.

    Args:
      file: The data file.
      layout: The locations of the values.
      start: The first value to write, as an index into `layout.values`.
      stop: The end of the values to write; None for all.
      threads: The number of threads; None for the number of CPUs.
      progress: Called with (bytes done, bytes in total, key); values before `start` count as done.
      sync_follows: Whether the file will be synced, so that the disk can start early.

    Raises:
      CheckpointMismatchError: A value is not of the dtype and shape that it declares.
      CheckpointIOError: The file cannot be written.
    """
    thread_count(threads)  # raises for an invalid number, even if there is nothing to do
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
    """Work for a thread (`run`), and the processing of its result (`finish`)."""

    @property
    def end(self) -> int:
        """The end of the range of the file that it writes."""
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
        """Yields the tasks in file order; reads the values on the way."""
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
        """Notes that everything before `end` has been written."""
        if self._sync_follows and end - self._begun >= SYNC_SIZE:
            self.file.begin_sync(self._begun, end - self._begun)
            self._begun = end


class _Chunk(_Task):
    """A chunk of a large value."""

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
        # The checksum of a string value is not simply that of its bytes, and is known already.
        crc = load_crc32c()(data) if self._placed.payload is None else 0
        self._writer.file.write_at(data, self._offset)
        del self._part
        return crc

    def finish(self, crc: int) -> None:
        # Tasks finish in order, so `placed.crc` is the checksum of the chunks before.
        placed = self._placed
        if placed.payload is None:
            placed.crc = combine(placed.crc, crc, self._size)
            if not self._left:
                placed.crc = mask(placed.crc)
        self._writer.advance(self._size, placed.value.key)


class _Gathered(_Task):
    """Small values that are adjacent in the file."""

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
        # This loop determines the cost of a small value.
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
        del crc  # each value has its checksum already
        self._writer.advance(self.size, self.values[-1].value.key)


def contents_of(placed: PlacedValue) -> Any:
    """Returns the array of a value, or the encoded bytes of a small string value."""
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
    """Yields parts of an array with their sizes, in row-major order.

    The parts have similar sizes, at most `WRITE_CHUNK_SIZE`. They are views, which are made
    contiguous one at a time, so that no copy of the whole array is held.
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
    """Returns the NumPy dtype if its arrays can be passed as buffers of stored bytes.

    This is true for C-contiguous arrays whose dtype is this very object. Returns None for the
    dtypes of ml_dtypes, which do not support the buffer protocol, and on big-endian machines.
    """
    array_dtype = numpy_dtype(dtype)
    return array_dtype if array_dtype.isbuiltin == 1 and sys.byteorder == "little" else None


def _plain_bytes(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Returns the elements as row-major little-endian bytes, without a copy where possible."""
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    array = np.ascontiguousarray(array).reshape(-1)
    if sys.byteorder == "big":
        array = byteswapped(array)
    return array.view(np.uint8)
