"""Reads the string table of a V1 checkpoint, which contains the values.

It has the form of an index, but may be large. So only the footer and the index of the blocks are
read when it is opened; a data block is read, and verified, when it is needed. `docs/format.md`,
"Index", describes the layout.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from checkpointable.bundle.format import FOOTER_SIZE, TABLE_MAGIC
from checkpointable.bundle.index.block import Block, block_entries
from checkpointable.bundle.index.budget import Budget
from checkpointable.bundle.index.table_reader import (
    Handle,
    check_joins,
    read_block,
    read_footer,
    read_handles,
)
from checkpointable.errors import CheckpointCorruptError, CheckpointUnsupportedError
from checkpointable.wire.varints import Malformed

if TYPE_CHECKING:
    from checkpointable.bundle.index.block import Buffer
    from checkpointable.storage import ReadableFile

__all__ = ["Stretch", "Table", "is_table"]

# The entries of a block are kept for the next look-up, unless the block has large values.
_KEPT_SIZE = 1024 * 1024

_EXPECTED = "a V1 checkpoint (TensorFlow before 0.12)"


def is_table(file: ReadableFile) -> bool:
    """Returns whether a file ends with the magic number of a string table."""
    if file.size < FOOTER_SIZE:
        return False
    return int.from_bytes(file.read(file.size - 8, 8), "little") == TABLE_MAGIC


class Stretch(NamedTuple):
    """The value of an entry: the bytes `[start, end)` of the data of a block."""

    block: Block
    start: int
    end: int

    @property
    def data(self) -> Buffer:
        """The data of the block, in which `start` and `end` are positions."""
        return self.block.data

    def where(self, position: int) -> int:
        """Returns the offset in the file of a position in `data`."""
        return self.block.where(position)


class Table:
    """An open table. Its blocks are verified when they are read.

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
            metaindex, index = read_footer(self._data, _EXPECTED)
            self._handles = read_handles(self._read(index), self._budget())
            check_joins([*self._handles, metaindex, index], self.size)
            for _ in block_entries(self._read(metaindex), self._budget()):
                pass  # its entries have no known meaning, but they must be well-formed
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
        """Yields (offset, size, entries) of each block; an error message if entries are damaged."""
        for number, handle in enumerate(self._handles):
            try:
                yield handle.offset, handle.size, list(self._entries(number))
            except (CheckpointCorruptError, CheckpointUnsupportedError) as error:
                yield handle.offset, handle.size, error.what

    def _entries(self, number: int) -> Iterator[tuple[bytes, Stretch]]:
        handle = self._handles[number]
        try:
            block = self._read(handle)
            for key, start, end in block_entries(block, self._budget()):
                if key > handle.last_key:
                    raise Malformed(
                        f"the key {key!r:.200} is above the last key in the index of the table",
                        block.where(start),
                    )
                yield key, Stretch(block, start, end)
        except Malformed as error:
            raise self.corrupt(error.what, error.position) from None

    def _read(self, handle: Handle) -> Block:
        return read_block(self._data, handle, self.path, self._budget())

    def _budget(self) -> Budget:
        # One block at a time is in memory, so each may take as much as the whole file allows.
        return Budget(self.path, self.size)
