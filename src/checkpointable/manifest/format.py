"""Constants and file names of manifests; see docs/format.md, "Manifest"."""

from __future__ import annotations

import hashlib
import re

__all__ = [
    "ALGORITHMS",
    "CHUNK_SIZE_MAX",
    "CHUNK_SIZE_MIN",
    "DOMAIN",
    "ED25519",
    "HASH_SIZE",
    "HMAC_SHA256",
    "KIND",
    "MANIFEST_SIZE_MAX",
    "SIGNATURE_SIZES",
    "TREE",
    "UNSIGNED",
    "VERSION",
    "base_of_manifest",
    "chunk_count",
    "chunk_size_for",
    "is_manifest_name",
    "manifest_path",
]

KIND = "checkpointable manifest"
VERSION = 1
TREE = "sha256-rfc6962"
HASH_SIZE = 32

# Signed bytes begin with this, so that a signature made with the same key for another purpose
# cannot be used for a manifest.
DOMAIN = b"checkpointable manifest, version 1\0"

UNSIGNED = "none"
HMAC_SHA256 = "hmac-sha256"
ED25519 = "ed25519"
ALGORITHMS = (UNSIGNED, HMAC_SHA256, ED25519)
SIGNATURE_SIZES = {UNSIGNED: 0, HMAC_SHA256: 32, ED25519: 64}

# A chunk is hashed by one thread; damage is located to a chunk.
CHUNK_SIZE_MIN = 4096
CHUNK_SIZE_MAX = 2**30
_CHUNK_SIZE = 2**20
_CHUNKS_WANTED = 2**19  # with more, chunks get larger, so that the manifest stays small

# Larger files are not read: a manifest of 2^19 chunks has half this size.
MANIFEST_SIZE_MAX = 64 * 2**20

_NAME = re.compile(r"\.manifest-[0-9a-f]{16}", re.ASCII)


def manifest_path(prefix: str, index: bytes) -> str:
    """Returns the path of the manifest for an index file with these contents.

    The name is derived from the index, so replacing the index also replaces the manifest.
    """
    return f"{prefix}.manifest-{hashlib.sha256(index).hexdigest()[:16]}"


def is_manifest_name(name: str, base: str) -> bool:
    """Returns whether `name` is that of a manifest of the prefix `base`, for any index."""
    return name.startswith(base) and _NAME.fullmatch(name, len(base)) is not None


def base_of_manifest(name: str) -> str | None:
    """Returns the checkpoint prefix in the name of a manifest; None for any other name."""
    base, _, _ = name.rpartition(".manifest-")
    return base if base and is_manifest_name(name, base) else None


def chunk_size_for(size: int) -> int:
    """Returns the chunk size for files of `size` bytes in total: 1 MiB up to 512 GiB."""
    chunk_size = _CHUNK_SIZE
    while chunk_size < CHUNK_SIZE_MAX and size > chunk_size * _CHUNKS_WANTED:
        chunk_size *= 2
    return chunk_size


def chunk_count(size: int, chunk_size: int) -> int:
    """Returns the number of chunks of a file of `size` bytes."""
    return -(-size // chunk_size)
