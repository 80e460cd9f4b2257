"""Verifies the checksums of values, in parallel and in the order they lie in the files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from checkpointable.bundle.checksum import combine, load_crc32c, mask, unmask
from checkpointable.bundle.dtypes import DataType
from checkpointable.bundle.parallel import (
    CHUNK_SIZE,
    PIECE_SIZE,
    READ_CHUNK_SIZE,
    Buffers,
    portions,
    run_in_order,
)
from checkpointable.bundle.reading.data import Files
from checkpointable.bundle.strings import checksum_strings
from checkpointable.bundle.variants import checksum_variants
from checkpointable.wire.varints import Malformed

if TYPE_CHECKING:
    from typing import TypeAlias

    import numpy.typing as npt

    # (value, what is wrong, offset in the file)
    _Found: TypeAlias = "tuple[Stored, str, int]"
    # (rows, 0, 0), or of one large value (its row, size of this chunk, what is left after it)
    _Work: TypeAlias = "tuple[npt.NDArray[np.int64], int, int]"

__all__ = [
    "Stored",
    "check_values",
    "differs",
    "in_file_order",
    "stored_values",
]

# Rows whose numbers are made into objects at a time.
_PORTION = 4096


class Stored(NamedTuple):
    """Where a row's bytes are, as plain numbers."""

    row: int
    dtype: int
    shard: int
    offset: int
    size: int
    crc: int


def in_file_order(files: Files, rows: Iterable[int]) -> npt.NDArray[np.int64]:
    """The rows in the order of their data, by data file and offset."""
    columns = files.index.columns
    order = np.fromiter(rows, np.int64)
    return order[np.lexsort((columns.offset[order], columns.shard[order]))]


def stored_values(files: Files, order: npt.NDArray[np.int64]) -> Iterator[Stored]:
    """Where the bytes of the rows are, row by row; made as they are asked for."""
    columns = files.index.columns
    numbers = (columns.dtype, columns.shard, columns.offset, columns.size, columns.crc)
    for start in range(0, len(order), _PORTION):
        rows = order[start : start + _PORTION]
        yield from map(Stored, rows.tolist(), *(column[rows].tolist() for column in numbers))


def check_values(
    files: Files,
    order: npt.NDArray[np.int64],
    *,
    threads: int | None = None,
    progress: Callable[[Stored], None] | None = None,
) -> Iterator[_Found]:
    """Compares the checksum of each row, given in file order, with the stored one.

    Yields (value, what is wrong, offset in the file) for those that differ, in file order.

    Args:
      progress: called with each value once it is checked.
    """
    total = int(files.index.columns.size[order].sum())
    sum_so_far = 0
    with closing(run_in_order(_tasks(files, order), total, threads)) as results:
        for (done, size, left), (crc, damages) in results:
            yield from damages
            if size:
                sum_so_far = combine(sum_so_far, crc, size)
                if left:
                    continue
                (value,) = stored_values(files, done)
                if mask(sum_so_far) != value.crc:
                    yield value, differs(mask(sum_so_far), value.crc), value.offset
                sum_so_far = 0
            if progress is not None:
                for value in stored_values(files, done):
                    progress(value)


def _tasks(
    files: Files, order: npt.NDArray[np.int64]
) -> Iterator[tuple[_Work, Callable[[], tuple[int, list[_Found]]]]]:
    columns = files.index.columns
    shards, sizes = columns.shard[order], columns.size[order]
    alone = (sizes > CHUNK_SIZE) & ~_is_structured(columns.dtype[order])
    buffers = Buffers()
    for start, stop in portions(shards, columns.offset[order], sizes, alone):
        rows = order[start:stop]
        if not alone[start]:
            yield (rows, 0, 0), partial(_check_group, files, rows, buffers)
            continue
        (value,) = stored_values(files, rows)
        for at in range(0, value.size, READ_CHUNK_SIZE):
            size = min(READ_CHUNK_SIZE, value.size - at)
            check = partial(_check_chunk, files, value.shard, value.offset + at, size, buffers)
            yield (rows, size, value.size - at - size), check


def _is_structured(dtype: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which values have checksums of their own within their bytes."""
    return np.asarray((dtype == DataType.DT_STRING) | (dtype == DataType.DT_VARIANT))


def _check_chunk(
    files: Files, shard: int, offset: int, size: int, buffers: Buffers
) -> tuple[int, list[_Found]]:
    crc32c = load_crc32c()
    crc = 0
    with buffers.borrow(PIECE_SIZE) as buffer:
        for at in range(0, size, PIECE_SIZE):
            piece = files.read(shard, offset + at, min(PIECE_SIZE, size - at), buffer)
            crc = crc32c(piece, crc)
    return crc, []


def _check_group(
    files: Files, rows: npt.NDArray[np.int64], buffers: Buffers
) -> tuple[int, list[_Found]]:
    columns = files.index.columns
    shard = columns.shard.item(rows[0])
    start = columns.offset[rows]
    base = int(start[0])
    # Not the end of the last: an empty value may lie where another starts.
    size = int((start + columns.size[rows]).max()) - base
    if size > CHUNK_SIZE:  # a large value of strings, whose checksum wants it in one piece
        return 0, _damages(files, rows, files.view(shard, base, size))
    with buffers.borrow(size) as buffer:
        return 0, _damages(files, rows, files.read(shard, base, size, buffer))


def _damages(files: Files, rows: npt.NDArray[np.int64], view: memoryview) -> list[_Found]:
    """What differs of values of which `view` has the bytes, from the first one's on."""
    crc32c = load_crc32c()
    columns = files.index.columns
    start = columns.offset[rows]
    end = start + columns.size[rows]
    base = int(start[0])
    structured = _is_structured(columns.dtype[rows])
    # Without mask, and strings left to the slower way: this loop runs once a value.
    suspects = [
        i
        for i, (a, b, crc, skip) in enumerate(
            zip(
                (start - base).tolist(),
                (end - base).tolist(),
                unmask(columns.crc[rows]).tolist(),
                structured.tolist(),
                strict=True,
            )
        )
        if skip or crc32c(view[a:b]) != crc
    ]
    damages: list[_Found] = []
    for value in stored_values(files, rows[suspects]):
        contents = view[value.offset - base : value.offset - base + value.size]
        try:
            found = _checksum(files, value, contents)
        except Malformed as error:
            damages.append((value, error.what, value.offset + error.position))
            continue
        if found != value.crc:
            damages.append((value, differs(found, value.crc), value.offset))
    return damages


def _checksum(files: Files, value: Stored, contents: memoryview) -> int:
    """The checksum, masked, that the value's entry should hold."""
    if value.dtype not in {DataType.DT_STRING, DataType.DT_VARIANT}:
        return mask(load_crc32c()(contents))
    count = files.index.entry_of(value.row).num_elements
    checksum = checksum_strings if value.dtype == DataType.DT_STRING else checksum_variants
    return checksum(contents, count, big_endian=files.index.header.big_endian)


def differs(found: int, stored: int) -> str:
    """The words for a checksum that does not hold; both masked."""
    return (
        f"the value has the checksum {found:#010x}, but the index says {stored:#010x}: its "
        "bytes are damaged, or belong to another checkpoint"
    )
