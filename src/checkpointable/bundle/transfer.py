"""Copies values from the mapped data files into arrays that exist, in parallel.

Everything about a value and its array is compared before the first byte is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from checkpointable.bundle.checks import Stored, differs, in_file_order, stored_values
from checkpointable.bundle.checksum import combine, load_crc32c, mask
from checkpointable.bundle.data import Files
from checkpointable.bundle.dtypes import byteswapped
from checkpointable.bundle.parallel import CHUNK_SIZE, run_in_order
from checkpointable.errors import CheckpointCorruptError

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["copy_values", "native_array"]


class _Target(NamedTuple):
    stored: Stored
    key: str
    array: npt.NDArray[Any]


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
    by_row: dict[int, list[tuple[str, npt.NDArray[Any]]]] = {}
    for key, row, array in targets:
        by_row.setdefault(row, []).append((key, array))
    work = [
        _Target(stored, key, array)
        for stored in stored_values(files, in_file_order(files, by_row))
        for key, array in by_row[stored.row]
        if stored.size or verify
    ]
    total = sum(target.stored.size for target in work)
    sum_so_far = 0
    with closing(run_in_order(_tasks(files, work, swap, verify), total, threads)) as results:
        for chunk, crc in results:
            if chunk is None or not verify:
                continue
            target, size, left = chunk
            sum_so_far = combine(sum_so_far, crc, size)
            if not left:
                _compare(files, target, mask(sum_so_far))
                sum_so_far = 0


# (large value's target, size of this chunk, what is left after it), or None for small ones.
def _tasks(
    files: Files, targets: list[_Target], swap: bool, verify: bool
) -> Iterator[tuple[tuple[_Target, int, int] | None, Callable[[], int]]]:
    group: list[_Target] = []
    size = 0
    for target in targets:
        stored = target.stored
        if stored.size > CHUNK_SIZE and not swap and target.array.flags.c_contiguous:
            yield from _chunks(files, target, verify)
            continue
        if group and (size >= CHUNK_SIZE or stored.shard != group[0].stored.shard):
            yield None, partial(_copy_group, files, group, swap, verify)
            group, size = [], 0
        group.append(target)
        size += stored.size
    if group:
        yield None, partial(_copy_group, files, group, swap, verify)


def _chunks(
    files: Files, target: _Target, verify: bool
) -> Iterator[tuple[tuple[_Target, int, int], Callable[[], int]]]:
    stored = target.stored
    view = files.view(stored.shard, stored.offset, stored.size)
    destination = target.array.reshape(-1).view(np.uint8)
    for start in range(0, stored.size, CHUNK_SIZE):
        chunk = view[start : start + CHUNK_SIZE]
        left = stored.size - start - len(chunk)
        part = destination[start : start + len(chunk)]
        yield (target, len(chunk), left), partial(_copy_chunk, chunk, part, verify)


def _copy_chunk(chunk: memoryview, destination: npt.NDArray[np.uint8], verify: bool) -> int:
    crc = load_crc32c()(chunk) if verify else 0
    np.copyto(destination, np.frombuffer(chunk, np.uint8))
    return crc


def _copy_group(files: Files, group: list[_Target], swap: bool, verify: bool) -> int:
    crc32c = load_crc32c()
    file = files.data.get(group[0].stored.shard)
    view = file.map() if file is not None else memoryview(b"")
    for target in group:
        stored, _, array = target
        offset, size = stored.offset, stored.size
        if verify:
            _compare(files, target, mask(crc32c(view[offset : offset + size])))
        if not size:
            continue
        if swap:
            contents = view[offset : offset + size]
            source = native_array(contents, array.dtype, array.shape, swap=True)
        else:
            source = np.ndarray(array.shape, array.dtype, view, offset)
        np.copyto(array, source)
    return 0


def _compare(files: Files, target: _Target, found: int) -> None:
    stored = target.stored
    if found != stored.crc:
        raise CheckpointCorruptError(
            differs(found, stored.crc),
            path=files.paths.get(stored.shard, files.index.path),
            key=target.key,
            offset=stored.offset,
        )
