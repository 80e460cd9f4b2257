"""Renames the values of a name-based checkpoint, by whole segments of their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from checkpointable.common.suggestions import similar_names
from checkpointable.graph.paths import upwards

__all__ = ["rename_names"]


class _Rule(NamedTuple):
    expression: re.Pattern[str]
    target: str
    specificity: tuple[int, int]
    source: str


def rename_names(names: Iterable[str], renames: Mapping[str, str]) -> dict[str, str]:
    """Returns old -> new for the names that change.

    A rename changes the names whose first segments it matches.

    Args:
      names: All names.
      renames: Old -> new beginning of a name; `*` stands for any characters within a segment.

    Raises:
      ValueError: A rename matches nothing or is malformed, or two names would be equal.
    """
    rules = [
        _rule(source, source.strip("/"), target.strip("/")) for source, target in renames.items()
    ]
    rules.sort(key=lambda rule: rule.specificity, reverse=True)
    used: set[str] = set()
    renamed: dict[str, str] = {}
    origins: dict[str, str] = {}
    all_names = list(names)
    for name in all_names:
        new = name
        for rule in reversed(rules):  # the most specific one comes last, and wins
            match = rule.expression.match(name)
            if match is not None:
                used.add(rule.source)
                new = _fill(rule.target, match.groups()) + name[match.end() :]
        if new in origins:
            raise ValueError(
                f"rename: {origins[new]!r} and {name!r} would both be {new!r}; rename one of "
                "them to another name"
            )
        origins[new] = name
        if new != name:
            renamed[name] = new
    for source in renames:
        if source not in used:
            similar = similar_names(source, _beginnings(all_names), cutoff=0.5)
            hint = f"; similar ones: {', '.join(similar)}" if similar else ""
            raise ValueError(f"rename {source!r} matches nothing in the checkpoint{hint}")
    return renamed


def _fill(target: str, runs: Iterable[str]) -> str:
    remaining = iter(runs)
    return re.sub(r"\*", lambda _: next(remaining), target)


def _rule(rename: str, source: str, target: str) -> _Rule:
    segments, stars = source.split("/"), source.count("*")
    if not all(segments) or not all(target.split("/")):
        raise ValueError(
            f"rename {source!r} -> {target!r}: a name is empty, or has an empty segment"
        )
    if target.count("*") > stars:
        raise ValueError(
            f"rename {source!r} -> {target!r}: the target has more '*' than the source"
        )
    expression = "([^/]*)".join(re.escape(part) for part in source.split("*"))
    return _Rule(
        re.compile(f"{expression}(?=/|\\Z)", re.DOTALL), target, (len(segments), -stars), rename
    )


def _beginnings(names: Iterable[str]) -> list[str]:
    """Returns names and their beginnings, at most as many as can be compared quickly."""
    beginnings: dict[str, None] = {}
    for name in names:
        for beginning in upwards(name):
            if len(beginnings) >= 10_000 or len(beginning) >= 1000:
                break
            beginnings[beginning] = None
    return list(beginnings)
