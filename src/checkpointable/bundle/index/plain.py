"""Decodes the entries of an index one by one: the reference for `index.fast`.

It accepts everything that a protobuf parser accepts, and describes the problem in anything else.
"""

from __future__ import annotations

import sys
from array import array
from typing import TYPE_CHECKING

import numpy as np

from checkpointable.bundle.dtypes import DataType, itemsize
from checkpointable.bundle.format import INT64_MAX, STRING_CHECKSUM_SIZE, VERSION
from checkpointable.bundle.index.block import Block, block_entries
from checkpointable.bundle.index.budget import Budget
from checkpointable.bundle.index.columns import Columns, EagerKeys, Loaded
from checkpointable.bundle.index.entry import Entry, decode_entry, decode_entry_at
from checkpointable.bundle.index.header import Header, decode_header
from checkpointable.bundle.slices import resolve, slice_key
from checkpointable.errors import CheckpointCorruptError, CheckpointUnsupportedError
from checkpointable.wire.varints import Malformed

if TYPE_CHECKING:
    from checkpointable.bundle.shapes import Extents

__all__ = ["first_header", "join_blocks", "load_plainly"]


def load_plainly(path: str, blocks: list[Block], budget: Budget) -> Loaded:
    """Decodes and checks each entry.

    Raises:
      CheckpointCorruptError: The index is damaged.
      CheckpointUnsupportedError: A newer version of the format.
    """
    return _Loader(path, blocks, budget).load()


def first_header(path: str, blocks: list[Block], budget: Budget) -> Header:
    """Returns the header, which is the first entry.

    Raises:
      CheckpointCorruptError: There is none, or it is damaged.
      CheckpointUnsupportedError: A newer version of the format.
    """
    for block in blocks:
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
            f"the checkpoint needs a reader of format version {header.min_consumer} (and none of "
            f"{list(header.bad_consumers)}); this one has version {VERSION}: upgrade the library",
            path=path,
        )
    return header


def join_blocks(blocks: list[Block]) -> tuple[bytes, list[int]]:
    """Returns one buffer with all blocks, and the shift of positions for each block."""
    buffer = blocks[0].data if blocks else b""
    if all(block.data is buffer for block in blocks):
        return bytes(buffer), [0] * len(blocks)  # not a copy
    shifts = []
    size = 0
    for block in blocks:
        shifts.append(size - block.start)
        size += block.end - block.start
    return b"".join(block.data[block.start : block.end] for block in blocks), shifts


class _Loader:
    def __init__(self, path: str, blocks: list[Block], budget: Budget) -> None:
        self._path = path
        self._blocks = blocks
        self._budget = budget
        self._numbers = [array("q") for _ in range(9)]
        self._rows: dict[str, int] = {}
        self._special: dict[bytes, int] = {}  # keys that may be those of parts
        self._partitioned: list[tuple[str, int]] = []

    def load(self) -> Loaded:
        header: Header | None = None
        buffer, shifts = join_blocks(self._blocks)
        last = None
        for block, shift in zip(self._blocks, shifts, strict=True):
            try:
                for key, start, end in block_entries(block, self._budget):
                    if header is None:
                        header = _decode_header(self._path, block, key, start, end)
                    elif last is not None and key <= last:
                        raise Malformed(
                            f"the key {key!r:.200} does not follow {last!r:.200}",
                            block.where(start),
                        )
                    else:
                        self._add(block, key, start, end, shift)
                    last = key
            except Malformed as error:
                raise CheckpointCorruptError(
                    error.what, path=self._path, offset=error.position
                ) from None
        if header is None:
            raise CheckpointCorruptError("the index has no header", path=self._path, offset=0)
        columns = Columns(*(np.frombuffer(numbers, np.int64) for numbers in self._numbers))
        self._check_shards(header, columns)
        partitioned = self._bind_parts(columns, buffer)
        keys = EagerKeys(self._rows)
        return Loaded(header, buffer, columns, keys, self._special, partitioned)

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
        positions = [position + shift for position in (start, end, shape_start, shape_end)]
        for numbers, value in zip(self._numbers, [*values, *positions], strict=True):
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

    def _check_shards(self, header: Header, columns: Columns) -> None:
        outside = columns.shard >= header.num_shards
        if outside.any():
            row = int(np.argmax(outside))
            raise CheckpointCorruptError(
                f"a value lies in data file {int(columns.shard[row])} of {header.num_shards}",
                path=self._path,
                key=self._name(row),
            )

    def _bind_parts(self, columns: Columns, buffer: bytes) -> frozenset[int]:
        """Finds the parts of partitioned values; returns the rows of these values.

        The remaining keys are those of values.
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
        self, entry: Entry, extents: Extents, key: bytes, columns: Columns, buffer: bytes
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

    def _name(self, row: int) -> str:
        for key, candidate in self._rows.items():
            if candidate == row:
                return key
        for special, candidate in self._special.items():
            if candidate == row:
                return _show(special)
        raise KeyError(row)


def _show(key: bytes) -> str:
    """Returns a key for an error message."""
    return key[:300].decode(errors="backslashreplace")


def _judge(entry: Entry) -> str | None:
    """Returns a description of the problem in an entry, or None."""
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
        return None if entry.size == 0 else "the entry has both parts and bytes"
    if width:
        if count * width != entry.size:
            return (
                f"{entry.dtype.name} of shape {entry.shape} takes {count * width} bytes, but "
                f"{entry.size} are stored"
            )
    elif entry.dtype in {DataType.DT_STRING, DataType.DT_VARIANT}:
        # Each string takes at least one byte, for its length. TensorFlow accepts 0 bytes for no
        # strings, without the checksum of their lengths.
        least = count + STRING_CHECKSUM_SIZE if entry.dtype == DataType.DT_STRING else 5 * count
        if entry.size < least and (count or entry.size):
            return (
                f"{entry.dtype.name} of shape {entry.shape} takes at least {least} bytes, but "
                f"{entry.size} are stored"
            )
    return None
