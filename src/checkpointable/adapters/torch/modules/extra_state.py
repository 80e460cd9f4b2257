"""The state that a module adds to its `state_dict` beside parameters and buffers.

Sources are `get_extra_state`, classes that write their part of a state dict themselves (metrics,
packed weights), and hooks that add entries. All of it is Python state of the module.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from checkpointable.adapters.state.values import StateValues
from checkpointable.adapters.torch.private_api import (
    EXTRA_STATE_KEY,
    has_state_dict_hooks,
    load_module_state,
    module_state,
    overrides_module_state,
    registered_buffers,
    registered_modules,
    registered_parameters,
)
from checkpointable.errors import CheckpointMismatchError

__all__ = ["added_tensors", "has_extra_state", "state_values", "tensors_in"]


def has_extra_state(cls: type) -> bool:
    """Returns whether modules of a class may add to their state dict."""
    return overrides_module_state(cls) or any(
        getattr(cls, name, None) is not getattr(nn.Module, name)
        for name in ("get_extra_state", "state_dict")
    )


def state_values(module: Any) -> StateValues | dict[str, Any]:
    """Returns the values of the state that a module adds; {} if it adds nothing."""
    cls = type(module)
    plain = not overrides_module_state(cls) and cls.state_dict is nn.Module.state_dict
    if plain and not has_state_dict_hooks(module):
        return StateValues(
            lambda: {EXTRA_STATE_KEY: module.get_extra_state()},
            lambda state, _: module.set_extra_state(state[EXTRA_STATE_KEY]),
            what=f"{cls.__name__}.set_extra_state",
        )
    if cls.get_extra_state is nn.Module.get_extra_state and not _added_entries(module):
        # A restore needs to know whether the module has any state, and its present entries tell:
        # an empty metric has all of its entries, a module that only filters its state dict none.
        return {}
    return StateValues(lambda: _added_entries(module), _put(module), what=f"{cls.__name__}")


def added_tensors(module: Any) -> Iterator[torch.Tensor]:
    """Yields the tensors in the state that a module adds to its state dict."""
    if not has_extra_state(type(module)) and not has_state_dict_hooks(module):
        return
    try:
        added = _added_entries(module)
    except Exception:  # noqa: BLE001 - the save raises it again, with the path
        return
    yield from tensors_in(added)


def tensors_in(state: Any) -> Iterator[torch.Tensor]:
    """Yields the tensors in a state, those in dicts, lists and tuples included."""
    if isinstance(state, torch.Tensor):
        yield state
    elif isinstance(state, (Mapping, list, tuple)):
        for item in state.values() if isinstance(state, Mapping) else state:
            yield from tensors_in(item)


def _added_entries(module: Any) -> dict[str, Any]:
    """Returns the entries of a module's state dict that are no parameters, buffers or modules."""
    cls = type(module)
    entries = module_state(module)
    if cls.state_dict is not nn.Module.state_dict or has_state_dict_hooks(module):
        below = tuple(f"{name}." for name in registered_modules(module))
        # A hook or the class may have renamed an entry: tensors are compared, not names.
        known = {_identity(one) for one in (*module.parameters(), *module.buffers())}
        entries.update(
            (key, item)
            for key, item in _whole_state(module).items()
            if not (below and isinstance(key, str) and key.startswith(below))
            and not (isinstance(item, torch.Tensor) and _identity(item) in known)
        )
    registered = {*registered_parameters(module), *registered_buffers(module)}
    return {key: item for key, item in entries.items() if key not in registered}


def _whole_state(module: Any) -> dict[Any, Any]:
    """Returns the whole state dict, with the parameters themselves if the class supports that."""
    try:
        inspect.signature(module.state_dict).bind(keep_vars=True)
    except TypeError:  # the class overrides `state_dict` without PyTorch's arguments
        whole: dict[Any, Any] = module.state_dict()
    else:
        whole = module.state_dict(keep_vars=True)
    return whole


def _identity(tensor: torch.Tensor) -> tuple[Any, ...]:
    """Returns a key that is equal for a tensor and the result of its `detach`."""
    if tensor.device.type == "meta" or tensor.layout is not torch.strided or is_lazy(tensor):
        return (id(tensor),)
    try:
        start = tensor.data_ptr()
    except RuntimeError:  # a tensor subclass without memory
        return (id(tensor),)
    return (start, tensor.dtype, tensor.shape, tensor.stride()) if start else (id(tensor),)


def _put(module: Any) -> Callable[[Any, int], object]:
    def put(state: dict[str, Any], _: int) -> None:
        if type(module).load_state_dict is not nn.Module.load_state_dict:
            # Its override may need all of the state dict, not only the added entries.
            added = _added_entries(module)
            whole = {key: item for key, item in _whole_state(module).items() if key not in added}
            _check_answer(module.load_state_dict({**whole, **state}))
            return
        # The module's tensors are entries too, so that every other key that it misses or does not
        # take is one of the added entries. Copying a tensor onto itself changes nothing.
        keys, errors = load_module_state(module, {**_present_tensors(module), **state})
        if errors:
            raise ValueError("; ".join(errors))
        _check_answer(keys)

    return put


def _present_tensors(module: Any) -> dict[str, Any]:
    registered = {**registered_parameters(module), **registered_buffers(module)}
    return {
        key: registered[key]
        for key in module_state(module)
        if registered.get(key) is not None and not is_lazy(registered[key])
    }


def _check_answer(answer: Any) -> None:
    """Raises if a module took less or more than its state dict has.

    Args:
      answer: The result of `load_state_dict`, which an override may leave out.
    """
    problems = [
        f"{problem}: {', '.join(map(repr, keys))}"
        for problem, keys in (
            ("the module expects keys that the checkpoint lacks", _keys(answer, "missing_keys")),
            ("the module does not take the keys", _keys(answer, "unexpected_keys")),
        )
        if keys
    ]
    if problems:
        raise CheckpointMismatchError(
            f"{'; '.join(problems)}. They are entries that the module adds to its state dict: "
            "build the module in the form in which it was saved"
        )


def _keys(answer: Any, name: str) -> list[str]:
    return [str(key) for key in getattr(answer, name, ())]
