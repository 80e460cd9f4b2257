"""Objects in plain attributes of a module that are dependencies of the module.

PyTorch registers parameters, buffers and modules. Optimizers, schedulers, other objects with
`state_dict` and `load_state_dict`, and this library's own objects are plain attributes to it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import torch

from checkpointable.adapters.state.state_dict import StateDictAdapter
from checkpointable.adapters.torch.modules.extra_state import tensors_in
from checkpointable.adapters.torch.private_api import (
    registered_buffers,
    registered_modules,
    registered_parameters,
)
from checkpointable.adapters.torch.tensors.memory import memory_of
from checkpointable.graph.registry import adapter_of

__all__ = ["PLAIN", "attribute", "attributes", "registered_memory"]

PLAIN = frozenset((type(None), bool, int, float, complex, str, bytes, type))
"""Types of most attributes, which hold no objects."""

_NO_DEPENDENCIES = PLAIN | {list, dict, tuple, set, frozenset, OrderedDict}


def attributes(module: Any) -> Iterator[tuple[str, Any]]:
    """Yields (name, object) for the attributes of a module that are its dependencies."""
    held = vars(module)
    if _NO_DEPENDENCIES.issuperset(map(type, held.values())):  # most modules, on every walk
        return
    for name, value in held.items():
        if type(value) not in _NO_DEPENDENCIES and _is_dependency(module, value):
            yield name, value


def attribute(module: Any, name: str) -> Any | None:
    """Returns the object of that name among `attributes`; None if there is none."""
    value = vars(module).get(name)
    return value if value is not None and _is_dependency(module, value) else None


def _is_dependency(module: Any, value: Any) -> bool:
    adapter = adapter_of(value)
    if adapter is None or isinstance(value, (torch.Tensor, torch.nn.Module)):
        return False
    if type(adapter) is StateDictAdapter:  # not that of schedulers, which hold no tensors
        return not _is_view(module, value)
    return True


def _is_view(module: Any, value: Any) -> bool:
    """Returns whether all tensors in the state of an object are registered on the module."""
    if not (
        registered_parameters(module) or registered_buffers(module) or registered_modules(module)
    ):
        return False
    try:
        tensors = list(tensors_in(value.state_dict()))
    except Exception:  # noqa: BLE001 - the save raises it again, with the path
        return False
    if not tensors:
        return False
    memory = registered_memory(module)
    return all(memory_of(tensor) in memory for tensor in tensors)


def registered_memory(module: Any) -> set[int]:
    """Returns the memory of the parameters and buffers of a module and the modules below it."""
    return {memory_of(tensor) for tensor in (*module.parameters(), *module.buffers())}
