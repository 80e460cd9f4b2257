"""Modules on the meta device initialize what no restore sets (S35): parameters that the
checkpoint lacks, and buffers that no checkpoint has (`persistent=False`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from checkpointable.adapters.torch.modules.wrappers import unwrap
from checkpointable.adapters.torch.tensors.exchange import exchange
from checkpointable.adapters.torch.tensors.meta import allocate_like
from checkpointable.errors import shown_path
from checkpointable.graph.paths import join

if TYPE_CHECKING:
    from checkpointable.graph.walk import ObjectWalk

__all__ = ["initialize_tensors"]


def initialize_tensors(program: ObjectWalk, tensors: Iterable[torch.Tensor]) -> None:
    """Gives these tensors memory and has the modules that hold them initialize them.

    What else the program's modules hold keeps its contents.

    Raises:
      ValueError: nothing initializes a tensor. If no module that holds it has
        `reset_parameters`, nor a model around it `_init_weights`, nothing was changed; if such
        a method passes it over, or fails, it is on the meta device as before.
    """
    wanted = {id(tensor): tensor for tensor in tensors if tensor.is_meta}
    if not wanted:
        return
    resets: list[tuple[str, Callable[[], object]]] = []
    served: set[int] = set()
    found = list(_modules(program))
    for path, module in found:
        own = {id(tensor) for _, tensor in _tensors(module)}
        reset = _reset(module, found) if not own.isdisjoint(wanted) else None
        if reset is not None:
            resets.append((path, reset))
            served |= own
    paths = _paths(program, found)
    left = [paths[number] for number in wanted if number not in served]
    if left:
        raise ValueError(
            f"{len(left)} tensor(s) on the meta device are not in the checkpoint, and their "
            "module has no reset_parameters() to initialize them, nor a model around it "
            f"_init_weights(module): {', '.join(left[:10])}. Give them contents yourself after "
            "run_restore_ops()"
        )
    _initialize([module for _, module in found], resets, wanted, paths)
    held = {id(tensor) for _, module in found for _, tensor in _tensors(module)}
    left = [paths[number] for number, one in wanted.items() if one.is_meta and number in held]
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


def _paths(program: ObjectWalk, found: list[tuple[str, torch.nn.Module]]) -> dict[int, str]:
    """id of a tensor -> its path, its module's buffers that are not persistent included."""
    paths = {
        id(tensor): join(path, name) for path, module in found for name, tensor in _tensors(module)
    }
    for node_id, obj in enumerate(program.objects):
        if isinstance(obj, torch.Tensor):
            paths[id(obj)] = program.path(node_id)
    return paths


def _initialize(
    modules: list[torch.nn.Module],
    resets: list[tuple[str, Callable[[], object]]],
    wanted: dict[int, torch.Tensor],
    paths: dict[int, str],
) -> None:
    """Initializes what is wanted; what still is nothing then is on the meta device again."""
    exchange([(paths[number], one, allocate_like(one)) for number, one in wanted.items()])
    for tensor in wanted.values():
        _bytes(tensor).fill_(_NOTHING)
    # All others have their contents, and what initializes a module may reach into others (that of
    # CLIP's embeddings sets the weights of those within). Meanwhile tensors without memory stand
    # in for them: that costs nothing, and leaves them alone.
    stand_ins: dict[int, torch.Tensor] = {}
    held = []
    for module in modules:
        for place in (module._parameters, module._buffers):
            # What a scripted module has is no dict, and is not to be exchanged.
            for name, one in list(place.items()) if isinstance(place, dict) else ():
                if one is not None and id(one) not in wanted:
                    held.append((place, name, one))
                    if id(one) not in stand_ins:
                        stand_ins[id(one)] = _stand_in(one)
                    place[name] = stand_ins[id(one)]
    done = False
    try:
        # From the inside out, as `apply` goes: a model's own way has the last word.
        for path, reset in reversed(resets):
            try:
                reset()
            except Exception as error:
                raise ValueError(
                    f"{shown_path(path)}: what is not in the checkpoint cannot be initialized: "
                    f"{type(error).__name__}: {error}. What is restored stays out of the way "
                    "meanwhile, on the meta device; give it contents yourself"
                ) from error
        done = True
    finally:
        for place, name, one in held:
            place[name] = one
        nothing = [number for number, one in wanted.items() if not done or _is_nothing(one)]
        exchange([(paths[number], wanted[number], _stand_in(wanted[number])) for number in nothing])


def _is_nothing(tensor: torch.Tensor) -> bool:
    return bool(tensor.numel()) and bool((_bytes(tensor) == _NOTHING).all())


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
