"""Which adapter a type of PyTorch's has."""

from __future__ import annotations

import torch

from checkpointable.adapters.torch.modules import find_module_adapter
from checkpointable.adapters.torch.tensors import TensorAdapter
from checkpointable.graph.adapter import Adapter

__all__ = ["find"]


def find(cls: type) -> Adapter | None:
    """The adapter of a type that is PyTorch's, or derived from one of its own."""
    if issubclass(cls, torch.Tensor):
        return TensorAdapter()
    if issubclass(cls, torch.nn.Module):
        return find_module_adapter(cls)
    return None
