"""Plain values that are given to a `Checkpoint` by name: numbers, arrays, dicts and lists (S42).

    progress = {"epoch": 3, "best": 0.5}
    checkpoint = cp.Checkpoint(model=model, progress=progress, step=0)

A `GivenValue` represents the location of such a value in the object graph: an attribute of the
checkpoint, or an item of a container. The containers of the program are neither replaced nor
wrapped: a save reads their present contents, and a restore changes them in place.

Objects in a container are dependencies of its node under their keys or indices, like those of a
tracked container. An inner container with objects is a separate node. All other items are Python
state of the node.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from checkpointable.errors import CheckpointMismatchError
from checkpointable.graph.registry import adapter_of
from checkpointable.tracking.base import NoDependency

__all__ = ["ELSEWHERE", "Elsewhere", "GivenValue", "is_plain"]

_CONTAINERS = (dict, OrderedDict, list, tuple)
_LEAVES = frozenset({int, float, bool, str, bytes, complex, type(None)})


class Elsewhere:
    """Represents an item in the state of a container that is a dependency, or is not saved."""


ELSEWHERE: Final = Elsewhere()


def is_plain(value: Any) -> bool:
    """Returns whether a value is saved as state: a container, or not a checkpointable object."""
    return type(value) in _CONTAINERS or adapter_of(value) is None


class GivenValue:
    """A plain value of a program, together with its location in the program.

    Args:
      slots: the attributes of the checkpoint that the value is given to, or, for an item, the
        value whose container holds it.
      key: the name of the attribute; the key or index of the item.
    """

    def __init__(self, slots: dict[str, Any] | GivenValue, key: Any) -> None:
        self._slots = slots
        self._key = key
        self._inner: dict[Any, GivenValue] = {}

    @property
    def path(self) -> str:
        """The path of the value in the checkpoint, for messages."""
        slots = self._slots
        return f"{slots.path}/{self._key}" if isinstance(slots, GivenValue) else str(self._key)

    @property
    def value(self) -> Any:
        """The present value."""
        slots = self._slots
        return (slots.value if isinstance(slots, GivenValue) else slots)[self._key]

    def _replace(self, value: Any) -> None:
        """Replaces the value. A tuple that contains it is replaced by a new one."""
        slots = self._slots
        container = slots.value if isinstance(slots, GivenValue) else slots
        if isinstance(slots, GivenValue) and isinstance(container, tuple):
            items = list(container)
            items[self._key] = value
            slots._replace(tuple(items))
        else:
            container[self._key] = value

    def dependencies(self) -> Iterator[tuple[str, Any]]:
        """Yields (local name, object) of the objects in a container, and of inner containers."""
        for key, item in _items(self.value):
            dependency = self._dependency_of(key, item)
            if dependency is not None:
                yield _local_name(key, item, self.path), dependency

    def dependency(self, local_name: str) -> Any | None:
        """Returns the dependency of this local name, or None."""
        value = self.value
        for key in _keys_named(local_name, value):
            dependency = self._dependency_of(key, value[key])
            if dependency is not None:
                return dependency
        return None

    def _dependency_of(self, key: Any, item: Any) -> Any | None:
        if _is_object(item):
            return item
        if type(item) not in _CONTAINERS or not _holds_objects(item):
            return None
        inner = self._inner.get(key)
        if inner is None:  # the same one each time: restore notes belong to it
            inner = self._inner[key] = GivenValue(self, key)
        return inner

    @property
    def has_state(self) -> bool:
        """Returns whether there is state to save in addition to objects."""
        value = self.value
        if type(value) not in _CONTAINERS or not value:
            return True
        return any(not _is_elsewhere(item) for _, item in _items(value))

    def state(self) -> Any:
        """Returns the value with `ELSEWHERE` in place of each item that is saved separately."""
        return _skeleton(self.value)

    def check(self, state: Any) -> None:
        """Raises the error that `put` would raise, and changes nothing."""
        _check(self.value, state, self.path)

    def put(self, state: Any) -> None:
        """Restores a result of `state`: dicts, lists and arrays in place, others by replacement."""
        old = self.value
        _check(old, state, self.path)
        new = _merged(old, state)
        if new is not old:
            self._replace(new)


def _items(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    elif type(value) in _CONTAINERS:
        yield from enumerate(value)


def _keys_named(local_name: str, value: Any) -> Iterator[Any]:
    """Yields the keys or indices of a container whose local name this is."""
    index = int(local_name) if local_name.isascii() and local_name.isdigit() else None
    if str(index) != local_name:  # "07"
        index = None
    if isinstance(value, dict):
        yield from (key for key in (local_name, index) if key is not None and key in value)
    elif type(value) in _CONTAINERS and index is not None and index < len(value):
        yield index


def _is_object(item: Any) -> bool:
    """Returns whether an item is an object that an adapter saves."""
    kind = type(item)
    if kind in _LEAVES or kind in _CONTAINERS or kind is NoDependency:
        return False
    return adapter_of(item) is not None


def _is_elsewhere(item: Any) -> bool:
    """Returns whether an item is not part of the state of its container."""
    if type(item) is NoDependency or _is_object(item):
        return True
    return type(item) in _CONTAINERS and _holds_objects(item)


def _holds_objects(container: Any) -> bool:
    """Returns whether a container contains an object, at any depth."""
    pending, seen = [container], {id(container)}
    while pending:
        for _, item in _items(pending.pop()):
            if type(item) in _LEAVES:
                continue
            if _is_object(item):
                return True
            if type(item) in _CONTAINERS and id(item) not in seen:
                seen.add(id(item))
                pending.append(item)
    return False


def _local_name(key: Any, item: Any, path: str) -> str:
    if isinstance(key, int) and not isinstance(key, bool):
        return str(key)
    if isinstance(key, str):
        return key
    raise ValueError(
        f"{path}: the dict maps the key {key!r} to a {type(item).__name__}, which is saved under "
        "the name of its key: use a str or an int as the key, or wrap the item in NoDependency"
    )


def _skeleton(value: Any) -> Any:
    kind = type(value)
    if kind not in _CONTAINERS:
        return value
    if isinstance(value, dict):
        made = {key: ELSEWHERE if _is_elsewhere(i) else i for key, i in value.items()}
        return made if kind is dict else OrderedDict(made)
    return kind(ELSEWHERE if _is_elsewhere(item) else item for item in value)


def _check(old: Any, state: Any, path: str) -> None:
    """Raises CheckpointMismatchError if `state` cannot take the place of `old`."""
    if type(old) not in _CONTAINERS and type(state) not in _CONTAINERS:
        return
    if type(state) in _CONTAINERS and _needs_objects(state) and type(old) is not type(state):
        raise CheckpointMismatchError(
            f"{path}: the checkpoint has a {type(state).__name__} that holds objects, the program "
            f"a value of type {type(old).__name__}; give the Checkpoint a {type(state).__name__} "
            "of these objects"
        )
    if isinstance(old, dict | list) and type(old) is not type(state):
        raise CheckpointMismatchError(
            f"{path}: the checkpoint has a {type(state).__name__}, the program a "
            f"{type(old).__name__}; give the Checkpoint a {type(state).__name__}"
        )
    if isinstance(state, list | tuple):
        for index, item in enumerate(state):
            if item is ELSEWHERE and index >= len(old):
                raise CheckpointMismatchError(
                    f"{path}: item {index} of the checkpoint's {type(state).__name__} is an "
                    f"object, and the program's has {len(old)} items; build the objects first"
                )


def _needs_objects(state: Any) -> bool:
    return any(item is ELSEWHERE for _, item in _items(state))


def _merged(old: Any, state: Any) -> Any:
    """Returns the restored value: `old` itself, changed in place, if that is possible."""
    if isinstance(old, np.ndarray) and isinstance(state, np.ndarray):
        if old.flags.writeable and old.shape == state.shape and old.dtype == state.dtype:
            old[...] = state
            return old
        return state
    if type(old) is not type(state) or type(state) not in _CONTAINERS:
        return state
    if isinstance(state, dict):
        items = {
            key: old[key] if item is ELSEWHERE else _merged(old.get(key), item)
            for key, item in state.items()
            if item is not ELSEWHERE or key in old
        }
        objects = {key: i for key, i in old.items() if key not in items and _is_elsewhere(i)}
        old.clear()
        old.update(items)
        old.update(objects)
        return old
    merged = [
        old[index] if item is ELSEWHERE else _merged(old[index] if index < len(old) else None, item)
        for index, item in enumerate(state)
    ]
    merged += [item for item in old[len(state) :] if _is_elsewhere(item)]
    if isinstance(old, list):
        old[:] = merged
        return old
    return tuple(merged)
