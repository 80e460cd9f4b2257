"""Reads a sorted string table from untrusted bytes: footer, blocks, checksums, entries.

An index is such a table, and so is a file of a V1 checkpoint. Every byte of the file is accounted
for: the blocks cover it from 0 to the footer, each block has its checksum, and the parts that no
checksum covers (handles, padding, magic) have only one valid form. `docs/format.md`, "Index",
describes the layout.

All functions raise `Malformed` with an offset in the file; the callers know its path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from checkpointable.bundle.checksum import check_masked, crc32c
from checkpointable.bundle.format import (
    BLOCK_TRAILER_SIZE,
    COMPRESSION_NONE,
    COMPRESSION_SNAPPY,
    FOOTER_HANDLES_SIZE,
    FOOTER_SIZE,
    TABLE_MAGIC,
)
from checkpointable.bundle.index.block import Block, block_entries
from checkpointable.bundle.index.budget import Budget
from checkpointable.errors import CheckpointCorruptError, CheckpointUnsupportedError
from checkpointable.wire.varints import Malformed, decode_varint

if TYPE_CHECKING:
    from checkpointable.bundle.index.block import Buffer

__all__ = [
    "Handle",
    "check_joins",
    "read_block",
    "read_data_blocks",
    "read_footer",
    "read_handles",
]

# Snappy's densest element yields 64 bytes from 3. A greater ratio is impossible.
_SNAPPY_RATIO_MAX = 32
_SNAPPY_SLACK = 64


class Handle(NamedTuple):
    """The location of a block in the file.

    Attributes:
      offset: The offset of its first byte, in bytes.
      size: Its size without the trailer, in bytes.
      last_key: Not below any key of the block, and below all keys of the next one; empty for the
        blocks that the footer refers to.
    """

    offset: int
    size: int
    last_key: bytes = b""


def read_data_blocks(
    data: bytes, path: str, budget: Budget, *, only_first: bool = False
) -> list[Block]:
    """Returns the data blocks of an index, in order, each verified.

    Args:
      data: The contents of the file.
      path: The path of the file, for errors.
      budget: Limits the memory for decompressed blocks.
      only_first: Verify and return only the first block.

    Raises:
      CheckpointCorruptError: The file is damaged, or not an index.
      CheckpointUnsupportedError: A block has an unknown compression.
    """
    try:
        metaindex, index = read_footer(data, "an index of a checkpoint")
        handles = read_handles(read_block(data, index, path, budget), budget)
        check_joins([*handles, metaindex, index], len(data))
        if only_first:
            del handles[1:]
        blocks = [read_block(data, handle, path, budget) for handle in handles]
        for _ in block_entries(read_block(data, metaindex, path, budget), budget):
            pass  # its entries have no known meaning, but they must be well-formed
    except Malformed as error:
        raise CheckpointCorruptError(error.what, path=path, offset=error.position) from None
    return blocks


def read_footer(data: Buffer, expected: str) -> tuple[Handle, Handle]:
    """Returns the handles of the metaindex block and the index block.

    Args:
      data: The contents of the file.
      expected: What the file should be ("an index of a checkpoint"), for errors.
    """
    if len(data) < FOOTER_SIZE:
        raise Malformed(
            f"{len(data)} bytes are too few for {expected}, whose footer alone has {FOOTER_SIZE}",
            0,
        )
    start = len(data) - FOOTER_SIZE
    end = start + FOOTER_HANDLES_SIZE
    magic = int.from_bytes(data[end:], "little")
    if magic != TABLE_MAGIC:
        raise Malformed(
            f"the file ends with {magic:#018x}, but {expected} ends with {TABLE_MAGIC:#018x}: it "
            f"is not {expected}, or it was cut short",
            end,
        )
    metaindex, position = _read_handle(data, start, end)
    index, position = _read_handle(data, position, end)
    if bytes(data[position:end]).strip(b"\0"):
        raise Malformed("the footer's padding is not zero", position)
    for name, handle in (("metaindex", metaindex), ("index", index)):
        if handle.offset + handle.size + BLOCK_TRAILER_SIZE > start:
            raise Malformed(
                f"the footer puts the {name} block at {handle.offset} with {handle.size} bytes, "
                f"past the {start} bytes before the footer",
                start,
            )
    return metaindex, index


def read_handles(index: Block, budget: Budget) -> list[Handle]:
    """Returns the handles of the data blocks from the index block."""
    handles = []
    for key, position, end in block_entries(index, budget):
        handle, after = _read_handle(index.data, position, end)
        if after != end:
            raise Malformed("there are bytes after a block's handle", index.where(after))
        handles.append(handle._replace(last_key=key))
    return handles


def check_joins(handles: list[Handle], size: int) -> None:
    """Checks that blocks cover a file of `size` bytes from its start to its footer."""
    covered = 0
    for offset, length, _ in handles:
        if offset != covered:
            raise Malformed(
                f"a block lies at {offset}, but the one before ends at {covered}; the file's "
                "blocks do not join",
                min(offset, size),
            )
        covered = offset + length + BLOCK_TRAILER_SIZE
    if covered != size - FOOTER_SIZE:
        raise Malformed(
            f"the blocks end at {covered}, but the footer starts at {size - FOOTER_SIZE}", covered
        )


def _read_handle(data: Buffer, position: int, end: int) -> tuple[Handle, int]:
    # Minimal, or a flipped bit could extend the last varint into the padding's zeros.
    offset, position = decode_varint(data, position, end, minimal=True)
    size, position = decode_varint(data, position, end, minimal=True)
    return Handle(offset, size), position


def read_block(data: Buffer, handle: Handle, path: str, budget: Budget) -> Block:
    """Returns the contents of a block, verified and decompressed.

    Raises:
      Malformed: The block is damaged.
      CheckpointUnsupportedError: It has an unknown compression.
    """
    offset, size, _ = handle
    end = offset + size
    if end + BLOCK_TRAILER_SIZE > len(data):
        raise Malformed(f"a block of {size} bytes runs over the end of the file", offset)
    crc = crc32c(memoryview(data)[offset : end + 1])
    stored = data[end + 1 : end + BLOCK_TRAILER_SIZE]
    check_masked(f"the block of {size} bytes", crc, stored, offset)
    kind = data[end]
    if kind == COMPRESSION_NONE:
        return Block(data, offset, end, offset)
    if kind == COMPRESSION_SNAPPY:
        contents = _decompress(data, offset, end, budget)
        # `where` must not take a decompressed block at offset 0 for an uncompressed one.
        return Block(contents, 0, len(contents), offset or -1)
    raise CheckpointUnsupportedError(
        f"the block has the compression {kind}; known are 0 (none) and 1 (snappy)",
        path=path,
        offset=end,
    )


def _decompress(data: Buffer, offset: int, end: int, budget: Budget) -> bytes:
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
        raise Malformed(f"a compressed block has {len(contents)} bytes, but claims {size}", offset)
    return contents
