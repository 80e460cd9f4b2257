"""PyTorch's hooks, as long as a restore waits for something to be built (S21).

The public registration hooks tell of modules, parameters and buffers as they come. What fires
none (`ModuleList.insert`, `Optimizer.add_param_group`) is found by the pre-hook of a forward or
of an optimizer's step, before it is used, or when somebody saves, restores or asks a status.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch.nn.modules import module as hooks_of_modules
from torch.optim.optimizer import register_optimizer_step_pre_hook

from checkpointable.adapters.torch.records import records
from checkpointable.adapters.watch import look_at, unwatch, watched
from checkpointable.graph.adapter import ObjectRecord, Watcher, resolve_pending

__all__ = ["watcher"]


class _TorchWatcher(Watcher):
    def __init__(self) -> None:
        self._handles: list[Any] = []
        self._stopped = True
        self._generation = -1
        self._containers: list[ObjectRecord] = []
        # What a record's object looked like when it was last looked at.
        self._looks: weakref.WeakKeyDictionary[ObjectRecord, tuple[int, ...]] = (
            weakref.WeakKeyDictionary()
        )

    def start(self) -> None:
        self._remove()
        self._stopped = False
        self._handles = [
            hooks_of_modules.register_module_forward_pre_hook(self._before_forward),
            *self._handles,
            hooks_of_modules.register_module_module_registration_hook(self._registered),
            hooks_of_modules.register_module_parameter_registration_hook(self._registered),
            hooks_of_modules.register_module_buffer_registration_hook(self._registered),
            register_optimizer_step_pre_hook(self._before_step),
        ]

    def stop(self) -> None:
        self._stopped = True
        self._looks.clear()
        self._containers = []
        self._remove()

    def _remove(self, *, safely: bool = True) -> None:
        """Removes hooks; those that PyTorch may be going through just now, at the next forward."""
        later: list[Any] = []
        # That of a forward first in the list and last to go: it removes what is left.
        for handle in reversed(self._handles):
            table = handle.hooks_dict_ref()
            # A table may lose its last entry while it is gone through, but no other one.
            postponed = safely and table and next(reversed(table)) != handle.id
            if postponed or (later and handle is self._handles[0]):
                later.append(handle)
            else:
                handle.remove()
        self._handles = later[::-1]

    # A hook that returns something but None replaces what it was told of.

    def _registered(self, module: torch.nn.Module, name: str, child: Any) -> None:
        record = records.get(module)
        if record is None or name not in record.pending or child is None:
            return
        if name not in module._non_persistent_buffers_set:
            resolve_pending(record, name, child)
            unwatch(record)

    def _before_forward(self, module: torch.nn.Module, args: Any) -> None:
        record = records.get(module)
        if record is not None and record.pending:
            self._look(record, module)
        if self._generation != watched.generation:
            self._generation = watched.generation
            self._containers = [
                waiting
                for waiting in watched.records(self)
                if waiting.owner is not None and _is_container(waiting.owner())
            ]
        # Nobody calls these: they must have what they wait for before what is around them does.
        for waiting in self._containers:
            self._look(waiting, waiting.owner() if waiting.owner is not None else None)
        if self._stopped:  # the table of forward hooks is copied before it is gone through
            self._remove(safely=False)

    def _look(self, record: ObjectRecord, module: Any) -> None:
        if module is None:
            return
        look = (len(module._modules), len(module._parameters), len(module._buffers))
        if self._looks.get(record) != look:
            self._looks[record] = look
            look_at(record)

    def _before_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        from checkpointable.adapters.torch.groups import groups_of

        waiting = [records.get(optimizer), groups_of(optimizer).record]
        look = tuple(len(group["params"]) for group in optimizer.param_groups)
        for record in waiting:
            if record is None or not (record.pending or record.waiting_slots):
                continue
            if self._looks.get(record) != look:
                self._looks[record] = look
                look_at(record)


def _is_container(obj: Any) -> bool:
    """Whether it is a module without a forward of its own (`ModuleList` and the like)."""
    return isinstance(obj, torch.nn.Module) and type(obj).forward is torch.nn.Module.forward


watcher = _TorchWatcher()
