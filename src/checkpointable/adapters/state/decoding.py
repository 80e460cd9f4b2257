"""Decodes state from the JSON and the arrays of `encoding.py`."""

from __future__ import annotations

import base64
import json
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping
from typing import Any

from checkpointable.adapters.state.kinds import (
    FACTORIES,
    array_kind_of_tag,
    load_kind,
    plain_builder_of_tag,
)
from checkpointable.errors import (
    CheckpointCorruptError,
    CheckpointError,
    CheckpointUnsupportedError,
)

__all__ = ["decode"]


def decode(text: bytes, arrays: Mapping[str, Any] | None) -> Any:
    """Returns the state that `encode` encoded.

    Args:
      text: The JSON.
      arrays: The arrays by name, which the state may keep. None checks the JSON only: the
        result has None instead of each array.

    Raises:
      CheckpointCorruptError: `encode` does not write such JSON, or an array is missing.
      CheckpointUnsupportedError: The framework of an item is not installed.
    """
    try:
        tree = json.loads(text)
        return _Decoder(arrays).decode(tree)
    except CheckpointError:
        raise
    except (ValueError, TypeError, RecursionError) as error:
        raise CheckpointCorruptError(f"the state cannot be decoded: {error}") from None


def _load(tag: str) -> bool:
    """Loads the framework of a tag; returns whether the tag is that of a kind of arrays."""
    try:
        load_kind(tag)
    except ImportError as error:
        raise CheckpointUnsupportedError(
            f"the state holds something of the kind {tag!r}, whose framework is missing: {error}"
        ) from None
    return tag in array_kind_of_tag


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
        if tag in array_kind_of_tag or _load(tag):
            return self._array(tag, item)
        if tag in plain_builder_of_tag:
            return plain_builder_of_tag[tag](item)
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
            self._built[name] = array_kind_of_tag[tag].build(self._arrays[name], detail)
        return self._built[name]

    def pairs(self, items: Any) -> list[tuple[Any, Any]]:
        return [(self.decode(key), self.decode(item)) for key, item in items]


_BUILD: dict[str, Callable[[_Decoder, Any], Any]] = {
    "!dict": lambda decoder, item: dict(decoder.pairs(item)),
    "!tuple": lambda decoder, item: tuple(decoder.decode(item)),
    "!OrderedDict": lambda decoder, item: OrderedDict(decoder.pairs(item)),
    "!OrderedDict+": lambda decoder, item: _ordered_dict(decoder, *item),
    "!Counter": lambda decoder, item: Counter(dict(decoder.pairs(item))),
    "!set": lambda decoder, item: set(decoder.decode(item)),
    "!frozenset": lambda decoder, item: frozenset(decoder.decode(item)),
    "!deque": lambda decoder, item: deque(decoder.decode(item[1]), item[0]),
    "!defaultdict": lambda decoder, item: defaultdict(_factory(item[0]), decoder.pairs(item[1])),
    "!complex": lambda _, item: complex(*item),
    "!bytes": lambda _, item: base64.b64decode(item, validate=True),
}


def _ordered_dict(decoder: _Decoder, pairs: Any, attributes: Any) -> OrderedDict[Any, Any]:
    built = OrderedDict(decoder.pairs(pairs))
    vars(built).update(decoder.decode(attributes))
    return built


def _factory(name: str | None) -> type | None:
    if name is not None and name not in FACTORIES:
        raise ValueError(f"a defaultdict of {name!r:.80}")
    return None if name is None else FACTORIES[name]
