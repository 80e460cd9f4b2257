"""State that looks as if it were saved and is not: said at a save, once for each place.

Exactly lists, dicts, tuples and OrderedDicts are tracked (S3): a subclass, a set or a deque has a
logic of its own, and what is put into an object past its `__setattr__` (by a frozen dataclass,
say) was never seen. Nothing else would tell that such state is missing from the checkpoint.
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
# More is not looked through: a data set is no state, and a save must not take its time.
_MOST_ITEMS = 1000
_MEANT = "NoDependency says that is meant"


def overlooked(obj: Any, node_id: Callable[[Any], int | None]) -> Iterator[tuple[str, str]]:
    """(attribute, what is wrong) of state of `obj` that a save would leave out.

    Each attribute is named once; what was assigned with NoDependency is left out on purpose.

    Args:
      node_id: the node of an object that is saved, by whichever path; None for another.
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
            what = f"it is a {type(value).__name__} that was set past __setattr__ ({_MEANT})"
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
    """Whether an object that a save does not reach has values which are not saved.

    A loss function, or an activation, has none: without it nothing is missing.

    Args:
      node_id: as in `overlooked`.
    """
    if adapter_of(obj) is None or node_id(obj) is not None:
        return False
    try:
        found = walk(obj, adapter_of)
        return any(
            node_id(node) is None and adapter.values(node)
            for node, adapter in zip(found.objects, found.adapters, strict=True)
        )
    except (ValueError, TypeError, NotImplementedError):
        return True  # something in it could not be saved as it stands
