"""PyTorch's hooks, as long as a restore waits for something to be built (S21).

The public registration hooks tell of modules, parameters and buffers as they come. What fires
none (`ModuleList.insert`, `Optimizer.add_param_group`) is found by the pre-hook of a forward or
of an optimizer's step, before it is used, or when somebody saves, restores or asks a status.

Each kind of hook is installed only while something is waited for that needs it: a global hook
of forwards, for one, is nothing that `torch.compile` likes.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.modules import module as hooks_of_modules
from torch.optim.optimizer import register_optimizer_step_pre_hook

from checkpointable.adapters.torch.notes import notes_by_object
from checkpointable.adapters.watch import look_at, look_later, unwatch, watched
from checkpointable.graph.adapter import RestoreNotes, Watcher, resolve_pending

__all__ = ["container_watcher", "module_watcher", "optimizer_watcher", "watcher_of"]


class _Hooks(Watcher):
    """Hooks that are installed while they are needed.

    Args:
      install: installs one and returns its handle.
      beside: others that are needed then, too.
    """

    def __init__(self, *install: Callable[[], Any], beside: tuple[_Hooks, ...] = ()) -> None:
        self._install = install
        self._beside = beside
        self._handles: list[Any] = []
        self._uses = 0

    def start(self) -> None:
        self._uses += 1
        if self._uses == 1:
            self._handles = [install() for install in self._install]
        for other in self._beside:
            other.start()

    def stop(self) -> None:
        self._uses -= 1
        if not self._uses:
            handles, self._handles = self._handles, []
            _remove(handles)
        for other in self._beside:
            other.stop()


def _remove(handles: list[Any]) -> None:
    """Removes hooks; those that PyTorch may be going through just now, at the next look."""
    postponed = []
    for handle in handles:
        table = handle.hooks_dict_ref()
        # A table may lose its last entry while it is gone through, but no other one.
        if table and next(reversed(table)) != handle.id:
            postponed.append(handle)
        else:
            handle.remove()
    if postponed:
        look_later(lambda: [handle.remove() for handle in postponed])


# A hook that returns something but None replaces what it was told of.


def _registered(module: torch.nn.Module, name: str, child: Any) -> None:
    notes = notes_by_object.get(module)
    if notes is None or name not in notes.pending or child is None:
        return
    if name not in module._non_persistent_buffers_set:
        resolve_pending(notes, name, child)
        unwatch(notes)


# What notes's object looked like when it was last looked at.
_looks: weakref.WeakKeyDictionary[RestoreNotes, tuple[int, ...]] = weakref.WeakKeyDictionary()


def _look(notes: RestoreNotes, look: tuple[int, ...]) -> None:
    if _looks.get(notes) != look:
        _looks[notes] = look
        look_at(notes)


def _before_forward(_: torch.nn.Module, __: Any) -> None:
    if not torch.compiler.is_compiling():  # the call that compiles has been seen from outside
        _look_at_containers()


def _look_at_containers() -> None:
    # All of them, whatever is called: a program may go through a container that it never calls,
    # and of what is called within a compiled module nothing is heard.
    for notes in watched.notes(container_watcher):
        owner = None if notes.owner is None else notes.owner()
        if owner is not None:
            _look(notes, (len(owner._modules), len(owner._parameters)))


def _before_step(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    from checkpointable.adapters.torch.optimizers.groups import groups_of

    _look_at_containers()
    look = tuple(len(group["params"]) for group in optimizer.param_groups)
    for notes in (notes_by_object.get(optimizer), groups_of(optimizer).notes):
        if notes is not None and (notes.pending or notes.waiting_slots):
            _look(notes, look)


module_watcher = _Hooks(
    lambda: hooks_of_modules.register_module_module_registration_hook(_registered),
    lambda: hooks_of_modules.register_module_parameter_registration_hook(_registered),
    lambda: hooks_of_modules.register_module_buffer_registration_hook(_registered),
)
"""For modules that get what they wait for by assignment or by a method that says so."""

optimizer_watcher = _Hooks(lambda: register_optimizer_step_pre_hook(_before_step))
"""For optimizers."""

container_watcher = _Hooks(
    lambda: hooks_of_modules.register_module_forward_pre_hook(_before_forward),
    beside=(module_watcher, optimizer_watcher),
)
"""For containers, whose `insert` says nothing; a step may come before any forward."""


def watcher_of(cls: type) -> Watcher:
    """What watches the modules of a class."""
    return container_watcher if issubclass(cls, _CONTAINERS) else module_watcher


_CONTAINERS = (
    torch.nn.Sequential,
    torch.nn.ModuleList,
    torch.nn.ModuleDict,
    torch.nn.ParameterList,
    torch.nn.ParameterDict,
)
