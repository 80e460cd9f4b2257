"""From plain containers to tracked ones."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from checkpointable.adapters.registry import adapter_of
from checkpointable.tracking.base import NoDependency
from checkpointable.tracking.containers.dicts import Dict, TrackedOrderedDict
from checkpointable.tracking.containers.lists import List
from checkpointable.tracking.containers.tuples import tracked_tuple_type

__all__ = ["wrap_container"]


def wrap_container(value: Any, _wrapping: dict[int, Any] | None = None) -> Any:
    """The tracked form of a plain list, dict or tuple; anything else as it is.

    Items that are plain containers are wrapped too, and the plain container gets the tracked
    forms of its items, so that a change to an inner one through its old name is seen.
    """
    cls = type(value)
    if cls is list:
        form: Any = List
    elif cls is dict:
        form = Dict
    elif cls is OrderedDict:
        form = TrackedOrderedDict
    elif isinstance(value, tuple) and adapter_of(value) is None:
        return _wrap_tuple(value, _wrapping)
    else:
        return value
    wrapping = {} if _wrapping is None else _wrapping
    if id(value) in wrapping:  # a container that contains itself
        return wrapping[id(value)]
    tracked = wrapping[id(value)] = form()
    if form is List:
        untracked = [isinstance(item, NoDependency) for item in value]
        for index, item in enumerate(value):
            value[index] = _wrap_item(item, wrapping)
        list.extend(tracked, value)
        tracked._untracked = untracked if any(untracked) else None
    else:
        base = dict if form is Dict else OrderedDict
        for key, item in value.items():
            value[key] = _wrap_item(item, wrapping)
            base.__setitem__(tracked, key, value[key])
            tracked._mark(key, isinstance(item, NoDependency))
    tracked._source = value
    return tracked


def _wrap_item(item: Any, wrapping: dict[int, Any]) -> Any:
    if isinstance(item, NoDependency):
        return item.value
    return wrap_container(item, wrapping)


def _wrap_tuple(value: tuple[Any, ...], wrapping: dict[int, Any] | None) -> Any:
    if not _holds_tracked(value):
        return value
    cls = tracked_tuple_type(type(value))
    within = {} if wrapping is None else wrapping
    tracked: Any = tuple.__new__(cls, [_wrap_item(item, within) for item in value])
    tracked.__dict__.update(getattr(value, "__dict__", {}))
    untracked = [isinstance(item, NoDependency) for item in value]
    if any(untracked):
        tracked.__dict__["_untracked"] = untracked
    return tracked


def _holds_tracked(value: tuple[Any, ...]) -> bool:
    """Whether a tuple has anything to track; if not, it stays what it is."""
    for item in value:
        if isinstance(item, tuple):
            if _holds_tracked(item):
                return True
        elif type(item) in (list, dict, OrderedDict, NoDependency) or adapter_of(item) is not None:
            return True
    return False
