"""Compares two arrays element by element."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from checkpointable.graph.dtypes import STRING

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["difference"]

_CHUNK_ELEMENTS = 1 << 20


def difference(
    a: npt.NDArray[Any], b: npt.NDArray[Any], tolerance: float = 0.0
) -> tuple[int, float | None]:
    """Compares two arrays of the same dtype and shape.

    Args:
      a, b: the arrays.
      tolerance: the absolute difference up to which two elements are equal.

    Returns:
      The number of elements that differ, and the largest absolute difference: exact for integers,
      NaN if only one of two elements is NaN, None if no elements differ or they are not numbers.
    """
    if a.dtype == STRING or a.dtype.kind == "S":
        count = sum(x != y for x, y in zip(a.ravel().tolist(), b.ravel().tolist(), strict=True))
        return count, None
    count = 0
    largest: float | None = None
    flat_a, flat_b = a.reshape(-1), b.reshape(-1)
    for start in range(0, a.size, _CHUNK_ELEMENTS):
        x, y = (flat[start : start + _CHUNK_ELEMENTS] for flat in (flat_a, flat_b))
        if np.array_equal(_bits(x), _bits(y)):
            continue
        unequal, by = _difference_of_chunk(x, y)
        if tolerance and by is not None:
            unequal &= ~(by <= tolerance)
        unequal_count = int(np.count_nonzero(unequal))
        if not unequal_count:
            continue
        count += unequal_count
        if by is not None:
            largest = _larger(largest, by[unequal].max().item())
    return count, largest


def _larger(a: float | None, b: float) -> float:
    """Returns the larger of two differences, NaN if one of them is NaN."""
    return b if a is None or not (math.isnan(a) or b <= a) else a


def _difference_of_chunk(
    x: npt.NDArray[Any], y: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[Any] | None]:
    """Returns which elements differ, and by how much; None for elements that are not numbers."""
    if x.dtype.kind == "b":
        return x != y, None
    if x.dtype.name.startswith(("int", "uint")):
        if x.dtype.kind not in "iu":  # those of 2 and 4 bits
            x, y = x.astype(np.int8), y.astype(np.int8)
        # Modulo 2^64: exact for all integer dtypes.
        by = np.maximum(x, y).astype(np.uint64) - np.minimum(x, y).astype(np.uint64)
        return x != y, by
    wide = np.complex128 if x.dtype.kind == "c" else np.float64
    x, y = x.astype(wide), y.astype(wide)
    unequal = (x != y) & ~(np.isnan(x) & np.isnan(y))
    with np.errstate(invalid="ignore", over="ignore"):
        return unequal, np.abs(x - y)


def _bits(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(array).view(np.uint8)
