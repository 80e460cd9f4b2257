"""One difference between two checkpoints, as text and as JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from checkpointable.cli.output import json_number
from checkpointable.cli.text import counted, printable
from checkpointable.cli.value_text import element_as_json
from checkpointable.comparison import Difference, Verdict
from checkpointable.report import ValueInfo

__all__ = ["describe_difference", "difference_as_json"]

# Of strings, on either side of where they begin to differ.
_BEFORE, _AFTER = 10, 30
_MEMBERS_SHOWN = 3
_MEMBER_CHARACTERS = 40


def describe_difference(entry: Difference, arrow: str) -> str:
    """What else is to be said of a value than its place, dtype and shape; printable."""
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
    return f"{_part(before, start)} {arrow} {_part(after, start)}"


_ABSENT = object()


def _members(before: bytes, after: bytes) -> list[tuple[str, Any, Any]] | None:
    """(name, old, new) of what differs in two JSON objects; None for anything else."""
    try:
        old, new = json.loads(before), json.loads(after)
    except (ValueError, RecursionError):
        return None
    if not isinstance(old, dict) or not isinstance(new, dict):
        return None
    found = [
        (name, old.get(name, _ABSENT), new.get(name, _ABSENT))
        for name in dict.fromkeys([*old, *new])
    ]
    # As text, so that 1 is not 1.0 nor true.
    found = [entry for entry in found if _member(entry[1], None) != _member(entry[2], None)]
    return found or None


def _member(item: Any, most: int | None = _MEMBER_CHARACTERS) -> str:
    if item is _ABSENT:
        return "absent"
    text = json.dumps(item, ensure_ascii=False, sort_keys=True)
    if most is not None and len(text) > most:
        text = text[:most] + "…"
    return printable(text)


def _part(data: bytes, start: int) -> str:
    begin, end = max(0, start - _BEFORE), start + _AFTER
    shown = data[begin:end]
    try:
        text = repr(shown.decode())
    except UnicodeDecodeError:
        text = repr(shown)
    return f"{'…' if begin else ''}{text}{'…' if end < len(data) else ''}"


def difference_as_json(entry: Difference) -> dict[str, Any]:
    """The same as data (docs/command-line.md)."""
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
