"""Patterns for paths and keys: `*` matches within a segment, `**` across segments.

    model/*/kernel      model/a/kernel, not model/a/b/kernel
    model/**            model and everything under it
    **/kernel           kernel, model/kernel, model/a/kernel
    layer_?             one character other than "/"

All other characters match themselves. The root's path is "", which `**` matches.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable

from checkpointable.graph.paths import ATTRIBUTES_MARK, SLOT_MARK

__all__ = ["key_matcher", "matches_any", "path_pattern", "names_object"]

_SLOT_SEGMENT = SLOT_MARK.strip("/")
_TOKEN = re.compile(r"\*\*/|/\*\*$|\*+|\?|[^*?/]+|/", re.DOTALL)


@functools.lru_cache(maxsize=1024)
def path_pattern(pattern: str) -> re.Pattern[str]:
    """Returns a pattern as a regular expression over whole paths.

    Raises:
      ValueError: the pattern is empty.
    """
    if not pattern:
        raise ValueError("a path pattern must not be empty; '**' matches everything")
    return re.compile(_expression(pattern.strip("/")), re.DOTALL)


def names_object(path: str, patterns: tuple[str, ...]) -> bool:
    """Returns whether one of the patterns matches the object at `path`.

    A slot belongs to its optimizer: `optimizer/**` matches it and `model/**` does not, though its
    path begins with the path of its variable (S11). A pattern may also spell a slot's whole path.
    """
    _, is_slot, owner = path.partition(SLOT_MARK)
    if not is_slot:
        return matches_any(path, patterns)
    spelled = tuple(pattern for pattern in patterns if _SLOT_SEGMENT in pattern)
    return matches_any(owner, patterns) or matches_any(path, spelled)


def matches_any(path: str, patterns: tuple[str, ...]) -> bool:
    """Returns whether one of the patterns matches the whole path."""
    return any(path_pattern(pattern).fullmatch(path) for pattern in patterns)


def key_matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Returns a function that returns whether one of `patterns` matches the key of a value.

    A pattern matches a value by its whole key, or by the path of its object.
    """
    expression = re.compile("|".join(map(_expression, patterns)), re.DOTALL)

    def matches(key: str) -> bool:
        path, attributes, _ = key.rpartition(ATTRIBUTES_MARK)
        return bool(expression.fullmatch(key) or (attributes and expression.fullmatch(path)))

    return matches


def _expression(pattern: str) -> str:
    parts: list[str] = []
    position = 0
    while position < len(pattern):
        at_segment = not position or pattern[position - 1] == "/"
        token = _TOKEN.match(pattern, position)
        assert token is not None  # every character starts a token
        text = token.group()
        if text == "**/" and not at_segment:
            text = "**"
        position += len(text)
        if text == "**/":
            parts.append("(?:.*/)?")  # any number of segments, including none
        elif text == "/**":
            parts.append("(?:/.*)?")  # also no segment, so the separator is optional
        elif text == "?":
            parts.append("[^/]")
        elif text[0] == "*":
            parts.append("[^/]*" if text == "*" else ".*")
        else:
            parts.append(re.escape(text))
    return f"(?:{''.join(parts)})"
