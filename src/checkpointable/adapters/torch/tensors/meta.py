"""Tensors on the meta device: they get memory, and remain the same objects (S34, S35).

The memory is filled straight from the checkpoint and swapped into the tensor. References to
the tensor stay valid: tied modules, an optimizer built over meta parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.parameter import is_lazy

from checkpointable.adapters.torch.private_api import make_subclass
from checkpointable.adapters.torch.tensors.arrays import fill, shared_array, storable
from checkpointable.adapters.torch.tensors.swapping import Swaps, swap_in
from checkpointable.adapters.torch.tensors.tensor_owners import materialize
from checkpointable.errors import shown_path
from checkpointable.graph.executor import Executor, NoContentsError, Source
from checkpointable.graph.paths import path_of_key
from checkpointable.graph.value import ValueSpec

if TYPE_CHECKING:
    from checkpointable.graph.walk import ObjectWalk

__all__ = ["MetaBuffers", "MetaValue", "allocate_like", "initialize_with"]


class MetaValue(ValueSpec):
    """The value of a tensor that had no memory when it was looked at, perhaps no shape either."""

    __slots__ = ("absent", "restored", "tensor")

    def __init__(self, tensor: torch.Tensor) -> None:
        self.dtype = storable(tensor).dtype
        self.absent = is_lazy(tensor)
        self.shape = None if self.absent else tuple(tensor.shape)
        self.tensor = tensor
        self.restored = False

    @property
    def executor(self) -> Executor:  # type: ignore[override]
        """Gives the tensor its memory."""
        return _executor


class MetaBuffers(ValueSpec):
    """Stands for the non-persistent buffers of a module that have no memory."""

    __slots__ = ("buffers",)

    absent = True

    def __init__(self, buffers: dict[str, torch.Tensor]) -> None:
        self.dtype = np.dtype(np.uint8)
        self.shape = None
        self.buffers = buffers

    @property
    def executor(self) -> Executor:  # type: ignore[override]
        """Initializes the buffers."""
        return _executor


Initializer = Callable[["ObjectWalk", list[torch.Tensor]], None]
"""Gives tensors of a program on the meta device memory and initial contents."""


class _MetaExecutor(Executor):
    """Gives tensors memory on the current default device."""

    initializer: Initializer | None = None

    def schedule(self, values: Sequence[ValueSpec]) -> None:
        """Does nothing: there is nothing to prepare."""

    def run(self, values: Sequence[tuple[str, ValueSpec]], source: Source, session: Any) -> None:
        targets: list[tuple[str, Any]] = []
        swaps: Swaps = []
        in_place: list[MetaValue] = []  # the program has given them memory since
        by_tensor: dict[int, MetaValue] = {}
        memory = None
        for key, value in values:
            assert isinstance(value, MetaValue)
            if value.restored:  # by an earlier run; it may have been trained since
                continue
            contents = None
            if is_lazy(value.tensor):
                contents = source.get_tensor(key)
                materialize(value.tensor, contents.shape)
            target = value.tensor
            if target.is_meta:
                target = allocate_like(value.tensor)
                swaps.append((shown_path(path_of_key(key)), value.tensor, target))
                by_tensor[id(value.tensor)] = value
            else:
                in_place.append(value)
            memory = shared_array(target, storable(target))
            if memory is None or contents is not None:
                fill(target, source.get_tensor(key) if contents is None else contents)
            else:
                targets.append((key, memory))
        source.read_into(targets)
        for value in in_place:
            torch.autograd.graph.increment_version(value.tensor)
            value.restored = True
        # Nothing else may refer to the memory when a tensor gets it.
        del targets
        memory = target = None
        swap_in(swaps, lambda tensor: setattr(by_tensor[id(tensor)], "restored", True))

    def initialize(self, values: Sequence[ValueSpec], session: Any) -> None:
        raise NotImplementedError("modules initialize their parameters: see initialize_in")

    def initialize_in(self, program: ObjectWalk, values: Sequence[ValueSpec], session: Any) -> None:
        tensors: list[torch.Tensor] = []
        for value in values:
            if isinstance(value, MetaBuffers):
                tensors += value.buffers.values()
            elif isinstance(value, MetaValue):
                tensors.append(value.tensor)
        assert self.initializer is not None  # `find.py` sets it
        self.initializer(program, tensors)

    def without_contents(self, value: ValueSpec) -> Sequence[str]:
        return list(value.buffers) if isinstance(value, MetaBuffers) else ()

    def read(self, values: Sequence[ValueSpec], session: Any) -> Sequence[Any]:
        for value in values:
            raise NoContentsError(
                f"a tensor of shape {value.shape} is on the meta device and has no contents yet. "
                "Call run_restore_ops() or initialize_or_restore() on the status of a restore",
                value,
            )
        return []


_executor = _MetaExecutor()


def initialize_with(initializer: Initializer) -> None:
    """Sets the function that initializes tensors which no restore sets.

    Modules know how, and they are a room above this one.
    """
    _executor.initializer = initializer


def allocate_like(tensor: torch.Tensor) -> torch.Tensor:
    """Returns a tensor of the same class, dtype, shape and strides on the default device.

    Its memory is not initialized.

    Raises:
      ValueError: the current default device is the meta device.
    """
    device = torch.get_default_device()
    if device.type == "meta":
        raise ValueError(
            "the current default device is the meta device, which has no memory: call this "
            "outside of `with torch.device('meta')`"
        )
    with torch.inference_mode(False), torch.no_grad():
        made = torch.empty_like(tensor.detach(), device=device)
    if type(tensor) is torch.Tensor:
        return made.requires_grad_(tensor.requires_grad)
    return make_subclass(type(tensor), made, tensor.requires_grad)
