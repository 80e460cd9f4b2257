"""Reads the string table of a V1 checkpoint, which stores the values themselves.

The table may be large, so only the footer, the index of the blocks and single blocks are read.
Layout: docs/format.md, "Index".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from checkpointable.bundle.checksum import crc32c, mask
from checkpointable.bundle.format import (
    BLOCK_TRAILER_SIZE,
    COMPRESSION_NONE,
    COMPRESSION_SNAPPY,
    FOOTER_HANDLES_SIZE,
    FOOTER_SIZE,
    TABLE_MAGIC,
)
from checkpointable.bundle.index.budget import Budget
from checkpointable.bundle.index.table_reader import Block, _decompress, _read_handle, block_entries
from checkpointable.errors import CheckpointCorruptError, CheckpointUnsupportedError
from checkpointable.wire.varints import Malformed

if TYPE_CHECKING:
    from typing import TypeAlias

    from checkpointable.storage import ReadableFile

    Buffer: TypeAlias = bytes | memoryview

__all__ = ["Stretch", "Table", "is_table"]

# A block of small entries is kept for the next look-up; a block with a large value is not.
_KEPT_SIZE = 1024 * 1024


def is_table(file: ReadableFile) -> bool:
    """Returns whether a file ends with the magic number of a string table."""
    if file.size < FOOTER_SIZE:
        return False
    return int.from_bytes(file.read(file.size - 8, 8), "little") == TABLE_MAGIC


class Stretch(NamedTuple):
    """The value of an entry: the bytes `[start, end)` of the contents of a block.

    Attributes:
      data: The contents of the block.
      start: The first byte of the value in `data`.
      end: The byte after its last.
      offset: The offset of the block in the file.
      plain: Whether the block is stored uncompressed.
    """

    data: Buffer
    start: int
    end: int
    offset: int
    plain: bool

    def where(self, position: int) -> int:
        """Returns the file offset of a position in `data`; for a compressed block, its start."""
        return self.offset + position if self.plain else self.offset


class _Handle(NamedTuple):
    last_key: bytes  # at or above the keys of the block, below the keys of the next
    offset: int
    size: int


class Table:
    """Reads a string table; verifies each block when it is read.

    Args:
      file: The open file; the caller closes it.

    Attributes:
      path: The path of the file.
      size: Its size in bytes.

    Raises:
      CheckpointCorruptError: The file is not a table, or its blocks do not join.
    """

    def __init__(self, file: ReadableFile) -> None:
        self.path = file.path
        self.size = file.size
        self._data = file.map()
        self._kept: tuple[int, dict[bytes, Stretch]] | None = None
        try:
            metaindex, index = self._read_footer()
            self._handles = list(self._read_index(index))
            self._check_joins([*self._handles, metaindex, index])
            for _ in self._parse(self._contents(metaindex)[0]):
                pass  # unused, but it must be well-formed
        except Malformed as error:
            raise self.corrupt(error.what, error.position) from None

    def corrupt(self, what: str, offset: int) -> CheckpointCorruptError:
        """Returns the error for damage in this file."""
        return CheckpointCorruptError(what, path=self.path, offset=offset)

    def find(self, key: bytes) -> Stretch | None:
        """Returns the value of a key; None if there is no such key.

        Raises:
          CheckpointCorruptError: The block of the key is damaged.
        """
        low, high = 0, len(self._handles)
        while low < high:
            middle = (low + high) // 2
            if self._handles[middle].last_key < key:
                low = middle + 1
            else:
                high = middle
        if low == len(self._handles):
            return None
        kept = self._kept
        if kept is None or kept[0] != low:
            entries = dict(self._entries(low))
            if sum(stretch.end - stretch.start for stretch in entries.values()) > _KEPT_SIZE:
                return entries.get(key)
            self._kept = kept = (low, entries)
        return kept[1].get(key)

    def blocks(self) -> Iterator[tuple[int, int, list[tuple[bytes, Stretch]] | str]]:
        """Yields (offset, size, entries) of each block; a message in place of damaged entries."""
        for number, handle in enumerate(self._handles):
            try:
                yield handle.offset, handle.size, list(self._entries(number))
            except (CheckpointCorruptError, CheckpointUnsupportedError) as error:
                yield handle.offset, handle.size, error.what

    def _entries(self, number: int) -> Iterator[tuple[bytes, Stretch]]:
        handle = self._handles[number]
        try:
            data, plain = self._contents(handle)
        except Malformed as error:
            raise self.corrupt(error.what, error.position) from None
        try:
            for key, start, end in self._parse(data):
                if key > handle.last_key:
                    raise Malformed(
                        f"the key {key!r:.200} is above the last key in the table's index",
                        start,
                    )
                yield key, Stretch(data, start, end, handle.offset, plain)
        except Malformed as error:
            where = handle.offset + error.position if plain else handle.offset
            raise self.corrupt(error.what, where) from None

    def _parse(self, data: Buffer) -> Iterator[tuple[bytes, int, int]]:
        """Yields (key, start, end) of the entries in a block; positions are those in `data`."""
        return block_entries(Block(data, 0, len(data), 0), self._budget())  # type: ignore[arg-type]

    def _budget(self) -> Budget:
        # Only one block is held at a time, so each has the budget of the whole file.
        return Budget(self.path, self.size)

    def _read_footer(self) -> tuple[_Handle, _Handle]:
        if self.size < FOOTER_SIZE:
            raise Malformed(
                f"{self.size} bytes are too few for a checkpoint, whose footer alone has "
                f"{FOOTER_SIZE}",
                0,
            )
        start = self.size - FOOTER_SIZE
        footer = bytes(self._data[start:])
        magic = int.from_bytes(footer[FOOTER_HANDLES_SIZE:], "little")
        if magic != TABLE_MAGIC:
            raise Malformed(
                f"the file ends with {magic:#018x} where a checkpoint of TensorFlow before 0.12 "
                f"(V1) has {TABLE_MAGIC:#018x}: it is none, or was cut short",
                start + FOOTER_HANDLES_SIZE,
            )
        try:
            metaindex, position = _read_handle(footer, 0, FOOTER_HANDLES_SIZE)
            index, position = _read_handle(footer, position, FOOTER_HANDLES_SIZE)
        except Malformed as error:
            raise Malformed(error.what, start + error.position) from None
        if footer[position:FOOTER_HANDLES_SIZE].strip(b"\0"):
            raise Malformed("the footer's padding is not zero", start + position)
        return _Handle(b"", *metaindex), _Handle(b"", *index)

    def _read_index(self, index: _Handle) -> Iterator[_Handle]:
        data, _ = self._contents(index)
        for key, position, end in self._parse(data):
            handle, after = _read_handle(data, position, end)  # type: ignore[arg-type]
            if after != end:
                raise Malformed("bytes follow a block's handle", index.offset)
            yield _Handle(key, *handle)

    def _check_joins(self, handles: list[_Handle]) -> None:
        covered = 0
        for _, offset, size in handles:
            if offset != covered:
                raise Malformed(
                    f"a block lies at {offset} where {covered} is the end of the one before; "
                    "the file's blocks do not join",
                    min(offset, self.size),
                )
            covered = offset + size + BLOCK_TRAILER_SIZE
        if covered != self.size - FOOTER_SIZE:
            raise Malformed(
                f"the blocks end at {covered} but the footer starts at {self.size - FOOTER_SIZE}",
                covered,
            )

    def _contents(self, handle: _Handle) -> tuple[Buffer, bool]:
        """Returns the verified contents of a block, and whether they are stored uncompressed."""
        _, offset, size = handle
        end = offset + size
        if end + BLOCK_TRAILER_SIZE > self.size - FOOTER_SIZE:
            raise Malformed(f"a block of {size} bytes runs over the end of the file", offset)
        stored = int.from_bytes(self._data[end + 1 : end + BLOCK_TRAILER_SIZE], "little")
        actual = mask(crc32c(self._data[offset : end + 1]))
        if stored != actual:
            raise Malformed(
                f"the block of {size} bytes has the checksum {actual:#010x}, but {stored:#010x} "
                "is stored: the file is damaged",
                offset,
            )
        kind = self._data[end]
        # A slice of the mapped file: large values are not copied.
        contents = self._data[offset:end]
        if kind == COMPRESSION_NONE:
            return contents, True
        if kind == COMPRESSION_SNAPPY:
            try:
                return _decompress(contents, 0, size, self._budget()), False  # type: ignore[arg-type]
            except Malformed as error:
                raise Malformed(error.what, offset) from None
        raise CheckpointUnsupportedError(
            f"the block has the compression {kind}; known are 0 (none) and 1 (snappy)",
            path=self.path,
            offset=end,
        )
