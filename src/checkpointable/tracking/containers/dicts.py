"""The dicts that track their items."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, SupportsIndex

from checkpointable.graph.registry import adapter_of
from checkpointable.graph.restore_notes import resolve_pending
from checkpointable.tracking.containers.base import (
    TrackedContainer,
    as_given,
    notes_of,
    unwrapped,
)

__all__ = ["Dict", "TrackedDict", "TrackedOrderedDict"]


class TrackedDict(TrackedContainer):
    """Tracks the items of a dict: a mixin for dict types."""

    # The keys of untracked items; None if there is none.
    _untracked: set[Any] | None = None

    def _is_tracked(self, key: Any, item: Any) -> bool:
        return adapter_of(item) is not None and not (self._untracked and key in self._untracked)

    def _tracked_items(self: Any) -> Iterator[tuple[str, Any]]:
        if not self._is_as_given():
            raise ValueError(
                "the dict was changed through its old name (the plain dict that was assigned) and "
                f"now differs from the tracked one: {len(self._source)} items there, {len(self)} "
                "here. Change it through the attribute, or assign it with NoDependency"
            )
        for key, item in self.items():
            if self._is_tracked(key, item):
                if not isinstance(key, str):
                    raise ValueError(
                        f"the dict maps the key {key!r}, which is not a string, to a "
                        f"{type(item).__name__} that would be tracked; a checkpoint names items "
                        "by string keys. Use strings, or wrap the item in NoDependency"
                    )
                yield key, item

    def _is_as_given(self: Any) -> bool:
        source = self._source
        return source is None or (
            len(source) == len(self)
            and all(key in source and source[key] is value for key, value in self.items())
        )

    def _child(self: Any, local_name: str) -> Any | None:
        item = self.get(local_name)
        return item if item is not None and self._is_tracked(local_name, item) else None

    def _set(self: Any, key: Any, value: Any) -> None:
        value, untracked = unwrapped(value)
        super().__setitem__(key, value)  # type: ignore[misc]
        self._mark(key, untracked)
        if self._source is not None:
            self._source[key] = value
        notes = notes_of(self)
        if notes.pending and isinstance(key, str) and self._is_tracked(key, value):
            resolve_pending(notes, key, value)

    def _mark(self, key: Any, untracked: bool) -> None:
        if untracked:
            self._untracked = {*(self._untracked or ()), key}
        elif self._untracked:
            self._untracked.discard(key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._set(key, value)

    def __delitem__(self: Any, key: Any) -> None:
        super().__delitem__(key)  # type: ignore[misc]
        self._mark(key, False)
        if self._source is not None:
            self._source.pop(key, None)

    def update(self: Any, *arguments: Any, **keywords: Any) -> None:
        """Like `dict.update`; tracks and restores the items."""
        for key, value in dict(*arguments, **keywords).items():
            self._set(key, value)

    def __ior__(self: Any, other: Any) -> Any:
        self.update(other)
        return self

    def setdefault(self: Any, key: Any, default: Any = None) -> Any:
        """Like `dict.setdefault`."""
        if key not in self:
            self._set(key, default)
        return self[key]

    def pop(self: Any, key: Any, *default: Any) -> Any:
        """Like `dict.pop`."""
        if key not in self and default:
            return default[0]
        value = self[key]
        del self[key]
        return value

    def popitem(self: Any, last: bool = True) -> tuple[Any, Any]:
        """Like `dict.popitem` (`last` as in `OrderedDict.popitem`)."""
        if not self:
            raise KeyError("popitem(): the dict is empty")
        key = next(reversed(self)) if last else next(iter(self))
        return key, self.pop(key)

    def clear(self: Any) -> None:
        """Like `dict.clear`."""
        for key in list(self):
            del self[key]

    def __reduce_ex__(self: Any, protocol: SupportsIndex) -> Any:
        untracked = None if not self._untracked else [key in self._untracked for key in self]
        items = zip(self, as_given(self.values(), untracked), strict=True)
        return type(self), (), None, None, items


class Dict(TrackedDict, dict[Any, Any]):
    """A dict that tracks its items under their string keys (S3).

    Assigning a plain dict to an attribute of a Checkpointable makes one. An item under another
    key must not be checkpointable.

    Args:
      arguments, keywords: The items, as for `dict`.

    Example:
        net.heads = {"class": Layer(), "box": Layer()}   # net.heads is a cp.Dict
        net.heads["mask"] = Layer()   # is tracked, and restored if a restore waits for it
    """

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        dict.__init__(self)
        self.update(*arguments, **keywords)

    def copy(self) -> dict[Any, Any]:
        """Returns a plain dict of the same items."""
        return dict(self)


class TrackedOrderedDict(TrackedDict, OrderedDict[Any, Any]):
    """The tracked form of an `OrderedDict`."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        OrderedDict.__init__(self)
        self.update(*arguments, **keywords)

    def copy(self) -> Any:
        """Returns a plain OrderedDict of the same items."""
        return OrderedDict(self)
