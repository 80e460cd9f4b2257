"""Modules on the meta device initialize the parameters that no restore sets (S35)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch

from checkpointable.adapters.torch.meta import allocate_like, put_in_place
from checkpointable.adapters.torch.modules import unwrap

if TYPE_CHECKING:
    from checkpointable.graph.walk import ObjectWalk

__all__ = ["initialize_tensors"]


def initialize_tensors(program: ObjectWalk, tensors: Iterable[torch.Tensor]) -> None:
    """Gives these tensors memory and has the modules that hold them initialize them.

    What else such a module holds keeps its contents.

    Raises:
      ValueError: a tensor is held by no module that has `reset_parameters`; nothing was changed.
    """
    wanted = {id(tensor) for tensor in tensors if tensor.is_meta}
    if not wanted:
        return
    modules: list[tuple[torch.nn.Module, Callable[[], object]]] = []
    served: set[int] = set()
    for obj in program.objects:
        module = unwrap(obj)
        if not isinstance(module, torch.nn.Module):
            continue
        own = {id(tensor) for tensor in _tensors(module)}
        reset = _reset(module)
        if reset is not None and own & wanted:
            modules.append((module, reset))
            served |= own
    left = [
        program.path(node_id)
        for node_id, obj in enumerate(program.objects)
        if id(obj) in wanted and id(obj) not in served
    ]
    if left:
        raise ValueError(
            f"{len(left)} tensor(s) on the meta device are not in the checkpoint, and their "
            f"module has no reset_parameters() to initialize them: {', '.join(left[:10])}"
        )
    for module, reset in modules:
        _initialize(module, reset, wanted)


def _initialize(module: torch.nn.Module, reset: Callable[[], object], wanted: set[int]) -> None:
    for tensor in _tensors(module):
        if id(tensor) in wanted and tensor.is_meta:
            put_in_place(tensor, allocate_like(tensor))
    # The others have their contents. While the module initializes, tensors without memory
    # stand in for them: that costs nothing, and leaves them alone.
    held = []
    for place in (module._parameters, module._buffers):
        for name, tensor in place.items():
            if tensor is not None and id(tensor) not in wanted:
                held.append((place, name, tensor))
                place[name] = _stand_in(tensor)
    try:
        reset()
    finally:
        for place, name, tensor in held:
            place[name] = tensor


def _stand_in(tensor: torch.Tensor) -> torch.Tensor:
    made = torch.empty_like(tensor.detach(), device="meta")
    if isinstance(tensor, torch.nn.Parameter):
        return torch.nn.Parameter(made, tensor.requires_grad)
    return made


def _tensors(module: torch.nn.Module) -> list[torch.Tensor]:
    found = [*module._parameters.values(), *module._buffers.values()]
    return [tensor for tensor in found if tensor is not None]


def _reset(module: Any) -> Callable[[], object] | None:
    for name in ("reset_parameters", "_reset_parameters"):
        found = getattr(module, name, None)
        if callable(found):
            reset: Callable[[], object] = found
            return reset
    return None
