"""Where the notes of PyTorch's objects lie.

A tensor's lies in its own `__dict__`: a weak reference to it, the other way, would make
`torch.utils.swap_tensors` refuse it, and with that `Module.to` in some programs. Everything
else is referred to weakly.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from checkpointable.adapters.notes import NotesByObject
from checkpointable.graph.adapter import RestoreNotes

if TYPE_CHECKING:
    import torch

__all__ = ["NOTES_NAME", "TensorNotes", "notes_of_tensor", "notes_by_object"]

NOTES_NAME = "_checkpointable_notes"

notes_by_object = NotesByObject()
"""The notes of modules, optimizers and the like."""


class TensorNotes(RestoreNotes):
    """The notes of a tensor. Knows which one it is by its id alone.

    Attributes:
      owners: modules that a tensor without a shape or memory belongs to, where that matters.
    """

    __slots__ = ("owners", "tensor_id")

    def __init__(self, tensor_id: int) -> None:
        super().__init__()
        self.tensor_id = tensor_id
        self.owners: tuple[weakref.ref[Any], ...] = ()

    # A tensor's `__dict__` is copied and pickled with it, notes means nothing in a copy.
    # What stands for it there is of a type that `torch.load(weights_only=True)` takes.

    def __deepcopy__(self, memo: dict[int, Any]) -> OrderedDict[str, Any]:
        return OrderedDict()

    def __reduce__(self) -> tuple[Any, ...]:
        return OrderedDict, ()


def notes_of_tensor(tensor: torch.Tensor) -> TensorNotes:
    """The notes of `tensor`, made when first asked for."""
    attributes = tensor.__dict__
    held = attributes.get(NOTES_NAME)
    # `copy.copy` hands the copy the notes of the original.
    if type(held) is TensorNotes and held.tensor_id == id(tensor):
        return held
    notes = attributes[NOTES_NAME] = TensorNotes(id(tensor))
    return notes
