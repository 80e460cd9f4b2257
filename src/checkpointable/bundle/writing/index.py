"""Encodes and writes indexes.

The index of a layout is encoded many entries at a time. The parts of an entry (sizes, key suffix,
fields of the message) are columns of a matrix with one row per entry. The block is this matrix, row
by row, without its unused bytes. The tests compare the result with the bytes of `TableBuilder`.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from checkpointable.bundle.format import BLOCK_SIZE, RESTART_INTERVAL
from checkpointable.bundle.index.entry import Entry, encode_entry, encode_fields, encode_head
from checkpointable.bundle.index.header import Header, encode_header
from checkpointable.bundle.index.table_writer import TableBuilder
from checkpointable.bundle.writing.layout import Layout, PlacedValue, ValueToWrite
from checkpointable.storage import Storage, default_storage, replace_file
from checkpointable.wire.varints import encode_varint

if TYPE_CHECKING:
    from typing import TypeAlias

    import numpy.typing as npt

    Ints: TypeAlias = npt.NDArray[np.int64]
    # Rows of bytes, and the number of bytes used in each.
    Part: TypeAlias = tuple[npt.NDArray[np.uint8], Ints]

__all__ = ["encode_index", "encode_layout", "write_index"]

# The number of entries in a matrix, which has some megabytes.
_ROWS = 16_384
# The maximum size of a key. With longer ones, most of a matrix would be unused, and the entries are
# encoded one by one.
_KEY_MAX = 255
# Fewer entries are encoded one by one, too.
_COUNT_MIN = 64


def encode_index(header: Header, entries: Iterable[tuple[bytes | str, Entry]]) -> bytes:
    """Returns the contents of an index file.

    Args:
      header: The header.
      entries: (key, entry) pairs in any order. The key of a part of a partitioned value is
        `bytes`.
    """
    encoded = (
        (k.encode() if isinstance(k, str) else k, encode_entry(entry)) for k, entry in entries
    )
    table = TableBuilder()
    _add_entries(table, header, sorted(encoded))
    return table.finish()


def write_index(
    path: str | os.PathLike[str],
    header: Header,
    entries: Iterable[tuple[bytes | str, Entry]],
    *,
    durability: str = "fsync",
    storage: Storage | None = None,
) -> None:
    """Writes or replaces an index file in one step, for data files that exist already.

    Args:
      path: The path of the index file itself.
      header: The header, as `BundleReader.header` returns it.
      entries: (key, entry) pairs, as `BundleReader.raw_entries` returns them.
      durability: "fsync" or "flush".
      storage: Where to write; None for the default storage.
    """
    contents = encode_index(header, entries)
    replace_file(storage or default_storage(), os.fspath(path), contents, durability)


def encode_layout(header: Header, layout: Layout, block_size: int = BLOCK_SIZE) -> bytes:
    """Returns the contents of the index for a layout, whose values lie in the first data file.

    Args:
      header: The header.
      layout: The layout, with the checksums of its values.
      block_size: The size in bytes at which a data block is closed.
    """
    values = layout.values
    table = TableBuilder(block_size)
    if (
        layout.partitioned
        or len(values) < _COUNT_MIN
        or max(len(placed.key) for placed in values) > _KEY_MAX
    ):
        _add_entries(table, header, _encoded_entries(layout))
        return table.finish()
    message = encode_header(header)
    before = b"\0\0" + encode_varint(len(message)) + message  # with the empty key
    done, count = 0, _ROWS
    while done < len(values):
        rows = _Rows(values[done : done + count])
        added = _add_blocks(table, rows, before, block_size, last=done + count >= len(values))
        done += added
        if added:
            before = b""
        else:
            count *= 2
    return table.finish()


def _add_entries(
    table: TableBuilder, header: Header, entries: Iterable[tuple[bytes, bytes]]
) -> None:
    """Adds a header and encoded entries, in the order of their keys, one by one."""
    table.add(b"", encode_header(header))
    for key, entry in entries:
        table.add(key, entry)


def _encoded_entries(layout: Layout) -> Iterable[tuple[bytes, bytes]]:
    entries = ((placed.key, _entry(placed)) for placed in layout.values)
    if not layout.partitioned:
        return entries
    whole = sorted((value.key.encode(), _whole_entry(value)) for value in layout.partitioned)
    return heapq.merge(entries, whole)


def _entry(placed: PlacedValue) -> bytes:
    value = placed.value
    return encode_fields(value.dtype, tuple(value.shape), 0, placed.offset, placed.size, placed.crc)


def _whole_entry(value: ValueToWrite) -> bytes:
    slices = tuple(extents for extents, _ in value.parts)
    return encode_entry(Entry(value.dtype, tuple(value.shape), 0, 0, 0, 0, slices))


def _add_blocks(
    table: TableBuilder, rows: _Rows, before: bytes, block_size: int, *, last: bool
) -> int:
    """Adds the blocks that `rows` fill; returns the number of rows in them.

    Args:
      table: Where to add the blocks.
      rows: The entries.
      before: An encoded entry before the first, or nothing.
      block_size: The size in bytes at which a block is closed.
      last: No rows follow, so the last block need not be full.
    """
    start = 0
    while start < len(rows):
        extra = int(bool(before))
        shared = rows.shared[start:].copy()
        shared[-extra % RESTART_INTERVAL :: RESTART_INTERVAL] = 0
        sizes = rows.entry_sizes(start, shared)
        ends = np.cumsum(sizes) + len(before)
        restarts = (np.arange(len(sizes)) + extra) // RESTART_INTERVAL + 1
        full = np.flatnonzero(ends + 4 * (restarts + 1) >= block_size)
        if not len(full) and not last:
            break
        count = int(full[0]) + 1 if len(full) else len(sizes)
        entries = before + rows.encode(start, shared[:count])
        offsets = (ends - sizes)[-extra % RESTART_INTERVAL : count : RESTART_INTERVAL]
        first_key = b"" if before else rows.keys[start]
        table.add_block(
            entries,
            [0, *offsets.tolist()] if before else offsets.tolist(),
            first_key,
            rows.keys[start + count - 1],
        )
        before = b""
        start += count
    return start


class _Rows:
    """Values as columns.

    Attributes:
      keys: The keys of the values.
      shared: The number of bytes that each key shares with the one before.
    """

    def __init__(self, values: list[PlacedValue]) -> None:
        self.keys = [placed.key for placed in values]
        self._text, self._size = _padded(self.keys)
        same = self._text[1:] == self._text[:-1]
        common = np.where(same.all(axis=1), self._text.shape[1], same.argmin(axis=1))
        # The padding does not belong to the key.
        common = np.minimum(common, np.minimum(self._size[1:], self._size[:-1]))
        self.shared = np.concatenate(((0,), common))

        heads: dict[tuple[int, tuple[int, ...]], int] = {}
        which = [
            heads.setdefault((placed.value[1], placed.value[2]), len(heads)) for placed in values
        ]
        head, head_size = _padded([encode_head(dtype, tuple(shape)) for dtype, shape in heads])
        offset = np.array([placed.offset for placed in values], np.int64)
        size = np.array([placed.size for placed in values], np.int64)
        crc = np.array([placed.crc for placed in values], np.uint32)
        self._message: list[Part] = [
            (head[which], head_size[which]),
            *_field(0x20, offset),
            *_field(0x28, size),
            (np.full((len(values), 1), 0x35, np.uint8), (crc != 0).astype(np.int64)),
            (crc.astype("<u4").view(np.uint8).reshape(-1, 4), np.where(crc != 0, 4, 0)),
        ]
        self._message_size = np.sum([size for _, size in self._message], axis=0)

    def __len__(self) -> int:
        return len(self.keys)

    def entry_sizes(self, start: int, shared: Ints) -> Ints:
        """Returns the size of each entry from `start` on, in bytes."""
        unshared = self._size[start:] - shared
        message = self._message_size[start:]
        numbers = _varint_sizes(shared) + _varint_sizes(unshared) + _varint_sizes(message)
        sizes: Ints = numbers + unshared + message
        return sizes

    def encode(self, start: int, shared: Ints) -> bytes:
        """Returns the encoded entries from `start` on, one for each item of `shared`."""
        rows = slice(start, start + len(shared))
        size, message = self._size[rows], self._message_size[rows]
        parts = [_varints(number) for number in (shared, size - shared, message)]
        parts += [(self._text[rows], size)]
        parts += [(part[rows], used[rows]) for part, used in self._message]
        kept = [np.arange(part.shape[1]) < used[:, None] for part, used in parts]
        kept[3] &= np.arange(self._text.shape[1]) >= shared[:, None]
        contents: npt.NDArray[np.uint8] = np.hstack([part for part, _ in parts])
        return contents[np.hstack(kept)].tobytes()


def _field(tag: int, number: Ints) -> list[Part]:
    """Returns the columns of a varint field, which is omitted if the number is 0."""
    contents, size = _varints(number)
    has = (number != 0).astype(np.int64)
    return [(np.full((len(number), 1), tag, np.uint8), has), (contents, size * has)]


def _varints(number: Ints) -> Part:
    """Returns the varints of non-negative numbers."""
    size = _varint_sizes(number)
    width = int(size.max())
    contents = np.empty((len(number), width), np.uint8)
    for column in range(width):
        following = np.where(size > column + 1, 128, 0)
        contents[:, column] = (number >> (7 * column)) & 127 | following
    return contents, size


def _varint_sizes(number: Ints) -> Ints:
    return np.searchsorted(_VARINT_ENDS, number, "right") + 1


# The smallest numbers that take 2, 3, … bytes.
_VARINT_ENDS = np.array([1 << bits for bits in range(7, 63, 7)], np.int64)


def _padded(texts: list[bytes]) -> Part:
    width = max(map(len, texts)) or 1
    size = np.fromiter(map(len, texts), np.int64, len(texts))
    return np.array(texts, f"S{width}").view(np.uint8).reshape(-1, width), size
