"""TensorFlow's data types, and the NumPy dtypes that represent them.

The numbers are those of TensorFlow's `types.proto`. Quantized types are stored as integers. Types
of 4 and 2 bits take one byte per element, as in memory.
"""

from __future__ import annotations

import enum
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from checkpointable.errors import CheckpointUnsupportedError

__all__ = ["DataType", "byteswapped", "datatype_of", "itemsize", "numpy_dtype"]


class DataType(enum.IntEnum):
    """The data type of a value.

    Numbers that are not listed are members, too, because a newer TensorFlow may have written them.
    Their values can be listed and verified, but not read.
    """

    DT_INVALID = 0
    DT_FLOAT = 1
    DT_DOUBLE = 2
    DT_INT32 = 3
    DT_UINT8 = 4
    DT_INT16 = 5
    DT_INT8 = 6
    DT_STRING = 7
    DT_COMPLEX64 = 8
    DT_INT64 = 9
    DT_BOOL = 10
    DT_QINT8 = 11
    DT_QUINT8 = 12
    DT_QINT32 = 13
    DT_BFLOAT16 = 14
    DT_QINT16 = 15
    DT_QUINT16 = 16
    DT_UINT16 = 17
    DT_COMPLEX128 = 18
    DT_HALF = 19
    DT_RESOURCE = 20
    DT_VARIANT = 21
    DT_UINT32 = 22
    DT_UINT64 = 23
    DT_FLOAT8_E5M2 = 24
    DT_FLOAT8_E4M3FN = 25
    DT_FLOAT8_E4M3FNUZ = 26
    DT_FLOAT8_E4M3B11FNUZ = 27
    DT_FLOAT8_E5M2FNUZ = 28
    DT_INT4 = 29
    DT_UINT4 = 30
    DT_INT2 = 31
    DT_UINT2 = 32
    DT_FLOAT4_E2M1FN = 33

    @classmethod
    def _missing_(cls, value: object) -> DataType | None:
        if not isinstance(value, int):
            return None
        member = int.__new__(cls, value)
        member._name_ = f"DT_{value}"
        member._value_ = value
        return member


# Types that NumPy has itself: (name in NumPy, bytes per element).
_PLAIN = {
    DataType.DT_FLOAT: "float32",
    DataType.DT_DOUBLE: "float64",
    DataType.DT_INT32: "int32",
    DataType.DT_UINT8: "uint8",
    DataType.DT_INT16: "int16",
    DataType.DT_INT8: "int8",
    DataType.DT_COMPLEX64: "complex64",
    DataType.DT_INT64: "int64",
    DataType.DT_BOOL: "bool",
    DataType.DT_UINT16: "uint16",
    DataType.DT_COMPLEX128: "complex128",
    DataType.DT_HALF: "float16",
    DataType.DT_UINT32: "uint32",
    DataType.DT_UINT64: "uint64",
}

# Stored as integers of the same width.
_QUANTIZED = {
    DataType.DT_QINT8: "int8",
    DataType.DT_QUINT8: "uint8",
    DataType.DT_QINT16: "int16",
    DataType.DT_QUINT16: "uint16",
    DataType.DT_QINT32: "int32",
}

# Types that ml_dtypes adds, if the installed version has them.
_EXTENDED = {
    DataType.DT_BFLOAT16: "bfloat16",
    DataType.DT_FLOAT8_E5M2: "float8_e5m2",
    DataType.DT_FLOAT8_E4M3FN: "float8_e4m3fn",
    DataType.DT_FLOAT8_E4M3FNUZ: "float8_e4m3fnuz",
    DataType.DT_FLOAT8_E4M3B11FNUZ: "float8_e4m3b11fnuz",
    DataType.DT_FLOAT8_E5M2FNUZ: "float8_e5m2fnuz",
    DataType.DT_INT4: "int4",
    DataType.DT_UINT4: "uint4",
    DataType.DT_INT2: "int2",
    DataType.DT_UINT2: "uint2",
    DataType.DT_FLOAT4_E2M1FN: "float4_e2m1fn",
}

_ITEMSIZE = {
    **{kind: np.dtype(name).itemsize for kind, name in (_PLAIN | _QUANTIZED).items()},
    **dict.fromkeys(_EXTENDED, 1),
    DataType.DT_BFLOAT16: 2,
}

_BY_NAME = {name: kind for kind, name in (_PLAIN | _EXTENDED).items()}
_BY_NAME |= {kind.name.removeprefix("DT_").lower(): kind for kind in _QUANTIZED}
_BY_NAME |= {"string": DataType.DT_STRING, "object": DataType.DT_STRING}

_WHAT = {
    DataType.DT_RESOURCE: "a handle to something inside the program that wrote it (a table, "
    "an iterator), which means nothing outside that program",
    DataType.DT_VARIANT: "an opaque object of TensorFlow (the state of a data iterator, a "
    "list of tensors); its bytes can be listed, verified and copied, its contents need TensorFlow",
}


def itemsize(dtype: int) -> int:
    """Returns the size of a stored element in bytes; 0 if it has no fixed size."""
    return _ITEMSIZE.get(dtype, 0)  # type: ignore[call-overload,no-any-return]


@lru_cache(maxsize=256)
def numpy_dtype(dtype: int) -> np.dtype[Any]:
    """Returns the NumPy dtype (native byte order) of a data type; `object` for strings.

    Raises:
      CheckpointUnsupportedError: There is none.
    """
    kind = DataType(dtype)
    name = _PLAIN.get(kind) or _QUANTIZED.get(kind)
    if name is not None:
        return np.dtype(name)
    if kind is DataType.DT_STRING:
        return np.dtype(object)
    if kind in _EXTENDED:
        import ml_dtypes

        scalar = getattr(ml_dtypes, _EXTENDED[kind], None)
        if scalar is None:
            raise CheckpointUnsupportedError(
                f"dtype {kind.name} needs ml_dtypes.{_EXTENDED[kind]}, which the installed "
                f"ml_dtypes {ml_dtypes.__version__} does not have; upgrade ml_dtypes"
            )
        extended: np.dtype[Any] = np.dtype(scalar)
        return extended
    what = _WHAT.get(kind, "a type that this version does not know")
    raise CheckpointUnsupportedError(f"dtype {kind.name} is {what}")


def byteswapped(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Returns a copy of a contiguous array in the other byte order.

    The array has at least one dimension. Real and imaginary parts are swapped separately.
    """
    width = array.dtype.itemsize // (2 if array.dtype.kind == "c" else 1)
    # As integers: the dtypes of ml_dtypes have no byte order.
    swapped: npt.NDArray[Any] = array.view(f"u{width}").byteswap().view(array.dtype)
    return swapped


def datatype_of(dtype: npt.DTypeLike) -> DataType:
    """Returns the data type for a NumPy dtype or a name ("bfloat16", "qint8", "string").

    The byte order is ignored. All string dtypes (`S`, `U`, object) become DT_STRING.

    Raises:
      CheckpointUnsupportedError: The format has no such type.
    """
    return _datatype_of(dtype)  # type: ignore[arg-type]


@lru_cache(maxsize=256)
def _datatype_of(dtype: Any) -> DataType:
    if isinstance(dtype, DataType):
        return dtype
    if isinstance(dtype, str) and dtype in _BY_NAME:
        return _BY_NAME[dtype]
    try:
        array_dtype = np.dtype(dtype)
    except TypeError:
        raise CheckpointUnsupportedError(f"{dtype!r} is not a data type") from None
    if array_dtype.kind in "SUO":
        return DataType.DT_STRING
    if array_dtype.fields is None and array_dtype.name in _BY_NAME:
        return _BY_NAME[array_dtype.name]
    raise CheckpointUnsupportedError(
        f"a value of dtype {array_dtype} cannot be stored: the format has no such type"
    )
