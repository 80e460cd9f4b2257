"""Finds the adapter of a PyTorch type, and connects the parts of this package."""

from __future__ import annotations

import torch

from checkpointable.adapters.own import find_own
from checkpointable.adapters.state import (
    ArrayKind,
    register_array_kind,
    register_plain_kind,
)
from checkpointable.adapters.torch.modules.checkpointable_modules import (
    CheckpointableModuleAdapter,
)
from checkpointable.adapters.torch.modules.initialize import initialize_tensors
from checkpointable.adapters.torch.modules.modules import ModuleAdapter, find_module_adapter
from checkpointable.adapters.torch.optimizers.lbfgs import Position
from checkpointable.adapters.torch.optimizers.optimizer_extra_state import OptimizerExtraState
from checkpointable.adapters.torch.optimizers.optimizers import LBFGSAdapter, OptimizerAdapter
from checkpointable.adapters.torch.optimizers.param_groups import ParamGroup, ParamGroups
from checkpointable.adapters.torch.optimizers.schedulers import SchedulerAdapter
from checkpointable.adapters.torch.optimizers.slots import StateSlot
from checkpointable.adapters.torch.optimizers.stand_ins import StandInAdapter
from checkpointable.adapters.torch.optimizers.watch import optimizer_watcher
from checkpointable.adapters.torch.tensors.arrays import as_tensor
from checkpointable.adapters.torch.tensors.meta import initialize_with
from checkpointable.adapters.torch.tensors.tensors import TensorAdapter, value_of
from checkpointable.graph.adapter import Adapter
from checkpointable.graph.registry import register_adapter
from checkpointable.tracking.base import Checkpointable

__all__ = ["find"]


def find(cls: type) -> Adapter | None:
    """Returns the adapter of a type that PyTorch defines, or that is derived from one of those."""
    if issubclass(cls, torch.Tensor):
        return TensorAdapter()
    if issubclass(cls, torch.nn.Module):
        return find_module_adapter(cls)
    if issubclass(cls, torch.optim.LBFGS):
        return LBFGSAdapter()
    if issubclass(cls, torch.optim.Optimizer):
        return OptimizerAdapter()
    if issubclass(cls, torch.optim.lr_scheduler.LRScheduler):
        return SchedulerAdapter()
    return None


_STAND_INS: dict[type, Adapter] = {
    ParamGroups: StandInAdapter(optimizer_watcher),
    **dict.fromkeys((ParamGroup, StateSlot, Position, OptimizerExtraState), StandInAdapter()),
}
register_adapter(_STAND_INS.get)


def _find_checkpointable_module(cls: type) -> Adapter | None:
    if not (issubclass(cls, Checkpointable) and issubclass(cls, torch.nn.Module)):
        return None
    checkpointable = find_own(cls)
    assert checkpointable is not None
    return CheckpointableModuleAdapter(checkpointable, ModuleAdapter(cls, has_attributes=False))


# Registered after those of Checkpointables, which know such a class too: the last is asked first.
register_adapter(_find_checkpointable_module)

initialize_with(initialize_tensors)


def _device(tensor: torch.Tensor) -> str | None:
    """Returns the device of a tensor within Python state; None for the CPU."""
    return None if tensor.device.type == "cpu" else str(tensor.device)


def _build(array: object, device: str | None) -> torch.Tensor:
    # The tensor may be used outside the inference mode in which a restore is called.
    with torch.inference_mode(False):
        tensor = as_tensor(array)  # type: ignore[arg-type]
    if device is None:
        return tensor
    try:
        with torch.inference_mode(False):
            return tensor.to(device)
    except (RuntimeError, AssertionError):
        # The program has no such device. The object that takes the state moves the tensor.
        return tensor


register_array_kind(torch.Tensor, ArrayKind("!tensor", value_of, _build, _device))


def _dtype(name: str) -> torch.dtype:
    dtype = getattr(torch, name, None)
    if isinstance(dtype, torch.dtype):
        return dtype
    raise ValueError(f"PyTorch {torch.__version__} has no dtype torch.{name}")


register_plain_kind(torch.dtype, "!dtype", lambda one: str(one).removeprefix("torch."), _dtype)
register_plain_kind(torch.device, "!device", str, torch.device)
register_plain_kind(torch.Size, "!Size", list, torch.Size)
