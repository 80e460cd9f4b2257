"""Copies values from the data files into existing arrays, in parallel.

The callers compare shapes and dtypes before the first byte is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from checkpointable.bundle.checksum import combine, load_crc32c, mask, unmask
from checkpointable.bundle.dtypes import byteswapped
from checkpointable.bundle.parallel import (
    CHUNK_SIZE,
    PIECE_SIZE,
    READ_CHUNK_SIZE,
    STREAM_CHUNK_SIZE,
    Buffers,
    portions,
    run_in_order,
)
from checkpointable.bundle.reading.checks import differs
from checkpointable.bundle.reading.data import Files
from checkpointable.errors import CheckpointCorruptError

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["copy_values", "native_array"]


def native_array(
    view: memoryview, dtype: np.dtype[Any], shape: tuple[int, ...], *, swap: bool
) -> npt.NDArray[Any]:
    """Returns an array over stored bytes; copies them only to swap their byte order."""
    array: npt.NDArray[Any] = np.ndarray(shape, dtype, view)
    if swap:
        array = byteswapped(array.reshape(-1)).reshape(shape)
    return array


def copy_values(
    files: Files,
    targets: Iterable[tuple[str, int, npt.NDArray[Any]]],
    *,
    swap: bool,
    verify: bool,
    threads: int | None = None,
) -> None:
    """Copies values of a fixed width into arrays of the same shape and dtype.

    Args:
      files: The open checkpoint.
      targets: (key, row, array) triples. Each array has the shape and dtype of its value.
      swap: The file has the other byte order.
      verify: Compare the checksum of each value in the same pass. When an error is raised, the
        array of that value and those before it have been changed already.
      threads: The number of threads; None to choose one.

    Raises:
      CheckpointCorruptError: A checksum differs.
    """
    copy = _Copy(files, list(targets), swap=swap, verify=verify)
    crc_so_far = 0
    with closing(run_in_order(copy.tasks(), copy.size, threads)) as results:
        for (at, size, left), crc in results:
            if not size or not verify:
                continue
            crc_so_far = combine(crc_so_far, crc, size)
            if not left:
                copy.compare(at, crc_so_far)
                crc_so_far = 0


class _Copy:
    """Values and arrays in file order; `at` is a position in this order."""

    def __init__(
        self,
        files: Files,
        targets: list[tuple[str, int, npt.NDArray[Any]]],
        *,
        swap: bool,
        verify: bool,
    ) -> None:
        self._files = files
        self._swap = swap
        self._verify = verify
        self._buffers = Buffers()
        self._chunk_size = STREAM_CHUNK_SIZE if verify else READ_CHUNK_SIZE
        columns = files.index.columns
        rows = np.array([row for _, row, _ in targets], np.int64)
        order = np.lexsort((columns.offset[rows], columns.shard[rows]))
        self._targets = [targets[i] for i in order.tolist()]
        self._rows = rows = rows[order]
        self._shards = columns.shard[rows]
        self._offsets = columns.offset[rows]
        self._sizes = columns.size[rows]
        self._crcs = unmask(columns.crc[rows])
        self.size = int(self._sizes.sum())

    # (at, 0, 0), or for a chunk of a large value (at, size of the chunk, size of the rest)
    def tasks(self) -> Iterator[tuple[tuple[int, int, int], Callable[[], int]]]:
        alone = np.zeros(len(self._sizes), np.bool_)
        if not self._swap:
            for at in np.flatnonzero(self._sizes > CHUNK_SIZE).tolist():
                alone[at] = self._targets[at][2].flags.c_contiguous
        for start, stop in portions(self._shards, self._offsets, self._sizes, alone):
            if alone[start]:
                yield from self._chunks(start)
            else:
                yield (start, 0, 0), partial(self._copy_group, start, stop)

    def _chunks(self, at: int) -> Iterator[tuple[tuple[int, int, int], Callable[[], int]]]:
        shard, offset = self._shards.item(at), self._offsets.item(at)
        size = self._sizes.item(at)
        destination = self._targets[at][2].reshape(-1).view(np.uint8).data
        for start in range(0, size, self._chunk_size):
            part = destination[start : start + self._chunk_size]
            left = size - start - len(part)
            yield (at, len(part), left), partial(self._copy_chunk, shard, offset + start, part)

    def _copy_chunk(self, shard: int, offset: int, destination: memoryview) -> int:
        if not self._verify:
            self._files.read_into(shard, offset, destination)
            return 0
        crc32c = load_crc32c()
        crc = 0
        for start in range(0, len(destination), PIECE_SIZE):
            piece = destination[start : start + PIECE_SIZE]
            self._files.read_into(shard, offset + start, piece)
            crc = crc32c(piece, crc)
        return crc

    def _copy_group(self, start: int, stop: int) -> int:
        shard = self._shards.item(start)
        offsets = self._offsets[start:stop]
        base = offsets.item(0)
        size = int((offsets + self._sizes[start:stop]).max()) - base
        if size > CHUNK_SIZE:  # one value, whose array is not contiguous
            self._copy_from(start, stop, self._files.view(shard, base, size))
            return 0
        with self._buffers.borrow(size) as buffer:
            self._copy_from(start, stop, self._files.read(shard, base, size, buffer))
        return 0

    def _copy_from(self, start: int, stop: int, view: memoryview) -> None:
        """Copies values; `view` begins with the bytes of the first one."""
        crc32c = load_crc32c()
        verify, swap = self._verify, self._swap
        offsets = self._offsets[start:stop]
        for at, offset, size in zip(
            range(start, stop),
            (offsets - offsets[0]).tolist(),
            self._sizes[start:stop].tolist(),
            strict=True,
        ):
            if verify:
                self.compare(at, crc32c(view[offset : offset + size]))
            if not size:
                continue
            array = self._targets[at][2]
            if swap:
                contents = view[offset : offset + size]
                source = native_array(contents, array.dtype, array.shape, swap=True)
            else:
                source = np.ndarray(array.shape, array.dtype, view, offset)
            array[...] = source

    def compare(self, at: int, crc: int) -> None:
        """Compares a checksum (not masked) with the stored one."""
        stored = self._crcs.item(at)
        if crc != stored:
            files = self._files
            raise CheckpointCorruptError(
                differs(mask(crc), mask(stored)),
                path=files.paths.get(self._shards.item(at), files.index.path),
                key=self._targets[at][0],
                offset=self._offsets.item(at),
            )
