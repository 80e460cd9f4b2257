"""The NumPy counterparts of PyTorch dtypes: the same bits under two names."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
import torch

__all__ = ["Counterpart", "counterpart", "torch_dtype"]


class Counterpart(NamedTuple):
    """The NumPy counterpart of a PyTorch dtype.

    Attributes:
      dtype: a NumPy dtype, or one of ml_dtypes.
      bits: an integer dtype of PyTorch of the same width, which NumPy knows too and through which
        memory is shared. None if NumPy knows the dtype itself.
    """

    dtype: np.dtype[Any]
    bits: torch.dtype | None


# Dtypes that NumPy has under the same name.
_NATIVE = (
    *("bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
)
# Dtypes that ml_dtypes adds under the same name.
_EXTENDED = {
    "bfloat16": torch.int16,
    "float8_e4m3fn": torch.uint8,
    "float8_e5m2": torch.uint8,
    "float8_e4m3fnuz": torch.uint8,
    "float8_e5m2fnuz": torch.uint8,
}


@functools.cache
def counterpart(dtype: torch.dtype) -> Counterpart | None:
    """Returns the NumPy counterpart of a PyTorch dtype; None if the checkpoint format has none."""
    name = str(dtype).removeprefix("torch.")
    if name in _NATIVE:
        return Counterpart(np.dtype(name), None)
    if name in _EXTENDED:
        import ml_dtypes

        return Counterpart(np.dtype(getattr(ml_dtypes, name)), _EXTENDED[name])
    return None


@functools.cache
def torch_dtype(dtype: np.dtype[Any]) -> torch.dtype | None:
    """Returns the PyTorch dtype of a NumPy dtype; None if PyTorch has none."""
    if dtype.name in _NATIVE or dtype.name in _EXTENDED:
        named: torch.dtype | None = getattr(torch, dtype.name, None)
        return named
    return None
