"""Reads and writes the safetensors format.

    8 bytes   size of the header, little endian
    header    JSON: {name: {"dtype", "shape", "data_offsets": [begin, end]}, "__metadata__": {…}}
    data      row-major little-endian, offsets from here; no gaps

Source: https://github.com/huggingface/safetensors, README, "Format".
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from checkpointable.bundle.format import INT64_MAX
from checkpointable.errors import CheckpointCorruptError, CheckpointUnsupportedError
from checkpointable.graph.dtypes import as_dtype
from checkpointable.readers.foreign.array_items import FilePosition, Unreadable
from checkpointable.readers.foreign.arrays import ArrayReader
from checkpointable.readers.formats import Candidate, Format, OpenOptions
from checkpointable.storage import ReadableFile, default_storage, replace_file

__all__ = ["FORMAT", "is_safetensors", "open_safetensors", "read_header", "write_safetensors"]

Array = np.ndarray[Any, np.dtype[Any]]

_HEADER_MAX = 100_000_000  # the limit of the reference implementation
_RANK_MAX = 32  # the limit of the oldest NumPy that is supported
_METADATA = "__metadata__"
_PART_SIZE = 64 << 20  # bytes written between two calls of `progress`
_DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "I16": "int16",
    "U16": "uint16",
    "I32": "int32",
    "U32": "uint32",
    "I64": "int64",
    "U64": "uint64",
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
    "C64": "complex64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
}
_NAMES = {name: kind for kind, name in _DTYPES.items()}


def is_safetensors(candidate: Candidate) -> bool:
    """Returns whether a file begins with a header size and a JSON object, as the format does."""
    length = int.from_bytes(candidate.start[:8], "little")
    return candidate.start[8:9] == b"{" and length <= min(_HEADER_MAX, candidate.size - 8)


def open_safetensors(candidate: Candidate, options: OpenOptions) -> ArrayReader:
    """Maps the tensors of a file, which stays open.

    Raises:
      CheckpointCorruptError: It is not such a file, or is damaged.
    """
    path = candidate.path
    _little_endian_only(path)
    file = candidate.storage.open(path)
    try:
        return ArrayReader(path, *_mapped(file, path), in_place=options.mmap is True)
    except BaseException:
        file.close()
        raise


FORMAT = Format("a safetensors file", is_safetensors, open_safetensors, (".safetensors",))


def _mapped(
    file: ReadableFile, path: str
) -> tuple[dict[str, Array | Unreadable], dict[str, FilePosition]]:
    """Returns the mapped tensors and their positions, by name."""
    size = file.size
    if size < 8:
        raise CheckpointCorruptError("the file ends within its first 8 bytes", path=path)
    length = min(int.from_bytes(file.read(0, 8), "little"), size - 8, _HEADER_MAX)
    entries, start = read_header(file.read(0, 8 + length), size, path)
    mapped = file.map()
    arrays: dict[str, Array | Unreadable] = {}
    positions = {}
    for name, (kind, shape, begin, end) in entries.items():
        if kind not in _DTYPES:
            why = f"a checkpoint cannot store its dtype {kind}"
            arrays[name] = Unreadable(kind, shape, end - begin, why)
            continue
        dtype = as_dtype(_DTYPES[kind])
        if math.prod(shape) * dtype.itemsize != end - begin:
            raise CheckpointCorruptError(
                f"{kind} of shape {shape} takes {math.prod(shape) * dtype.itemsize} bytes, but "
                f"the file has {end - begin}",
                path=path,
                key=name,
                offset=start + begin,
            )
        try:
            arrays[name] = np.ndarray(shape, dtype, mapped, start + begin)
        except ValueError as error:  # no elements, but dimensions that are too large for NumPy
            raise CheckpointCorruptError(
                f"shape {shape}: {error}", path=path, key=name, offset=start + begin
            ) from None
        positions[name] = FilePosition(file, start + begin)
    return arrays, positions


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) < len(pairs):
        raise ValueError("it has a key twice")
    return unique


Header = dict[str, tuple[str, tuple[int, ...], int, int]]


def read_header(data: Any, size: int, path: str) -> tuple[Header, int]:
    """Reads the header of a file.

    Args:
      data: At least the header's size and the header.
      size: The size of the file in bytes.
      path: The path of the file, for messages.

    Returns:
      name -> (dtype, shape, begin, end), and the offset at which the data begins.

    Raises:
      CheckpointCorruptError: The header is not valid, or does not fit the file.
    """

    def corrupt(what: str, key: str | None = None) -> CheckpointCorruptError:
        return CheckpointCorruptError(what, path=path, key=key, offset=0)

    length = int.from_bytes(data[:8], "little")
    if length > _HEADER_MAX or length > size - 8:
        raise corrupt(f"its header should have {length} bytes, but the whole file has {size}")
    try:
        text = bytes(data[8 : 8 + length]).decode()
        header = json.loads(text, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise corrupt(f"its header is not JSON: {error}") from None
    if not isinstance(header, dict):
        raise corrupt(f"its header is a {type(header).__name__}, not an object")
    header.pop(_METADATA, None)
    tensors: Header = {}
    for name, entry in header.items():
        try:
            kind, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        except (KeyError, TypeError, ValueError):
            raise corrupt("dtype, shape or data_offsets is missing", name) from None
        numbers = [*shape, begin, end] if isinstance(shape, list) else [None]
        if (
            not isinstance(kind, str)
            or not all(type(n) is int and 0 <= n <= INT64_MAX for n in numbers)
            or len(shape) > _RANK_MAX
        ):
            raise corrupt("its dtype, shape or data_offsets have the wrong form", name)
        try:
            name.encode()
        except UnicodeEncodeError:
            raise corrupt("the name is not valid Unicode", name) from None
        tensors[name] = (kind, tuple(shape), begin, end)
    position = 0
    for name, (_, _, begin, end) in sorted(tensors.items(), key=lambda item: item[1][2:]):
        if begin != position or end < begin:
            raise corrupt(
                f"its data begins at {begin}, but the data before it ends at {position}", name
            )
        position = end
    if position != size - 8 - length:
        raise corrupt(f"its tensors have {position} bytes, but the file has {size - 8 - length}")
    return tensors, 8 + length


def write_safetensors(
    path: str,
    arrays: Mapping[str, Array],
    metadata: Mapping[str, str] | None = None,
    progress: Callable[[int], object] | None = None,
) -> None:
    """Writes arrays to a file; atomically replaces a file that exists.

    Args:
      path: The path to write.
      arrays: The arrays by name.
      metadata: The `__metadata__` of the header.
      progress: Called with the number of bytes written.

    Raises:
      CheckpointUnsupportedError: The format has no such dtype; nothing was written.
    """
    _little_endian_only(path)
    header: dict[str, Any] = {}
    if metadata:
        header[_METADATA] = dict(metadata)
    # Wide elements first, so that all are aligned: the order of the reference implementation.
    order = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    position = 0
    for name in order:
        array = arrays[name]
        kind = _NAMES.get(array.dtype.name)
        if kind is None:
            raise CheckpointUnsupportedError(
                f"safetensors has no dtype for {array.dtype}", path=path, key=name
            )
        end = position + array.nbytes
        header[name] = {
            "dtype": kind,
            "shape": list(array.shape),
            "data_offsets": [position, end],
        }
        position = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    parts = [memoryview(len(text).to_bytes(8, "little") + text)]
    for name in order:
        data = np.ascontiguousarray(arrays[name]).reshape(-1).view(np.uint8).data
        parts += [data[at : at + _PART_SIZE] for at in range(0, len(data), _PART_SIZE)]
    replace_file(default_storage(), path, parts, progress=progress)


def _little_endian_only(path: str) -> None:
    if sys.byteorder != "little":
        raise CheckpointUnsupportedError(
            "safetensors files are read and written on little-endian machines only", path=path
        )
