"""Decodes an index of the usual form, many entries at a time.

In a table, every sixteenth key is stored in full (a restart point). So the runs between restart
points can be decoded in parallel, with one step of NumPy for the k-th entry of all runs. Only the
form that writers produce is accepted. For anything else, damaged or just unusual, `load_fast`
returns None, and `index.plain` decodes the index. The tests check that both give the same result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from checkpointable.bundle.dtypes import DataType, itemsize
from checkpointable.bundle.format import STRING_CHECKSUM_SIZE, VERSION
from checkpointable.bundle.index.block import Block
from checkpointable.bundle.index.budget import ENTRY_COST, Budget
from checkpointable.bundle.index.columns import Columns, Loaded
from checkpointable.bundle.index.header import decode_header
from checkpointable.bundle.index.lazy_keys import LazyKeys, keys_increase
from checkpointable.bundle.index.plain import join_blocks
from checkpointable.wire.varints import Malformed

if TYPE_CHECKING:
    from typing import TypeAlias

    import numpy.typing as npt

    Ints: TypeAlias = npt.NDArray[np.int64]

__all__ = ["load_fast"]

_RUN_SIZE_MAX = 64  # entries; writers make runs of 16
_PADDING = bytes(64)  # reads that start within the buffer may pass its end
_LIMIT = 1 << 62  # sums of two numbers below it fit 64 bits
_WIDTHS = np.array([itemsize(number) for number in range(128)], np.int64)


class _UnusualError(Exception):
    """The index is not of the usual form."""


def _require(condition: Any) -> None:
    if not condition:
        raise _UnusualError


def load_fast(blocks: list[Block], budget: Budget) -> Loaded | None:
    """Like `load_plainly`; returns None if the index is damaged or not of the usual form."""
    try:
        return _load(blocks, budget)
    except _UnusualError:
        return None


def _load(blocks: list[Block], budget: Budget) -> Loaded:
    _require(blocks)
    buffer, shifts = join_blocks(blocks)
    data = np.frombuffer(buffer + _PADDING, np.uint8)
    run_start, run_end = _runs(data, blocks, shifts)
    shared, key_start, start, end, run_of = _walk(data, run_start, run_end)

    count = len(shared)
    key_size = shared + (start - key_start)
    _require(count * ENTRY_COST + int(key_size.sum()) <= budget.left)
    first = np.flatnonzero(np.diff(run_of, prepend=-1))
    _require(not shared[first].any())
    _require((shared[1:] <= key_size[:-1]).all())

    # The header has the empty key; keys that start with NUL can be those of parts.
    _require(key_size[0] == 0)
    _require(count == 1 or (key_size[1] and data[key_start[1]]))
    try:
        header = decode_header(buffer, int(start[0]), int(end[0]))
    except Malformed:
        raise _UnusualError from None
    _require(header.num_shards > 0 and header.min_consumer <= VERSION)
    _require(VERSION not in header.bad_consumers)

    columns = _decode_entries(data, start[1:], end[1:])
    _require((columns.shard < header.num_shards).all())
    suffix_end = start
    keys = LazyKeys(buffer, shared, key_start, suffix_end, first)
    _require(keys_increase(buffer, data, shared, key_start, suffix_end, first, keys.whole))
    ends = np.column_stack((key_start[1:], suffix_end[1:])).reshape(-1)
    # Of each pair of positions, whether a byte between them is not ASCII. (No suffix is
    # empty: the keys increase and share the longest prefixes.)
    if count > 1 and (np.maximum.reduceat(data, ends)[::2] >= 128).any():
        _require(keys.load_text(budget))
    budget.spend(count * ENTRY_COST + int(key_size.sum()))
    return Loaded(header, buffer, columns, keys, {}, frozenset())


def _runs(data: npt.NDArray[np.uint8], blocks: list[Block], shifts: list[int]) -> tuple[Ints, Ints]:
    """Returns the start and the end of each run of entries."""
    starts, ends = [], []
    for block, shift in zip(blocks, shifts, strict=True):
        begin, stop = block.start + shift, block.end + shift
        _require(stop - begin >= 8)
        count = int.from_bytes(data[stop - 4 : stop].tobytes(), "little")
        tail = stop - 4 - 4 * count
        _require(count and tail > begin)
        restarts = np.frombuffer(data[tail : stop - 4].tobytes(), "<u4").astype(np.int64) + begin
        _require(restarts[0] == begin and (np.diff(restarts) > 0).all() and restarts[-1] < tail)
        starts.append(restarts)
        ends.append(np.append(restarts[1:], tail))
    return np.concatenate(starts), np.concatenate(ends)


def _walk(
    data: npt.NDArray[np.uint8], run_start: Ints, run_end: Ints
) -> tuple[Ints, Ints, Ints, Ints, Ints]:
    """Returns (shared, key start, value start, value end, run) of each entry, in order."""
    steps: list[tuple[Ints, ...]] = []
    runs = np.arange(len(run_start))
    position = run_start
    while len(runs):
        _require(len(steps) < _RUN_SIZE_MAX)
        shared, position = _varints(data, position)
        unshared, position = _varints(data, position)
        size, position = _varints(data, position)
        _require((np.maximum(np.maximum(shared, unshared), size) < 1 << 32).all())
        start = position + unshared
        end = start + size
        _require((end <= run_end[runs]).all())
        steps.append((shared, position, start, end, runs))
        on = end < run_end[runs]
        runs, position = runs[on], end[on]
    run_of = np.concatenate([step[4] for step in steps])
    # Stable: the entries of a run stay in the order of the steps.
    order = np.argsort(run_of, kind="stable")
    shared, key_start, start, end = (
        np.concatenate([step[i] for step in steps])[order] for i in range(4)
    )
    return shared, key_start, start, end, run_of[order]


def _varints(data: npt.NDArray[np.uint8], position: Ints) -> tuple[Ints, Ints]:
    """Returns the varints (below 2^62) at the positions, and the positions after them."""
    value = data[position].astype(np.int64)
    position = position + 1
    more = np.flatnonzero(value >= 128)
    value[more] &= 127
    for shift in range(7, 70, 7):
        if not len(more):
            return value, position
        byte = data[position[more]].astype(np.int64)
        position[more] += 1
        _require(shift < 56 or (byte < 64).all())
        value[more] |= (byte & 127) << shift
        more = more[byte >= 128]
    raise _UnusualError


def _decode_entries(data: npt.NDArray[np.uint8], start: Ints, end: Ints) -> Columns:
    """Decodes and checks entries whose fields occur in order, each once, without parts."""
    _require((end - start >= 4).all())
    dtype = data[start + 1].astype(np.int64)
    shape_size = data[start + 3].astype(np.int64)
    _require((data[start] == 0x08).all() and (data[start + 2] == 0x12).all())
    _require((dtype < 128).all() and (shape_size < 128).all())
    shape_start = start + 4
    shape_end = shape_start + shape_size
    _require((shape_end <= end).all())
    position = shape_end

    numbers = []
    for tag in (0x18, 0x20, 0x28):
        number = np.zeros(len(start), np.int64)
        has = np.flatnonzero((position < end) & (data[position] == tag))
        if len(has):
            number[has], after = _varints(data, position[has] + 1)
            position = position.copy()
            position[has] = after
        numbers.append(number)
    shard, offset, size = numbers
    crc = np.zeros(len(start), np.int64)
    has = np.flatnonzero((position < end) & (data[position] == 0x35))
    if len(has):
        at = position[has] + 1
        for i in range(4):
            crc[has] |= data[at + i].astype(np.int64) << (8 * i)
        position = position.copy()
        position[has] += 5
    _require((position == end).all())

    _require((shard < 1 << 31).all() and (offset + size < _LIMIT).all())
    count = _num_elements(data, shape_start, shape_end)
    width = _WIDTHS[dtype]
    strings = dtype == DataType.DT_STRING
    _require(((width > 0) | strings).all())
    least = np.where((count == 0) & (size == 0), 0, count + STRING_CHECKSUM_SIZE)
    _require(np.where(strings, size >= least, size == count * width).all())
    return Columns(dtype, shard, offset, size, crc, start, end, shape_start, shape_end)


def _num_elements(data: npt.NDArray[np.uint8], shape_start: Ints, shape_end: Ints) -> Ints:
    """Returns the number of elements of each shape; all are below 2^56."""
    count = np.ones(len(shape_start), np.int64)
    # An upper bound that cannot overflow, of the dimensions that are not 0.
    bound = np.ones(len(shape_start))
    rows = np.flatnonzero(shape_start < shape_end)
    position = shape_start[rows]
    while len(rows):
        _require((data[position] == 0x12).all())
        stop = position + 2 + data[position + 1]
        _require((stop <= shape_end[rows]).all())
        size = np.zeros(len(rows), np.int64)
        given = np.flatnonzero(stop > position + 2)
        if len(given):
            at = position[given] + 2
            _require((data[at] == 0x08).all())
            size[given], after = _varints(data, at + 1)
            _require((after == stop[given]).all())
        count[rows] *= size
        bound[rows] *= np.maximum(size, 1)
        _require((bound[rows] < 1 << 56).all())
        on = stop < shape_end[rows]
        rows, position = rows[on], stop[on]
    return count
