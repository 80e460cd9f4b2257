"""What a module adds to its `state_dict` beside parameters and buffers.

`get_extra_state`, and entries of classes that write their own part of a state dict (metrics,
packed weights) or of hooks that add to it: Python state of the module.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from checkpointable.adapters.state.values import StateValues

__all__ = ["has_more_state", "more_state"]

_EXTRA = "_extra_state"


def has_more_state(cls: type) -> bool:
    """Whether modules of this class may add something."""
    return any(
        getattr(cls, name, None) is not getattr(nn.Module, name)
        for name in ("get_extra_state", "_save_to_state_dict", "state_dict")
    )


def more_state(module: Any) -> StateValues | dict[str, Any]:
    """The values of what this module adds; none if it adds nothing, and says so."""
    cls = type(module)
    extra = cls.get_extra_state is not nn.Module.get_extra_state
    plain = cls._save_to_state_dict is nn.Module._save_to_state_dict
    if plain and cls.state_dict is nn.Module.state_dict and not module._state_dict_hooks:
        return StateValues(
            lambda: {_EXTRA: module.get_extra_state()},
            lambda state, _: module.set_extra_state(state[_EXTRA]),
            what=f"{cls.__name__}.set_extra_state",
        )
    if not extra and not _entries(module):
        # What it may get from a checkpoint is decided by what it has: an empty metric has all
        # its entries, a module that only filters its state dict never has any.
        return {}
    return StateValues(lambda: _entries(module), _put(module), what=f"{cls.__name__}")


def _entries(module: Any) -> dict[str, Any]:
    """What the module's own part of the state dict has beside its parameters and buffers."""
    cls = type(module)
    found: dict[str, Any] = {}
    module._save_to_state_dict(found, "", True)
    own = {*module._parameters, *module._buffers}
    if cls.state_dict is not nn.Module.state_dict or module._state_dict_hooks:
        inner = tuple(f"{name}." for name in module._modules)
        # What is there anyway may have another name, by a hook or by the class.
        known = {_identity(one) for one in (*module.parameters(), *module.buffers())}
        found.update(
            (key, item)
            for key, item in _whole(module).items()
            if not (inner and isinstance(key, str) and key.startswith(inner))
            and not (isinstance(item, torch.Tensor) and _identity(item) in known)
        )
    return {key: item for key, item in found.items() if key not in own}


def _whole(module: Any) -> dict[Any, Any]:
    """The whole state dict, with the parameters themselves if the class gives them."""
    try:
        inspect.signature(module.state_dict).bind(keep_vars=True)
    except TypeError:  # a class may have no use for PyTorch's arguments
        whole: dict[Any, Any] = module.state_dict()
    else:
        whole = module.state_dict(keep_vars=True)
    return whole


def _identity(tensor: torch.Tensor) -> tuple[Any, ...]:
    """Equal for a tensor and what `detach` gives of it."""
    if tensor.device.type == "meta" or tensor.layout is not torch.strided or is_lazy(tensor):
        return (id(tensor),)
    try:
        start = tensor.data_ptr()
    except RuntimeError:  # a class of its own, without memory of its own
        return (id(tensor),)
    return (start, tensor.dtype, tensor.shape, tensor.stride()) if start else (id(tensor),)


def _put(module: Any) -> Callable[[Any, int], object]:
    def put(state: dict[str, Any], _: int) -> None:
        if type(module).load_state_dict is not nn.Module.load_state_dict:
            # It takes what it adds in a way of its own, which may want all the rest, too.
            module.load_state_dict({**_whole(module), **state})
            return
        # The module's own part alone, as `load_state_dict` asks for it.
        own = dict(state)
        problems: list[str] = []
        module._load_from_state_dict(own, "", {}, False, [], [], problems)
        if problems:
            raise ValueError("; ".join(problems))

    return put
