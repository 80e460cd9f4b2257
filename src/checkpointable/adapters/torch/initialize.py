"""Modules on the meta device initialize what no restore sets (S35): parameters that the
checkpoint lacks, and buffers that no checkpoint has (`persistent=False`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from checkpointable.adapters.torch.meta import allocate_like, put_in_place
from checkpointable.adapters.torch.wrappers import unwrap
from checkpointable.graph.paths import join

if TYPE_CHECKING:
    from checkpointable.graph.walk import ObjectWalk

__all__ = ["initialize_tensors"]


def initialize_tensors(program: ObjectWalk, tensors: Iterable[torch.Tensor]) -> None:
    """Gives these tensors memory and has the modules that hold them initialize them.

    What else such a module holds keeps its contents.

    Raises:
      ValueError: nothing initializes a tensor. If no module that holds it has
        `reset_parameters`, nor a model around it `_init_weights`, nothing was changed; if such
        a method passes it over, it is on the meta device as before.
    """
    wanted = {id(tensor) for tensor in tensors if tensor.is_meta}
    if not wanted:
        return
    modules: dict[int, tuple[torch.nn.Module, Callable[[], object]]] = {}
    served: set[int] = set()
    left: list[str] = []
    found = list(_modules(program))
    for _, module in found:
        own = {id(tensor) for _, tensor in _tensors(module)}
        reset = _reset(module, found) if own & wanted else None
        if reset is not None:
            modules[id(module)] = module, reset
            served |= own
    for path, module in found:
        lacking = [name for name, one in _tensors(module) if id(one) in wanted - served]
        left += [join(path, name) for name in lacking]
    if left:
        raise ValueError(
            f"{len(left)} tensor(s) on the meta device are not in the checkpoint, and their "
            "module has no reset_parameters() to initialize them, nor a model around it "
            f"_init_weights(module): {', '.join(left[:10])}. Give them contents yourself after "
            "run_restore_ops()"
        )
    for path, module in found:
        if id(module) in modules:
            names = _initialize(*modules.pop(id(module)), wanted)
            left += [join(path, name) for name in names]
    if left:
        raise ValueError(
            f"{len(left)} tensor(s) on the meta device are not in the checkpoint, and what "
            "initializes their module (reset_parameters(), or _init_weights(module) of the "
            f"model) passes them over: {', '.join(left[:10])}. Give them contents yourself"
        )


def _modules(program: ObjectWalk) -> Iterable[tuple[str, torch.nn.Module]]:
    for node_id, obj in enumerate(program.objects):
        module = unwrap(obj)
        if isinstance(module, torch.nn.Module):
            yield program.path(node_id), module


def _initialize(
    module: torch.nn.Module, reset: Callable[[], object], wanted: set[int]
) -> list[str]:
    """Initializes what is wanted of one module; returns the names of what still is nothing."""
    fresh = []
    for name, tensor in _tensors(module):
        if id(tensor) in wanted and tensor.is_meta:
            put_in_place(tensor, allocate_like(tensor))
            _bytes(tensor).fill_(_NOTHING)
            fresh.append((name, tensor))
    # The others have their contents. While the module initializes, tensors without memory
    # stand in for them: that costs nothing, and leaves them alone.
    held = []
    for place in (module._parameters, module._buffers):
        for name, one in place.items():
            if one is not None and id(one) not in wanted:
                held.append((place, name, one))
                place[name] = _stand_in(one)
    try:
        reset()
    finally:
        for place, name, one in held:
            place[name] = one
    present = {id(tensor) for _, tensor in _tensors(module)}
    passed_over = []
    for name, tensor in fresh:
        if id(tensor) in present and tensor.numel() and bool((_bytes(tensor) == _NOTHING).all()):
            put_in_place(tensor, _stand_in(tensor))
            passed_over.append(name)
    return passed_over


# What every byte of a tensor is until something initializes it.
_NOTHING = 0xA5


def _bytes(tensor: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        held = tensor.detach().untyped_storage()
        return torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(held)


def _stand_in(tensor: torch.Tensor) -> torch.Tensor:
    made = torch.empty_like(tensor.detach(), device="meta")
    if isinstance(tensor, torch.nn.Parameter):
        return torch.nn.Parameter(made, tensor.requires_grad)
    return made


def _tensors(module: torch.nn.Module) -> list[tuple[str, torch.Tensor]]:
    found = [*module._parameters.items(), *module._buffers.items()]
    return [(name, tensor) for name, tensor in found if tensor is not None]


def _reset(module: Any, found: list[tuple[str, torch.nn.Module]]) -> Callable[[], object] | None:
    """What initializes a module: its own method, or that of the nearest model around it."""
    for name in ("reset_parameters", "_reset_parameters"):
        own = getattr(module, name, None)
        if callable(own):
            reset: Callable[[], object] = own
            return reset
    # As transformers has it, and many others: `self.apply(self._init_weights)`.
    for _, around in reversed(found):
        method = getattr(around, "_init_weights", None)
        if callable(method) and any(inner is module for inner in around.modules()):
            return partial(method, module)
    return None
