"""The hash tree over the chunks of a file: that of RFC 6962 (section 2.1) with SHA-256.

    leaf  = SHA-256(00, chunk)
    inner = SHA-256(01, left, right)      left covers the largest power of two below the count

The root of an empty file is SHA-256(). The two prefixes keep an inner node from being mistaken
for a chunk, and the reverse.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from checkpointable.manifest.format import HASH_SIZE

if TYPE_CHECKING:
    from checkpointable.storage.interface import Buffer

__all__ = ["leaf_hash", "leaf_hashes", "root_hash"]


def leaf_hash(chunk: Buffer) -> bytes:
    """Returns the hash of a chunk; releases the GIL."""
    state = hashlib.sha256(b"\0")
    state.update(chunk)
    return state.digest()


def leaf_hashes(data: Buffer, chunk_size: int) -> bytes:
    """Returns the concatenated hashes of all chunks of `data`."""
    view = memoryview(data)
    return b"".join(
        leaf_hash(view[start : start + chunk_size]) for start in range(0, len(view), chunk_size)
    )


def root_hash(leaves: bytes) -> bytes:
    """Returns the root hash for the concatenated hashes of chunks.

    Works from the bottom up and keeps an unpaired last node, which gives the same tree as the
    top-down definition in the RFC.
    """
    sha256 = hashlib.sha256
    if not leaves:
        return sha256().digest()
    pair = 2 * HASH_SIZE
    level = leaves
    while len(level) > HASH_SIZE:
        whole = len(level) - len(level) % pair
        above = [
            sha256(b"\1" + level[start : start + pair]).digest() for start in range(0, whole, pair)
        ]
        level = b"".join(above) + level[whole:]
    return level
