"""Where every value of a bundle will lie, known before the first byte is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from checkpointable.bundle.dtypes import DataType, itemsize, numpy_dtype
from checkpointable.bundle.format import ALIGNED_SIZE, ALIGNMENT, INT64_MAX
from checkpointable.bundle.slices import resolve, slice_key, tiles
from checkpointable.bundle.strings import EncodedStrings, encode_strings, to_bytes
from checkpointable.bundle.variants import encode_variants
from checkpointable.errors import (
    CheckpointError,
    CheckpointMismatchError,
    CheckpointUnsupportedError,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    from checkpointable.bundle.shapes import Extents

__all__ = ["Layout", "PlacedValue", "ValueToWrite", "plan_layout"]


# Strings of more bytes are put together as they are written: `bytes` do not change, and so need
# no copy until then.
_JOINED_SIZE = 64 * 1024


class ValueToWrite(NamedTuple):
    """A value to write. (A named tuple, since one is made a value: quick to make.)

    Attributes:
      key: under which it is stored; not empty.
      dtype, shape: what `read` will give (of variants, an encoded message each).
      read: gives the value as an array of any layout and byte order (strings: objects,
        `S` or `U`). Called once, by the thread that called `write_bundle`, in the order of
        the keys, late: when the value's bytes are about to be written; for strings, whose
        size must be known, before anything is written. The array must not change until
        `write_bundle` returns.
      parts: of a partitioned value, (extents, record) of each part; it is they that are
        read, and their keys do not matter.
      fresh: whether that array is made anew at each call, so that nobody changes it later.
    """

    key: str
    dtype: DataType
    shape: tuple[int, ...]
    read: Callable[[], npt.NDArray[Any]]
    parts: tuple[tuple[Extents, ValueToWrite], ...] = ()
    fresh: bool = False


@dataclass(slots=True)
class PlacedValue:
    """A record and its place.

    Attributes:
      record: the value.
      key: its key in UTF-8.
      offset, size: its place in the data file, in bytes.
      payload: a string value's bytes, encoded, or how they are made; None for all others.
      crc: the masked checksum, once known.
    """

    record: ValueToWrite
    key: bytes
    offset: int
    size: int
    payload: bytes | EncodedStrings | None
    crc: int


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout of one data file: its values in the order of their keys, and its size.

    Attributes:
      partitioned: the records whose parts are among the values.
    """

    values: list[PlacedValue]
    size: int
    partitioned: tuple[ValueToWrite, ...] = ()


def plan_layout(records: Iterable[ValueToWrite]) -> Layout:
    """Sorts the records by key and gives each its place.

    Large values start at a multiple of 64 bytes, small ones at a multiple of their item
    size; the gaps are zero. The layout depends on nothing but the records.

    Raises:
      ValueError: an empty key, or the same key twice.
      CheckpointUnsupportedError: a dtype or a key that cannot be stored.
      CheckpointMismatchError: a string value is not what its record declares.
    """
    ordered = sorted(records, key=itemgetter(0))
    partitioned = tuple(record for record in ordered if record.parts)
    values: list[PlacedValue] = []
    position = 0
    # Few distinct ones of these repeat over many values.
    known: dict[tuple[int, tuple[int, ...]], tuple[int, int]] = {}
    for key, record in _keyed(ordered):
        name, dtype, shape, _, _, _ = record
        payload: bytes | EncodedStrings | None = None
        crc = 0
        size = alignment = 0
        if dtype == DataType.DT_STRING:
            payload, crc = _encode_strings(record)
        elif dtype == DataType.DT_VARIANT:
            payload, crc = _encode_variants(record)
        else:
            found = known.get((dtype, shape))
            if found is None:
                found = known[dtype, shape] = _size_and_alignment(record)
            size, alignment = found
        if payload is not None:
            size = len(payload) if isinstance(payload, bytes) else payload.size
            alignment = ALIGNMENT if size >= ALIGNED_SIZE else 1
        if position + size > INT64_MAX - ALIGNMENT:
            raise ValueError(f"key {name!r}: the shape {shape} has no size")
        if size:
            position += -position % alignment
        values.append(PlacedValue(record, key, position, size, payload, crc))
        position += size
    return Layout(values, position, partitioned)


def _keyed(records: list[ValueToWrite]) -> Iterator[tuple[bytes, ValueToWrite]]:
    """What is to be written, parts of partitioned values each by itself, in order of its key."""
    # Keys of parts begin with 00 and so precede all others.
    parts = [part for record in records if record.parts for part in _parts(record)]
    yield from sorted(parts, key=lambda part: part[0])
    last = None
    for record in records:
        name = record.key
        if name == last:
            raise ValueError(f"two values have the key {name!r}")
        last = name
        key = _encode_key(name)
        if not record.parts:
            yield key, record


def _parts(record: ValueToWrite) -> list[tuple[bytes, ValueToWrite]]:
    """The parts of a partitioned value.

    Raises:
      CheckpointMismatchError: they do not make up the whole.
    """
    resolved = [resolve(extents, record.shape) for extents, _ in record.parts]
    fitting = [extents for extents in resolved if extents is not None]
    shapes = [part.shape for _, part in record.parts]
    expected = [tuple(length for _, length in extents) for extents in fitting]
    if shapes != expected or not tiles(fitting, record.shape):
        raise CheckpointMismatchError(
            f"its parts, of shapes {shapes}, do not make up the shape {record.shape}, each "
            "element once",
            key=record.key,
        )
    return [(slice_key(record.key, extents), part) for extents, part in record.parts]


def _size_and_alignment(record: ValueToWrite) -> tuple[int, int]:
    """Bytes that a value of fixed width takes, and of what its offset is a multiple."""
    width = itemsize(record.dtype)
    if not width:
        raise CheckpointUnsupportedError(
            f"a value of dtype {DataType(record.dtype).name} cannot be written", key=record.key
        )
    size = width
    for dim in record.shape:
        size *= dim
    if size < 0:
        raise ValueError(f"key {record.key!r}: the shape {record.shape} has no size")
    return size, ALIGNMENT if size >= ALIGNED_SIZE else width


def _encode_key(key: str) -> bytes:
    if not key:
        raise ValueError("a value's key is empty; that key is the header's")
    try:
        return key.encode()
    except UnicodeEncodeError as error:
        raise CheckpointUnsupportedError(
            f"the key cannot be stored as UTF-8: {error.reason}", key=key
        ) from None


def _encode_strings(record: ValueToWrite) -> tuple[bytes | EncodedStrings, int]:
    array = np.asarray(record.read())
    check_declared(record, array)
    key = record.key
    elements = [to_bytes(element, key) for element in array.reshape(-1).tolist()]
    if sum(map(len, elements)) <= _JOINED_SIZE:
        return encode_strings(elements)
    encoded = EncodedStrings(elements)
    return encoded, encoded.crc


def _encode_variants(record: ValueToWrite) -> tuple[bytes, int]:
    array = np.asarray(record.read())
    check_declared(record, array)
    return encode_variants(array.reshape(-1).tolist())


def check_declared(record: ValueToWrite, array: npt.NDArray[Any]) -> None:
    """Checks that `read` gave what the record declares.

    Raises:
      CheckpointMismatchError: names the key and both sides.
    """
    if array.shape != tuple(record.shape):
        raise CheckpointMismatchError(
            f"the value was to have the shape {tuple(record.shape)}, but it has {array.shape}; "
            "it changed while it was saved, or its adapter declares it wrongly",
            key=record.key,
        )
    if record.dtype == DataType.DT_VARIANT:
        fits = array.dtype.kind == "O"
    elif record.dtype == DataType.DT_STRING:
        fits = array.dtype.kind in "SUO"
    else:
        try:
            wanted = numpy_dtype(record.dtype)
        except CheckpointError:  # this NumPy cannot have made an array of it either
            fits = False
        else:
            fits = array.dtype == wanted or array.dtype.newbyteorder("=") == wanted
    if not fits:
        raise CheckpointMismatchError(
            f"the value was to be {DataType(record.dtype).name}, but it is of dtype "
            f"{array.dtype}; it changed while it was saved, or its adapter declares it wrongly",
            key=record.key,
        )
