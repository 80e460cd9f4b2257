"""Patterns over paths: `*` within one segment, `**` across segments (as in `model/**`)."""

from __future__ import annotations

import functools
import re

__all__ = ["matches_any", "path_pattern"]


@functools.lru_cache(maxsize=1024)
def path_pattern(pattern: str) -> re.Pattern[str]:
    """The pattern as a regular expression over whole paths.

    `model/**` is `model` and all below it, `**/bias` every `bias` at any depth, `layers/*/bias`
    one segment in between, and `layers/?` one character. The root's path is "", and `**` alone
    matches it too.

    Raises:
      ValueError: an empty pattern.
    """
    if not pattern:
        raise ValueError("a path pattern must not be empty; '**' matches everything")
    segments = pattern.strip("/").split("/")
    parts: list[str] = []
    for index, segment in enumerate(segments):
        last = index == len(segments) - 1
        if segment == "**":
            # Its separator belongs to it, so that it can stand for no segment at all.
            parts.append("(?:.*)" if last and index == 0 else "(?:/.*)?" if last else "(?:.*/)?")
            continue
        text = "".join(_CHARACTERS.get(c, re.escape(c)) for c in segment)
        following_is_rest = not last and segments[index + 1] == "**" and index + 2 == len(segments)
        parts.append(text if last or following_is_rest else text + "/")
    return re.compile("".join(parts), re.DOTALL)


_CHARACTERS = {"*": "[^/]*", "?": "[^/]"}


def matches_any(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether one of the patterns matches the whole path."""
    return any(path_pattern(pattern).fullmatch(path) for pattern in patterns)
