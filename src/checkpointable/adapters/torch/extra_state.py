"""What a module adds to its `state_dict` beside parameters and buffers.

`get_extra_state`, and entries of classes that write their own part of a state dict (metrics,
packed weights) or of hooks that add to it: Python state of the module.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from checkpointable.adapters.state_values import StateValues

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
        whole = module.state_dict(keep_vars=True)
        # A hook may have renamed what is there anyway.
        known = {id(one) for one in (*module.parameters(), *module.buffers())}
        found.update(
            (key, item)
            for key, item in whole.items()
            if not (inner and key.startswith(inner)) and id(item) not in known
        )
    return {key: item for key, item in found.items() if key not in own}


def _put(module: Any) -> Callable[[Any, int], object]:
    def put(state: dict[str, Any], _: int) -> None:
        # The module's own part alone, as `load_state_dict` asks for it.
        own = dict(state)
        problems: list[str] = []
        module._load_from_state_dict(own, "", {}, False, [], [], problems)
        if problems:
            raise ValueError("; ".join(problems))

    return put
