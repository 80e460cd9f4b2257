"""JSONState: a dict of plain data, saved as JSON (S8)."""

from __future__ import annotations

import json
from collections import deque
from functools import partial
from operator import methodcaller
from typing import Any, NamedTuple

from checkpointable.errors import CheckpointCorruptError, CheckpointMismatchError
from checkpointable.tracking.python_state import PythonState

__all__ = ["GENERATOR_KEY", "JSONState", "decode_object", "encode_object"]

GENERATOR_KEY = "checkpointable/generator"
"""Marks the state of a random number generator among JSON objects."""

_LEAVES = frozenset((str, int, float, bool, type(None)))
_JSON_TYPES = (str, int, float, dict, list)  # a bool is an int
_call = methodcaller("__call__")


class JSONState(PythonState, dict[str, Any]):
    """A dict that is saved as JSON, with its contents at the time of the save.

    Values are None, bool, int, float (infinities and NaN included), str, and nested lists and
    string-keyed dicts of them. They are restored equal and of these types: a subclass becomes
    its base type. A restore replaces the contents and keeps the object.

    A save raises ValueError, with the path inside the state, for anything else: a tuple, an
    array, a key that is not a string, a container that contains itself, text with lone
    surrogates, an int beyond Python's limit on digits.

    Example:
        progress = cp.JSONState(epoch=0, best=float("inf"), files=[])
        checkpoint = cp.Checkpoint(progress=progress, net=net)
        progress["files"].append("a.txt")       # is in the next save
    """

    def serialize(self) -> bytes:
        """Returns the contents as JSON in UTF-8.

        Raises:
          ValueError: An item is not JSON; the message names its path.
        """
        if GENERATOR_KEY in self:
            raise ValueError(f"the key {GENERATOR_KEY!r} is reserved for random number generators")
        return encode_object(self)

    def deserialize(self, string_value: bytes) -> None:
        """Replaces the contents by those of a JSON object.

        Raises:
          CheckpointCorruptError: The stored state is not JSON. Nothing was changed.
          CheckpointMismatchError: It is not a JSON object, or the state of a random number
            generator.
        """
        contents = _decode_contents(string_value)
        # In one call: an interrupt between two calls could leave it empty.
        deque(map(_call, (self.clear, partial(self.update, contents))), maxlen=0)

    def _check_serialized(self, string_value: bytes) -> None:
        _decode_contents(string_value)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({dict.__repr__(self)})"


def _decode_contents(string_value: bytes) -> dict[str, Any]:
    contents = decode_object(string_value, "JSON state")
    if GENERATOR_KEY in contents:
        raise CheckpointMismatchError(
            f"the checkpoint has the state of a {contents[GENERATOR_KEY]!s:.80}, but the program "
            "has a JSONState"
        )
    return contents


def encode_object(contents: dict[str, Any]) -> bytes:
    """Returns `contents` as JSON in UTF-8.

    Raises:
      ValueError: An item is not JSON; the message names its path.
    """
    try:
        # Runs first, because it ends for every input, even one that contains itself.
        text = json.dumps(contents, ensure_ascii=False, separators=(",", ":"))
        # It accepts tuples and keys that are not strings, which would not be restored as such.
        if _is_json(contents):
            return text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        problem = _find_problem(contents) or f"it cannot be written as JSON: {error}"
    else:
        problem = _find_problem(contents) or "it cannot be written as JSON"
    raise ValueError(problem)


def decode_object(string_value: bytes, what: str) -> dict[str, Any]:
    """Returns the JSON object that `encode_object` wrote.

    Args:
      string_value: The JSON.
      what: Names the state in messages.

    Raises:
      CheckpointCorruptError: It is not JSON.
      CheckpointMismatchError: It is not a JSON object.
    """
    try:
        contents = json.loads(string_value.decode())
    except (ValueError, RecursionError) as error:
        raise CheckpointCorruptError(f"the {what} cannot be read as JSON: {error}") from None
    if not isinstance(contents, dict):
        raise CheckpointMismatchError(
            f"the {what} in the checkpoint is a {type(contents).__name__}, not a dict"
        )
    return contents


# The reader and writer of JSON in Python recurse, and the stack may be deeper at the restore than
# at the save: this leaves room for both.
_DEEPEST = 200


def _is_json(root: dict[str, Any]) -> bool:
    """Returns quickly whether everything is JSON; `json.dumps` has shown that it is finite."""
    level: list[Any] = [root]
    for _ in range(_DEEPEST):
        inner: list[Any] = []
        for container in level:
            if isinstance(container, dict):
                if not all(issubclass(kind, str) for kind in set(map(type, container))):
                    return False
                items: Any = container.values()
            else:
                items = container
            kinds = set(map(type, items)) - _LEAVES
            if not kinds:
                continue
            if not all(issubclass(kind, _JSON_TYPES) for kind in kinds):
                return False
            inner += [item for item in items if isinstance(item, (dict, list))]
        if not inner:
            return True
        level = inner
    return False


class _Item(NamedTuple):
    """An item in the state, its path, and the ids of the containers around it."""

    item: Any
    path: str
    inside: tuple[int, ...]


def _find_problem(root: dict[str, Any]) -> str | None:
    """Returns the first problem with its path, `layers[2].size: …`; None if there is none."""
    stack = [_Item(root, "", ())]
    while stack:
        item, path, inside = stack.pop()
        what = _problem(item)
        if what is None and id(item) in inside:
            what = "it contains itself"
        if what is None and len(inside) == _DEEPEST:
            what = f"it is nested more than {_DEEPEST} deep"
        if what is not None:
            return f"{path.removeprefix('.') or 'the state itself'}: {what}"
        around = (*inside, id(item))
        stack += [_Item(inner, path + step, around) for step, inner in _suspects(item)]
    return None


def _suspects(container: Any) -> list[tuple[str, Any]]:
    """Returns the containers and faulty items of a container, with their steps, in reverse."""
    items = container.items() if isinstance(container, dict) else enumerate(container)
    suspects = [
        (_step(key), item)
        for key, item in items
        if isinstance(item, (dict, list)) or _problem(item) is not None
    ]
    return suspects[::-1]


def _step(key: str | int) -> str:
    return f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{key!r:.80}]"


def _problem(item: Any) -> str | None:
    """Returns the problem of one item, apart from its contents; None if there is none."""
    if isinstance(item, dict):
        for key in item:
            if not isinstance(key, str):
                return f"the key {key!r:.80} is a {type(key).__name__}; JSON keys must be strings"
            if _is_no_text(key):
                return f"the key {key!a:.80} is not valid Unicode (it has a lone surrogate)"
        return None
    if isinstance(item, str):
        return "it is not valid Unicode (it has a lone surrogate)" if _is_no_text(item) else None
    if isinstance(item, int) and item.bit_length() > 2000:
        try:
            int.__repr__(item)
        except ValueError as error:
            return f"the int cannot be written: {error}"
        return None
    if item is None or isinstance(item, _JSON_TYPES):
        return None
    return f"a {type(item).__name__} is not JSON{_ADVICE.get(type(item).__name__, '')}"


_ADVICE = {
    "tuple": "; use a list",
    "set": "; use a sorted list",
    "bytes": "; decode it to text",
    "ndarray": "; make it a cp.Variable, or use .tolist()",
    "Variable": "; assign it to an attribute, or use int() or float()",
}


def _is_no_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
