"""A block of a sorted string table: its contents, and the entries in them.

    block = entry …, restart offset (uint32) …, their count (uint32)
    entry = varint shared, varint unshared, varint value size, key suffix, value

A key is stored without the bytes that it shares with the key before, except at restart points.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from checkpointable.bundle.index.budget import Budget
from checkpointable.wire.varints import Malformed, decode_varint

if TYPE_CHECKING:
    from typing import TypeAlias

    Buffer: TypeAlias = bytes | memoryview

__all__ = ["Block", "block_entries"]


@dataclass(frozen=True, slots=True)
class Block:
    """The contents of one block: the bytes `[start, end)` of `data`, without its trailer.

    Attributes:
      data: The whole file, or the decompressed contents of the block.
      start: The position in `data` at which the contents begin.
      end: The position in `data` at which they end.
      offset: The offset of the stored block in the file, in bytes.
    """

    data: Buffer
    start: int
    end: int
    offset: int

    def where(self, position: int) -> int:
        """Returns the offset in the file of a position in `data`.

        For a compressed block this is the start of the block.
        """
        return position if self.start == self.offset else self.offset


def block_entries(block: Block, budget: Budget) -> Iterator[tuple[bytes, int, int]]:
    """Yields the entries of a block, in order.

    Yields:
      (key, start, end): the value is the bytes `[start, end)` of `block.data`.

    Raises:
      Malformed: The block is not well-formed, a restart point is misplaced, or a key is not above
        the one before it.
      CheckpointCorruptError: The keys take more memory than the budget allows.
    """
    data = block.data
    try:
        end, restarts = _read_restarts(block)
        position = block.start
        previous: bytes | None = None
        count = 0
        while position < end:
            start = position
            shared, position = decode_varint(data, position, end, bits=32)
            unshared, position = decode_varint(data, position, end, bits=32)
            size, position = decode_varint(data, position, end, bits=32)
            if unshared + size > end - position:
                raise Malformed("an entry of the index runs over its block", start)
            if count < len(restarts) and restarts[count] == start - block.start:
                count += 1
                if shared:
                    raise Malformed("a restart point's key is not stored whole", start)
            if shared > len(previous or b""):
                raise Malformed(
                    f"a key shares {shared} bytes with one of {len(previous or b'')}", start
                )
            budget.spend_entry(shared + unshared)
            key = (previous[:shared] if previous else b"") + data[position : position + unshared]
            if previous is not None and key <= previous:
                raise Malformed(f"the key {key!r:.200} does not follow {previous!r:.200}", start)
            position += unshared
            yield key, position, position + size
            position += size
            previous = key
        # An empty block has one restart point, at which no entry starts.
        if count != len(restarts) and (previous is not None or restarts != [0]):
            raise Malformed("a restart point is not at the start of an entry", end)
    except Malformed as error:
        raise Malformed(error.what, block.where(error.position)) from None


def _read_restarts(block: Block) -> tuple[int, list[int]]:
    """Returns the end of the entries, and the restart points relative to the block's start."""
    if block.end - block.start < 4:
        raise Malformed("a block is too short to hold the number of its restarts", block.start)
    count = int.from_bytes(block.data[block.end - 4 : block.end], "little")
    if count > (block.end - block.start - 4) // 4:
        raise Malformed(
            f"a block claims {count} restart points, more than fit into it", block.end - 4
        )
    end = block.end - 4 - 4 * count
    return end, list(struct.unpack(f"<{count}I", block.data[end : block.end - 4]))
