"""Tensors on the meta device: they get memory, and stay the objects that they are (S34, S35).

What `torch.utils.swap_tensors` puts into a parameter is memory that was filled straight from
the file. Whatever refers to the parameter goes on to: ties between modules, an optimizer made
over meta parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.parameter import is_lazy

from checkpointable.adapters.torch.tensors.exchange import Exchange, exchange
from checkpointable.adapters.torch.tensors.lazy import build
from checkpointable.adapters.torch.tensors.memory import fill, shared_array, storable
from checkpointable.graph.executor import Executor, NoContentsError, Source
from checkpointable.graph.value import Value

if TYPE_CHECKING:
    from checkpointable.graph.walk import ObjectWalk

__all__ = ["MetaBuffers", "MetaValue", "allocate_like"]


class MetaValue(Value):
    """The value of a tensor that had no memory when it was looked at; nor a shape, maybe."""

    __slots__ = ("absent", "restored", "tensor")

    def __init__(self, tensor: torch.Tensor) -> None:
        self.dtype = storable(tensor).dtype
        self.absent = is_lazy(tensor)
        self.shape = None if self.absent else tuple(tensor.shape)
        self.memory = None
        self.tensor = tensor
        self.restored = False

    @property
    def executor(self) -> Executor:  # type: ignore[override]
        """What gives it memory."""
        return _executor

    def read(self) -> Any:
        raise _no_contents(self)

    def write(self, contents: Any) -> None:
        raise _no_contents(self)


class MetaBuffers(Value):
    """Stands for the buffers of a module that are in no checkpoint, and have no memory."""

    __slots__ = ("buffers",)

    absent = True

    def __init__(self, buffers: dict[str, torch.Tensor]) -> None:
        self.dtype = np.dtype(np.uint8)
        self.shape = None
        self.memory = None
        self.buffers = buffers

    @property
    def executor(self) -> Executor:  # type: ignore[override]
        """What initializes them."""
        return _executor

    def read(self) -> Any:
        raise AssertionError("buffers that are not persistent are not saved")

    def write(self, contents: Any) -> None:
        raise AssertionError("buffers that are not persistent are not restored")


def _no_contents(value: MetaValue) -> NoContentsError:
    return NoContentsError(
        f"a tensor of shape {value.shape} is on the meta device: it has no contents yet. "
        "run_restore_ops() or initialize_or_restore() of a restore's status gives it some",
        value,
    )


class _MetaExecutor(Executor):
    """Gives tensors memory on the current default device."""

    def schedule(self, values: Sequence[Value]) -> None:
        """Nothing is to be prepared."""

    def run(self, values: Sequence[tuple[str, Value]], source: Source, session: Any) -> None:
        targets: list[tuple[str, Any]] = []
        made: Exchange = []
        in_place: list[MetaValue] = []  # the program has given it memory meanwhile
        by_tensor: dict[int, MetaValue] = {}
        memory = None
        for key, value in values:
            assert isinstance(value, MetaValue)
            if value.restored:  # by an earlier run; since then it may have been trained
                continue
            contents = None
            if is_lazy(value.tensor):
                contents = source.get_tensor(key)
                build(value.tensor, contents.shape)
            target = value.tensor
            if target.is_meta:
                target = allocate_like(value.tensor)
                made.append((key, value.tensor, target))
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
        exchange(made, lambda tensor: setattr(by_tensor[id(tensor)], "restored", True))

    def initialize(self, values: Sequence[Value], session: Any) -> None:
        raise NotImplementedError("modules initialize their parameters: see initialize_in")

    def initialize_in(self, program: ObjectWalk, values: Sequence[Value], session: Any) -> None:
        from checkpointable.adapters.torch.modules.initialize import initialize_tensors

        tensors: list[torch.Tensor] = []
        for value in values:
            if isinstance(value, MetaBuffers):
                tensors += value.buffers.values()
            elif isinstance(value, MetaValue):
                tensors.append(value.tensor)
        initialize_tensors(program, tensors)

    def without_contents(self, value: Value) -> Sequence[str]:
        return list(value.buffers) if isinstance(value, MetaBuffers) else ()

    def read(self, values: Sequence[Value], session: Any) -> Sequence[Any]:
        return [value.read() for value in values]


_executor = _MetaExecutor()


def allocate_like(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor of the same class, dtype, shape and strides on the current default device.

    Its memory is not initialized.

    Raises:
      ValueError: the current default device is the meta device.
    """
    device = torch.get_default_device()
    if device.type == "meta":
        raise ValueError(
            "the current default device is the meta device: call this outside of "
            "`with torch.device('meta')`"
        )
    with torch.inference_mode(False), torch.no_grad():
        made = torch.empty_like(tensor.detach(), device=device)
    if type(tensor) is torch.Tensor:
        return made.requires_grad_(tensor.requires_grad)
    return torch.Tensor._make_subclass(type(tensor), made, tensor.requires_grad)
