"""Where the records of PyTorch's objects lie.

A tensor's lies in its own `__dict__`: a weak reference to it, the other way, would make
`torch.utils.swap_tensors` refuse it, and with that `Module.to` in some programs. Everything
else is referred to weakly.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from checkpointable.adapters.records import Records
from checkpointable.graph.adapter import ObjectRecord

if TYPE_CHECKING:
    import torch

__all__ = ["RECORD_NAME", "TensorRecord", "record_of_tensor", "records"]

RECORD_NAME = "_checkpointable_record"

records = Records()
"""The records of modules, optimizers and the like."""


class TensorRecord(ObjectRecord):
    """The record of a tensor. Knows which one it is by its id alone.

    Attributes:
      owners: modules that a tensor without a shape or memory belongs to, where that matters.
    """

    __slots__ = ("owners", "tensor_id")

    def __init__(self, tensor_id: int) -> None:
        super().__init__()
        self.tensor_id = tensor_id
        self.owners: tuple[weakref.ref[Any], ...] = ()

    # A tensor's `__dict__` is copied and pickled with it, a record means nothing in a copy.
    # What stands for it there is of a type that `torch.load(weights_only=True)` takes.

    def __deepcopy__(self, memo: dict[int, Any]) -> OrderedDict[str, Any]:
        return OrderedDict()

    def __reduce__(self) -> tuple[Any, ...]:
        return OrderedDict, ()


def record_of_tensor(tensor: torch.Tensor) -> TensorRecord:
    """The record of `tensor`, made when first asked for."""
    attributes = tensor.__dict__
    held = attributes.get(RECORD_NAME)
    # `copy.copy` hands the copy the record of the original.
    if type(held) is TensorRecord and held.tensor_id == id(tensor):
        return held
    record = attributes[RECORD_NAME] = TensorRecord(id(tensor))
    return record
