"""Encodes state as JSON and separate arrays."""

from __future__ import annotations

import base64
import json
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, NamedTuple

from checkpointable.adapters.state.kinds import FACTORIES, ArrayKind, array_kinds, plain_kinds
from checkpointable.graph.paths import path_of
from checkpointable.graph.registry import adapter_of
from checkpointable.graph.value import ValueSpec

__all__ = ["Encoded", "encode"]

_DEEPEST = 200  # levels; the JSON reader of Python recurses, and needs the stack


class Encoded(NamedTuple):
    """Encoded state: the JSON, and the arrays by name."""

    text: str
    arrays: dict[str, ValueSpec]


def encode(state: Any) -> Encoded:
    """Encodes state.

    Raises:
      ValueError: something in it cannot be encoded; the message begins with its place.
    """
    encoder = _Encoder()
    tree = encoder.encode(state, ())
    try:
        # Escaped to ASCII, so that every str is restored, even with lone surrogates.
        text = json.dumps(tree, separators=(",", ":"))
    except ValueError as error:  # an int beyond Python's limit on digits
        raise ValueError(f"the state cannot be written as JSON: {error}") from None
    return Encoded(text, encoder.arrays)


class _Encoder:
    def __init__(self) -> None:
        self.arrays: dict[str, ValueSpec] = {}
        self._names: dict[int, tuple[Any, str]] = {}  # refers to the object, because ids are reused
        self._inside: set[int] = set()

    def encode(self, item: Any, path: tuple[Any, ...]) -> Any:
        kind = type(item)
        if item is None or kind in (bool, int, float, str):
            return item
        encode = _CONTAINERS.get(kind)
        if encode is not None:
            if id(item) in self._inside or len(self._inside) >= _DEEPEST:
                what = "contains itself" if id(item) in self._inside else "is nested too deep"
                raise ValueError(f"{_shown(path)} {what}")
            self._inside.add(id(item))
            try:
                return encode(self, item, path)
            finally:
                self._inside.remove(id(item))
        if kind is complex:
            return {"!complex": [item.real, item.imag]}
        if kind is bytes:
            return {"!bytes": base64.b64encode(item).decode()}
        if kind is defaultdict:
            return {"!defaultdict": [_factory_name(item, path), self.pairs(item, path)]}
        adapter_of(item)  # the kinds of a framework are registered when its adapter is loaded
        if kind in plain_kinds:
            tag, to_json = plain_kinds[kind]
            return {tag: to_json(item)}
        for cls, array_kind in array_kinds:
            if isinstance(item, cls):
                return self._array(item, array_kind, path)
        raise ValueError(
            f"{_shown(path)} is a {kind.__module__}.{kind.__qualname__}, which cannot be saved "
            "without pickle. State is made of None, bool, numbers, str, bytes, lists, tuples, "
            f"sets, dicts, Counters, arrays and tensors{_hint(item)}"
        )

    def _array(self, item: Any, kind: ArrayKind, path: tuple[Any, ...]) -> Any:
        if id(item) in self._names:
            name = self._names[id(item)][1]
        else:
            try:
                value = kind.value(item)
            except (TypeError, NotImplementedError) as error:
                raise ValueError(f"{_shown(path)}: {error}") from error
            if value.dtype.hasobject:
                raise ValueError(f"{_shown(path)} is an array of Python objects")
            name = path_of(map(str, path)) or "contents"
            while name in self.arrays:  # the keys 1 and "1" differ
                name += "'"
            self._names[id(item)] = (item, name)
            self.arrays[name] = value
        detail = kind.detail(item)
        return {kind.tag: name if detail is None else [name, detail]}

    def items(self, items: Any, path: tuple[Any, ...]) -> list[Any]:
        return [self.encode(item, (*path, index)) for index, item in enumerate(items)]

    def pairs(self, mapping: Mapping[Any, Any], path: tuple[Any, ...]) -> list[Any]:
        return [
            [self.encode(key, (*path, key)), self.encode(item, (*path, key))]
            for key, item in mapping.items()
        ]

    def plain_dict(self, item: dict[Any, Any], path: tuple[Any, ...]) -> Any:
        if all(type(key) is str and not key.startswith("!") for key in item):
            return {key: self.encode(inner, (*path, key)) for key, inner in item.items()}
        return {"!dict": self.pairs(item, path)}

    def ordered_dict(self, item: Any, path: tuple[Any, ...]) -> Any:
        pairs = self.pairs(item, path)
        # PyTorch keeps the versions of modules in an attribute of a state dict, `_metadata`.
        attributes = vars(item)
        if not attributes:
            return {"!OrderedDict": pairs}
        return {"!OrderedDict+": [pairs, self.plain_dict(attributes, path)]}

    def unordered(self, item: Any, path: tuple[Any, ...]) -> list[Any]:
        # Sorted, because the order of a set differs between processes, and the same state must
        # give the same bytes.
        return sorted(self.items(item, path), key=json.dumps)


def _shown(path: tuple[Any, ...]) -> str:
    """Returns a path in the state as messages show it: `its state.groups[2].name`."""
    steps = [
        f".{step}" if isinstance(step, str) and step.isidentifier() else f"[{step!r:.80}]"
        for step in path
    ]
    return f"its state{''.join(steps)}"


def _hint(item: Any) -> str:
    """Returns advice for messages on how to save the item."""
    if isinstance(item, Enum):
        return f"; save its value, {item.value!r:.40}"
    return next((f"; {way}" for kind in type(item).__mro__ if (way := _WAYS.get(_name(kind)))), "")


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


# How to save objects that people try to save as state, by the full name of their class.
_WAYS = {
    "torch._C.Generator": "use cp.torch.RandomState(generator)",
    "numpy.random._generator.Generator": "use cp.NumpyRandomState(generator)",
    "numpy.random.mtrand.RandomState": "use cp.NumpyRandomState(random_state)",
    "random.Random": "use cp.RandomState(generator)",
    "torch.utils.data.dataloader.DataLoader": "use the StatefulDataLoader of torchdata, which "
    "has a state_dict",
}


def _factory_name(item: Any, path: tuple[Any, ...]) -> str | None:
    factory = item.default_factory
    if factory is None:
        return None
    name = getattr(factory, "__name__", "")
    if FACTORIES.get(name) is not factory:
        raise ValueError(
            f"{_shown(path)} is a defaultdict of {factory!r:.80}, which cannot be saved without "
            f"pickle: one of {', '.join(FACTORIES)} can, or a dict"
        )
    return str(name)


_CONTAINERS: dict[type, Callable[[_Encoder, Any, tuple[Any, ...]], Any]] = {
    list: _Encoder.items,
    dict: _Encoder.plain_dict,
    tuple: lambda encoder, item, path: {"!tuple": encoder.items(item, path)},
    OrderedDict: _Encoder.ordered_dict,
    Counter: lambda encoder, item, path: {"!Counter": encoder.pairs(item, path)},
    set: lambda encoder, item, path: {"!set": encoder.unordered(item, path)},
    frozenset: lambda encoder, item, path: {"!frozenset": encoder.unordered(item, path)},
    deque: lambda encoder, item, path: {"!deque": [item.maxlen, encoder.items(item, path)]},
}
