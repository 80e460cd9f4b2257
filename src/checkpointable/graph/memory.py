"""Allocates arrays that frameworks take over without a copy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["aligned_empty"]

# The alignment that vector instructions need, in bytes.
_ALIGNMENT = 64
_LEAST_ALIGNED = 4096


def aligned_empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, np.dtype[Any]]:
    """Returns an uninitialized array, aligned to 64 bytes unless it is smaller than 4 KiB."""
    size = dtype.itemsize * math.prod(shape)
    if size < _LEAST_ALIGNED:
        return np.empty(shape, dtype)
    buffer = np.empty(size + _ALIGNMENT, np.uint8)
    start = -buffer.ctypes.data % _ALIGNMENT
    return np.ndarray(shape, dtype, buffer, start)
