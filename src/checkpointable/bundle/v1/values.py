"""Decodes the messages in a V1 checkpoint, and the arrays in them.

    SavedTensorSlices      {1 meta, 2 data}
    SavedTensorSliceMeta   {1 tensor[] {1 name, 2 shape, 3 type, 4 slice[]}, 2 versions}
    SavedSlice             {1 name, 2 slice, 3 data (TensorProto)}
    TensorProto            {5 float_val, 6 double_val, 7 int_val, 8 string_val, 9 scomplex_val,
                            10 int64_val, 11 bool_val, 12 dcomplex_val, 13 half_val}

The entry of the empty key contains the meta; every other entry contains a slice of a value. Numbers
are packed: floats as they are, integers as varints, a half as the varint of its bits.

Source: tensorflow/core/util/saved_tensor_slice.proto, tensorflow/core/framework/tensor.proto.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from checkpointable.bundle.dtypes import DataType, numpy_dtype
from checkpointable.bundle.index.header import decode_header
from checkpointable.bundle.shapes import decode_shape, decode_slice
from checkpointable.wire.fields import LENGTH, VARINT, length_field, read_fields, signed
from checkpointable.wire.varints import Malformed, encode_varint

if TYPE_CHECKING:
    import numpy.typing as npt

    from checkpointable.bundle.index.budget import Budget
    from checkpointable.bundle.shapes import Extents

    Buffer = bytes | memoryview

__all__ = ["SavedMeta", "decode_meta", "decode_part", "decode_varints", "is_stored"]

# data type -> (field of TensorProto, NumPy dtype of its numbers; None: varints)
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
_META_COST = 500  # memory of the description of a value without its name, in bytes


def is_stored(dtype: int) -> bool:
    """Returns whether V1 files can store values of this data type."""
    return DataType(dtype) in _FIELDS


class SavedMeta(NamedTuple):
    """The description of a value in one file.

    Attributes:
      name: The name of the value.
      dtype: Its data type.
      shape: The dimensions of the whole value.
      slices: The extents of the slices in this file.
    """

    name: str
    dtype: DataType
    shape: tuple[int, ...]
    slices: list[Extents]


def decode_meta(
    data: Buffer, start: int, end: int, budget: Budget
) -> tuple[list[SavedMeta], tuple[int, int, tuple[int, ...]]]:
    """Decodes the entry of the empty key.

    Returns:
      The values that the file has slices of, and (producer, min_consumer, bad_consumers).

    Raises:
      Malformed: The bytes are not such a message.
      CheckpointCorruptError: The message would take more memory than the budget allows.
    """
    tensors: list[SavedMeta] = []
    versions: tuple[int, int, tuple[int, ...]] = (0, 0, ())
    metas = 0
    for number, kind, a, b in read_fields(data, start, end):
        if (number, kind) != (1, LENGTH):
            continue
        metas += 1
        for inner_number, inner_kind, inner_start, inner_end in read_fields(data, a, b):
            if (inner_number, inner_kind) == (1, LENGTH):
                budget.spend(_META_COST + 2 * (inner_end - inner_start))
                tensors.append(_decode_tensor(data, inner_start, inner_end))
            elif (inner_number, inner_kind) == (2, LENGTH):
                # The versions have the field number and the form of those in a bundle's header.
                message = length_field(3, bytes(data[inner_start:inner_end]))
                try:
                    header = decode_header(message, 0, len(message))
                except Malformed as error:
                    raise Malformed(error.what, inner_start) from None
                versions = (header.producer, header.min_consumer, header.bad_consumers)
    if metas != 1:
        raise Malformed("the first entry does not list the contents of the file", start)
    return tensors, versions


def _decode_tensor(data: Buffer, start: int, end: int) -> SavedMeta:
    name, dtype = "", 0
    shape: tuple[int, ...] = ()
    slices: list[Extents] = []
    for number, kind, a, b in read_fields(data, start, end):
        if (number, kind) == (1, LENGTH):
            name = _decode_name(data, a, b)
        elif (number, kind) == (2, LENGTH):
            shape = decode_shape(data, a, b)[0]
        elif (number, kind) == (3, VARINT):
            dtype = signed(a, 32)
        elif (number, kind) == (4, LENGTH):
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
    numbers: list[Any]  # the packed runs of the requested field


def _decode_saved_slice(data: Buffer, start: int, end: int, field: int) -> _Part:
    name, numbers = "", []
    extents: Extents = ()
    for number, kind, a, b in read_fields(data, start, end):
        if (number, kind) != (2, LENGTH):
            continue
        for inner_number, inner_kind, inner_start, inner_end in read_fields(data, a, b):
            if (inner_number, inner_kind) == (1, LENGTH):
                name = _decode_name(data, inner_start, inner_end)
            elif (inner_number, inner_kind) == (2, LENGTH):
                extents = decode_slice(data, inner_start, inner_end)[0]
            elif (inner_number, inner_kind) == (3, LENGTH):
                for tensor_number, tensor_kind, value, value_end in read_fields(
                    data, inner_start, inner_end
                ):
                    if tensor_number == field:
                        whole = tensor_kind != VARINT
                        numbers.append(data[value:value_end] if whole else encode_varint(value))
    return _Part(name, extents, numbers)


def decode_part(
    data: Buffer,
    span: tuple[int, int],
    name: str,
    dtype: DataType,
    extents: Extents,
    count: int,
) -> npt.NDArray[Any]:
    """Decodes the elements of a slice.

    Args:
      data: The contents of a block.
      span: The (start, end) of the entry's value in `data`.
      name: The name of the value, from the meta.
      dtype: Its data type, from the meta; `is_stored(dtype)` holds.
      extents: The extents of the slice, from the meta.
      count: The number of its elements.

    Returns:
      A flat array; may share the memory of `data`.

    Raises:
      Malformed: The entry is not this slice.
    """
    start, end = span
    field, stored = _FIELDS[dtype]
    part = _decode_saved_slice(data, start, end, field)
    if part.name != name or part.extents != extents:
        raise Malformed(
            f"the entry is a part of {part.name!r:.200}, {part.extents}, but should be one of "
            f"{name!r:.200}, {extents}",
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
        raise Malformed(f"the part has {array.size} elements, but should have {count}", start)
    return array


def _fixed(run: Buffer, stored: str, where: int) -> npt.NDArray[Any]:
    dtype = np.dtype(stored)
    if len(run) % dtype.itemsize:
        raise Malformed(
            f"the part has {len(run)} bytes, not a multiple of the {dtype.itemsize} of an element",
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
    """Decodes the varints in `run`, chunk by chunk to save memory.

    Args:
      run: Varints without gaps.
      where: The position that errors name.

    Raises:
      Malformed: A varint is longer than 10 bytes, or runs over the end.
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
        for digit in range(1, longest):
            rows = np.flatnonzero(lengths > digit)
            byte = (chunk[starts[rows] + digit] & 127).astype(np.uint64)
            values[rows] |= byte << np.uint64(7 * digit)
        done += ends.size
        position += chunk.size
    return result
