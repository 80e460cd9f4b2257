"""A bundle's index in memory: every entry, each judged before anything is done with it.

The entries stay the bytes they are; columns of numbers say what each means, so that a
hundred thousand of them cost neither a hundred thousand objects nor a loop when many values
are looked for, sorted or compared at once.
"""

from __future__ import annotations

import sys
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from checkpointable.bundle.budget import Budget
from checkpointable.bundle.coding import Malformed
from checkpointable.bundle.dtypes import DataType, itemsize
from checkpointable.bundle.entry import (
    Entry,
    Header,
    decode_entry,
    decode_entry_at,
    decode_header,
    decode_shape,
)
from checkpointable.bundle.format import INT64_MAX, STRING_CHECKSUM_SIZE, VERSION
from checkpointable.bundle.slices import resolve, slice_key
from checkpointable.bundle.table_reader import Block, block_entries, read_data_blocks
from checkpointable.errors import CheckpointCorruptError, CheckpointUnsupportedError

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Index", "load_header", "load_index"]


@dataclass(frozen=True, slots=True)
class _Columns:
    """A row an entry, in the order of the keys; parts of partitioned values included."""

    dtype: npt.NDArray[np.int64]
    shard: npt.NDArray[np.int64]
    offset: npt.NDArray[np.int64]
    size: npt.NDArray[np.int64]
    crc: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]  # the message is the bytes [start, end) of the buffer
    end: npt.NDArray[np.int64]
    shape_start: npt.NDArray[np.int64]  # the shape within it, -1 where it is not just once
    shape_end: npt.NDArray[np.int64]


class Index:
    """What an index file says; made by `load_index`.

    Attributes:
      path: of the index file.
      header: what it says of the bundle.
      rows: key -> row in the columns, for every value; without the parts of partitioned ones.
      parts: key -> row, for the parts of partitioned values.
      partitioned: the rows of the partitioned values.
      columns: the numbers, a row an entry.
    """

    def __init__(
        self,
        path: str,
        header: Header,
        buffer: bytes,
        columns: _Columns,
        rows: dict[str, int],
        parts: dict[bytes, int],
        partitioned: frozenset[int],
    ) -> None:
        self.path = path
        self.header = header
        self.columns = columns
        self.rows = rows
        self._buffer = buffer
        self.parts = parts
        self.partitioned = partitioned
        self._shapes: dict[bytes, tuple[int, ...]] = {}

    def entry_of(self, row: int) -> Entry:
        """The entry of a row."""
        columns = self.columns
        return decode_entry(self._buffer, int(columns.start[row]), int(columns.end[row]))

    def shape_of(self, row: int) -> tuple[int, ...]:
        """The shape of a row; quick for shapes seen before."""
        start = int(self.columns.shape_start[row])
        if start < 0:
            return self.entry_of(row).shape
        stored = self._buffer[start : int(self.columns.shape_end[row])]
        shape = self._shapes.get(stored)
        if shape is None:
            shape = self._shapes[stored] = decode_shape(stored, 0, len(stored))[0]
        return shape

    def part_rows(self, key: str, entry: Entry) -> list[int]:
        """The rows of a partitioned value's parts, in the order of `entry.slices`."""
        return [self.parts[slice_key(key, extents)] for extents in entry.slices]

    def row_names(self) -> dict[int, str]:
        """row -> key, for every row with bytes; for a part, the key of its value."""
        names = {row: key for key, row in self.rows.items() if row not in self.partitioned}
        for key, row in self.rows.items():
            if row in self.partitioned:
                names |= dict.fromkeys(self.part_rows(key, self.entry_of(row)), key)
        return names

    def key_of(self, row: int) -> str:
        """The key of a row, for an error; see `row_names`."""
        return self.row_names()[row]

    def check_data_sizes(self, sizes: dict[int, int], paths: dict[int, str]) -> None:
        """Checks that every value lies within its data file.

        Args:
          sizes, paths: of the data files, by shard.

        Raises:
          CheckpointCorruptError: names the file and the first value that does not.
        """
        columns = self.columns
        for shard, size in sizes.items():
            outside = (columns.shard == shard) & (columns.offset + columns.size > size)
            if outside.any():
                rows = np.flatnonzero(outside)
                row = int(rows[np.argmin(columns.offset[rows])])
                raise CheckpointCorruptError(
                    f"the file has {size} bytes, but the index puts {int(columns.size[row])} "
                    f"bytes of this value at {int(columns.offset[row])}: it was cut short, or "
                    "belongs to another checkpoint",
                    path=paths[shard],
                    key=self.key_of(row),
                    offset=min(size, int(columns.offset[row])),
                )


def load_index(data: bytes, path: str) -> Index:
    """Reads and verifies a whole index.

    Args:
      data: the contents of the file.
      path: its path, for errors.

    Raises:
      CheckpointCorruptError
      CheckpointUnsupportedError: a newer version of the format.
    """
    budget = Budget(path, len(data))
    blocks = read_data_blocks(data, path, budget)
    return _Loader(path, blocks, budget).load()


def load_header(data: bytes, path: str) -> Header:
    """Reads the header of an index, and verifies no more of the index than it must.

    Raises:
      CheckpointCorruptError, CheckpointUnsupportedError
    """
    budget = Budget(path, len(data))
    for block in read_data_blocks(data, path, budget, only_first=True):
        try:
            for key, start, end in block_entries(block, budget):
                return _decode_header(path, block, key, start, end)
        except Malformed as error:
            raise CheckpointCorruptError(error.what, path=path, offset=error.position) from None
    raise CheckpointCorruptError("the index has no header", path=path, offset=0)


def _decode_header(path: str, block: Block, key: bytes, start: int, end: int) -> Header:
    if key:
        raise Malformed("the index does not start with a header", block.where(start))
    try:
        header = decode_header(block.data, start, end)
    except Malformed as error:
        raise Malformed(f"the header: {error.what}", block.where(error.position)) from None
    if header.num_shards <= 0:
        raise Malformed(f"the header counts {header.num_shards} data files", block.where(start))
    if header.min_consumer > VERSION or VERSION in header.bad_consumers:
        raise CheckpointUnsupportedError(
            f"the checkpoint asks for readers of version {header.min_consumer} of the "
            f"format (and not {list(header.bad_consumers)}); this one knows version {VERSION}",
            path=path,
        )
    return header


class _Loader:
    def __init__(self, path: str, blocks: list[Block], budget: Budget) -> None:
        self._path = path
        self._blocks = blocks
        self._budget = budget
        self._numbers = [array("q") for _ in range(9)]
        self._rows: dict[str, int] = {}
        self._special: dict[bytes, int] = {}  # keys that may be those of parts
        self._partitioned: list[tuple[str, int]] = []

    def load(self) -> Index:
        header: Header | None = None
        buffer = self._blocks[0].data if self._blocks else b""
        joined = any(block.data is not buffer for block in self._blocks)
        if joined:
            buffer = b"".join(block.data[block.start : block.end] for block in self._blocks)
        before = 0
        last = None
        for block in self._blocks:
            # From a position in the block's data to one in the buffer.
            shift = before - block.start if joined else 0
            before += block.end - block.start
            try:
                for key, start, end in block_entries(block, self._budget):
                    if header is None:
                        header = _decode_header(self._path, block, key, start, end)
                        last = key
                        continue
                    if last is not None and key <= last:
                        raise Malformed(
                            f"the key {key!r:.200} does not follow {last!r:.200}", start
                        )
                    last = key
                    self._add(block, key, start, end, shift)
            except Malformed as error:
                raise CheckpointCorruptError(
                    error.what, path=self._path, offset=error.position
                ) from None
        if header is None:
            raise CheckpointCorruptError("the index has no header", path=self._path, offset=0)
        columns = _Columns(*(np.frombuffer(numbers, np.int64) for numbers in self._numbers))
        self._check_shards(header, columns)
        partitioned = self._bind_parts(columns, buffer)
        self._check_overlaps(columns)
        return Index(self._path, header, buffer, columns, self._rows, self._special, partitioned)

    def _add(self, block: Block, key: bytes, start: int, end: int, shift: int) -> None:
        try:
            entry, (shape_start, shape_end) = decode_entry_at(block.data, start, end)
        except Malformed as error:
            raise CheckpointCorruptError(
                error.what,
                path=self._path,
                key=_show(key),
                offset=block.where(error.position),
            ) from None
        wrong = _judge(entry)
        if wrong:
            raise CheckpointCorruptError(
                wrong, path=self._path, key=_show(key), offset=block.where(start)
            )
        row = len(self._numbers[0])
        if shape_start < 0:
            shape_start = shape_end = -1 - shift
        values = (entry.dtype, entry.shard, entry.offset, entry.size, entry.crc)
        places = [place + shift for place in (start, end, shape_start, shape_end)]
        for numbers, value in zip(self._numbers, [*values, *places], strict=True):
            numbers.append(value)
        if key[0] == 0:
            self._special[key] = row
            return
        text = self._decode_key(key, block.where(start))
        self._rows[text] = row
        if entry.slices:
            self._partitioned.append((text, row))

    def _decode_key(self, key: bytes, offset: int) -> str:
        try:
            text = key.decode()
        except UnicodeDecodeError:
            raise CheckpointCorruptError(
                f"the key {key!r:.200} is not UTF-8", path=self._path, offset=offset
            ) from None
        if not text.isascii():
            self._budget.spend(sys.getsizeof(text))
        return text

    def _check_shards(self, header: Header, columns: _Columns) -> None:
        outside = columns.shard >= header.num_shards
        if outside.any():
            row = int(np.argmax(outside))
            raise CheckpointCorruptError(
                f"a value lies in data file {int(columns.shard[row])} of {header.num_shards}",
                path=self._path,
                key=self._name(row),
            )

    def _bind_parts(self, columns: _Columns, buffer: bytes) -> frozenset[int]:
        """Finds the parts of every partitioned value, and returns the rows of these.

        The keys that are left are those of values.
        """
        hidden: dict[bytes, int] = {}
        # A key that starts with NUL can itself be that of a partitioned value.
        pending = list(self._partitioned)
        for key, row in self._special.items():
            entry = decode_entry(buffer, int(columns.start[row]), int(columns.end[row]))
            if entry.slices:
                pending.append((self._decode_key(key, int(columns.start[row])), row))
        for text, row in pending:
            entry = decode_entry(buffer, int(columns.start[row]), int(columns.end[row]))
            for extents in entry.slices:
                key = slice_key(text, extents)
                wrong = self._judge_part(entry, extents, key, columns, buffer)
                if wrong:
                    raise CheckpointCorruptError(wrong, path=self._path, key=text)
                hidden[key] = self._special[key]
        values = {}
        for key, row in self._special.items():
            if key not in hidden:
                values[self._decode_key(key, int(columns.start[row]))] = row
        self._rows = values | self._rows
        self._special = hidden
        return frozenset(row for _, row in pending)

    def _judge_part(
        self, entry: Entry, extents: Any, key: bytes, columns: _Columns, buffer: bytes
    ) -> str | None:
        resolved = resolve(extents, entry.shape)
        if resolved is None:
            return f"its part {extents} does not fit its shape {entry.shape}"
        row = self._special.get(key)
        if row is None:
            return f"its part {extents} is not in the index"
        part = decode_entry(buffer, int(columns.start[row]), int(columns.end[row]))
        lengths = tuple(length for _, length in resolved)
        if part.slices or (part.dtype, part.shape) != (entry.dtype, lengths):
            return (
                f"its part {extents} should be {entry.dtype.name} of shape {lengths}, but is "
                f"{part.dtype.name} of shape {part.shape}"
            )
        return None

    def _check_overlaps(self, columns: _Columns) -> None:
        rows = np.flatnonzero(columns.size)
        rows = rows[np.lexsort((columns.offset[rows], columns.shard[rows]))]
        shard, offset = columns.shard[rows], columns.offset[rows]
        end = offset + columns.size[rows]
        bad = (shard[1:] == shard[:-1]) & (offset[1:] < end[:-1])
        if bad.any():
            first = int(np.argmax(bad))
            a, b = int(rows[first]), int(rows[first + 1])
            raise CheckpointCorruptError(
                f"its bytes {int(columns.offset[b])}…{int(columns.offset[b] + columns.size[b])} "
                f"overlap those of {self._name(a)!r}, which end at {int(end[first])}",
                path=self._path,
                key=self._name(b),
            )

    def _name(self, row: int) -> str:
        for key, candidate in self._rows.items():
            if candidate == row:
                return key
        for special, candidate in self._special.items():
            if candidate == row:
                return _show(special)
        raise KeyError(row)


def _show(key: bytes) -> str:
    """A key for an error message, whatever its bytes are."""
    return key[:300].decode(errors="backslashreplace")


def _judge(entry: Entry) -> str | None:
    """What is wrong with an entry by itself, or None."""
    if entry.dtype <= DataType.DT_INVALID:
        return f"the entry has the data type {int(entry.dtype)}, which no value has"
    if entry.shard < 0 or entry.offset < 0 or entry.size < 0:
        return (
            f"the entry has a negative number: shard {entry.shard}, offset {entry.offset}, "
            f"size {entry.size}"
        )
    if entry.offset + entry.size > INT64_MAX:
        return f"offset {entry.offset} and size {entry.size} add up to more than 64 bits"
    if not 0 <= entry.crc <= 0xFFFFFFFF:
        return f"the checksum {entry.crc} has more than 32 bits"
    count, width = entry.num_elements, itemsize(entry.dtype)
    if entry.slices:
        return None if entry.size == 0 else "the entry has both parts and bytes of its own"
    if width:
        if count * width != entry.size:
            return (
                f"{entry.dtype.name} of shape {entry.shape} takes {count * width} bytes, but "
                f"{entry.size} are stored"
            )
    elif entry.dtype in {DataType.DT_STRING, DataType.DT_VARIANT}:
        # Each string takes a byte for its length, at least. TensorFlow reads 0 bytes as no
        # strings, without the checksum of their lengths.
        least = count + STRING_CHECKSUM_SIZE if entry.dtype == DataType.DT_STRING else 5 * count
        if entry.size < least and (count or entry.size):
            return (
                f"{entry.dtype.name} of shape {entry.shape} takes {least} bytes at least, but "
                f"{entry.size} are stored"
            )
    return None
