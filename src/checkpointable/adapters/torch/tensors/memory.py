"""Identifies the memory of tensors, to tell which of them share it."""

from __future__ import annotations

import torch
from torch.nn.parameter import is_lazy

__all__ = ["memory_of"]


def memory_of(tensor: torch.Tensor) -> int:
    """Returns a number that is equal for all views of one tensor while the tensor lives."""
    if tensor.is_meta or tensor.layout is not torch.strided or is_lazy(tensor):
        return id(tensor)
    try:
        return tensor.untyped_storage().data_ptr() or id(tensor)
    except (RuntimeError, NotImplementedError):  # a tensor subclass without memory
        return id(tensor)
