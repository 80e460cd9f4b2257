"""Renames of the names of a name-based checkpoint, by whole segments."""

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
    """old -> new, of the names that change: their first segments are those of a rename."""
    rules = [
        _rule(source, source.strip("/"), target.strip("/")) for source, target in renames.items()
    ]
    rules.sort(key=lambda rule: rule.specificity, reverse=True)
    used: set[str] = set()
    found: dict[str, str] = {}
    origins: dict[str, str] = {}
    all_names = list(names)
    for name in all_names:
        new = name
        for rule in reversed(rules):  # the most specific one comes last, and has its way
            match = rule.expression.match(name)
            if match is not None:
                used.add(rule.source)
                new = _fill(rule.target, match.groups()) + name[match.end() :]
        if new in origins:
            raise ValueError(
                f"rename: {origins[new]!r} and {name!r} would both be {new!r}; rename one of "
                "them otherwise"
            )
        origins[new] = name
        if new != name:
            found[name] = new
    for source in renames:
        if source not in used:
            near = similar_names(source, _starts(all_names), cutoff=0.5)
            hint = f"; near it: {', '.join(near)}" if near else ""
            raise ValueError(f"rename {source!r} matches nothing in the checkpoint{hint}")
    return found


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


def _starts(names: Iterable[str]) -> list[str]:
    """The names and what they begin with, for a hint; no more than can be compared quickly."""
    found: dict[str, None] = {}
    for name in names:
        for start in upwards(name):
            if len(found) >= 10_000 or len(start) >= 1000:
                break
            found[start] = None
    return list(found)
