"""Kinds of objects in state beyond JSON and Python's containers.

NumPy's arrays are registered here; a framework's adapter registers those of the framework.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from checkpointable.graph.value import ReadValue, ValueSpec

__all__ = [
    "FACTORIES",
    "ArrayKind",
    "announce_kinds",
    "array_kind_of_tag",
    "array_kinds",
    "load_kind",
    "plain_builder_of_tag",
    "plain_kinds",
    "register_array_kind",
    "register_plain_kind",
]


class ArrayKind(NamedTuple):
    """A type of arrays that state may hold.

    Attributes:
      tag: The tag of the kind in JSON, "!" included.
      value: Makes the value that a save reads.
      build: Takes an array that it may keep, and the result of `detail`; returns the object.
      detail: Returns further data that a restore needs (a device), or None.
    """

    tag: str
    value: Callable[[Any], ValueSpec]
    build: Callable[[np.ndarray[Any, np.dtype[Any]], str | None], Any]
    detail: Callable[[Any], str | None] = lambda _: None


array_kinds: list[tuple[type, ArrayKind]] = []
array_kind_of_tag: dict[str, ArrayKind] = {}
plain_kinds: dict[type, tuple[str, Callable[[Any], Any]]] = {}  # -> tag, function to JSON
plain_builder_of_tag: dict[str, Callable[[Any], Any]] = {}


def register_array_kind(cls: type, kind: ArrayKind) -> None:
    """Lets state hold arrays of this class, its subclasses included."""
    array_kinds.append((cls, kind))
    array_kind_of_tag[kind.tag] = kind


def register_plain_kind(
    cls: type, tag: str, to_json: Callable[[Any], Any], build: Callable[[Any], Any]
) -> None:
    """Lets state hold objects of exactly this class, encoded as JSON.

    Args:
      cls: The class.
      tag: The tag of the kind in JSON, "!" included.
      to_json: Takes an object and returns JSON.
      build: Takes that JSON and returns the object.
    """
    plain_kinds[cls] = tag, to_json
    plain_builder_of_tag[tag] = build


_announced: dict[str, Callable[[], object]] = {}


def announce_kinds(tags: Iterable[str], load: Callable[[], object]) -> None:
    """Announces kinds of a framework that the program may not have used yet.

    Args:
      tags: The tags of the kinds in JSON, "!" included.
      load: Registers the kinds; raises ImportError if the framework is not installed.
    """
    _announced.update(dict.fromkeys(tags, load))


def load_kind(tag: str) -> None:
    """Registers an announced kind; does nothing for any other.

    Raises:
      ImportError: The framework is not installed.
    """
    if tag in _announced:
        _announced[tag]()


def _numpy_value(item: Any) -> ReadValue:
    array = np.asarray(item)
    return ReadValue(array.dtype, array.shape, lambda: array)


register_array_kind(np.ndarray, ArrayKind("!ndarray", _numpy_value, lambda array, _: array))
register_array_kind(np.generic, ArrayKind("!numpy", _numpy_value, lambda array, _: array[()]))


# Factories of a `defaultdict` that can be stored by name.
FACTORIES = {cls.__name__: cls for cls in (int, float, bool, str, list, dict, set, tuple)}
