"""The modules that keep facts about their tensors: lazy and recurrent ones.

A lazy module has sizes that follow from its parameters, a recurrent module weak references to
them. Both must be brought up to date when a restore gives such a parameter its shape or memory.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import is_lazy

from checkpointable.adapters.torch.notes import notes_of_tensor
from checkpointable.adapters.torch.private_api import registered_parameters

__all__ = ["has_owner_facts", "materialize", "note_owner", "owners_of"]


def has_owner_facts(cls: type) -> bool:
    """Returns whether modules of a class keep facts about their tensors."""
    return issubclass(cls, (LazyModuleMixin, torch.nn.RNNBase))


def note_owner(module: Any, tensors: Iterable[Any]) -> None:
    """Notes `module` as an owner of those of its tensors that have no shape or memory yet."""
    for tensor in tensors:
        if isinstance(tensor, torch.Tensor) and (is_lazy(tensor) or tensor.is_meta):
            notes = notes_of_tensor(tensor)
            if all(reference() is not module for reference in notes.owners):
                notes.owners += (weakref.ref(module),)


def owners_of(tensor: torch.Tensor) -> list[Any]:
    """Returns the modules noted as owners of a tensor that are still alive."""
    modules = [reference() for reference in notes_of_tensor(tensor).owners]
    return [module for module in modules if module is not None]


def materialize(tensor: Any, shape: tuple[int, ...]) -> None:
    """Gives a lazy parameter or buffer its shape, and its modules the sizes that follow (S21).

    A lazy module sets its sizes (`in_features`, `num_features`) in its first forward only if it
    still has to build its parameters then.
    """
    with torch.inference_mode(False), torch.no_grad():
        tensor.materialize(shape)
    for module in owners_of(tensor):
        _set_sizes(module, tensor, shape)


def _set_sizes(module: Any, tensor: Any, shape: tuple[int, ...]) -> None:
    is_weight = registered_parameters(module).get("weight") is tensor
    if getattr(module, "num_features", None) == 0:
        module.num_features = shape[0]
    elif is_weight and getattr(module, "in_features", None) == 0:
        module.in_features = shape[1]
    elif is_weight and getattr(module, "in_channels", None) == 0:
        # The size along dimension 1 is divided by the groups; transposed convolutions have the
        # input channels along dimension 0.
        module.in_channels = shape[0] if module.transposed else shape[1] * module.groups
