"""Finds likely counterparts of values that only one of two checkpoints has."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from checkpointable.comparison.result import Comparison, Difference, Verdict
from checkpointable.graph.paths import upwards
from checkpointable.report.counterparts import find_counterparts, unmatched
from checkpointable.report.suggested_renames import beginning_of, suggest_renames

__all__ = ["add_candidates"]


def add_candidates(result: Comparison) -> None:
    """Sets the candidates of the differences, and the renames that follow from them.

    Args:
      result: the comparison to change.
    """
    alone: defaultdict[str, list[Difference]] = defaultdict(list)
    for entry in result.differences:
        if entry.verdict in (Verdict.ONLY_IN_FIRST, Verdict.MISMATCH):
            alone["first"].append(entry)
        if entry.verdict in (Verdict.ONLY_IN_SECOND, Verdict.MISMATCH):
            alone["second"].append(entry)
    counterparts = find_counterparts(
        [unmatched(e.path, e.attribute, e.second) for e in alone["second"]],
        [unmatched(e.path, e.attribute, e.first) for e in alone["first"]],
    )
    sides: list[tuple[list[Difference], Mapping[str, Any]]] = [
        (alone["second"], counterparts.of_program),
        (alone["first"], counterparts.of_checkpoint),
    ]
    for entries, guesses in sides:
        for entry in entries:
            guess = guesses.get(entry.path)
            if guess is not None and guess.sure:
                entry.candidate = guess.paths[0]
    settled = [e.path for e in result.differences if e.verdict in (Verdict.EQUAL, Verdict.CHANGED)]
    taken = set[str]()
    for entry in result.differences:
        for path in upwards(beginning_of(entry.path) if entry.first is not None else ""):
            if path in taken:
                break
            taken.add(path)
    result.renames = suggest_renames(counterparts.moved(), settled, taken)
