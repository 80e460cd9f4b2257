"""Constants and file names of the checkpoint format; see docs/format.md."""

from __future__ import annotations

import os
import re

__all__: list[str] = []

# -- the index: a sorted string table ------------------------------------------------------
TABLE_MAGIC = 0xDB4775248B80FB57
FOOTER_SIZE = 48  # two handles, zero padding to 40, the magic as uint64 little endian
FOOTER_HANDLES_SIZE = FOOTER_SIZE - 8
BLOCK_TRAILER_SIZE = 5  # 1 byte compression, 4 bytes masked crc32c of block and that byte
COMPRESSION_NONE = 0
COMPRESSION_SNAPPY = 1
BLOCK_SIZE = 256 * 1024  # a data block is closed once it has this size
RESTART_INTERVAL = 16  # entries from one uncompressed key to the next, in data blocks
INDEX_RESTART_INTERVAL = 1

# -- checksums -----------------------------------------------------------------------------
CRC_MASK_DELTA = 0xA282EAD8
MASKED_SIZE = 4  # size of a stored masked checksum: a uint32

# -- the header ----------------------------------------------------------------------------
HEADER_KEY = ""
VERSION = 1  # written as `producer`, and the highest `min_consumer` that can be read
LITTLE_ENDIAN = 0
BIG_ENDIAN = 1
# A field that this package adds to the header and TensorFlow ignores: bytes of data files that no
# value uses any more. Each rename adds at most one.
UNREFERENCED_FIELD = 51_000
UNREFERENCED_MAX = 1000

# -- the data ------------------------------------------------------------------------------
# Values of this size or more start at a multiple of ALIGNMENT, so that a mapped file can be used as
# an aligned array. Smaller ones start at a multiple of their item size, to save space.
ALIGNED_SIZE = 4096
ALIGNMENT = 64
STRING_CHECKSUM_SIZE = MASKED_SIZE  # between the lengths and the bytes of strings

INT64_MAX = 2**63 - 1
RANK_MAX = 254  # of a TensorFlow tensor

_INDEX_SUFFIX = ".index"
_DATA_NAME = re.compile(r"\.data-(\d{5,})-of-(\d{5,})", re.ASCII)


def index_path(prefix: str) -> str:
    """Returns the path of the index of a checkpoint."""
    return prefix + _INDEX_SUFFIX


def prefix_of_index(path: str) -> str | None:
    """Returns the checkpoint prefix for the path of an index; None for any other path."""
    prefix = path.removesuffix(_INDEX_SUFFIX)
    return prefix if prefix != path and os.path.basename(prefix) else None


def data_path(prefix: str, shard: int, num_shards: int) -> str:
    """Returns the path of one of the data files of a checkpoint."""
    return f"{prefix}.data-{shard:05d}-of-{num_shards:05d}"


def parse_data_name(name: str, base: str) -> tuple[int, int] | None:
    """Returns (shard, number of shards) for a data file of the prefix `base`; else None."""
    if not name.startswith(base):
        return None
    match = _DATA_NAME.fullmatch(name, len(base))
    return (int(match[1]), int(match[2])) if match else None


def split_prefix(prefix: str) -> tuple[str, str]:
    """Returns (directory, base name); the directory is "." if the prefix has none."""
    directory, base = os.path.split(prefix)
    return directory or os.curdir, base
