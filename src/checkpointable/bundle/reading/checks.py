"""Verifies the checksums of values, in parallel and in file order."""

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

    # (value, description, offset in the file)
    _Difference: TypeAlias = "tuple[Stored, str, int]"
    # (rows, 0, 0); or for a chunk of a large value (its row, size of the chunk, size of the rest)
    _Work: TypeAlias = "tuple[npt.NDArray[np.int64], int, int]"

__all__ = [
    "Stored",
    "check_values",
    "differs",
    "in_file_order",
    "stored_values",
]

# The number of rows that become Python objects at a time.
_PORTION = 4096


class Stored(NamedTuple):
    """Location and checksum of the bytes of a row; see `Entry` for the attributes."""

    row: int
    dtype: int
    shard: int
    offset: int
    size: int
    crc: int


def in_file_order(files: Files, rows: Iterable[int]) -> npt.NDArray[np.int64]:
    """Returns the rows sorted by data file and offset."""
    columns = files.index.columns
    order = np.fromiter(rows, np.int64)
    return order[np.lexsort((columns.offset[order], columns.shard[order]))]


def stored_values(files: Files, order: npt.NDArray[np.int64]) -> Iterator[Stored]:
    """Yields the location of the bytes of each row."""
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
) -> Iterator[_Difference]:
    """Compares the checksum of each value with the stored one.

    Args:
      files: The open checkpoint.
      order: The rows of the values, in file order.
      threads: The number of threads; None to choose one.
      progress: Called with each value once it is checked.

    Yields:
      (value, description, offset in the file) of each value that differs, in file order.
    """
    total = int(files.index.columns.size[order].sum())
    crc_so_far = 0
    with closing(run_in_order(_tasks(files, order), total, threads)) as results:
        for (done, size, left), (crc, damages) in results:
            yield from damages
            if size:
                crc_so_far = combine(crc_so_far, crc, size)
                if left:
                    continue
                (value,) = stored_values(files, done)
                if mask(crc_so_far) != value.crc:
                    yield value, differs(mask(crc_so_far), value.crc), value.offset
                crc_so_far = 0
            if progress is not None:
                for value in stored_values(files, done):
                    progress(value)


def _tasks(
    files: Files, order: npt.NDArray[np.int64]
) -> Iterator[tuple[_Work, Callable[[], tuple[int, list[_Difference]]]]]:
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
    """Returns whether the bytes of values contain further checksums."""
    return np.asarray((dtype == DataType.DT_STRING) | (dtype == DataType.DT_VARIANT))


def _check_chunk(
    files: Files, shard: int, offset: int, size: int, buffers: Buffers
) -> tuple[int, list[_Difference]]:
    crc32c = load_crc32c()
    crc = 0
    with buffers.borrow(PIECE_SIZE) as buffer:
        for at in range(0, size, PIECE_SIZE):
            piece = files.read(shard, offset + at, min(PIECE_SIZE, size - at), buffer)
            crc = crc32c(piece, crc)
    return crc, []


def _check_group(
    files: Files, rows: npt.NDArray[np.int64], buffers: Buffers
) -> tuple[int, list[_Difference]]:
    columns = files.index.columns
    shard = columns.shard.item(rows[0])
    start = columns.offset[rows]
    base = int(start[0])
    # Not simply the end of the last one: an empty value may lie at the start of another.
    size = int((start + columns.size[rows]).max()) - base
    if size > CHUNK_SIZE:  # a large string value, whose checksum needs it in one piece
        return 0, _damages(files, rows, files.view(shard, base, size))
    with buffers.borrow(size) as buffer:
        return 0, _damages(files, rows, files.read(shard, base, size, buffer))


def _damages(files: Files, rows: npt.NDArray[np.int64], view: memoryview) -> list[_Difference]:
    """Returns the differences of values; `view` begins with the bytes of the first one."""
    crc32c = load_crc32c()
    columns = files.index.columns
    start = columns.offset[rows]
    end = start + columns.size[rows]
    base = int(start[0])
    structured = _is_structured(columns.dtype[rows])
    # This loop runs once a value: checksums are compared unmasked, and strings come later.
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
    damages: list[_Difference] = []
    for value in stored_values(files, rows[suspects]):
        contents = view[value.offset - base : value.offset - base + value.size]
        try:
            crc = _checksum(files, value, contents)
        except Malformed as error:
            damages.append((value, error.what, value.offset + error.position))
            continue
        if crc != value.crc:
            damages.append((value, differs(crc, value.crc), value.offset))
    return damages


def _checksum(files: Files, value: Stored, contents: memoryview) -> int:
    """Returns the masked checksum of a value."""
    if value.dtype not in {DataType.DT_STRING, DataType.DT_VARIANT}:
        return mask(load_crc32c()(contents))
    count = files.index.entry_of(value.row).num_elements
    checksum = checksum_strings if value.dtype == DataType.DT_STRING else checksum_variants
    return checksum(contents, count, big_endian=files.index.header.big_endian)


def differs(actual: int, stored: int) -> str:
    """Describes a wrong checksum; both are masked."""
    return (
        f"the value has the checksum {actual:#010x}, but the index says {stored:#010x}: its "
        "bytes are damaged, or belong to another checkpoint"
    )
