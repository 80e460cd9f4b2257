"""Finds state in modules that neither PyTorch registers nor a save of this library includes.

Each place is named in one warning. Hyperparameters, numbers and non-persistent buffers are not
named: a program sets them when it builds the module.
"""

from __future__ import annotations

from collections import UserDict, UserList, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import nn

from checkpointable.adapters.notes import Beside
from checkpointable.adapters.torch.modules.attributes import PLAIN, registered_memory
from checkpointable.adapters.torch.modules.extra_state import added_tensors
from checkpointable.adapters.torch.private_api import registered_buffers, registered_parameters
from checkpointable.adapters.torch.tensors.memory import memory_of
from checkpointable.common.generators import with_random_state
from checkpointable.graph.registry import adapter_of
from checkpointable.tracking.overlooked import has_lost_state

__all__ = ["overlooked"]

_CONTAINERS = (list, dict, tuple, set, frozenset, deque, UserDict, UserList)
# A longer container is a data set rather than state, and must not slow down a save.
_MOST_ITEMS = 1000
_DEEPEST = 5
_OF_PYTORCH = frozenset(vars(nn.Module()))

NodeId = Callable[[Any], int | None]

_reported: Beside[set[str]] = Beside(lambda _: set())


def overlooked(module: Any, node_id: NodeId) -> Iterator[tuple[str, str]]:
    """Yields (attribute, what is wrong) for state of a module that a save leaves out, each once.

    Args:
      module: A module that is saved.
      node_id: Returns the node of an object that the save has, by any path; None for others.
    """
    if type(module).get_extra_state is not nn.Module.get_extra_state:
        return  # the class says what else its state is, perhaps as copies
    metric_states = _metric_states(module)
    if metric_states is not None:
        yield from _lost_metric_states(module, metric_states)
        return
    held = vars(module)
    if all(type(held[name]) in PLAIN for name in held.keys() - _OF_PYTORCH):
        return
    saved: set[int] | None = None
    for name, value in held.items():
        if name in _OF_PYTORCH or type(value) in PLAIN:
            continue
        lost = list(_lost(value, node_id))
        if not lost:
            continue
        if saved is None:
            saved = {*registered_memory(module), *map(memory_of, added_tensors(module))}
        lost = [one for one in lost if not (_is_tensor(one) and memory_of(one) in saved)]
        reported = _reported.of(module)
        if not lost or name in reported or _is_derived(module, name, value):
            continue
        reported.add(name)
        yield name, _problem(value, lost[0])


def _problem(value: Any, lost: Any) -> str:
    kind = _with_article(value)
    if isinstance(value, torch.Generator):
        return "it is a Generator; assign cp.torch.RandomState(generator) to another attribute"
    if isinstance(value, torch.Tensor):
        return f"it is {kind} that the module does not register; use register_buffer"
    if isinstance(value, nn.Module):
        return f"it is {kind} that was set past __setattr__, so the module does not register it"
    return (
        f"it is {kind}, which PyTorch does not look into, and holds {_with_article(lost)}; use "
        "ModuleList, ModuleDict, ParameterList, register_buffer, or an attribute for each object"
    )


def _with_article(obj: Any) -> str:
    name = type(obj).__name__
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"


def _metric_states(module: Any) -> list[str] | None:
    """Returns the states of a torchmetrics metric that a state dict leaves out; None for others."""
    defaults, persistent = (vars(module).get(name) for name in ("_defaults", "_persistent"))
    if not (isinstance(defaults, dict) and isinstance(persistent, dict)):
        return None
    return [name for name in defaults if not persistent.get(name)]


def _lost_metric_states(module: Any, names: list[str]) -> Iterator[tuple[str, str]]:
    reported = _reported.of(module)
    if names and not reported.issuperset(names):
        reported.update(names)
        others = f" (so are {', '.join(names[1:])})" if names[1:] else ""
        what = f"it is a metric state that is not persistent{others}"
        yield names[0], f"{what}; call the metric's persistent(True) when you build it"


def _lost(value: Any, node_id: NodeId) -> Iterator[Any]:
    """Yields the objects with state in the value of an attribute that are not saved."""
    if isinstance(value, torch.Generator):
        if value not in with_random_state:
            yield value
    elif isinstance(value, (torch.Tensor, nn.Module)):
        if has_lost_state(value, node_id):
            yield value
    elif isinstance(value, _CONTAINERS) and adapter_of(value) is None:
        for item in _items(value):
            if type(item) not in PLAIN and has_lost_state(item, node_id):
                yield item


def _items(container: Any, depth: int = 0) -> Iterator[Any]:
    items: Iterable[Any] = container
    if isinstance(container, (dict, UserDict)):
        items = list(container.values())
    for _, item in zip(range(_MOST_ITEMS), items, strict=False):
        if isinstance(item, _CONTAINERS) and adapter_of(item) is None:
            if depth < _DEEPEST:
                yield from _items(item, depth + 1)
        else:
            yield item


def _is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor)


def _is_derived(module: Any, name: str, value: Any) -> bool:
    """Returns whether an attribute is a tensor computed from others (weight_norm, pruning)."""
    if not isinstance(value, torch.Tensor):
        return False
    registered = (*registered_parameters(module), *registered_buffers(module))
    return value.grad_fn is not None or any(one.startswith(f"{name}_") for one in registered)
