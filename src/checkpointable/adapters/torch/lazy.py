"""Lazy modules whose parameters a restore has built: their sizes follow (S21).

A lazy module takes its sizes (`in_features`, `num_features`, …) at its first forward, but only if
it has to build its parameters then.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import is_lazy

from checkpointable.adapters.torch.records import record_of_tensor

__all__ = ["build", "is_lazy_class", "note_owner"]


def is_lazy_class(cls: type) -> bool:
    """Whether modules of this class may have parameters without a shape."""
    return issubclass(cls, LazyModuleMixin)


def note_owner(module: Any, tensors: Iterable[Any]) -> None:
    """Notes on those of a module's tensors that have no shape yet whose they are."""
    for tensor in tensors:
        if isinstance(tensor, torch.Tensor) and is_lazy(tensor):
            record_of_tensor(tensor).lazy_owner = weakref.ref(module)


def build(tensor: Any, shape: tuple[int, ...]) -> None:
    """Gives a parameter or buffer its shape, and its module the sizes that follow from it."""
    with torch.no_grad():
        tensor.materialize(shape)
    owner = record_of_tensor(tensor).lazy_owner
    module = None if owner is None else owner()
    if module is None:
        return
    is_weight = module._parameters.get("weight") is tensor
    if getattr(module, "num_features", None) == 0:
        module.num_features = shape[0]
    elif is_weight and getattr(module, "in_features", None) == 0:
        module.in_features = shape[1]
    elif is_weight and getattr(module, "in_channels", None) == 0:
        # One of the two is divided by the groups, which of them is the other way round.
        module.in_channels = shape[0] if module.transposed else shape[1] * module.groups
