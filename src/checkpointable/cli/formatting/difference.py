"""A difference between two checkpoints, as text and as JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from checkpointable.cli.formatting.json_output import json_number
from checkpointable.cli.formatting.value import element_as_json
from checkpointable.cli.formatting.words import counted, printable
from checkpointable.comparison import Difference, Verdict
from checkpointable.report import ValueInfo

__all__ = ["describe_difference", "difference_as_json"]

# The characters shown of strings, before and after the place where they begin to differ.
_BEFORE, _AFTER = 10, 30
_MEMBERS_SHOWN = 3
_MEMBER_CHARACTERS = 40


def describe_difference(entry: Difference, arrow: str) -> str:
    """Describes how the two values differ, beyond their dtypes and shapes, as printable text.

    Args:
      entry: The difference.
      arrow: The sign between old and new contents.
    """
    if entry.candidate is not None:
        return f"likely {printable(entry.candidate)}"
    if entry.verdict is not Verdict.CHANGED:
        return ""
    if entry.count is None:
        return "its bytes differ"
    if entry.contents is not None:
        before, after = entry.contents
        if isinstance(before, bytes) and isinstance(after, bytes):
            return _strings(before, after, arrow)
        return f"{_number(before)} {arrow} {_number(after)}"
    of_all = f"{entry.count:,} of {counted(entry.elements, 'element')}"
    if entry.largest is None:
        return of_all
    largest = entry.largest
    text = f"{largest:,}" if isinstance(largest, int) else f"{largest:.6g}"
    return f"{of_all}, by {text} at most"


def _number(number: Any) -> str:
    return str(number.item()) if isinstance(number, np.bool_ | np.integer) else str(number)


def _strings(before: bytes, after: bytes, arrow: str) -> str:
    members = _members(before, after)
    if members is not None:
        shown = [
            f"{printable(name)}: {_member(old)} {arrow} {_member(new)}"
            for name, old, new in members[:_MEMBERS_SHOWN]
        ]
        more = len(members) - len(shown)
        return ", ".join(shown) + (f" and {more} more" if more else "")
    start = 0
    while start < min(len(before), len(after)) and before[start] == after[start]:
        start += 1
    return f"{_excerpt(before, start)} {arrow} {_excerpt(after, start)}"


_ABSENT = object()


def _members(before: bytes, after: bytes) -> list[tuple[str, Any, Any]] | None:
    """Returns (name, old, new) of members that differ; None if these are not JSON objects."""
    try:
        old, new = json.loads(before), json.loads(after)
    except (ValueError, RecursionError):
        return None
    if not isinstance(old, dict) or not isinstance(new, dict):
        return None
    members = [
        (name, old.get(name, _ABSENT), new.get(name, _ABSENT))
        for name in dict.fromkeys([*old, *new])
    ]
    # Compared as text, because in Python 1 equals 1.0 and True.
    differing = [entry for entry in members if _member(entry[1], None) != _member(entry[2], None)]
    return differing or None


def _member(item: Any, max_length: int | None = _MEMBER_CHARACTERS) -> str:
    if item is _ABSENT:
        return "absent"
    text = json.dumps(item, ensure_ascii=False, sort_keys=True)
    if max_length is not None and len(text) > max_length:
        text = text[:max_length] + "…"
    return printable(text)


def _excerpt(data: bytes, start: int) -> str:
    begin, end = max(0, start - _BEFORE), start + _AFTER
    shown = data[begin:end]
    try:
        text = repr(shown.decode())
    except UnicodeDecodeError:
        text = repr(shown)
    return f"{'…' if begin else ''}{text}{'…' if end < len(data) else ''}"


def difference_as_json(entry: Difference) -> dict[str, Any]:
    """Returns an element of `differences` (docs/command-line.md)."""
    largest = entry.largest
    return {
        "path": entry.path,
        "attribute": entry.attribute,
        "verdict": entry.verdict.value,
        "first": _side(entry.first, entry.first_key),
        "second": _side(entry.second, entry.second_key),
        "elements": entry.elements,
        "count": entry.count,
        "largest": json_number(largest) if isinstance(largest, float) else largest,
        "contents": None if entry.contents is None else [*map(element_as_json, entry.contents)],
        "candidate": entry.candidate,
    }


def _side(info: ValueInfo | None, key: str | None) -> dict[str, Any] | None:
    if info is None or info.shape is None:
        return None
    return {"key": key, "dtype": info.dtype, "shape": list(info.shape)}
