"""Lists, dicts and tuples that track their items (S3).

A plain container assigned to an attribute is replaced by its tracked form, which still is a
`list`, `dict` or `tuple` for everybody else: for `isinstance`, equality, iteration, `copy`,
`pickle`, JSON. It may be changed freely and is saved as it stands.

The tracked form keeps the plain container it was made of and passes its own changes on to it,
so the two differ only if somebody changes the plain one through its old name. Such items would
silently be missing from the checkpoint, so a save refuses then.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeVar

from checkpointable.adapters.registry import adapter_of
from checkpointable.graph.adapter import ObjectRecord, resolve_pending
from checkpointable.tracking.base import NoDependency

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Dict", "List", "TrackedContainer", "TrackedTuple", "wrap_container"]

_T = TypeVar("_T")


class TrackedContainer:
    """What the tracked containers share: a record, a source, items left out by wish."""

    # No __init__ sets these: a list may be unpickled or copied without one.
    _record: ObjectRecord
    _source: Any = None
    _untracked: dict[int, Any]

    def _tracked_items(self) -> Iterator[tuple[str, Any]]:
        """Local name and item of every dependency, in order."""
        raise NotImplementedError

    def _track_item(self, item: Any) -> Any:
        """The form in which `item` is stored."""
        if isinstance(item, NoDependency):
            # By identity, and held: an id is only good while its object lives.
            self._untracked_items()[id(item.value)] = item.value
            return item.value
        return wrap_container(item)

    def _untracked_items(self) -> dict[int, Any]:
        return self.__dict__.setdefault("_untracked", {})  # type: ignore[no-any-return]

    def _is_tracked(self, item: Any) -> bool:
        if adapter_of(item) is None:
            return False
        untracked = self.__dict__.get("_untracked")
        return not untracked or id(item) not in untracked

    def _as_given(self, item: Any) -> Any:
        """`item` as it would have to be given to make a copy that treats it alike."""
        untracked = self.__dict__.get("_untracked")
        return NoDependency(item) if untracked and id(item) in untracked else item

    def _restore_arrivals(self) -> None:
        """Restores what restores wait for and is there by now (S21)."""
        record = record_of(self)
        if record.pending:
            present = dict(self._tracked_items())
            for local_name in [name for name in record.pending if name in present]:
                resolve_pending(record, local_name, present[local_name])


def record_of(container: TrackedContainer) -> ObjectRecord:
    """The record of a tracked container, made when first asked for."""
    record: ObjectRecord | None = container.__dict__.get("_record")
    if record is None:
        record = container.__dict__["_record"] = ObjectRecord(container)
    return record


class List(TrackedContainer, list[_T]):
    """A list that tracks its items under "0", "1", … (S3).

    Assigning a plain list to an attribute of a Checkpointable makes one. Items appended or
    set later are tracked, and restored if a restore waits for them, when they arrive.
    """

    def __init__(self, items: Iterable[_T] = ()) -> None:
        list.__init__(self, [self._track_item(item) for item in items])

    def _tracked_items(self) -> Iterator[tuple[str, Any]]:
        source = self._source
        if source is not None and not _same_items(source, self):
            raise ValueError(
                "the list was changed through its old name (the plain list that was assigned) "
                f"and now differs from the tracked one: {len(source)} items there, {len(self)} "
                "here. Change it through the attribute, or assign it with NoDependency"
            )
        for index, item in enumerate(self):
            if self._is_tracked(item):
                yield str(index), item

    def _child(self, local_name: str) -> Any | None:
        if not local_name.isdecimal() or (local_name[0] == "0" and local_name != "0"):
            return None
        index = int(local_name) if len(local_name) < 20 else len(self)
        if index >= len(self):
            return None
        item = self[index]
        return item if self._is_tracked(item) else None

    def append(self, item: _T) -> None:
        """As `list.append`; tracks and restores `item`."""
        item = self._track_item(item)
        super().append(item)
        if self._source is not None:
            self._source.append(item)
        record = record_of(self)
        if record.pending and self._is_tracked(item):
            resolve_pending(record, str(len(self) - 1), item)

    def extend(self, items: Iterable[_T]) -> None:
        """As `list.extend`; tracks and restores the items."""
        for item in list(items):
            self.append(item)

    def __iadd__(self, items: Iterable[_T]) -> List[_T]:  # type: ignore[override,misc]
        self.extend(items)
        return self

    def _change(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        in_step = self._source is not None and _same_items(self._source, self)
        result = getattr(list, method)(self, *arguments, **keywords)
        if in_step:
            self._source[:] = self
        self._restore_arrivals_if_consistent(in_step)
        return result

    def _restore_arrivals_if_consistent(self, in_step: bool) -> None:
        # Where the plain list has been changed meanwhile, the save will say so; a mutation
        # of the tracked one is no place for that error.
        if self._source is None or in_step:
            self._restore_arrivals()

    def insert(self, index: SupportsIndex, item: _T) -> None:
        """As `list.insert`; items behind it get new numbers."""
        self._change("insert", index, self._track_item(item))

    def pop(self, index: SupportsIndex = -1) -> _T:
        """As `list.pop`."""
        result: _T = self._change("pop", index)
        return result

    def remove(self, item: _T) -> None:
        """As `list.remove`."""
        self._change("remove", item)

    def clear(self) -> None:
        """As `list.clear`."""
        self._change("clear")

    def reverse(self) -> None:
        """As `list.reverse`."""
        self._change("reverse")

    def sort(self, *, key: Any = None, reverse: bool = False) -> None:
        """As `list.sort`."""
        self._change("sort", key=key, reverse=reverse)

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(index, slice):
            value = [self._track_item(item) for item in value]
        else:
            value = self._track_item(value)
        self._change("__setitem__", index, value)

    def __delitem__(self, index: Any) -> None:
        self._change("__delitem__", index)

    def __imul__(self, count: SupportsIndex) -> List[_T]:
        self._change("__imul__", count)
        return self

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        # By items alone: the copy is nobody's tracked form, and may contain itself.
        return type(self), (), None, map(self._as_given, self)


class _DictMixin(TrackedContainer):
    """What tracked dicts do beyond the dict type that they extend."""

    def _tracked_items(self: Any) -> Iterator[tuple[str, Any]]:
        source = self._source
        if source is not None and not (
            len(source) == len(self)
            and all(key in source and source[key] is value for key, value in self.items())
        ):
            raise ValueError(
                "the dict was changed through its old name (the plain dict that was assigned) "
                f"and now differs from the tracked one: {len(source)} items there, {len(self)} "
                "here. Change it through the attribute, or assign it with NoDependency"
            )
        for key, item in self.items():
            if self._is_tracked(item):
                if not isinstance(key, str):
                    raise ValueError(
                        f"the dict maps the key {key!r}, which is no string, to a "
                        f"{type(item).__name__} that would be tracked; a checkpoint names items "
                        "by string keys. Use strings, or wrap the item in NoDependency"
                    )
                yield key, item

    def _child(self: Any, local_name: str) -> Any | None:
        item = self.get(local_name)
        return item if item is not None and self._is_tracked(item) else None

    def _set(self: Any, key: Any, value: Any) -> None:
        value = self._track_item(value)
        super().__setitem__(key, value)  # type: ignore[misc]
        if self._source is not None:
            self._source[key] = value
        record = record_of(self)
        if record.pending and isinstance(key, str) and self._is_tracked(value):
            resolve_pending(record, key, value)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._set(key, value)

    def __delitem__(self: Any, key: Any) -> None:
        super().__delitem__(key)  # type: ignore[misc]
        if self._source is not None:
            self._source.pop(key, None)

    def update(self: Any, *arguments: Any, **keywords: Any) -> None:
        """As `dict.update`; tracks and restores the items."""
        for key, value in dict(*arguments, **keywords).items():
            self._set(key, value)

    def __ior__(self: Any, other: Any) -> Any:
        self.update(other)
        return self

    def setdefault(self: Any, key: Any, default: Any = None) -> Any:
        """As `dict.setdefault`."""
        if key not in self:
            self._set(key, default)
        return self[key]

    def pop(self: Any, key: Any, *default: Any) -> Any:
        """As `dict.pop`."""
        if key not in self and default:
            return default[0]
        value = self[key]
        del self[key]
        return value

    def popitem(self: Any, last: bool = True) -> tuple[Any, Any]:
        """As `dict.popitem` (`last` as in `OrderedDict.popitem`)."""
        if not self:
            raise KeyError("popitem(): the dict is empty")
        key = next(reversed(self)) if last else next(iter(self))
        return key, self.pop(key)

    def clear(self: Any) -> None:
        """As `dict.clear`."""
        for key in list(self):
            del self[key]

    def __reduce_ex__(self: Any, protocol: SupportsIndex) -> Any:
        items = ((key, self._as_given(item)) for key, item in self.items())
        return type(self), (), None, None, items


class Dict(_DictMixin, dict[Any, Any]):
    """A dict that tracks its items under their string keys (S3).

    Assigning a plain dict to an attribute of a Checkpointable makes one. Items with other
    keys may be anything that is not tracked.
    """

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        dict.__init__(self)
        self.update(*arguments, **keywords)

    def copy(self) -> dict[Any, Any]:
        """A plain dict of the same items."""
        return dict(self)


class _TrackedOrderedDict(_DictMixin, OrderedDict[Any, Any]):
    """The tracked form of an `OrderedDict`."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        OrderedDict.__init__(self)
        self.update(*arguments, **keywords)

    def copy(self) -> Any:
        """A plain OrderedDict of the same items."""
        return OrderedDict(self)


class TrackedTuple(TrackedContainer, tuple[Any, ...]):
    """The tracked form of a tuple that holds something to track."""

    def _tracked_items(self) -> Iterator[tuple[str, Any]]:
        fields: tuple[str, ...] = getattr(self, "_fields", ())
        names = [*zip(fields, self, strict=False), *((str(i), item) for i, item in enumerate(self))]
        # A named tuple's items go by field name first, and by number too, as in TensorFlow:
        # it can take the place of a dict or of a list.
        for name, item in names:
            if self._is_tracked(item):
                yield name, item

    def _child(self, local_name: str) -> Any | None:
        for name, item in self._tracked_items():
            if name == local_name:
                return item
        return None

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        return _rebuild_tuple, (_plain_type(type(self)), list(map(self._as_given, self)))


def _rebuild_tuple(cls: type, items: list[Any]) -> Any:
    return wrap_container(tuple.__new__(cls, items))


def _plain_type(cls: type) -> type:
    """The tuple type that a tracked one stands for."""
    return cls.__mro__[1] if cls is not TrackedTuple and TrackedTuple in cls.__bases__ else tuple


_tuple_types: dict[type, type] = {tuple: TrackedTuple}


def _tracked_tuple_type(cls: type) -> type:
    found = _tuple_types.get(cls)
    if found is None:
        # `cls` first: its fields, methods and repr stay as they are.
        found = type(cls.__name__, (cls, TrackedTuple), {"__module__": cls.__module__})
        found.__reduce_ex__ = TrackedTuple.__reduce_ex__  # type: ignore[assignment,method-assign]
        _tuple_types[cls] = found
    return found


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
        form = _TrackedOrderedDict
    elif isinstance(value, tuple) and not isinstance(value, TrackedTuple):
        return _wrap_tuple(value, _wrapping)
    else:
        return value
    wrapping = {} if _wrapping is None else _wrapping
    if id(value) in wrapping:  # a container that contains itself
        return wrapping[id(value)]
    tracked = wrapping[id(value)] = form()
    if form is List:
        for index, item in enumerate(value):
            value[index] = _wrap_item(tracked, item, wrapping)
        list.extend(tracked, value)
    else:
        for key, item in value.items():
            value[key] = _wrap_item(tracked, item, wrapping)
        base = dict if form is Dict else OrderedDict
        for key, item in value.items():
            base.__setitem__(tracked, key, item)
    tracked._source = value
    return tracked


def _wrap_item(owner: TrackedContainer, item: Any, wrapping: dict[int, Any]) -> Any:
    if isinstance(item, NoDependency):
        return owner._track_item(item)
    return wrap_container(item, wrapping)


def _wrap_tuple(value: tuple[Any, ...], wrapping: dict[int, Any] | None) -> Any:
    if not _holds_tracked(value):
        return value
    cls = _tracked_tuple_type(type(value))
    untracked: dict[int, Any] = {}
    items = []
    for item in value:
        if isinstance(item, NoDependency):
            untracked[id(item.value)] = item.value
            items.append(item.value)
        else:
            items.append(wrap_container(item, wrapping))
    tracked: Any = tuple.__new__(cls, items)
    if untracked:
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


def _same_items(source: list[Any], tracked: list[Any]) -> bool:
    return len(source) == len(tracked) and all(a is b for a, b in zip(source, tracked, strict=True))
