"""State of Python as JSON with arrays beside it: what a `state_dict()` is made of. No pickle.

None, bools, numbers, strings, lists and dicts with string keys are what they are in JSON.
What JSON does not know is an object with one key that begins with "!":

    {"!tuple": […]}  {"!set": […]}  {"!frozenset": […]}  {"!deque": [maxlen, […]]}
    {"!dict": [[key, value], …]}  {"!OrderedDict": …}  {"!Counter": …}
    {"!defaultdict": ["int", [[key, value], …]]}
    {"!complex": [real, imaginary]}  {"!bytes": "<base64>"}
    {"!ndarray": name}  {"!numpy": name}  {"!tensor": name}  arrays, stored under that name
    {"!dtype": "float16"}  {"!device": "cpu"}  {"!Size": […]}  PyTorch's

So everything comes back as the type that it was. Any other type is an error that says where.
"""

from __future__ import annotations

import base64
import json
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping
from enum import Enum
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from checkpointable.adapters.registry import adapter_of
from checkpointable.errors import (
    CheckpointCorruptError,
    CheckpointError,
    CheckpointUnsupportedError,
)
from checkpointable.graph.paths import escape
from checkpointable.graph.value import Value

__all__ = [
    "ArrayKind",
    "Encoded",
    "decode",
    "encode",
    "register_array_kind",
    "register_plain_kind",
]

_DEEPEST = 200  # levels; Python's reader of JSON recurses, and the stack has to hold it


class ArrayKind(NamedTuple):
    """A type of arrays that state may hold.

    Attributes:
      tag: names it in JSON, "!" included.
      value: a `Value` of it, for a save.
      build: makes it of an array that it may keep, for a restore; and of what `detail` gave.
      detail: what else is to be known of it (a device), or None.
    """

    tag: str
    value: Callable[[Any], Value]
    build: Callable[[np.ndarray[Any, np.dtype[Any]], str | None], Any]
    detail: Callable[[Any], str | None] = lambda _: None


class Encoded(NamedTuple):
    """State, encoded: JSON, and the arrays by name."""

    text: str
    arrays: dict[str, Value]


_kinds: list[tuple[type, ArrayKind]] = []
_by_tag: dict[str, ArrayKind] = {}


def register_array_kind(cls: type, kind: ArrayKind) -> None:
    """Lets state hold arrays of this class, its subclasses included."""
    _kinds.append((cls, kind))
    _by_tag[kind.tag] = kind


def register_plain_kind(
    cls: type, tag: str, to_json: Callable[[Any], Any], build: Callable[[Any], Any]
) -> None:
    """Lets state hold objects of exactly this class, which JSON says all of.

    Args:
      tag: names it in JSON, "!" included.
      to_json, build: make JSON of one, and one of JSON.
    """
    _plain[cls] = tag, to_json
    _BUILD[tag] = lambda _, item: build(item)


_plain: dict[type, tuple[str, Callable[[Any], Any]]] = {}


def _numpy_value(array: Any) -> Value:
    found = np.asarray(array)
    return Value(found.dtype, found.shape, lambda: found, _refuse)


def _refuse(_: Any) -> None:
    raise TypeError("the arrays of a state are not assigned one by one")


register_array_kind(np.ndarray, ArrayKind("!ndarray", _numpy_value, lambda array, _: array))
register_array_kind(np.generic, ArrayKind("!numpy", _numpy_value, lambda array, _: array[()]))


def encode(state: Any) -> Encoded:
    """Encodes state.

    Raises:
      ValueError: something in it cannot be encoded; the message begins with its place.
    """
    encoder = _Encoder()
    tree = encoder.encode(state, ())
    try:
        # Escaped to ASCII, so that every str comes back, lone surrogates too.
        text = json.dumps(tree, separators=(",", ":"))
    except ValueError as error:  # an int beyond Python's limit on digits
        raise ValueError(f"the state cannot be written as JSON: {error}") from None
    return Encoded(text, encoder.arrays)


class _Encoder:
    def __init__(self) -> None:
        self.arrays: dict[str, Value] = {}
        self._names: dict[int, tuple[Any, str]] = {}  # the object is held: ids are reused
        self._inside: set[int] = set()

    def encode(self, item: Any, path: tuple[Any, ...]) -> Any:
        kind = type(item)
        if item is None or kind in (bool, int, float, str):
            return item
        encode = _CONTAINERS.get(kind)
        if encode is not None:
            if id(item) in self._inside or len(self._inside) >= _DEEPEST:
                what = "contains itself" if id(item) in self._inside else "is nested too deep"
                raise ValueError(f"{_place(path)} {what}")
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
        adapter_of(item)  # a framework's own kinds are registered when its adapter is loaded
        if kind in _plain:
            tag, to_json = _plain[kind]
            return {tag: to_json(item)}
        for cls, array_kind in _kinds:
            if isinstance(item, cls):
                return self._array(item, array_kind, path)
        raise ValueError(
            f"{_place(path)} is a {kind.__module__}.{kind.__qualname__}, which cannot be saved "
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
                raise ValueError(f"{_place(path)}: {error}") from error
            if value.dtype.hasobject:
                raise ValueError(f"{_place(path)} is an array of Python objects")
            name = "/".join(escape(str(step)) for step in path) or "contents"
            while name in self.arrays:  # the keys 1 and "1" are two
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

    def unordered(self, item: Any, path: tuple[Any, ...]) -> list[Any]:
        # The order of a set is another one in every process: the same state, the same bytes.
        return sorted(self.items(item, path), key=json.dumps)


def _place(path: tuple[Any, ...]) -> str:
    """How a message names a place in the state: `.groups[2].name`."""
    steps = [
        f".{step}" if isinstance(step, str) and step.isidentifier() else f"[{step!r:.80}]"
        for step in path
    ]
    return f"its state{''.join(steps)}"


def _hint(item: Any) -> str:
    """What to save instead."""
    return f"; save its value, {item.value!r:.40}" if isinstance(item, Enum) else ""


# What a `defaultdict` makes its values of, where that is no code of the program.
_FACTORIES = {cls.__name__: cls for cls in (int, float, bool, str, list, dict, set, tuple)}


def _factory_name(item: Any, path: tuple[Any, ...]) -> str | None:
    factory = item.default_factory
    if factory is None:
        return None
    name = getattr(factory, "__name__", "")
    if _FACTORIES.get(name) is not factory:
        raise ValueError(
            f"{_place(path)} is a defaultdict of {factory!r:.80}, which cannot be saved without "
            f"pickle: one of {', '.join(_FACTORIES)} can, or a dict"
        )
    return str(name)


def _factory(name: str | None) -> type | None:
    if name is not None and name not in _FACTORIES:
        raise ValueError(f"a defaultdict of {name!r:.80}")
    return None if name is None else _FACTORIES[name]


_CONTAINERS: dict[type, Callable[[_Encoder, Any, tuple[Any, ...]], Any]] = {
    list: _Encoder.items,
    dict: _Encoder.plain_dict,
    tuple: lambda encoder, item, path: {"!tuple": encoder.items(item, path)},
    OrderedDict: lambda encoder, item, path: {"!OrderedDict": encoder.pairs(item, path)},
    Counter: lambda encoder, item, path: {"!Counter": encoder.pairs(item, path)},
    set: lambda encoder, item, path: {"!set": encoder.unordered(item, path)},
    frozenset: lambda encoder, item, path: {"!frozenset": encoder.unordered(item, path)},
    deque: lambda encoder, item, path: {"!deque": [item.maxlen, encoder.items(item, path)]},
}


def decode(text: bytes, arrays: Mapping[str, Any] | None) -> Any:
    """The state that `encode` encoded.

    Args:
      text: the JSON.
      arrays: the arrays by name, which the state may keep. None: only whether the JSON is that
        of a state is found out, and None stands for each array.

    Raises:
      CheckpointCorruptError: it is not what `encode` writes.
    """
    try:
        tree = json.loads(text)
        return _Decoder(arrays).decode(tree)
    except CheckpointError:
        raise
    except (ValueError, TypeError, RecursionError) as error:
        raise CheckpointCorruptError(f"the state cannot be decoded: {error}") from None


# Where the kinds of a framework are registered that the program may not have used yet.
_FRAMEWORKS = dict.fromkeys(
    ("!tensor", "!dtype", "!device", "!Size"), "checkpointable.adapters.torch.find"
)


def _load(tag: str) -> bool:
    """Loads the framework of a kind of arrays; False if there is no such kind."""
    if tag not in _FRAMEWORKS:
        return False
    try:
        import_module(_FRAMEWORKS[tag])
    except ImportError as error:
        raise CheckpointUnsupportedError(
            f"the state holds something of the kind {tag!r}, whose framework is missing: {error}"
        ) from None
    return tag in _by_tag


class _Decoder:
    def __init__(self, arrays: Mapping[str, Any] | None) -> None:
        self._arrays = arrays
        self._built: dict[str, Any] = {}

    def decode(self, tree: Any) -> Any:
        if isinstance(tree, list):
            return [self.decode(item) for item in tree]
        if not isinstance(tree, dict):
            return tree
        if len(tree) != 1:
            return {key: self.decode(item) for key, item in tree.items()}
        ((tag, item),) = tree.items()
        if not tag.startswith("!"):
            return {tag: self.decode(item)}
        if tag in _by_tag or _load(tag):
            return self._array(tag, item)
        build = _BUILD.get(tag)
        if build is None:
            raise CheckpointCorruptError(
                f"the state has an item of a kind {tag!r:.80} that this version does not know"
            )
        return build(self, item)

    def _array(self, tag: str, item: Any) -> Any:
        if self._arrays is None:
            return None
        name, detail = (item, None) if isinstance(item, str) else item
        if name not in self._built:
            if name not in self._arrays:
                raise CheckpointCorruptError(
                    f"the state names an array {name!r:.80} that is missing"
                )
            self._built[name] = _by_tag[tag].build(self._arrays[name], detail)
        return self._built[name]

    def pairs(self, items: Any) -> list[tuple[Any, Any]]:
        return [(self.decode(key), self.decode(item)) for key, item in items]


_BUILD: dict[str, Callable[[_Decoder, Any], Any]] = {
    "!dict": lambda decoder, item: dict(decoder.pairs(item)),
    "!tuple": lambda decoder, item: tuple(decoder.decode(item)),
    "!OrderedDict": lambda decoder, item: OrderedDict(decoder.pairs(item)),
    "!Counter": lambda decoder, item: Counter(dict(decoder.pairs(item))),
    "!set": lambda decoder, item: set(decoder.decode(item)),
    "!frozenset": lambda decoder, item: frozenset(decoder.decode(item)),
    "!deque": lambda decoder, item: deque(decoder.decode(item[1]), item[0]),
    "!defaultdict": lambda decoder, item: defaultdict(_factory(item[0]), decoder.pairs(item[1])),
    "!complex": lambda _, item: complex(*item),
    "!bytes": lambda _, item: base64.b64decode(item, validate=True),
}
