"""The private names of PyTorch that the adapters use, each behind a small function or constant.

All of them were seen in PyTorch 2.13.0. Every docstring states the private name, what it is
needed for, and what happens in a version that lacks it. `tests/torch/test_private_api.py` checks
both for the installed version: that the name does what is assumed, and that the fallback works.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import nn

__all__ = [
    "EXTRA_STATE_KEY",
    "IncompatibleKeys",
    "RESET_METHODS",
    "has_state_dict_hooks",
    "inner_schedulers",
    "is_last_hook",
    "is_wrapper_subclass",
    "load_module_state",
    "make_subclass",
    "module_state",
    "non_persistent_buffers",
    "overrides_module_state",
    "registered_buffers",
    "registered_modules",
    "registered_parameters",
    "replace_registered",
    "without_weak_references",
]

# Modules: what is registered on them.


def registered_parameters(module: Any) -> Mapping[str, torch.Tensor | None]:
    """Returns the parameters registered on a module itself, by name.

    Private name: `Module._parameters`, which every walk reads: 0.1 µs a module, where
    `named_parameters` takes 6. Scripted modules have a wrapper in its place that is not a dict.
    If missing: `named_parameters`, which leaves out entries that are None.
    """
    try:
        table: Mapping[str, torch.Tensor | None] = module._parameters
    except AttributeError:
        return dict(module.named_parameters(recurse=False, remove_duplicate=False))
    return table


def registered_buffers(module: Any) -> Mapping[str, torch.Tensor | None]:
    """Returns the buffers registered on a module itself, by name.

    Private name: `Module._buffers`, for the reason given in `registered_parameters`.
    If missing: `named_buffers`, which leaves out entries that are None.
    """
    try:
        table: Mapping[str, torch.Tensor | None] = module._buffers
    except AttributeError:
        return dict(module.named_buffers(recurse=False, remove_duplicate=False))
    return table


def registered_modules(module: Any) -> Mapping[str, Any]:
    """Returns the submodules registered on a module itself, by name.

    Private name: `Module._modules`. `named_children` leaves out a module that is registered
    under a second name.
    If missing: `named_modules`, which walks the whole tree below the module.
    """
    try:
        table: Mapping[str, Any] = module._modules
    except AttributeError:
        inner = module.named_modules(remove_duplicate=False)
        return {name: child for name, child in inner if name and "." not in name}
    return table


def non_persistent_buffers(module: Any) -> Iterable[str]:
    """Returns the names of the buffers that a state dict leaves out (`persistent=False`).

    Private name: `Module._non_persistent_buffers_set`. There is no public way to ask.
    If missing: the buffers that `state_dict` does not contain.
    """
    try:
        names: Iterable[str] = module._non_persistent_buffers_set
    except AttributeError:
        return set(registered_buffers(module)).difference(module.state_dict(keep_vars=True))
    return names


def replace_registered(module: Any, name: str, tensor: torch.Tensor) -> None:
    """Replaces the parameter or buffer registered as `name`, without calling hooks.

    Private names: `Module._parameters`, `Module._buffers`.
    If missing: plain assignment, which calls the hooks that watch for new parameters.
    """
    for table_name in ("_parameters", "_buffers"):
        table = getattr(module, table_name, None)
        if table is not None and name in table:
            table[name] = tensor
            return
    setattr(module, name, tensor)


# Modules: their state dicts.

EXTRA_STATE_KEY = "_extra_state"
"""The key of `get_extra_state()` in a state dict.

Private name: `torch.nn.modules.module._EXTRA_STATE_KEY_SUFFIX`. The string itself appears in
checkpoints and state dicts, so it is repeated here; a test compares the two.
"""


def has_state_dict_hooks(module: Any) -> bool:
    """Returns whether hooks may add to the module's state dict.

    Private name: `Module._state_dict_hooks`. Looking at the hooks costs less than comparing a
    state dict with what is registered.
    If missing: True, and the state dict is compared.
    """
    try:
        return bool(module._state_dict_hooks)
    except AttributeError:
        return True


def overrides_module_state(cls: type) -> bool:
    """Returns whether a class of modules writes its part of a state dict itself.

    Private name: `Module._save_to_state_dict`, which metrics and packed weights override.
    If missing: False, since there is nothing left to override.
    """
    name = "_save_to_state_dict"
    return getattr(cls, name, None) is not getattr(nn.Module, name, None)


def module_state(module: Any) -> dict[str, Any]:
    """Returns a module's part of a state dict, without that of its submodules.

    Private name: `Module._save_to_state_dict`. `state_dict` calls hooks and every submodule.
    If missing: the entries of `state_dict` that no submodule wrote.
    """
    state: dict[str, Any] = {}
    try:
        save = module._save_to_state_dict
    except AttributeError:
        below = tuple(f"{name}." for name in registered_modules(module))
        whole = module.state_dict(keep_vars=True)
        return {k: item for k, item in whole.items() if not (below and k.startswith(below))}
    save(state, "", True)
    return state


class IncompatibleKeys(NamedTuple):
    """The keys in which a module and a state dict differ, as PyTorch's own hooks get them."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def load_module_state(module: Any, state: Mapping[str, Any]) -> tuple[IncompatibleKeys, list[str]]:
    """Loads a module's part of a state dict strictly; returns what differs, and its errors.

    Private names: `Module._load_from_state_dict`, `_version` and `_load_state_dict_post_hooks`.
    `load_state_dict` calls every submodule.
    If missing: `load_state_dict` with `strict=False`, which returns the keys that differ, calls
    the hooks, and raises `RuntimeError` for errors.
    """
    keys, errors = IncompatibleKeys([], []), list[str]()
    try:
        load = module._load_from_state_dict
    except AttributeError:
        result = module.load_state_dict(dict(state), strict=False)
        below = tuple(f"{name}." for name in registered_modules(module))
        missing = [key for key in result.missing_keys if not (below and key.startswith(below))]
        return IncompatibleKeys(missing, list(result.unexpected_keys)), []
    metadata = {"version": getattr(module, "_version", 1)}
    load(dict(state), "", metadata, True, keys.missing_keys, keys.unexpected_keys, errors)
    for hook in list(getattr(module, "_load_state_dict_post_hooks", {}).values()):
        hook(module, keys)
    return keys, errors


RESET_METHODS = ("reset_parameters", "_reset_parameters")
"""Methods by which modules initialize their parameters, most common name first.

Private name: `_reset_parameters` of `Transformer` and `MultiheadAttention`. If missing: their
parameters count as parameters that nothing initializes, and an error names them.
"""

# Modules: recurrent ones.


@contextmanager
def without_weak_references(modules: Iterable[Any]) -> Iterator[None]:
    """Removes the weak references of recurrent modules to their parameters within the block.

    Private name: `RNNBase._flat_weight_refs`. `torch.utils.swap_tensors` refuses a tensor that has
    weak references; `Module.to` empties the list in the same way.
    If missing: nothing is removed, and `swap_tensors` refuses tensors that are still referred to.
    """
    modules = list(modules)
    held = []
    for module in modules:
        if hasattr(module, "_flat_weight_refs"):
            held.append((module, [_tensor_of(one) for one in module._flat_weight_refs]))
            module._flat_weight_refs = []
    try:
        yield
    finally:
        for module, tensors in held:
            module._flat_weight_refs = [_reference_to(one) for one in tensors]
        for module in modules:
            module.flatten_parameters()


def _tensor_of(reference: Any) -> Any:
    # A dead reference is kept: it tells the next forward that a parameter has been replaced.
    tensor = None if reference is None else reference()
    return reference if tensor is None else tensor


def _reference_to(held: Any) -> Any:
    return weakref.ref(held) if isinstance(held, torch.Tensor) else held


# Tensors.


def make_subclass(cls: type, tensor: torch.Tensor, requires_grad: bool) -> torch.Tensor:
    """Returns a tensor of class `cls` that takes over the memory of `tensor`.

    Private name: `Tensor._make_subclass`, by which `Parameter` is built. It runs no constructor
    of `cls`, whose arguments are not known.
    If missing: the constructor of a `Parameter`; `as_subclass` for other classes.
    """
    make = getattr(torch.Tensor, "_make_subclass", None)
    if make is not None:
        made: torch.Tensor = make(cls, tensor, requires_grad)
        return made
    if cls is nn.Parameter:
        return nn.Parameter(tensor, requires_grad)
    with torch.no_grad():
        return tensor.detach().as_subclass(cls).requires_grad_(requires_grad)


def is_wrapper_subclass(cls: type) -> bool:
    """Returns whether tensors of a class hold other tensors instead of memory.

    Private name: `__tensor_flatten__`, the method that `is_traceable_wrapper_subclass` in
    `torch.utils._python_dispatch` looks for.
    If missing: False. Such a tensor is refused later, when its memory is asked for.
    """
    return cls not in _PLAIN and hasattr(cls, "__tensor_flatten__")


_PLAIN = (nn.Parameter, torch.Tensor)

# Hooks and schedulers.


def is_last_hook(handle: Any) -> bool:
    """Returns whether a hook is the last of its table, or its table is empty or gone.

    Private name: `RemovableHandle.hooks_dict_ref`. PyTorch loops over the table while it calls
    hooks. Only its last entry can be removed then without a `RuntimeError`.
    If missing: False, and the hook is removed later.
    """
    try:
        table = handle.hooks_dict_ref()
    except AttributeError:
        return False
    return not table or next(reversed(table)) == handle.id


def inner_schedulers(scheduler: Any) -> Iterable[Any]:
    """Returns the schedulers that a `SequentialLR` or `ChainedScheduler` combines.

    Private name: `_schedulers`. Each of them may have another optimizer.
    If missing: (). Only the optimizer of the outer scheduler is considered.
    """
    inner: Iterable[Any] = getattr(scheduler, "_schedulers", ())
    return inner
