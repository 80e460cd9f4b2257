"""What the tests of bundles share: values of every kind, files, tables made by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import settings

from checkpointable.bundle import DataType, ValueToWrite, datatype_of, numpy_dtype, write_bundle
from checkpointable.bundle.checksum import crc32c, mask
from checkpointable.errors import CheckpointUnsupportedError
from checkpointable.wire.varints import encode_varint

# The same examples on every run, the first of which may pay for an import.
REPEATABLE = settings(derandomize=True, deadline=None)


# The sizes by which large values are divided, where they are looked up.
CHUNK_SIZES = (
    "parallel.CHUNK_SIZE",
    "writing.values.CHUNK_SIZE",
    "writing.values.WRITE_CHUNK_SIZE",
    "reading.checks.READ_CHUNK_SIZE",
    "reading.transfer.READ_CHUNK_SIZE",
    "reading.transfer.STREAM_CHUNK_SIZE",
)


def _has_array(kind: DataType) -> bool:
    try:
        return kind != DataType.DT_STRING and numpy_dtype(kind) is not None
    except CheckpointUnsupportedError:  # an older ml_dtypes, or no array at all
        return False


# Every kind that NumPy, or the installed ml_dtypes, has an array of; strings apart.
FIXED_KINDS = [kind for kind in DataType if _has_array(kind)]


def values_to_write(values: Mapping[str, np.ndarray]) -> list[ValueToWrite]:
    return [
        ValueToWrite(key, datatype_of(value.dtype), value.shape, lambda value=value: value)
        for key, value in values.items()
    ]


def save(prefix: str | Path, values: Mapping[str, np.ndarray], **options: Any) -> str:
    write_bundle(prefix, values_to_write(values), **{"durability": "flush", **options})
    return str(prefix)


def strings(*elements: bytes) -> np.ndarray:
    array = np.empty(len(elements), object)
    array[:] = elements
    return array


def a_few() -> dict[str, np.ndarray]:
    """Small values of several kinds, whose files are short enough to damage bit by bit."""
    return {
        "bias": np.arange(3, dtype=np.float32),
        "empty": np.zeros((0, 4), np.float64),
        "kernel": np.arange(12, dtype=np.int16).reshape(3, 4),
        "name": np.array(b"net", object),
        "names": strings(b"a", b"", b"xyz"),
        "step": np.array(7, np.int64),
    }


def same(a: Any, b: Any) -> bool:
    """Whether two values are equal to the bit, NaN included."""
    a, b = (np.array(v, object) if isinstance(v, bytes) else np.asarray(v) for v in (a, b))
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.dtype == object:
        return bool((a == b).all())
    return bool(np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes())


def block(entries: Iterable[tuple[int, bytes, bytes]], restarts: list[int] | None = None) -> bytes:
    """A block of (shared, suffix, value), stored as given."""
    body = b"".join(
        encode_varint(shared)
        + encode_varint(len(suffix))
        + encode_varint(len(value))
        + suffix
        + value
        for shared, suffix, value in entries
    )
    points = [0] if restarts is None else restarts
    return body + b"".join(n.to_bytes(4, "little") for n in (*points, len(points)))


def table(*blocks: bytes, kind: int = 0, index_keys: list[bytes] | None = None) -> bytes:
    """A table file of data blocks, stored as given (compressed already, for kind 1)."""
    out = b""

    def put(contents: bytes, kind: int) -> bytes:
        nonlocal out
        handle = encode_varint(len(out)) + encode_varint(len(contents))
        stored = contents + bytes((kind,))
        out += stored + mask(crc32c(stored)).to_bytes(4, "little")
        return handle

    handles = [put(contents, kind) for contents in blocks]
    metaindex = put(block([]), 0)
    keys = index_keys or [b"\xff" * (i + 1) for i in range(len(handles))]
    entries, points, size = [], [], 0
    for key, handle in zip(keys, handles, strict=True):
        points.append(size)
        entries.append((0, key, handle))
        size += 3 + len(key) + len(handle)
    index = put(block(entries, points or [0]), 0)
    return out + (metaindex + index).ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")


HEADER = bytes.fromhex("08011a020801")  # one shard, producer 1


def write_files(prefix: str | Path, index: bytes, data: bytes = b"") -> str:
    Path(f"{prefix}.index").write_bytes(index)
    Path(f"{prefix}.data-00000-of-00001").write_bytes(data)
    return str(prefix)
