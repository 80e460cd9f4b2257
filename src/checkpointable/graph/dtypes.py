"""NumPy dtypes and shapes of values, and dtypes for values that NumPy has no dtype for."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = [
    "ANY",
    "STRING",
    "VARIANT",
    "as_dtype",
    "as_shape",
    "as_string_array",
    "fits",
]

STRING = np.dtype(object)
"""The dtype of string values: arrays of `bytes` objects."""

ANY = np.dtype([])
"""Stands for an unknown dtype: a stored value of any dtype fits."""

VARIANT = np.dtype([("variant", object)])
"""Stands for opaque objects of TensorFlow: arrays of `bytes`, an encoded message each."""


def as_dtype(dtype: Any) -> np.dtype[Any]:
    """Returns the NumPy dtype that `dtype` names; every kind of string is `STRING`.

    Args:
      dtype: What `numpy.dtype` takes, a name of ml_dtypes ("bfloat16", "float8_e4m3fn",
        "int4", …) or "string".

    Raises:
      TypeError: It is none of these.
    """
    if isinstance(dtype, str):
        if dtype == "string":
            return STRING
        try:
            named = np.dtype(dtype)
        except TypeError:
            import ml_dtypes

            scalar = getattr(ml_dtypes, dtype, None)
            if scalar is None:
                raise
            named = np.dtype(scalar)
    else:
        named = np.dtype(dtype)
    return STRING if named.kind in "OSU" else named


def as_string_array(value: Any, what: str = "value") -> np.ndarray[Any, np.dtype[Any]]:
    """Returns strings as an array of `bytes` objects, text encoded as UTF-8.

    Args:
      value: A str, bytes, or nested sequences or an array of them, whose shape the result has.
      what: Names the value in the message.

    Raises:
      TypeError: An element is neither `str` nor `bytes`.
    """
    # By way of dtype=object, because NumPy's "S" dtype drops trailing NULs.
    array = np.array(value, dtype=object)
    flat = [_as_bytes(element, what) for element in array.ravel()]
    result = np.empty(array.shape, dtype=object)
    result.ravel()[:] = flat
    return result


def _as_bytes(element: Any, what: str) -> bytes:
    if isinstance(element, bytes):
        return bytes(element)
    if isinstance(element, str):
        return element.encode()
    raise TypeError(
        f"{what}: an array of objects may contain only strings (str or bytes), not "
        f"{type(element).__name__}"
    )


def as_shape(shape: tuple[int | None, ...] | None) -> tuple[int | None, ...] | None:
    """Returns a shape as a tuple of Python ints and None."""
    if shape is None:
        return None
    return tuple(None if size is None else int(size) for size in shape)


def fits(stored: tuple[int, ...], shape: tuple[int | None, ...] | None) -> bool:
    """Returns whether a stored shape fits a value's shape (None: any size, or any shape)."""
    if shape is None or stored == shape:
        return True
    return len(stored) == len(shape) and all(
        size in (None, length) for length, size in zip(stored, shape, strict=True)
    )
