"""The messages in a V1 checkpoint, and the arrays in them.

    SavedTensorSlices      {1 meta, 2 data}
    SavedTensorSliceMeta   {1 tensor[] {1 name, 2 shape, 3 type, 4 slice[]}, 2 versions}
    SavedSlice             {1 name, 2 slice, 3 data (TensorProto)}
    TensorProto            {5 float_val, 6 double_val, 7 int_val, 8 string_val, 9 scomplex_val,
                            10 int64_val, 11 bool_val, 12 dcomplex_val, 13 half_val}

The entry of the empty key holds the meta, every other one a part of a value. Numbers are
packed: as they are, or, integers, as varints; a half is the varint of its bits.

Source: tensorflow/core/util/saved_tensor_slice.proto, tensorflow/core/framework/tensor.proto.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from checkpointable.bundle.dtypes import DataType, numpy_dtype
from checkpointable.bundle.index.header import decode_header
from checkpointable.bundle.shapes import decode_shape, decode_slice
from checkpointable.wire import fields as wire
from checkpointable.wire.varints import Malformed, encode_varint

if TYPE_CHECKING:
    import numpy.typing as npt

    from checkpointable.bundle.index.budget import Budget
    from checkpointable.bundle.shapes import Extents

    Buffer = bytes | memoryview

__all__ = ["SavedMeta", "decode_meta", "decode_part", "decode_varints", "is_stored"]

# kind -> (field of TensorProto, how its numbers are stored; None: as varints)
_FIELDS: dict[DataType, tuple[int, str | None]] = {
    DataType.DT_FLOAT: (5, "<f4"),
    DataType.DT_DOUBLE: (6, "<f8"),
    DataType.DT_COMPLEX64: (9, "<c8"),
    DataType.DT_COMPLEX128: (12, "<c16"),
    DataType.DT_INT64: (10, None),
    DataType.DT_BOOL: (11, None),
    DataType.DT_HALF: (13, None),
    DataType.DT_STRING: (8, None),
    **dict.fromkeys(
        (
            DataType.DT_INT32,
            DataType.DT_UINT8,
            DataType.DT_INT16,
            DataType.DT_INT8,
            DataType.DT_UINT16,
            DataType.DT_QINT8,
            DataType.DT_QUINT8,
            DataType.DT_QINT32,
            DataType.DT_QINT16,
            DataType.DT_QUINT16,
        ),
        (7, None),
    ),
}

_STRING_FIELD = 8
_VARINT_BYTES_MAX = 10
_CHUNK_SIZE = 4 * 1024 * 1024
_META_COST = 500  # what the description of a value takes in memory, its name apart, in bytes


def is_stored(dtype: int) -> bool:
    """Whether V1 files can hold values of this kind."""
    return DataType(dtype) in _FIELDS


class SavedMeta(NamedTuple):
    """What a file says of one value."""

    name: str
    dtype: DataType
    shape: tuple[int, ...]
    slices: list[Extents]


def decode_meta(
    data: Buffer, start: int, end: int, budget: Budget
) -> tuple[list[SavedMeta], tuple[int, int, tuple[int, ...]]]:
    """The values that a file holds parts of, and (producer, min_consumer, bad_consumers).

    Raises:
      Malformed: it is no such message.
      CheckpointCorruptError: it would take more memory than the budget allows.
    """
    found: list[SavedMeta] = []
    versions: tuple[int, int, tuple[int, ...]] = (0, 0, ())
    metas = 0
    for number, kind, a, b in wire.fields(data, start, end):
        if (number, kind) != (1, wire.LENGTH):
            continue
        metas += 1
        for number_, kind_, a_, b_ in wire.fields(data, a, b):
            if (number_, kind_) == (1, wire.LENGTH):
                budget.spend(_META_COST + 2 * (b_ - a_))
                found.append(_decode_tensor(data, a_, b_))
            elif (number_, kind_) == (2, wire.LENGTH):
                # The versions have the place and form that they have in a bundle's header.
                message = b"\x1a" + encode_varint(b_ - a_) + bytes(data[a_:b_])
                try:
                    header = decode_header(message, 0, len(message))
                except Malformed as error:
                    raise Malformed(error.what, a_) from None
                versions = (header.producer, header.min_consumer, header.bad_consumers)
    if metas != 1:
        raise Malformed("the first entry does not list what the file holds", start)
    return found, versions


def _decode_tensor(data: Buffer, start: int, end: int) -> SavedMeta:
    name, dtype = "", 0
    shape: tuple[int, ...] = ()
    slices: list[Extents] = []
    for number, kind, a, b in wire.fields(data, start, end):
        if (number, kind) == (1, wire.LENGTH):
            name = _decode_name(data, a, b)
        elif (number, kind) == (2, wire.LENGTH):
            shape = decode_shape(data, a, b)[0]
        elif (number, kind) == (3, wire.VARINT):
            dtype = wire.signed(a, 32)
        elif (number, kind) == (4, wire.LENGTH):
            slices.append(decode_slice(data, a, b)[0])
    if not name:
        raise Malformed("a value has no name", start)
    if not slices:
        raise Malformed(f"the value {name!r:.200} has no parts", start)
    return SavedMeta(name, DataType(dtype), shape, slices)


def _decode_name(data: Buffer, start: int, end: int) -> str:
    try:
        return bytes(data[start:end]).decode()
    except UnicodeDecodeError:
        raise Malformed("a value's name is not UTF-8", start) from None


class _Part(NamedTuple):
    name: str
    extents: Extents
    numbers: list[Any]  # the packed runs of the field that was asked for


def _decode_saved_slice(data: Buffer, start: int, end: int, field: int) -> _Part:
    name, numbers = "", []
    extents: Extents = ()
    for number, kind, a, b in wire.fields(data, start, end):
        if (number, kind) != (2, wire.LENGTH):
            continue
        for number_, kind_, a_, b_ in wire.fields(data, a, b):
            if (number_, kind_) == (1, wire.LENGTH):
                name = _decode_name(data, a_, b_)
            elif (number_, kind_) == (2, wire.LENGTH):
                extents = decode_slice(data, a_, b_)[0]
            elif (number_, kind_) == (3, wire.LENGTH):
                for found, kind__, a__, b__ in wire.fields(data, a_, b_):
                    if found == field:
                        whole = kind__ != wire.VARINT
                        numbers.append(data[a__:b__] if whole else encode_varint(a__))
    return _Part(name, extents, numbers)


def decode_part(
    data: Buffer,
    span: tuple[int, int],
    name: str,
    dtype: DataType,
    extents: Extents,
    count: int,
) -> npt.NDArray[Any]:
    """The elements of a part, flat; may share the memory of `data`.

    Args:
      data, span: the entry's value are the bytes `[start, end)` of `data`.
      name, dtype, extents, count: what the meta says of it; `is_stored(dtype)`.

    Raises:
      Malformed: it is something else.
    """
    start, end = span
    field, stored = _FIELDS[dtype]
    part = _decode_saved_slice(data, start, end, field)
    if part.name != name or part.extents != extents:
        raise Malformed(
            f"the entry is a part of {part.name!r:.200}, {part.extents}, where one of "
            f"{name!r:.200}, {extents}, should be",
            start,
        )
    if field == _STRING_FIELD:
        array = np.empty(len(part.numbers), object)
        array[:] = [bytes(element) for element in part.numbers]
    else:
        run = part.numbers[0] if len(part.numbers) == 1 else b"".join(part.numbers)
        array = (
            _decode_varint_kind(run, dtype, start) if stored is None else _fixed(run, stored, start)
        )
    if array.size != count:
        raise Malformed(f"the part has {array.size} elements, and should have {count}", start)
    return array


def _fixed(run: Buffer, stored: str, where: int) -> npt.NDArray[Any]:
    dtype = np.dtype(stored)
    if len(run) % dtype.itemsize:
        raise Malformed(
            f"the part has {len(run)} bytes, no multiple of the {dtype.itemsize} of an element",
            where,
        )
    array: npt.NDArray[Any] = np.frombuffer(run, dtype)
    return array.astype(dtype.newbyteorder("="), copy=False)


def _decode_varint_kind(run: Buffer, dtype: DataType, where: int) -> npt.NDArray[Any]:
    values = decode_varints(run, where)
    if dtype == DataType.DT_BOOL:
        return values.astype(np.bool_)
    signed = values.view(np.int64)
    if dtype == DataType.DT_INT64:
        return signed
    if dtype == DataType.DT_HALF:
        target: npt.DTypeLike = np.uint16
    else:
        target = numpy_dtype(dtype)
    limits = np.iinfo(np.dtype(target))
    if signed.size and (signed.min() < limits.min or signed.max() > limits.max):
        raise Malformed(f"an element does not fit {dtype.name}", where)
    array = signed.astype(target)
    return array.view(np.float16) if dtype == DataType.DT_HALF else array


def decode_varints(run: Buffer, where: int = 0) -> npt.NDArray[np.uint64]:
    """The varints in `run`, to its last byte.

    Takes little memory beyond the result: it goes by chunks.

    Args:
      where: the position that errors name.

    Raises:
      Malformed
    """
    data = np.frombuffer(run, np.uint8)
    if data.size and data[-1] >= 128:
        raise Malformed("a varint runs over the end", where)
    result = np.empty(int(np.count_nonzero(data < 128)), np.uint64)
    done = position = 0
    while position < data.size:
        chunk = data[position : position + _CHUNK_SIZE]
        ends = np.flatnonzero(chunk < 128)
        if not ends.size:
            raise Malformed("a varint of more than 10 bytes", where)
        chunk = chunk[: ends[-1] + 1]
        starts = np.concatenate(([0], ends[:-1] + 1))
        lengths = ends - starts + 1
        longest = int(lengths.max())
        if longest > _VARINT_BYTES_MAX:
            raise Malformed("a varint of more than 10 bytes", where)
        values = result[done : done + ends.size]
        values[:] = chunk[starts] & 127
        for place in range(1, longest):
            rows = np.flatnonzero(lengths > place)
            byte = (chunk[starts[rows] + place] & 127).astype(np.uint64)
            values[rows] |= byte << np.uint64(7 * place)
        done += ends.size
        position += chunk.size
    return result
