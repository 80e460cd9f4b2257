"""Verifies the checksums of values, in parallel and in the order they lie in the files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from checkpointable.bundle.checksum import combine, load_crc32c, mask
from checkpointable.bundle.coding import Malformed
from checkpointable.bundle.data import Files
from checkpointable.bundle.dtypes import DataType
from checkpointable.bundle.parallel import CHUNK_SIZE, run_in_order
from checkpointable.bundle.strings import checksum_strings
from checkpointable.bundle.variants import checksum_variants

if TYPE_CHECKING:
    from typing import TypeAlias

    import numpy.typing as npt

    # (value, what is wrong, offset in the file)
    _Found: TypeAlias = "tuple[Stored, str, int]"
    # (values, 0, 0), or of one large value ([value], size of this chunk, what is left after)
    _Work: TypeAlias = "tuple[list[Stored], int, int]"

__all__ = [
    "Stored",
    "check_values",
    "differs",
    "in_file_order",
    "stored_values",
]

# Rows whose numbers are made into objects at a time, and values that are checked in one go.
_PORTION = 4096
_STRUCTURED = frozenset({DataType.DT_STRING, DataType.DT_VARIANT})


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
                value = done[0]
                sum_so_far = combine(sum_so_far, crc, size)
                if left:
                    continue
                if mask(sum_so_far) != value.crc:
                    yield value, differs(mask(sum_so_far), value.crc), value.offset
                sum_so_far = 0
            if progress is not None:
                for value in done:
                    progress(value)


def _tasks(
    files: Files, order: npt.NDArray[np.int64]
) -> Iterator[tuple[_Work, Callable[[], tuple[int, list[_Found]]]]]:
    group: list[Stored] = []
    size = 0
    for value in stored_values(files, order):
        large = value.size > CHUNK_SIZE and value.dtype not in _STRUCTURED
        full = size + value.size > CHUNK_SIZE or len(group) == _PORTION
        if group and (large or full or value.shard != group[-1].shard):
            yield (group, 0, 0), partial(_check_group, files, group)
            group, size = [], 0
        if not large:
            group.append(value)
            size += value.size
            continue
        view = files.view(value.shard, value.offset, value.size)
        for start in range(0, value.size, CHUNK_SIZE):
            chunk = view[start : start + CHUNK_SIZE]
            left = value.size - start - len(chunk)
            yield ([value], len(chunk), left), partial(_check_chunk, chunk)
    if group:
        yield (group, 0, 0), partial(_check_group, files, group)


def _check_chunk(chunk: memoryview) -> tuple[int, list[_Found]]:
    return load_crc32c()(chunk), []


def _check_group(files: Files, group: list[Stored]) -> tuple[int, list[_Found]]:
    crc32c = load_crc32c()
    base = group[0].offset
    # Not that of the last: an empty value may lie where another starts.
    end = max(value.offset + value.size for value in group)
    view = files.view(group[0].shard, base, end - base)
    damages: list[_Found] = []
    for value in group:
        start = value.offset - base
        contents = view[start : start + value.size]
        if value.dtype in _STRUCTURED:
            try:
                found = _checksum_structured(files, value, contents)
            except Malformed as error:
                damages.append((value, error.what, value.offset + error.position))
                continue
        else:
            found = mask(crc32c(contents))
        if found != value.crc:
            damages.append((value, differs(found, value.crc), value.offset))
    return 0, damages


def _checksum_structured(files: Files, value: Stored, contents: memoryview) -> int:
    count = files.index.entry_of(value.row).num_elements
    checksum = checksum_strings if value.dtype == DataType.DT_STRING else checksum_variants
    return checksum(contents, count, big_endian=files.index.header.big_endian)


def differs(found: int, stored: int) -> str:
    """The words for a checksum that does not hold; both masked."""
    return (
        f"the value has the checksum {found:#010x}, but the index says {stored:#010x}: its "
        "bytes are damaged, or belong to another checkpoint"
    )
