"""Fixtures of the tests of PyTorch: one thread, and no hook or mode left behind."""

from __future__ import annotations

import gc

import pytest
import torch
from torch.nn.modules import module as modules
from torch.optim import optimizer as optimizers

from checkpointable.adapters.watch import unwatch, watched

torch.set_num_threads(1)

HOOKS = {
    "modules": modules._global_module_registration_hooks,
    "parameters": modules._global_parameter_registration_hooks,
    "buffers": modules._global_buffer_registration_hooks,
    "forward": modules._global_forward_pre_hooks,
    "step": optimizers._global_optimizer_pre_hooks,
}


def hook_counts() -> dict[str, int]:
    """How many of PyTorch's global hooks are installed."""
    return {name: len(table) for name, table in HOOKS.items()}


@pytest.fixture(autouse=True)
def _alone():
    if any(hook_counts().values()):
        gc.collect()  # something of a test before still waits
    for notes in watched.notes():  # or is still held, by the report of a failure, say
        notes.pending.clear()
        notes.waiting_slots = None
        unwatch(notes)
    torch.manual_seed(0)


NO_HOOKS = {"modules": 0, "parameters": 0, "buffers": 0, "forward": 0, "step": 0}


@pytest.fixture
def hooks_go(_alone):
    assert hook_counts() == NO_HOOKS
    yield
    if hook_counts() != NO_HOOKS:
        gc.collect()
    assert hook_counts() == NO_HOOKS
