"""Computes the location of each value of a checkpoint before the first byte is written."""

from __future__ import annotations

import math
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

__all__ = ["Layout", "PlacedValue", "ValueToWrite", "make_layout"]


# String values of more bytes are encoded while they are written. `bytes` are immutable, so no copy
# is needed before.
_JOINED_SIZE = 64 * 1024


class ValueToWrite(NamedTuple):
    """A value that is to be written.

    A named tuple, because it is created faster than a dataclass and there is one per value.

    Attributes:
      key: The key under which it is stored; not empty.
      dtype: The data type of the array that `read` returns.
      shape: The shape of that array.
      read: Returns the value as an array of any layout and byte order. Strings are an array of
        objects or of dtype `S` or `U`; variants are an array of encoded messages. Called once, in
        the thread that called `write_bundle`, in the order of the keys, and late: when the bytes
        are about to be written. Strings, whose size must be known, are read before anything is
        written. The array must not change until `write_bundle` returns.
      parts: For a partitioned value, (extents, value) of each part. The parts are read instead of
        the whole, and their keys do not matter.
      fresh: Whether `read` returns a new array at each call, which nobody changes later.
    """

    key: str
    dtype: DataType
    shape: tuple[int, ...]
    read: Callable[[], npt.NDArray[Any]]
    parts: tuple[tuple[Extents, ValueToWrite], ...] = ()
    fresh: bool = False


@dataclass(slots=True)
class PlacedValue:
    """A value and its location in the data file.

    Attributes:
      value: The value.
      key: Its key in UTF-8.
      offset: Its offset in the data file, in bytes.
      size: Its size in the data file, in bytes.
      payload: The encoded bytes of a string or variant value, or the encoder of a large string
        value; None for all others.
      crc: The masked checksum, once known.
    """

    value: ValueToWrite
    key: bytes
    offset: int
    size: int
    payload: bytes | EncodedStrings | None
    crc: int


@dataclass(frozen=True, slots=True)
class Layout:
    """The locations of all values in a data file.

    Attributes:
      values: The values in the order of their keys, parts of partitioned values included.
      size: The size of the data file, in bytes.
      partitioned: The partitioned values, whose parts are among `values`.
    """

    values: list[PlacedValue]
    size: int
    partitioned: tuple[ValueToWrite, ...] = ()


def make_layout(values: Iterable[ValueToWrite]) -> Layout:
    """Sorts values by key and assigns each an offset.

    Large values start at a multiple of 64 bytes, small ones at a multiple of their item size. The
    gaps are zero. The layout depends only on the values, not on their order (S13).

    Raises:
      ValueError: A key is empty, or two values have the same key.
      CheckpointUnsupportedError: A dtype or a key cannot be stored.
      CheckpointMismatchError: A string value is not of the dtype and shape that it declares.
    """
    ordered = sorted(values, key=itemgetter(0))
    partitioned = tuple(value for value in ordered if value.parts)
    placed: list[PlacedValue] = []
    position = 0
    # Many values share few combinations of dtype and shape.
    known: dict[tuple[int, tuple[int, ...]], tuple[int, int]] = {}
    for key, value in _keyed(ordered):
        name, dtype, shape, _, _, _ = value
        payload: bytes | EncodedStrings | None = None
        crc = 0
        size = alignment = 0
        if dtype == DataType.DT_STRING:
            payload, crc = _encode_strings(value)
        elif dtype == DataType.DT_VARIANT:
            payload, crc = _encode_variants(value)
        else:
            size_and_alignment = known.get((dtype, shape))
            if size_and_alignment is None:
                size_and_alignment = known[dtype, shape] = _size_and_alignment(value)
            size, alignment = size_and_alignment
        if payload is not None:
            size = len(payload) if isinstance(payload, bytes) else payload.size
            alignment = ALIGNMENT if size >= ALIGNED_SIZE else 1
        if position + size > INT64_MAX - ALIGNMENT:
            raise ValueError(f"key {name!r}: the shape {shape} is invalid or too large")
        if size:
            position += -position % alignment
        placed.append(PlacedValue(value, key, position, size, payload, crc))
        position += size
    return Layout(placed, position, partitioned)


def _keyed(values: list[ValueToWrite]) -> Iterator[tuple[bytes, ValueToWrite]]:
    """Yields the values and the parts of partitioned values, in the order of their keys."""
    # The keys of parts begin with 00, so they precede all others.
    parts = [part for value in values if value.parts for part in _parts(value)]
    yield from sorted(parts, key=lambda part: part[0])
    last = None
    for value in values:
        name = value.key
        if name == last:
            raise ValueError(f"two values have the key {name!r}")
        last = name
        key = _encode_key(name)
        if not value.parts:
            yield key, value


def _parts(value: ValueToWrite) -> list[tuple[bytes, ValueToWrite]]:
    """Returns (key, part) for the parts of a partitioned value.

    Raises:
      CheckpointMismatchError: They do not cover the whole value.
    """
    resolved = [resolve(extents, value.shape) for extents, _ in value.parts]
    fitting = [extents for extents in resolved if extents is not None]
    shapes = [part.shape for _, part in value.parts]
    expected = [tuple(length for _, length in extents) for extents in fitting]
    if shapes != expected or not tiles(fitting, value.shape):
        raise CheckpointMismatchError(
            f"its parts, of shapes {shapes}, do not cover the shape {value.shape}, each "
            "element once",
            key=value.key,
        )
    return [(slice_key(value.key, extents), part) for extents, part in value.parts]


def _size_and_alignment(value: ValueToWrite) -> tuple[int, int]:
    """Returns the size of a value of fixed width, and the alignment of its offset, in bytes."""
    width = itemsize(value.dtype)
    if not width:
        raise CheckpointUnsupportedError(
            f"a value of dtype {DataType(value.dtype).name} cannot be written", key=value.key
        )
    size = width * math.prod(value.shape)
    if size < 0:
        raise ValueError(f"key {value.key!r}: the shape {value.shape} is invalid or too large")
    return size, ALIGNMENT if size >= ALIGNED_SIZE else width


def _encode_key(key: str) -> bytes:
    if not key:
        raise ValueError("a value's key is empty; the empty key is reserved for the header")
    try:
        return key.encode()
    except UnicodeEncodeError as error:
        raise CheckpointUnsupportedError(
            f"the key cannot be stored as UTF-8: {error.reason}", key=key
        ) from None


def _encode_strings(value: ValueToWrite) -> tuple[bytes | EncodedStrings, int]:
    array = np.asarray(value.read())
    check_declared(value, array)
    key = value.key
    elements = [to_bytes(element, key) for element in array.reshape(-1).tolist()]
    if sum(map(len, elements)) <= _JOINED_SIZE:
        return encode_strings(elements)
    encoded = EncodedStrings(elements)
    return encoded, encoded.crc


def _encode_variants(value: ValueToWrite) -> tuple[bytes, int]:
    array = np.asarray(value.read())
    check_declared(value, array)
    return encode_variants(array.reshape(-1).tolist())


def check_declared(value: ValueToWrite, array: npt.NDArray[Any]) -> None:
    """Checks that the array of a value has the declared dtype and shape.

    Raises:
      CheckpointMismatchError: It does not.
    """
    if array.shape != tuple(value.shape):
        raise CheckpointMismatchError(
            f"the value should have the shape {tuple(value.shape)}, but it has {array.shape}; "
            "it changed during the save, or its adapter declares the wrong shape",
            key=value.key,
        )
    if value.dtype == DataType.DT_VARIANT:
        fits = array.dtype.kind == "O"
    elif value.dtype == DataType.DT_STRING:
        fits = array.dtype.kind in "SUO"
    else:
        try:
            wanted = numpy_dtype(value.dtype)
        except CheckpointError:  # NumPy has no such dtype, so the array cannot have it
            fits = False
        else:
            fits = array.dtype == wanted or array.dtype.newbyteorder("=") == wanted
    if not fits:
        raise CheckpointMismatchError(
            f"the value should be {DataType(value.dtype).name}, but it is of dtype {array.dtype}; "
            "it changed during the save, or its adapter declares the wrong dtype",
            key=value.key,
        )
