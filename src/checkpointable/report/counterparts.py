"""Which value of the program is probably which of the checkpoint, under another name.

Two values can be counterparts only if they have the same attribute, dtype and shape. Of those
the one whose path shares most segments, in order, is the likeliest. Where several share as many
it is ambiguous: nothing is suggested, since a wrong suggestion is worse than none.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple

__all__ = ["Candidates", "Guess", "Unmatched", "find_counterparts", "suggest_renames"]

# Above this many pairs of one kind only those are compared that end alike: a renamed part of
# a model keeps its inner names.
_MOST_PAIRS = 40_000
_MOST_CANDIDATES = 5


class Unmatched(NamedTuple):
    """A value on one side that found none on the other; `kind` is attribute, dtype, shape."""

    path: str
    kind: Hashable


class Guess(NamedTuple):
    """The likeliest counterparts of a value; `sure` if there is one, and it is nobody else's."""

    paths: list[str]
    sure: bool


class Candidates(NamedTuple):
    """For the paths of either side a guess at their counterparts on the other."""

    of_program: dict[str, Guess]
    of_checkpoint: dict[str, Guess]


def find_counterparts(program: Iterable[Unmatched], checkpoint: Iterable[Unmatched]) -> Candidates:
    """For each unmatched value the likeliest ones on the other side.

    A guess is sure if it is mutual: each is the other's likeliest, and no third comes as near.
    """
    of_program: dict[str, Guess] = {}
    of_checkpoint: dict[str, Guess] = {}
    theirs = _by_kind(checkpoint)
    for kind, own in _by_kind(program).items():
        other = theirs.get(kind)
        if not other:
            continue
        for own_group, other_group in _groups(own, other):
            _compare(own_group, other_group, of_program, of_checkpoint)
    return Candidates(of_program, of_checkpoint)


def _by_kind(values: Iterable[Unmatched]) -> dict[Hashable, list[str]]:
    kinds: dict[Hashable, list[str]] = defaultdict(list)
    for value in values:
        kinds[value.kind].append(value.path)
    return kinds


def _groups(own: list[str], other: list[str]) -> Iterable[tuple[list[str], list[str]]]:
    if len(own) * len(other) <= _MOST_PAIRS:
        yield own, other
        return
    for length in (3, 2):
        ends = _by_end(other, length)
        for end, group in _by_end(own, length).items():
            if end in ends and len(group) * len(ends[end]) <= _MOST_PAIRS:
                yield group, ends[end]


def _by_end(paths: list[str], length: int) -> dict[tuple[str, ...], list[str]]:
    ends: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for path in paths:
        ends[tuple(path.split("/")[-length:])].append(path)
    return ends


def _compare(
    own: list[str],
    other: list[str],
    of_program: dict[str, Guess],
    of_checkpoint: dict[str, Guess],
) -> None:
    own_segments = [path.split("/") for path in own]
    other_segments = [path.split("/") for path in other]
    scores = [[_likeness(a, b) for b in other_segments] for a in own_segments]
    best_of_own = [_best(row) for row in scores]
    best_of_other = [_best([row[j] for row in scores]) for j in range(len(other))]
    _guess(own, other, best_of_own, best_of_other, of_program)
    _guess(other, own, best_of_other, best_of_own, of_checkpoint)


def _guess(
    own: list[str],
    other: list[str],
    best_of_own: list[list[int]],
    best_of_other: list[list[int]],
    guesses: dict[str, Guess],
) -> None:
    for i, path in enumerate(own):
        # What a third is nearer to is no candidate; what a third is as near to is not sure.
        chosen = [j for j in best_of_own[i] if i in best_of_other[j]]
        if chosen:
            sure = len(chosen) == 1 == len(best_of_other[chosen[0]])
            guesses[path] = Guess([other[j] for j in chosen[:_MOST_CANDIDATES]], sure)


def _best(scores: Sequence[float]) -> list[int]:
    top = max(scores, default=0.0)
    return [index for index, score in enumerate(scores) if score == top]


def _likeness(a: list[str], b: list[str]) -> float:
    """Twice the longest common subsequence of the segments, by their number: 0 to 1."""
    row = [0] * (len(b) + 1)
    for segment in a:
        diagonal = 0
        for j, other in enumerate(b, 1):
            above = row[j]
            row[j] = diagonal + 1 if segment == other else max(above, row[j - 1])
            diagonal = above
    return 2 * row[-1] / (len(a) + len(b))


def suggest_renames(
    pairs: Iterable[tuple[str, str]], settled: Iterable[str] = ()
) -> dict[str, str]:
    """The shortest renames, checkpoint's path -> program's, that bring each pair together.

    What two paths have in common at their ends is left off, so that one rename serves a whole
    part of a model. Where that would move what is to stay, or pairs disagree, more is kept.

    Args:
      pairs: (checkpoint's path, program's path).
      settled: paths of the checkpoint that match as they are.
    """
    fixed = sorted(settled)
    kept: dict[str, str] = {}
    undecided = sorted(set(pairs))
    extra = 0
    while undecided:
        shortened = [_shorten(old, new, extra) for old, new in undecided]
        targets: dict[str, set[str]] = defaultdict(set)
        for old, new in shortened:
            targets[old].add(new)
        again = []
        for pair, (old, new) in zip(undecided, shortened, strict=True):
            if (old, new) == pair or (len(targets[old]) == 1 and not _holds_any(old, fixed)):
                kept[old] = new
            else:
                again.append(pair)
        undecided = again
        extra += 1
    return kept


def _holds_any(path: str, sorted_paths: list[str]) -> bool:
    """Whether one of the paths is `path` or lies below it."""
    position = bisect.bisect_left(sorted_paths, path)
    if position < len(sorted_paths) and sorted_paths[position] == path:
        return True
    position = bisect.bisect_left(sorted_paths, path + "/")
    return position < len(sorted_paths) and sorted_paths[position].startswith(path + "/")


def _shorten(old: str, new: str, extra: int) -> tuple[str, str]:
    """Both paths without their common end, but for `extra` segments of it."""
    a, b = old.split("/"), new.split("/")
    common = 0
    while common < min(len(a), len(b)) - 1 and a[-1 - common] == b[-1 - common]:
        common += 1
    cut = max(0, common - extra)
    return "/".join(a[: len(a) - cut]), "/".join(b[: len(b) - cut])
