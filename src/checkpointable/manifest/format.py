"""What the writer and the reader of a manifest share; docs/format.md, "Manifest", explains it."""

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

# What is signed begins with this, so that no signature made for anything else can be one of a
# manifest, whoever uses the key for what.
DOMAIN = b"checkpointable manifest, version 1\0"

UNSIGNED = "none"
HMAC_SHA256 = "hmac-sha256"
ED25519 = "ed25519"
ALGORITHMS = (UNSIGNED, HMAC_SHA256, ED25519)
SIGNATURE_SIZES = {UNSIGNED: 0, HMAC_SHA256: 32, ED25519: 64}

# A chunk is what a thread hashes at a time, and what damage is located to.
CHUNK_SIZE_MIN = 4096
CHUNK_SIZE_MAX = 2**30
_CHUNK_SIZE = 2**20
_CHUNKS_WANTED = 2**19  # beyond, chunks get larger, so that the manifest stays small

# More than this is no manifest, and is not read into memory: 2^19 chunks take half of it.
MANIFEST_SIZE_MAX = 64 * 2**20

_NAME = re.compile(r"\.manifest-[0-9a-f]{16}", re.ASCII)


def manifest_path(prefix: str, index: bytes) -> str:
    """The path of the manifest of a checkpoint whose index file has these contents.

    The name follows from the index, so the step that puts a new index in its place also puts
    the new manifest in the place of the old one.
    """
    return f"{prefix}.manifest-{hashlib.sha256(index).hexdigest()[:16]}"


def is_manifest_name(name: str, base: str) -> bool:
    """Whether `name` is that of a manifest of the prefix `base`, of whatever index."""
    return name.startswith(base) and _NAME.fullmatch(name, len(base)) is not None


def base_of_manifest(name: str) -> str | None:
    """The prefix that a manifest's name begins with; None for any other name."""
    base, _, _ = name.rpartition(".manifest-")
    return base if base and is_manifest_name(name, base) else None


def chunk_size_for(size: int) -> int:
    """The size of chunks for files of `size` bytes together: 1 MiB, more beyond 512 GiB."""
    chunk_size = _CHUNK_SIZE
    while chunk_size < CHUNK_SIZE_MAX and size > chunk_size * _CHUNKS_WANTED:
        chunk_size *= 2
    return chunk_size


def chunk_count(size: int, chunk_size: int) -> int:
    """How many chunks a file of `size` bytes has; the last one may be shorter."""
    return -(-size // chunk_size)
