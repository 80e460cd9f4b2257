"""The list that tracks its items."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from typing import Any, SupportsIndex, TypeVar

from checkpointable.graph.registry import adapter_of
from checkpointable.graph.restore_notes import resolve_pending
from checkpointable.tracking.containers.base import (
    TrackedContainer,
    as_given,
    notes_of,
    unwrapped,
)

__all__ = ["List"]

_T = TypeVar("_T")


class List(TrackedContainer, list[_T]):
    """A list that tracks its items under "0", "1", … (S3).

    Assigning a plain list to an attribute of a Checkpointable makes one. Items that are added
    or set later are tracked too, and restored if a restore waits for them.

    Args:
      items: The items, as for `list`.

    Example:
        net.layers = [Layer(), Layer()]   # net.layers is a cp.List
        net.layers.append(Layer())        # is tracked, and restored if a restore waits for it
    """

    # Whether each item is untracked; None if all are tracked.
    _untracked: list[bool] | None = None

    def __init__(self, items: Iterable[_T] = ()) -> None:
        list.__init__(self)
        self.extend(items)

    def _tracked_items(self) -> Iterator[tuple[str, Any]]:
        if not self._is_as_given():
            raise ValueError(
                "the list was changed through its old name (the plain list that was assigned) and "
                f"now differs from the tracked one{_first_difference(self._source, self)}. Change "
                "it through the attribute, or assign it with NoDependency"
            )
        if self._untracked is None:
            for index, item in enumerate(self):
                if adapter_of(item) is not None:
                    yield str(index), item
            return
        for index, item in enumerate(self):
            if self._is_tracked(index, item):
                yield str(index), item

    def _is_as_given(self) -> bool:
        return self._source is None or _same_items(self._source, self)

    def _is_tracked(self, index: int, item: Any) -> bool:
        return adapter_of(item) is not None and not (self._untracked and self._untracked[index])

    def _child(self, local_name: str) -> Any | None:
        if not local_name.isdecimal() or (local_name[0] == "0" and local_name != "0"):
            return None
        index = int(local_name) if len(local_name) < 20 else len(self)
        if index >= len(self):
            return None
        item = self[index]
        return item if self._is_tracked(index, item) else None

    def append(self, item: _T) -> None:
        """Like `list.append`; tracks and restores `item`."""
        stored, untracked = unwrapped(item)
        if untracked and self._untracked is None:
            self._untracked = [False] * len(self)
        super().append(stored)
        if self._untracked is not None:
            self._untracked.append(untracked)
        if self._source is not None:
            self._source.append(stored)
        notes = notes_of(self)
        if notes.pending and not untracked and adapter_of(stored) is not None:
            resolve_pending(notes, str(len(self) - 1), stored)

    def extend(self, items: Iterable[_T]) -> None:
        """Like `list.extend`; tracks and restores the items."""
        for item in list(items):
            self.append(item)

    def __iadd__(self, items: Iterable[_T]) -> List[_T]:  # type: ignore[override,misc]
        self.extend(items)
        return self

    def _change(self, method: str, *arguments: Any, untracked: Any = None) -> Any:
        """Calls a method of `list` on this list, its source, and the flags of untracked items.

        Args:
          method: The name of the method.
          arguments: Its arguments.
          untracked: If the last argument adds items: whether they are untracked.
        """
        if self._untracked is None and _any(untracked):
            self._untracked = [False] * len(self)
        source = self._source
        in_step = source is None or self._is_in_step(arguments)
        result = getattr(list, method)(self, *arguments)
        if self._untracked is not None:
            flags = arguments if untracked is None else (*arguments[:-1], untracked)
            getattr(list, method)(self._untracked, *flags)
        if source is not None and in_step:
            getattr(list, method)(source, *arguments)
        self._restore_arrivals()
        return result

    def _is_in_step(self, arguments: tuple[Any, ...]) -> bool:
        """Returns whether the same change may be applied to the source.

        If the source was changed through its old name, it must stay different, so that the save
        raises an error. For a change of one item, equal lengths suffice: differences in other
        items remain.
        """
        if arguments and not isinstance(arguments[0], slice):
            return len(self._source) == len(self)
        return _same_items(self._source, self)

    def insert(self, index: SupportsIndex, item: _T) -> None:
        """Like `list.insert`; later items get new numbers."""
        stored, untracked = unwrapped(item)
        self._change("insert", index, stored, untracked=untracked)

    def pop(self, index: SupportsIndex = -1) -> _T:
        """Like `list.pop`."""
        result: _T = self._change("pop", index)
        return result

    def remove(self, item: _T) -> None:
        """Like `list.remove`."""
        del self[self.index(item)]

    def clear(self) -> None:
        """Like `list.clear`."""
        self._change("clear")

    def reverse(self) -> None:
        """Like `list.reverse`."""
        self._change("reverse")

    def sort(self, *, key: Any = None, reverse: bool = False) -> None:
        """Like `list.sort`."""
        keys: Any = list(self) if key is None else list(map(key, self))
        order = sorted(range(len(self)), key=keys.__getitem__, reverse=reverse)
        untracked = self._untracked or [False] * len(self)
        self._change(
            "__setitem__",
            slice(None),
            [self[index] for index in order],
            untracked=[untracked[index] for index in order],
        )

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(index, slice):
            pairs = [unwrapped(item) for item in value]
            stored: Any = [item for item, _ in pairs]
            untracked: Any = [flag for _, flag in pairs]
        else:
            stored, untracked = unwrapped(value)
        self._change("__setitem__", index, stored, untracked=untracked)

    def __delitem__(self, index: Any) -> None:
        self._change("__delitem__", index)

    def __imul__(self, count: SupportsIndex) -> List[_T]:
        self._change("__imul__", count)
        return self

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        # By items only: the copy does not replace a plain list, and may contain itself.
        return type(self), (), None, as_given(self, self._untracked)


def _any(untracked: Any) -> bool:
    return any(untracked) if isinstance(untracked, list) else bool(untracked)


def _same_items(source: list[Any], tracked: list[Any]) -> bool:
    return len(source) == len(tracked) and all(map(operator.is_, source, tracked))


def _first_difference(source: list[Any], tracked: list[Any]) -> str:
    if len(source) != len(tracked):
        return f": {len(source)} items there, {len(tracked)} here"
    index = next(i for i, (a, b) in enumerate(zip(source, tracked, strict=True)) if a is not b)
    return f" at item {index}"
