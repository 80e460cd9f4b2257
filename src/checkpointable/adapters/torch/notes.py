"""The restore notes of PyTorch objects, and where they are stored.

Modules and optimizers are referred to weakly. A tensor carries its notes itself: weak references
to it would make `torch.utils.swap_tensors` refuse it, and with that some calls of `Module.to`.
"""

from __future__ import annotations

import copy
import weakref
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from checkpointable.adapters.notes import NotesByObject
from checkpointable.common.locks import ForkSafeLock
from checkpointable.graph.restore_notes import RestoreNotes

if TYPE_CHECKING:
    import torch

__all__ = ["TensorNotes", "notes_by_object", "notes_of_tensor"]

notes_by_object = NotesByObject()
"""The notes of modules and optimizers."""


class TensorNotes(RestoreNotes):
    """The notes of one tensor, which it identifies by its id.

    Attributes:
      owners: weak references to the modules that the tensor belongs to. Only set for tensors
        without shape or memory, and for modules that keep notes about their tensors.
    """

    __slots__ = ("owners", "tensor_id")

    def __init__(self, tensor_id: int) -> None:
        super().__init__()
        self.tensor_id = tensor_id
        self.owners: tuple[weakref.ref[Any], ...] = ()


class _Attributes(dict[str, Any]):
    """The `__dict__` of a tensor, with the tensor's notes beside its items.

    Copying or pickling a tensor copies the items of its `__dict__`. The notes are none of them, so
    that copies are those of a tensor without notes.
    """

    __slots__ = ("notes",)

    def __init__(self, items: Mapping[str, Any], notes: TensorNotes) -> None:
        super().__init__(items)
        self.notes = notes

    def __copy__(self) -> dict[str, Any]:
        return dict(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return copy.deepcopy(dict(self), memo)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        # Of the mappings that are pickled by name, `torch.load(weights_only=True)` takes this one.
        return OrderedDict, (), None, None, iter(self.items())


_lock = ForkSafeLock()


def notes_of_tensor(tensor: torch.Tensor) -> TensorNotes:
    """Returns the notes of a tensor: always the same object, made at the first call."""
    attributes = tensor.__dict__
    if type(attributes) is _Attributes and attributes.notes.tensor_id == id(tensor):
        return attributes.notes
    with _lock:
        return _made_notes(tensor)


def _made_notes(tensor: torch.Tensor) -> TensorNotes:
    attributes = tensor.__dict__
    if type(attributes) is not _Attributes:
        notes = TensorNotes(id(tensor))
        tensor.__dict__ = noted = _Attributes(attributes, notes)
        if len(attributes) > len(noted):  # another thread has set an attribute in between
            noted.update(attributes)
        return notes
    if attributes.notes.tensor_id != id(tensor):  # two tensors share a `__dict__`, or swapped it
        attributes.notes = TensorNotes(id(tensor))
    return attributes.notes
