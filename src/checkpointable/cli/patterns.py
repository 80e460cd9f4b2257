"""Patterns that name keys and paths: `*` within a segment, `**` across segments.

    model/*/kernel      model/a/kernel, not model/a/b/kernel
    model/**            everything under model
    **/kernel           kernel, model/kernel, model/a/kernel
    layer_?             one character that is no "/"

All other characters stand for themselves. A pattern names a value by its whole key, or by
the path of the object that it belongs to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

__all__ = ["matcher"]

_TOKEN = re.compile(r"\*\*/|/\*\*$|\*+|\?|[^*?/]+|/", re.DOTALL)


def matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """A function that says whether a key matches at least one of `patterns`."""
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
            parts.append("/.+")
        elif text == "?":
            parts.append("[^/]")
        elif text[0] == "*":
            parts.append("[^/]*" if text == "*" else ".*")
        else:
            parts.append(re.escape(text))
    return f"(?:{''.join(parts)})"
