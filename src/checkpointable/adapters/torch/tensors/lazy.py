"""Lazy modules whose parameters a restore has built: their sizes follow (S21).

A lazy module takes its sizes (`in_features`, `num_features`, …) at its first forward, but only if
it has to build its parameters then.
"""

from __future__ import annotations

from typing import Any

import torch

from checkpointable.adapters.torch.tensors.tensor_owners import owners_of

__all__ = ["build"]


def build(tensor: Any, shape: tuple[int, ...]) -> None:
    """Gives a parameter or buffer its shape, and its module the sizes that follow from it."""
    with torch.inference_mode(False), torch.no_grad():
        tensor.materialize(shape)
    for module in owners_of(tensor):
        _set_sizes(module, tensor, shape)


def _set_sizes(module: Any, tensor: Any, shape: tuple[int, ...]) -> None:
    is_weight = module._parameters.get("weight") is tensor
    if getattr(module, "num_features", None) == 0:
        module.num_features = shape[0]
    elif is_weight and getattr(module, "in_features", None) == 0:
        module.in_features = shape[1]
    elif is_weight and getattr(module, "in_channels", None) == 0:
        # One of the two is divided by the groups, which of them is the other way round.
        module.in_channels = shape[0] if module.transposed else shape[1] * module.groups
