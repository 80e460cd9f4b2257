"""Copies values from the data files into arrays that exist, in parallel.

Everything about a value and its array is compared before the first byte is copied.
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
    """An array over stored bytes, without a copy unless `swap` asks for the other byte order."""
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
      targets: (key, row, array), checked to fit.
      swap: the file has the other byte order.
      verify: compare each value's checksum in the same pass. The first difference raises,
        when arrays before and the one concerned have been changed already.

    Raises:
      CheckpointCorruptError
    """
    copy = _Copy(files, list(targets), swap=swap, verify=verify)
    sum_so_far = 0
    with closing(run_in_order(copy.tasks(), copy.size, threads)) as results:
        for (at, size, left), crc in results:
            if not size or not verify:
                continue
            sum_so_far = combine(sum_so_far, crc, size)
            if not left:
                copy.compare(at, sum_so_far)
                sum_so_far = 0


class _Copy:
    """Values and arrays in the order the values lie in the files; `at` is a place in it."""

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

    # (where, 0, 0), or of one large value (where, size of this chunk, what is left after it)
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
        if size > CHUNK_SIZE:  # of one value, which the array has in another order
            self._copy_from(start, stop, self._files.view(shard, base, size))
            return 0
        with self._buffers.borrow(size) as buffer:
            self._copy_from(start, stop, self._files.read(shard, base, size, buffer))
        return 0

    def _copy_from(self, start: int, stop: int, view: memoryview) -> None:
        """Copies values of which `view` has the bytes, from the first one's on."""
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
