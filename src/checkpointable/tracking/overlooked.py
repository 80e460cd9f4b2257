"""Finds state that looks saved and is not. A save warns about it, once for each attribute.

Exactly lists, dicts, tuples and OrderedDicts are tracked (S3). Subclasses, sets and deques are not,
and neither are attributes that are set without `__setattr__` (by a frozen dataclass, for example).
Nothing else would report that such state is missing from the checkpoint.
"""

from __future__ import annotations

from collections import UserDict, UserList, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from checkpointable.graph.registry import adapter_of
from checkpointable.graph.walk import walk
from checkpointable.tracking.base import Checkpointable
from checkpointable.tracking.containers import TrackedContainer
from checkpointable.tracking.dependencies import dependencies_of
from checkpointable.tracking.variable import Variable

__all__ = ["has_lost_state", "overlooked"]

_CONTAINERS = (list, dict, tuple, set, frozenset, deque, UserDict, UserList)
# Larger containers are data sets rather than state, and would slow the save down.
_MOST_ITEMS = 1000
_MEANT = "if that is intended, wrap it in NoDependency"


def overlooked(obj: Any, node_id: Callable[[Any], int | None]) -> Iterator[tuple[str, str]]:
    """Yields (attribute, problem) for state of `obj` that a save omits.

    Names each attribute once, and none that was assigned with NoDependency.

    Args:
      obj: The object.
      node_id: Returns the node of an object that is saved; None for any other object.
    """
    if not isinstance(obj, Checkpointable) or isinstance(obj, Variable):
        return
    tracked = dependencies_of(obj)
    for name, value in vars(obj).items():
        if name in tracked.by_name or name in tracked.left_out:
            continue
        if adapter_of(value) is not None:
            if not has_lost_state(value, node_id):
                continue
            what = f"it is a {type(value).__name__} that was set without __setattr__ ({_MEANT})"
        elif isinstance(value, _CONTAINERS) and not isinstance(value, TrackedContainer):
            held = next((item for item in _items(value) if has_lost_state(item, node_id)), None)
            if held is None:
                continue
            what = (
                f"it is a {type(value).__name__}, which is not tracked, and holds a "
                f"{type(held).__name__}; use a plain list, tuple or dict ({_MEANT})"
            )
        else:
            continue
        tracked.left_out |= {name}
        yield name, what


def _items(container: Any) -> Iterable[Any]:
    items = container.values() if isinstance(container, dict | UserDict) else container
    return (item for _, item in zip(range(_MOST_ITEMS), items, strict=False))


def has_lost_state(obj: Any, node_id: Callable[[Any], int | None]) -> bool:
    """Returns whether an object that a save does not reach has values that are not saved.

    A loss function or an activation has none, so nothing is lost without it.

    Args:
      obj: The object.
      node_id: As in `overlooked`.
    """
    if adapter_of(obj) is None or node_id(obj) is not None:
        return False
    try:
        below = walk(obj, adapter_of)
        return any(
            node_id(node) is None and adapter.values(node)
            for node, adapter in zip(below.objects, below.adapters, strict=True)
        )
    except (ValueError, TypeError, NotImplementedError):
        return True  # an object below it could not be saved either
