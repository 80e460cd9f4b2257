"""Tensors and parameters: one value each, restored in place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch.nn.parameter import is_lazy

from checkpointable.adapters.torch.notes import notes_of_tensor
from checkpointable.adapters.torch.tensors.arrays import fill, host_array, shared_array, storable
from checkpointable.adapters.torch.tensors.dtypes import counterpart
from checkpointable.adapters.torch.tensors.meta import MetaValue
from checkpointable.adapters.torch.tensors.tensor_owners import materialize
from checkpointable.errors import CheckpointMismatchError, CheckpointUnsupportedError
from checkpointable.graph.adapter import Adapter
from checkpointable.graph.paths import VARIABLE_VALUE
from checkpointable.graph.restore_notes import RestoreNotes
from checkpointable.graph.value import Value, ValueFactory, ValueSpec, ValueTarget

__all__ = ["LazyValue", "TensorAdapter", "TensorValue", "value_of"]


class TensorAdapter(Adapter):
    """Tensors of every kind; an error names those that cannot be stored."""

    def children(self, obj: Any) -> Iterable[tuple[str, Any]]:
        return ()

    def child(self, obj: Any, local_name: str) -> Any | None:
        return None

    def values(self, obj: Any) -> Mapping[str, ValueSpec | ValueFactory]:
        return {VARIABLE_VALUE: value_of(obj)}

    def notes(self, obj: Any) -> RestoreNotes:
        return notes_of_tensor(obj)


def value_of(tensor: torch.Tensor) -> ValueSpec:
    """Returns the value of a tensor.

    Raises:
      CheckpointUnsupportedError: the checkpoint format cannot represent the tensor.
    """
    if tensor.is_meta:
        return MetaValue(tensor)
    if is_lazy(tensor):
        return LazyValue(tensor)
    return TensorValue(tensor)


class TensorValue(Value):
    """The contents of a tensor: its memory if that is in the host, else copies of it.

    A restore keeps the tensor, its strides, device and `requires_grad`, and increments the version
    by which autograd notices changes.
    """

    __slots__ = ("_tensor",)

    def __init__(self, tensor: torch.Tensor) -> None:
        # Every save makes one for each tensor, so the initializer of the base is skipped: it
        # normalizes arguments that are normal here.
        kind = storable(tensor)
        self.dtype = kind.dtype
        self.shape = tuple(tensor.shape)
        self.memory = shared_array(tensor, kind)
        if self.memory is not None and 0 in self.memory.strides and self.memory.size > 1:
            self.memory = _unless_overlapping(self.memory)
        self._tensor = tensor

    @property
    def fresh(self) -> bool:  # type: ignore[override]
        """True if `read` returns a copy, which is so for tensors on a device."""
        return self.memory is None and self._tensor.device.type != "cpu"

    def read(self) -> np.ndarray[Any, np.dtype[Any]]:
        if self.memory is not None:
            return self.memory
        kind = counterpart(self._tensor.dtype)
        assert kind is not None
        return host_array(self._tensor, kind)

    def write(self, contents: Any) -> None:
        if _overlaps(self._tensor):
            # Several elements of the tensor share one element of memory: they must be equal.
            strides = self._tensor.stride()
            once = tuple(slice(0, 1) if stride == 0 else slice(None) for stride in strides)
            if not np.array_equal(np.broadcast_to(contents[once], contents.shape), contents):
                raise CheckpointMismatchError(
                    "the tensor is expanded: its elements share memory in the program but differ "
                    "in the checkpoint. Replace it by its contiguous() before you restore"
                )
            fill(self._tensor.detach()[once], contents[once])
        else:
            fill(self._tensor, contents)

    def filled(self) -> None:
        # A backward pass that has saved the tensor would be wrong now; autograd then raises.
        torch.autograd.graph.increment_version(self._tensor)


class LazyValue(ValueTarget):
    """A parameter or buffer whose shape is not known yet (`torch.nn.LazyLinear`).

    A restore gives it the shape in the checkpoint, and its module counts as built then.
    """

    __slots__ = ("_tensor",)

    absent = True

    def __init__(self, tensor: Any) -> None:
        kind = counterpart(tensor.dtype)
        if kind is None:
            raise CheckpointUnsupportedError(
                f"the checkpoint format has no dtype {tensor.dtype}; save it as another dtype"
            )
        self.dtype = kind.dtype
        self.shape = None
        self.memory = None
        self._tensor = tensor

    def write(self, contents: Any) -> None:
        tensor = self._tensor
        if is_lazy(tensor):
            materialize(tensor, contents.shape)
        fill(tensor, contents)


def _overlaps(tensor: torch.Tensor) -> bool:
    return any(
        stride == 0 and size > 1 for stride, size in zip(tensor.stride(), tensor.shape, strict=True)
    )


def _unless_overlapping(
    array: np.ndarray[Any, np.dtype[Any]],
) -> np.ndarray[Any, np.dtype[Any]] | None:
    """Returns the array; None if some of its elements share memory."""
    shared = any(
        stride == 0 and size > 1 for stride, size in zip(array.strides, array.shape, strict=True)
    )
    return None if shared else array
