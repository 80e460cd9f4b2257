"""Watching modules for the submodules, parameters and buffers that a restore waits for (S21)."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.modules import module as module_hooks
from torch.optim.optimizer import register_optimizer_step_pre_hook

from checkpointable.adapters.torch.notes import notes_by_object
from checkpointable.adapters.torch.private_api import (
    non_persistent_buffers,
    registered_modules,
    registered_parameters,
)
from checkpointable.adapters.torch.watch import HookWatcher, look_if_changed
from checkpointable.adapters.watch import look_at, unwatch, watched
from checkpointable.graph.adapter import Watcher
from checkpointable.graph.restore_notes import resolve_pending

__all__ = ["container_watcher", "look_at_containers", "module_watcher", "watcher_of"]

# All hooks return None: any other result would replace what PyTorch passed to them.


def _registered(module: torch.nn.Module, name: str, child: Any) -> None:
    notes = notes_by_object.get(module)
    if notes is None or name not in notes.pending or child is None:
        return
    if name not in non_persistent_buffers(module):
        resolve_pending(notes, name, child)
        unwatch(notes)


def _before_forward(_: torch.nn.Module, __: Any) -> None:
    if not torch.compiler.is_compiling():  # the hook ran before the call that compiles
        look_at_containers()


def _before_step(*_: Any) -> None:
    look_at_containers()
    _look_at_attributes()


def _look_at_attributes() -> None:
    """Restores objects in plain attributes of the watched modules, which fire no hook."""
    for watcher in (module_watcher, container_watcher):
        for notes in watched.notes(watcher):
            owner = None if notes.owner is None else notes.owner()
            if owner is not None and not notes.pending.keys().isdisjoint(vars(owner)):
                look_at(notes)


def look_at_containers() -> None:
    """Restores what the watched containers have gained since the last call."""
    # All of them, whichever module is called: a program may loop over a container that it never
    # calls, and no hook is called within a compiled module.
    for notes in watched.notes(container_watcher):
        owner = None if notes.owner is None else notes.owner()
        if owner is not None:
            sizes = len(registered_modules(owner)), len(registered_parameters(owner))
            look_if_changed(notes, sizes)


module_watcher = HookWatcher(
    lambda: module_hooks.register_module_module_registration_hook(_registered),
    lambda: module_hooks.register_module_parameter_registration_hook(_registered),
    lambda: module_hooks.register_module_buffer_registration_hook(_registered),
    lambda: register_optimizer_step_pre_hook(_before_step),
)
"""For modules that gain objects by assignment or by a method that calls registration hooks."""

container_watcher = HookWatcher(
    lambda: module_hooks.register_module_forward_pre_hook(_before_forward),
    beside=(module_watcher,),
)
"""For containers, whose `insert` calls no hook. An optimizer step may precede any forward."""


def watcher_of(cls: type) -> Watcher:
    """Returns the watcher for modules of a class."""
    return container_watcher if issubclass(cls, _CONTAINERS) else module_watcher


_CONTAINERS = (
    torch.nn.Sequential,
    torch.nn.ModuleList,
    torch.nn.ModuleDict,
    torch.nn.ParameterList,
    torch.nn.ParameterDict,
)
