"""Initial contents for tensors on the meta device that no restore sets (S35).

These are parameters that the checkpoint lacks, and non-persistent buffers, which no checkpoint has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from checkpointable.adapters.torch.modules.modules import unwrap
from checkpointable.adapters.torch.private_api import (
    RESET_METHODS,
    registered_buffers,
    registered_parameters,
    replace_registered,
)
from checkpointable.adapters.torch.tensors.meta import allocate_like
from checkpointable.adapters.torch.tensors.swapping import swap_in
from checkpointable.errors import shown_path
from checkpointable.graph.paths import join

if TYPE_CHECKING:
    from checkpointable.graph.walk import ObjectWalk

__all__ = ["initialize_tensors"]

Modules = list[tuple[str, torch.nn.Module]]
"""(path, module) of all modules of a program, without wrappers."""


def initialize_tensors(program: ObjectWalk, tensors: Iterable[torch.Tensor]) -> None:
    """Gives tensors memory and calls the modules that hold them to initialize them.

    All other tensors of the program's modules keep their contents.

    Raises:
      ValueError: nothing initializes a tensor. If no module that holds it has
        `reset_parameters`, and no model around it `_init_weights`, nothing has changed. If such a
        method leaves the tensor out or fails, the tensor is on the meta device as before.
    """
    wanted = {id(tensor): tensor for tensor in tensors if tensor.is_meta}
    if not wanted:
        return
    modules = list(_modules(program))
    resets: list[tuple[str, Callable[[], object]]] = []
    covered: set[int] = set()
    for path, module in modules:
        held = {id(tensor) for _, tensor in _tensors(module)}
        reset = None if held.isdisjoint(wanted) else _reset(module, modules)
        if reset is not None:
            resets.append((path, reset))
            covered |= held
    paths = _paths(program, modules)
    left = [paths[number] for number in wanted if number not in covered]
    if left:
        raise ValueError(
            f"{len(left)} tensor(s) on the meta device are not in the checkpoint, and nothing "
            f"initializes them: {_listed(left)}. Their module has no reset_parameters(), and no "
            "model around it has _init_weights(module). Initialize them after run_restore_ops()"
        )
    _initialize([module for _, module in modules], resets, wanted, paths)
    held = {id(tensor) for _, module in modules for _, tensor in _tensors(module)}
    left = [paths[number] for number, one in wanted.items() if one.is_meta and number in held]
    if left:
        raise ValueError(
            f"{len(left)} tensor(s) on the meta device are not in the checkpoint, and the method "
            "that initializes their module (its reset_parameters(), or _init_weights(module) of a "
            f"model around it) leaves them out: {_listed(left)}. Initialize them yourself"
        )


def _listed(paths: list[str]) -> str:
    return ", ".join(paths[:10]) + (f" and {len(paths) - 10} more" if len(paths) > 10 else "")


def _modules(program: ObjectWalk) -> Iterable[tuple[str, torch.nn.Module]]:
    for node_id, obj in enumerate(program.objects):
        module = unwrap(obj)
        if isinstance(module, torch.nn.Module):
            yield program.path(node_id), module


def _tensors(module: torch.nn.Module) -> list[tuple[str, torch.Tensor]]:
    registered = [*registered_parameters(module).items(), *registered_buffers(module).items()]
    return [(name, tensor) for name, tensor in registered if tensor is not None]


def _paths(program: ObjectWalk, modules: Modules) -> dict[int, str]:
    """Returns id of a tensor -> its path, for non-persistent buffers too."""
    paths = {
        id(tensor): join(path, name)
        for path, module in modules
        for name, tensor in _tensors(module)
    }
    for node_id, obj in enumerate(program.objects):
        if isinstance(obj, torch.Tensor):
            paths[id(obj)] = program.path(node_id)
    return paths


def _reset(module: Any, modules: Modules) -> Callable[[], object] | None:
    """Returns the function that initializes a module; None if there is none.

    It is a method of the module, or `_init_weights` of the nearest model around it.
    """
    for name in RESET_METHODS:
        method = getattr(module, name, None)
        if callable(method):
            reset: Callable[[], object] = method
            return reset
    # The convention of transformers: `self.apply(self._init_weights)`.
    for _, around in reversed(modules):
        method = getattr(around, "_init_weights", None)
        if callable(method) and any(inner is module for inner in around.modules()):
            return partial(method, module)
    return None


def _initialize(
    modules: list[torch.nn.Module],
    resets: list[tuple[str, Callable[[], object]]],
    wanted: dict[int, torch.Tensor],
    paths: dict[int, str],
) -> None:
    """Initializes `wanted`; a tensor that is still untouched then returns to the meta device."""
    swap_in([(paths[number], one, allocate_like(one)) for number, one in wanted.items()])
    for tensor in wanted.values():
        _bytes(tensor).fill_(_UNTOUCHED)
    set_aside = _set_aside(modules, wanted)
    done = False
    try:
        # Inner modules first, in the order of `Module.apply`: a model has the last word.
        for path, reset in reversed(resets):
            try:
                reset()
            except Exception as error:
                raise ValueError(
                    f"{shown_path(path)}: tensors that are not in the checkpoint cannot be "
                    f"initialized: {type(error).__name__}: {error}. Restored tensors are on the "
                    "meta device while a module initializes others. Initialize these tensors "
                    "yourself after run_restore_ops()"
                ) from error
        done = True
    finally:
        for module, name, tensor in set_aside:
            replace_registered(module, name, tensor)
        untouched = [n for n, one in wanted.items() if not done or _is_untouched(one)]
        swap_in([(paths[n], wanted[n], _stand_in(wanted[n])) for n in untouched])


def _set_aside(
    modules: list[torch.nn.Module], wanted: dict[int, torch.Tensor]
) -> list[tuple[torch.nn.Module, str, torch.Tensor]]:
    """Replaces all tensors that have contents by stand-ins; returns (module, name, tensor) each.

    The method that initializes a module may write to tensors of others: that of CLIP's embeddings
    sets the weights of the modules within. Stand-ins on the meta device absorb this at no cost.
    """
    stand_ins: dict[int, torch.Tensor] = {}
    set_aside = []
    for module in modules:
        for table in (registered_parameters(module), registered_buffers(module)):
            # The tables of scripted modules are not dicts, and their tensors cannot be replaced.
            for name, one in list(table.items()) if isinstance(table, dict) else ():
                if one is not None and id(one) not in wanted:
                    set_aside.append((module, name, one))
                    if id(one) not in stand_ins:
                        stand_ins[id(one)] = _stand_in(one)
                    replace_registered(module, name, stand_ins[id(one)])
    return set_aside


def _stand_in(tensor: torch.Tensor) -> torch.Tensor:
    made = torch.empty_like(tensor.detach(), device="meta")
    if isinstance(tensor, torch.nn.Parameter):
        return torch.nn.Parameter(made, tensor.requires_grad)
    return made


# Every byte of a tensor has this value until something initializes it.
_UNTOUCHED = 0xA5


def _is_untouched(tensor: torch.Tensor) -> bool:
    return bool(tensor.numel()) and bool((_bytes(tensor) == _UNTOUCHED).all())


def _bytes(tensor: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        storage = tensor.detach().untyped_storage()
        return torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(storage)
