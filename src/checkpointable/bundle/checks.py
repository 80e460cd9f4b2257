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
from checkpointable.storage import Storage

if TYPE_CHECKING:
    from typing import TypeAlias

    import numpy.typing as npt

    # (value, what is wrong, offset in the file)
    _Found: TypeAlias = "tuple[Stored, str, int]"
    # (values, 0, 0), or of one large value ([value], size of this chunk, what is left after)
    _Work: TypeAlias = "tuple[list[Stored], int, int]"

__all__ = ["Damage", "Stored", "check_structure", "check_values", "differs", "in_file_order"]

_STRUCTURED = frozenset({DataType.DT_STRING, DataType.DT_VARIANT})


class Damage(NamedTuple):
    """Something that is not as it was written.

    Attributes:
      path: of the file.
      key: of the value, or None where no value is touched.
      offset: in the file, in bytes.
      what: what is wrong.
    """

    path: str
    key: str | None
    offset: int
    what: str


class Stored(NamedTuple):
    """Where a row's bytes are, as plain numbers."""

    row: int
    dtype: int
    shard: int
    offset: int
    size: int
    crc: int


def in_file_order(files: Files, rows: Iterable[int]) -> list[Stored]:
    """The rows in the order of their data, by data file and offset.

    Where an empty value has the offset of another it comes first, so that of neighbours the
    last is the one that ends last.
    """
    columns = files.index.columns
    order = np.fromiter(rows, np.int64)
    by = (columns.size[order], columns.offset[order], columns.shard[order])
    order = order[np.lexsort(by)]
    numbers = (columns.dtype, columns.shard, columns.offset, columns.size, columns.crc)
    return [
        Stored(*numbers_)
        for numbers_ in zip(
            order.tolist(), *(column[order].tolist() for column in numbers), strict=True
        )
    ]


def check_values(
    files: Files,
    values: list[Stored],
    *,
    threads: int | None = None,
    progress: Callable[[Stored], None] | None = None,
) -> Iterator[_Found]:
    """Compares the checksum of each value, given in file order, with the stored one.

    Yields (value, what is wrong, offset in the file) for those that differ, in file order.

    Args:
      progress: called with each value once it is checked.
    """
    total = sum(value.size for value in values)
    sum_so_far = 0
    with closing(run_in_order(_tasks(files, values), total, threads)) as results:
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
    files: Files, values: list[Stored]
) -> Iterator[tuple[_Work, Callable[[], tuple[int, list[_Found]]]]]:
    group: list[Stored] = []
    size = 0
    for value in values:
        large = value.size > CHUNK_SIZE and value.dtype not in _STRUCTURED
        if group and (large or size + value.size > CHUNK_SIZE or value.shard != group[-1].shard):
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
    first, last = group[0], group[-1]
    base = first.offset
    view = files.view(first.shard, base, last.offset + last.size - base)
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


def check_structure(files: Files, storage: Storage) -> list[Damage]:
    """What is wrong with the data files apart from the values' own bytes.

    A data file ends where its last value ends, and what lies between values is zero. (A
    data file that is not there, or a value past its end, is found when values are read.)
    """
    damages = []
    for shard, file in files.data.items():
        start, end = _extents(files, shard)
        if file.size != (wanted := int(end[-1])):
            kind = "longer" if file.size > wanted else "shorter"
            damages.append(
                Damage(
                    file.path,
                    None,
                    min(file.size, wanted),
                    f"the file has {file.size} bytes, {kind} than the {wanted} that the index "
                    "says: it belongs to another checkpoint, or was changed",
                )
            )
        view = file.map()
        gaps_start = np.concatenate(([0], end[:-1]))
        for row in np.flatnonzero(gaps_start < start).tolist():
            gap = view[int(gaps_start[row]) : int(start[row])]
            used = np.flatnonzero(np.frombuffer(gap, np.uint8)) if len(gap) else gap
            if len(used):
                offset = int(gaps_start[row]) + int(used[0])
                damages.append(
                    Damage(file.path, None, offset, "the gap between values is not zero")
                )
    for path in files.unused(storage):
        identity = storage.identity(path)
        if identity is not None and identity.size:
            damages.append(
                Damage(path, None, 0, f"the file has {identity.size} bytes, but no value is in it")
            )
    return damages


def _extents(files: Files, shard: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Start and end of every value in a data file, in order."""
    columns = files.index.columns
    rows = np.flatnonzero((columns.shard == shard) & (columns.size > 0))
    start = columns.offset[rows]
    order = np.argsort(start, kind="stable")
    return start[order], (start + columns.size[rows])[order]
