"""Torch's dtypes and NumPy's: the same bits under two names."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
import torch

__all__ = ["Counterpart", "counterpart", "torch_dtype"]


class Counterpart(NamedTuple):
    """What stands for a torch dtype in NumPy.

    Attributes:
      dtype: the NumPy dtype, or that of ml_dtypes.
      bits: the torch dtype of the same width that NumPy knows, by way of which memory is
        shared; None where NumPy knows the dtype itself.
    """

    dtype: np.dtype[Any]
    bits: torch.dtype | None


# Those that NumPy knows by the same name.
_NATIVE = (
    *("bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
)
# Those that ml_dtypes adds under the same name.
_EXTENDED = {
    "bfloat16": torch.int16,
    "float8_e4m3fn": torch.uint8,
    "float8_e5m2": torch.uint8,
    "float8_e4m3fnuz": torch.uint8,
    "float8_e5m2fnuz": torch.uint8,
}


@functools.cache
def counterpart(dtype: torch.dtype) -> Counterpart | None:
    """What stands for `dtype` in NumPy; None if the checkpoint format has no such dtype."""
    name = str(dtype).removeprefix("torch.")
    if name in _NATIVE:
        return Counterpart(np.dtype(name), None)
    if name in _EXTENDED:
        import ml_dtypes

        return Counterpart(np.dtype(getattr(ml_dtypes, name)), _EXTENDED[name])
    return None


@functools.cache
def torch_dtype(dtype: np.dtype[Any]) -> torch.dtype | None:
    """The torch dtype of a NumPy dtype; None if torch has none."""
    if dtype.name in _NATIVE or dtype.name in _EXTENDED:
        found: torch.dtype | None = getattr(torch, dtype.name, None)
        return found
    return None
