"""Reads a sorted string table that nobody vouches for: footer, blocks, checksums, entries.

Every byte of the file is accounted for: the blocks tile it from 0 to the footer, each has
its checksum, and what no checksum covers (handles, padding, magic) has but one valid form.
`docs/format.md`, "Index", has the layout.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

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
from checkpointable.errors import CheckpointCorruptError, CheckpointUnsupportedError
from checkpointable.wire.varints import Malformed, decode_varint

__all__ = ["Block", "block_entries", "read_data_blocks"]

# Snappy's densest element yields 64 bytes from 3; beyond that a length is a lie.
_SNAPPY_RATIO_MAX = 32
_SNAPPY_SLACK = 64


@dataclass(frozen=True, slots=True)
class Block:
    """The contents of one block: the bytes `[start, end)` of `data`, without its trailer.

    Attributes:
      data: the whole file, or what a compressed block became.
      offset: where in the file the stored block starts.
    """

    data: bytes
    start: int
    end: int
    offset: int

    def where(self, position: int) -> int:
        """The offset in the file of a position in `data`; of a compressed block, its start."""
        return position if self.start == self.offset else self.offset


def read_data_blocks(
    data: bytes, path: str, budget: Budget, *, only_first: bool = False
) -> list[Block]:
    """The data blocks of the table that `data` is, in order, each verified.

    Args:
      path: of the file, for errors.
      budget: bounds the memory that compressed blocks may become.
      only_first: verify and return the first one alone.

    Raises:
      CheckpointCorruptError
      CheckpointUnsupportedError: an unknown compression.
    """
    try:
        metaindex, index = _read_footer(data)
        index_block = _read_block(data, *index, path, budget)
        handles = []
        for _, position, end in block_entries(index_block, budget):
            handle, after = _read_handle(index_block.data, position, end)
            if after != end:
                raise Malformed("bytes follow a block's handle", index_block.where(after))
            handles.append(handle)
    except Malformed as error:
        raise CheckpointCorruptError(error.what, path=path, offset=error.position) from None
    covered = 0
    for offset, size in (*handles, metaindex, index):
        if offset != covered:
            raise CheckpointCorruptError(
                f"a block lies at {offset} where {covered} is the end of the one before; "
                "the file's blocks do not join",
                path=path,
                offset=min(offset, len(data)),
            )
        covered = offset + size + BLOCK_TRAILER_SIZE
    if covered != len(data) - FOOTER_SIZE:
        raise CheckpointCorruptError(
            f"the blocks end at {covered} but the footer starts at {len(data) - FOOTER_SIZE}",
            path=path,
            offset=covered,
        )
    if only_first:
        del handles[1:]
    try:
        blocks = [_read_block(data, *handle, path, budget) for handle in handles]
        for _ in block_entries(_read_block(data, *metaindex, path, budget), budget):
            pass  # nothing is known to be stored there, but it must have its form
    except Malformed as error:
        raise CheckpointCorruptError(error.what, path=path, offset=error.position) from None
    return blocks


def _read_footer(data: bytes) -> tuple[tuple[int, int], tuple[int, int]]:
    """The handles (offset, size) of the metaindex block and the index block."""
    if len(data) < FOOTER_SIZE:
        raise Malformed(
            f"{len(data)} bytes are too few for an index, whose footer alone has {FOOTER_SIZE}", 0
        )
    start = len(data) - FOOTER_SIZE
    end = start + FOOTER_HANDLES_SIZE
    magic = int.from_bytes(data[end:], "little")
    if magic != TABLE_MAGIC:
        raise Malformed(
            f"the file ends with {magic:#018x} where an index has {TABLE_MAGIC:#018x}: it is no "
            "index of a checkpoint, or was cut short",
            end,
        )
    metaindex, position = _read_handle(data, start, end)
    index, position = _read_handle(data, position, end)
    if data[position:end].strip(b"\0"):
        raise Malformed("the footer's padding is not zero", position)
    for name, (offset, size) in (("metaindex", metaindex), ("index", index)):
        if offset + size + BLOCK_TRAILER_SIZE > start:
            raise Malformed(
                f"the footer puts the {name} block at {offset} with {size} bytes, past the "
                f"{start} bytes before the footer",
                start,
            )
    return metaindex, index


def _read_handle(data: bytes, position: int, end: int) -> tuple[tuple[int, int], int]:
    # Minimal, or a flipped bit could lengthen the last varint into the padding's zeros.
    offset, position = decode_varint(data, position, end, minimal=True)
    size, position = decode_varint(data, position, end, minimal=True)
    return (offset, size), position


def _read_block(data: bytes, offset: int, size: int, path: str, budget: Budget) -> Block:
    end = offset + size
    if end + BLOCK_TRAILER_SIZE > len(data):
        raise Malformed(f"a block of {size} bytes runs over the end of the file", offset)
    stored = int.from_bytes(data[end + 1 : end + BLOCK_TRAILER_SIZE], "little")
    actual = mask(crc32c(memoryview(data)[offset : end + 1]))
    if stored != actual:
        raise CheckpointCorruptError(
            f"the block of {size} bytes has the checksum {actual:#010x}, but {stored:#010x} is "
            "stored: the index is damaged",
            path=path,
            offset=offset,
        )
    kind = data[end]
    if kind == COMPRESSION_NONE:
        return Block(data, offset, end, offset)
    if kind == COMPRESSION_SNAPPY:
        contents = _decompress(data, offset, end, budget)
        # A block that looks uncompressed by its start would misplace its errors.
        return Block(contents, 0, len(contents), offset or -1)
    raise CheckpointUnsupportedError(
        f"the block has the compression {kind}; known are 0 (none) and 1 (snappy)",
        path=path,
        offset=end,
    )


def _decompress(data: bytes, offset: int, end: int, budget: Budget) -> bytes:
    size, _ = decode_varint(data, offset, end, bits=32)
    if size > _SNAPPY_RATIO_MAX * (end - offset) + _SNAPPY_SLACK:
        raise Malformed(
            f"a compressed block of {end - offset} bytes claims to hold {size}, more than "
            "snappy can pack",
            offset,
        )
    budget.spend(size)
    import cramjam

    try:
        contents = bytes(cramjam.snappy.decompress_raw(data[offset:end]))
    except cramjam.DecompressionError as error:
        raise Malformed(f"a compressed block cannot be decompressed: {error}", offset) from None
    if len(contents) != size:
        raise Malformed(
            f"a compressed block holds {len(contents)} bytes where it claims {size}", offset
        )
    return contents


def block_entries(block: Block, budget: Budget) -> Iterator[tuple[bytes, int, int]]:
    """The entries of a block, in order.

    Yields (key, start, end): the value is the bytes `[start, end)` of `block.data`.

    Raises:
      Malformed: also where the restart points are not where they should be, or a key is not
        above the one before it (`position` is an offset in the file then).
      CheckpointCorruptError: the keys become more than the budget allows.
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
        # An empty block has one restart point, which nothing starts at.
        if count != len(restarts) and (previous is not None or restarts != [0]):
            raise Malformed("a restart point lies where no entry starts", end)
    except Malformed as error:
        raise Malformed(error.what, block.where(error.position)) from None


def _read_restarts(block: Block) -> tuple[int, list[int]]:
    """(where the entries end, the restart points relative to the block's start)."""
    if block.end - block.start < 4:
        raise Malformed("a block is too short to hold the number of its restarts", block.start)
    count = int.from_bytes(block.data[block.end - 4 : block.end], "little")
    if count > (block.end - block.start - 4) // 4:
        raise Malformed(f"a block claims {count} restart points, more than fit it", block.end - 4)
    end = block.end - 4 - 4 * count
    return end, list(struct.unpack(f"<{count}I", block.data[end : block.end - 4]))
