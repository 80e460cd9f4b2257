"""Builds a sorted string table, uncompressed: the bytes that TensorFlow would write.

    file    = data block … , metaindex block (empty), index block, footer
    block   = entry …, restart offset (uint32) …, their count (uint32); then a trailer
    entry   = varint shared, varint unshared, varint value size, key suffix, value
    trailer = compression (uint8), masked crc32c of block and compression (uint32)
    footer  = metaindex handle, index handle, zeros to 40 bytes, magic (uint64)
    handle  = varint offset, varint size (of a block without its trailer)

All integers are little endian. `docs/format.md`, "Index", describes the format.
"""

from __future__ import annotations

import struct

from checkpointable.bundle.checksum import encode_masked, load_crc32c
from checkpointable.bundle.format import (
    BLOCK_SIZE,
    BLOCK_TRAILER_SIZE,
    COMPRESSION_NONE,
    FOOTER_HANDLES_SIZE,
    INDEX_RESTART_INTERVAL,
    RESTART_INTERVAL,
    TABLE_MAGIC,
)
from checkpointable.wire.varints import encode_varint

__all__ = ["TableBuilder", "common_prefix_size", "short_successor", "shortest_separator"]


def common_prefix_size(a: bytes, b: bytes) -> int:
    """Returns the length of the common prefix of `a` and `b`, in bytes."""
    size = min(len(a), len(b))
    # As integers, they first differ in the highest differing bit. This avoids a loop over bytes.
    difference = int.from_bytes(a[:size], "big") ^ int.from_bytes(b[:size], "big")
    return size - (difference.bit_length() + 7) // 8


def shortest_separator(start: bytes, limit: bytes) -> bytes:
    """Returns a short key k with start <= k < limit, for `start` < `limit`, as LevelDB does."""
    size = common_prefix_size(start, limit)
    if size < min(len(start), len(limit)):
        byte = start[size]
        if byte < 0xFF and byte + 1 < limit[size]:
            return start[:size] + bytes((byte + 1,))
    return start


def short_successor(key: bytes) -> bytes:
    """Returns a short key that is not below `key`, as LevelDB does."""
    for position, byte in enumerate(key):
        if byte != 0xFF:
            return key[:position] + bytes((byte + 1,))
    return key


class _BlockBuilder:
    def __init__(self, interval: int) -> None:
        self._interval = interval
        self.reset()

    def reset(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0  # of the entries, in bytes
        self.restarts = [0]
        self.last_key = b""
        self._since_restart = 0

    def add(self, key: bytes, value: bytes) -> None:
        if self._since_restart < self._interval:
            shared = common_prefix_size(self.last_key, key)
        else:
            shared = 0
            self.restarts.append(self.size)
            self._since_restart = 0
        suffix = key[shared:]
        sizes = (shared, len(suffix), len(value))
        # Usually one byte each.
        head = bytes(sizes) if max(sizes) < 128 else b"".join(map(encode_varint, sizes))
        entry = head + suffix + value
        self.parts.append(entry)
        self.size += len(entry)
        self.last_key = key
        self._since_restart += 1

    def finish(self) -> bytes:
        restarts = (*self.restarts, len(self.restarts))
        tail = struct.pack(f"<{len(restarts)}I", *restarts)
        return b"".join(self.parts) + tail


class TableBuilder:
    """Builds a table from its entries, which are added in the order of their keys.

    Args:
      block_size: The size in bytes at which a data block is closed.
    """

    def __init__(self, block_size: int = BLOCK_SIZE) -> None:
        self._block_size = block_size
        self._crc32c = load_crc32c()
        self._out: list[bytes] = []
        self._offset = 0
        self._block = _BlockBuilder(RESTART_INTERVAL)
        self._index = _BlockBuilder(INDEX_RESTART_INTERVAL)
        # The handle of a closed block. It is added to the index once the next key is known, because
        # the key in the index separates the block from that key.
        self._pending: bytes | None = None

    def add(self, key: bytes, value: bytes) -> None:
        """Adds an entry; `key` must be above all keys before it."""
        block = self._block
        if self._pending is not None:
            self._index.add(shortest_separator(block.last_key, key), self._pending)
            self._pending = None
            block.reset()
        block.add(key, value)
        if block.size + 4 * (len(block.restarts) + 1) >= self._block_size:
            self._pending = self._write(block.finish())

    def add_block(
        self, entries: bytes, restarts: list[int], first_key: bytes, last_key: bytes
    ) -> None:
        """Adds a whole data block.

        Args:
          entries: The encoded entries, as `add` would encode them.
          restarts: The positions in `entries` of every sixteenth entry, from the first on.
          first_key, last_key: The first and the last key of the entries.
        """
        block = self._block
        assert self._pending is not None or not block.parts, "a block is open"
        if self._pending is not None:
            self._index.add(shortest_separator(block.last_key, first_key), self._pending)
            block.reset()
        block.parts, block.restarts, block.last_key = [entries], restarts, last_key
        self._pending = self._write(block.finish())

    def finish(self) -> bytes:
        """Returns the contents of the whole file."""
        block = self._block
        if self._pending is None and block.parts:
            self._pending = self._write(block.finish())
        metaindex = self._write(_BlockBuilder(RESTART_INTERVAL).finish())
        if self._pending is not None:
            self._index.add(short_successor(block.last_key), self._pending)
        index = self._write(self._index.finish())
        handles = (metaindex + index).ljust(FOOTER_HANDLES_SIZE, b"\0")
        self._out.append(handles + TABLE_MAGIC.to_bytes(8, "little"))
        return b"".join(self._out)

    def _write(self, block: bytes) -> bytes:
        """Appends a block; returns its handle."""
        kind = bytes((COMPRESSION_NONE,))
        crc = self._crc32c(kind, self._crc32c(block))
        self._out += (block, kind, encode_masked(crc))
        handle = encode_varint(self._offset) + encode_varint(len(block))
        self._offset += len(block) + BLOCK_TRAILER_SIZE
        return handle
