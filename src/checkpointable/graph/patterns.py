"""Patterns that name paths and keys: `*` within a segment, `**` across segments.

    model/*/kernel      model/a/kernel, not model/a/b/kernel
    model/**            model and everything under it
    **/kernel           kernel, model/kernel, model/a/kernel
    layer_?             one character that is no "/"

All other characters stand for themselves. The root's path is "", which `**` matches.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable

__all__ = ["key_matcher", "matches_any", "path_pattern", "names_object"]

_TOKEN = re.compile(r"\*\*/|/\*\*$|\*+|\?|[^*?/]+|/", re.DOTALL)


@functools.lru_cache(maxsize=1024)
def path_pattern(pattern: str) -> re.Pattern[str]:
    """The pattern as a regular expression over whole paths.

    Raises:
      ValueError: an empty pattern.
    """
    if not pattern:
        raise ValueError("a path pattern must not be empty; '**' matches everything")
    return re.compile(_expression(pattern.strip("/")), re.DOTALL)


_SLOT = "/.OPTIMIZER_SLOT/"


def names_object(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether one of the patterns names the object at `path`.

    A slot is its optimizer's: `optimizer/**` names it, `model/**` does not, though its path
    begins with that of its variable (S11). A pattern may spell a slot's whole path, too.
    """
    _, is_slot, owner = path.partition(_SLOT)
    if not is_slot:
        return matches_any(path, patterns)
    spelled = tuple(pattern for pattern in patterns if ".OPTIMIZER_SLOT" in pattern)
    return matches_any(owner, patterns) or matches_any(path, spelled)


def matches_any(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether one of the patterns matches the whole path."""
    return any(path_pattern(pattern).fullmatch(path) for pattern in patterns)


def key_matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """A function that says whether a value's key matches at least one of `patterns`.

    A pattern names a value by its whole key, or by the path of the object that it belongs to.
    """
    expression = re.compile("|".join(map(_expression, patterns)), re.DOTALL)

    def matches(key: str) -> bool:
        path, attributes, _ = key.rpartition("/.ATTRIBUTES/")
        return bool(expression.fullmatch(key) or (attributes and expression.fullmatch(path)))

    return matches


def _expression(pattern: str) -> str:
    parts: list[str] = []
    position = 0
    while position < len(pattern):
        at_segment = not position or pattern[position - 1] == "/"
        token = _TOKEN.match(pattern, position)
        assert token is not None  # every character starts one
        text = token.group()
        if text == "**/" and not at_segment:
            text = "**"
        position += len(text)
        if text == "**/":
            parts.append("(?:.*/)?")  # no segment, or any number of them
        elif text == "/**":
            parts.append("(?:/.*)?")  # so does its separator belong to it here
        elif text == "?":
            parts.append("[^/]")
        elif text[0] == "*":
            parts.append("[^/]*" if text == "*" else ".*")
        else:
            parts.append(re.escape(text))
    return f"(?:{''.join(parts)})"
