"""Converts plain containers to tracked ones.

A plain list or dict has one tracked form as long as that form lives, wherever it is assigned: one
object of the program stays one object, and can be changed through any of its names.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from typing import Any

from checkpointable.graph.registry import adapter_of
from checkpointable.tracking.base import NoDependency
from checkpointable.tracking.containers.base import TrackedContainer
from checkpointable.tracking.containers.dicts import Dict, TrackedOrderedDict
from checkpointable.tracking.containers.lists import List
from checkpointable.tracking.containers.tuples import tracked_tuple_type

__all__ = ["wrap_container"]

_FORMS: dict[type, Any] = {list: List, dict: Dict, OrderedDict: TrackedOrderedDict}

# id of a plain container -> its tracked form. The form refers to the container, so the id stays
# valid as long as the entry exists.
_wrapped: weakref.WeakValueDictionary[int, TrackedContainer] = weakref.WeakValueDictionary()


def wrap_container(value: Any) -> Any:
    """Returns the tracked form of a plain list, dict or tuple; any other value unchanged.

    Items that are plain containers are wrapped too, at any depth. The plain container gets the
    tracked forms of its items, so that changes to them through the old name are noticed.
    """
    return _Wrapping().wrap(value)


class _Wrapping:
    """One call: the containers seen so far, and those to fill (no recursion: nests may be deep)."""

    def __init__(self) -> None:
        # id -> the container, which keeps the id valid, and its form
        self._forms: dict[int, tuple[Any, Any]] = {}
        self._unfilled: list[tuple[Any, Any]] = []

    def wrap(self, value: Any) -> Any:
        form = self._form(value)
        while self._unfilled:
            plain, tracked = self._unfilled.pop()
            if isinstance(plain, list):
                self._fill_list(plain, tracked)
            else:
                self._fill_dict(plain, tracked)
            tracked._source = plain
            _wrapped[id(plain)] = tracked
        return form

    def _form(self, value: Any) -> Any:
        """Returns the form of a container; lists and dicts are filled later."""
        if id(value) in self._forms:
            return self._forms[id(value)][1]
        cls = type(value)
        if cls in _FORMS:
            known = _wrapped.get(id(value))
            if known is not None and known._source is value and known._is_as_given():
                return known
            form = _FORMS[cls]()
            self._forms[id(value)] = value, form
            self._unfilled.append((value, form))
            return form
        return self._tuple_form(value) if _is_plain_tuple(value) else value

    def _item(self, item: Any) -> Any:
        return item.value if isinstance(item, NoDependency) else self._form(item)

    def _fill_list(self, plain: list[Any], tracked: Any) -> None:
        untracked = [isinstance(item, NoDependency) for item in plain]
        for index, item in enumerate(plain):
            plain[index] = self._item(item)
        list.extend(tracked, plain)
        tracked._untracked = untracked if any(untracked) else None

    def _fill_dict(self, plain: dict[Any, Any], tracked: Any) -> None:
        base = dict if type(plain) is dict else OrderedDict
        for key, item in plain.items():
            plain[key] = self._item(item)
            base.__setitem__(tracked, key, plain[key])
            tracked._mark(key, isinstance(item, NoDependency))

    def _tuple_form(self, value: tuple[Any, ...]) -> Any:
        """Returns the form of a tuple. It cannot be filled later, so inner tuples come first."""
        stack = [value]
        while stack:
            inner = [i for i in stack[-1] if _is_plain_tuple(i) and id(i) not in self._forms]
            if inner:
                stack += inner
                continue
            plain = stack.pop()
            if id(plain) not in self._forms:
                self._forms[id(plain)] = plain, self._tracked_tuple(plain)
        return self._forms[id(value)][1]

    def _tracked_tuple(self, value: tuple[Any, ...]) -> Any:
        """Returns the form of a tuple whose inner tuples have forms; `value` if it tracks none."""
        if not any(map(self._is_tracked, value)):
            return value
        tracked: Any = tuple.__new__(tracked_tuple_type(type(value)), map(self._item, value))
        tracked.__dict__.update(getattr(value, "__dict__", {}))
        untracked = [isinstance(item, NoDependency) for item in value]
        if any(untracked):
            tracked.__dict__["_untracked"] = untracked
        return tracked

    def _is_tracked(self, item: Any) -> bool:
        if _is_plain_tuple(item):
            return self._forms[id(item)][1] is not item
        return type(item) in _FORMS or type(item) is NoDependency or adapter_of(item) is not None


def _is_plain_tuple(item: Any) -> bool:
    return isinstance(item, tuple) and adapter_of(item) is None
