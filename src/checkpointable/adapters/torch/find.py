"""Which adapter a type of PyTorch's has."""

from __future__ import annotations

import torch

from checkpointable.adapters.own import find_own
from checkpointable.adapters.state import (
    ArrayKind,
    register_array_kind,
    register_plain_kind,
)
from checkpointable.adapters.torch.modules.checkpointable_modules import MixedAdapter
from checkpointable.adapters.torch.modules.modules import ModuleAdapter, find_module_adapter
from checkpointable.adapters.torch.optimizers.groups import (
    ParamGroup,
    ParamGroupAdapter,
    ParamGroups,
    ParamGroupsAdapter,
)
from checkpointable.adapters.torch.optimizers.lbfgs import Position, PositionAdapter
from checkpointable.adapters.torch.optimizers.optimizer_extra_state import OwnState, OwnStateAdapter
from checkpointable.adapters.torch.optimizers.optimizers import LBFGSAdapter, OptimizerAdapter
from checkpointable.adapters.torch.optimizers.schedulers import SchedulerAdapter
from checkpointable.adapters.torch.optimizers.slots import StateSlot, StateSlotAdapter
from checkpointable.adapters.torch.tensors.memory import as_tensor
from checkpointable.adapters.torch.tensors.tensors import TensorAdapter, value_of
from checkpointable.graph.adapter import Adapter
from checkpointable.graph.registry import register_adapter
from checkpointable.tracking.base import Checkpointable

__all__ = ["find"]


def find(cls: type) -> Adapter | None:
    """The adapter of a type that is PyTorch's, or derived from one of its own."""
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


_NODES: dict[type, Adapter] = {
    ParamGroups: ParamGroupsAdapter(),
    ParamGroup: ParamGroupAdapter(),
    StateSlot: StateSlotAdapter(),
    Position: PositionAdapter(),
    OwnState: OwnStateAdapter(),
}
register_adapter(_NODES.get)


def _find_mixed(cls: type) -> Adapter | None:
    if not (issubclass(cls, Checkpointable) and issubclass(cls, torch.nn.Module)):
        return None
    own = find_own(cls)
    assert own is not None
    return MixedAdapter(own, ModuleAdapter(cls))


register_adapter(_find_mixed)  # before the library's own, which knows such a class as well


def _device(tensor: torch.Tensor) -> str | None:
    """Where a tensor in some state lies, unless that is the host."""
    return None if tensor.device.type == "cpu" else str(tensor.device)


def _build(array: object, device: str | None) -> torch.Tensor:
    # Whoever gets it may go on outside of the inference mode that a restore is called in.
    with torch.inference_mode(False):
        tensor = as_tensor(array)  # type: ignore[arg-type]
    if device is None:
        return tensor
    try:
        with torch.inference_mode(False):
            return tensor.to(device)
    except (RuntimeError, AssertionError):
        # The program has no such device: its owner, who knows where it needs it, moves it.
        return tensor


register_array_kind(torch.Tensor, ArrayKind("!tensor", value_of, _build, _device))


def _dtype(name: str) -> torch.dtype:
    found = getattr(torch, name, None)
    if isinstance(found, torch.dtype):
        return found
    raise ValueError(f"there is no dtype torch.{name}")


register_plain_kind(torch.dtype, "!dtype", lambda one: str(one).removeprefix("torch."), _dtype)
register_plain_kind(torch.device, "!device", str, torch.device)
register_plain_kind(torch.Size, "!Size", list, torch.Size)
