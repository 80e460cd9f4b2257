"""Watching optimizers for the param groups and parameters that a restore waits for (S21, S22)."""

from __future__ import annotations

from typing import Any

from torch.optim.optimizer import Optimizer, register_optimizer_step_pre_hook

from checkpointable.adapters.torch.modules.watch import look_at_containers
from checkpointable.adapters.torch.notes import notes_by_object
from checkpointable.adapters.torch.optimizers.param_groups import groups_of
from checkpointable.adapters.torch.watch import HookWatcher, look_if_changed

__all__ = ["optimizer_watcher"]


def _before_step(optimizer: Optimizer, *_: Any) -> None:
    # The parameters that a container has gained come before their slots.
    look_at_containers()
    sizes = tuple(len(group["params"]) for group in optimizer.param_groups)
    for notes in (notes_by_object.get(optimizer), groups_of(optimizer).notes):
        if notes is not None and (notes.pending or notes.waiting_slots):
            look_if_changed(notes, sizes)


optimizer_watcher = HookWatcher(lambda: register_optimizer_step_pre_hook(_before_step))
"""For optimizers, whose `add_param_group` calls no hook."""
