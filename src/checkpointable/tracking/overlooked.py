"""State that looks as if it were saved and is not: said at a save, once for each place.

Exactly lists, dicts, tuples and OrderedDicts are tracked (S3): a subclass, a set or a deque has a
logic of its own, and what is put into an object past its `__setattr__` (by a frozen dataclass,
say) was never seen. Nothing else would tell that such state is missing from the checkpoint.
"""

from __future__ import annotations

from collections import UserDict, UserList, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from checkpointable.adapters.registry import adapter_of
from checkpointable.tracking.base import Checkpointable
from checkpointable.tracking.containers import TrackedContainer
from checkpointable.tracking.state import state_of
from checkpointable.tracking.variable import Variable

__all__ = ["overlooked"]

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
    state = state_of(obj)
    for name, value in vars(obj).items():
        if name in state.dependencies or name in state.left_out:
            continue
        if adapter_of(value) is not None:
            if node_id(value) is not None:
                continue
            what = f"it is a {type(value).__name__} that was set past __setattr__ ({_MEANT})"
        elif isinstance(value, _CONTAINERS) and not isinstance(value, TrackedContainer):
            lost = (i for i in _items(value) if adapter_of(i) is not None and node_id(i) is None)
            held = next(lost, None)
            if held is None:
                continue
            what = (
                f"it is a {type(value).__name__}, which is not tracked, and holds a "
                f"{type(held).__name__}; use a plain list, tuple or dict ({_MEANT})"
            )
        else:
            continue
        state.left_out |= {name}
        yield name, what


def _items(container: Any) -> Iterable[Any]:
    items = container.values() if isinstance(container, dict | UserDict) else container
    return (item for _, item in zip(range(_MOST_ITEMS), items, strict=False))
