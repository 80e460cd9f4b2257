"""Which modules a tensor belongs to, where they note something about their tensors themselves.

Lazy modules have sizes that follow from their parameters, recurrent ones weak references to them.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import is_lazy

from checkpointable.adapters.torch.notes import notes_of_tensor

__all__ = ["keeps_notes", "note_owner", "owners_of"]


def keeps_notes(cls: type) -> bool:
    """Whether modules of this class note something about their tensors."""
    return issubclass(cls, (LazyModuleMixin, torch.nn.RNNBase))


def note_owner(module: Any, tensors: Iterable[Any]) -> None:
    """Notes on those of a module's tensors that have no shape or no memory yet whose they are."""
    for tensor in tensors:
        if isinstance(tensor, torch.Tensor) and (is_lazy(tensor) or tensor.is_meta):
            notes = notes_of_tensor(tensor)
            if all(reference() is not module for reference in notes.owners):
                notes.owners += (weakref.ref(module),)


def owners_of(tensor: torch.Tensor) -> list[Any]:
    """The modules that were noted on a tensor, as far as they live."""
    modules = [reference() for reference in notes_of_tensor(tensor).owners]
    return [module for module in modules if module is not None]
