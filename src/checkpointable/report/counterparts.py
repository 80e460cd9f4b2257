"""Finds the likely counterparts of unmatched values on the other side, under another path.

Two values can be counterparts only if their attribute, dtype and shape are equal. The likeliest
one shares the most path segments, in order. If several share as many, the counterpart is
ambiguous and none is suggested: a wrong suggestion is worse than none.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from checkpointable.graph.paths import SLOT_MARK
from checkpointable.report.suggested_renames import DEEP

if TYPE_CHECKING:
    from typing import TypeAlias

    # Maps the segments of a path to what it may share with another, most specific first.
    _Features: TypeAlias = Callable[[list[str]], Iterator[Hashable]]

__all__ = [
    "Candidates",
    "Guess",
    "Unmatched",
    "find_counterparts",
    "unmatched",
]

# If one kind has more pairs than this, only likely ones are compared: the work stays linear in the
# number of values.
_MOST_PAIRS = 1024
_MOST_ALIKE = 32  # a feature that more values share is ambiguous anyway
_MOST_SEGMENTS = 16  # from either end of a path
_MOST_CANDIDATES = 5
_DIGITS = frozenset("0123456789")


class Unmatched(NamedTuple):
    """A value of one side without a match on the other.

    Attributes:
      path: the path of its object.
      kind: what it has in common with its counterpart, see `unmatched`.
    """

    path: str
    kind: Hashable


def unmatched(path: str, attribute: str, info: Hashable) -> Unmatched:
    """Returns a value whose kind is its attribute, dtype and shape, and the name of a slot."""
    _, is_slot, slot = path.rpartition(SLOT_MARK)
    return Unmatched(path, (attribute, info, slot.rpartition("/")[2] if is_slot else None))


class Guess(NamedTuple):
    """The likeliest counterparts of a value.

    Attributes:
      paths: their paths.
      sure: whether there is only one, which is the counterpart of no other value.
    """

    paths: list[str]
    sure: bool


class Candidates(NamedTuple):
    """The guesses for each path of the program and of the checkpoint."""

    of_program: dict[str, Guess]
    of_checkpoint: dict[str, Guess]

    def moved(self) -> list[tuple[str, str]]:
        """Returns (checkpoint's path, program's path) of sure counterparts, without slots."""
        return [
            (guess.paths[0], path)
            for path, guess in self.of_program.items()
            if guess.sure and SLOT_MARK not in path and guess.paths[0] != path
        ]


def find_counterparts(program: Iterable[Unmatched], checkpoint: Iterable[Unmatched]) -> Candidates:
    """Finds the likeliest counterparts of each unmatched value on the other side.

    A guess is sure if it is mutual: each value is the other's likeliest, and no third is as near.
    """
    of_program: dict[str, Guess] = {}
    of_checkpoint: dict[str, Guess] = {}
    stored = _by_kind(checkpoint)
    for kind, paths in _by_kind(program).items():
        if kind in stored:
            _compare(paths, stored[kind], of_program, of_checkpoint)
    return Candidates(of_program, of_checkpoint)


def _by_kind(values: Iterable[Unmatched]) -> dict[Hashable, list[str]]:
    kinds: dict[Hashable, list[str]] = defaultdict(list)
    for value in values:
        kinds[value.kind].append(value.path)
    return kinds


def _compare(
    program: list[str],
    stored: list[str],
    of_program: dict[str, Guess],
    of_checkpoint: dict[str, Guess],
) -> None:
    """Adds the guesses for the paths of one kind."""
    program_segments = list(map(_segments, program))
    stored_segments = list(map(_segments, stored))
    best_of_program = [_Best() for _ in program]
    best_of_stored = [_Best() for _ in stored]
    for i, j in _pairs(program_segments, stored_segments):
        score = _likeness(program_segments[i], stored_segments[j])
        best_of_program[i].add(score, j)
        best_of_stored[j].add(score, i)
    _guess(program, stored, best_of_program, best_of_stored, of_program)
    _guess(stored, program, best_of_stored, best_of_program, of_checkpoint)


def _segments(path: str) -> list[str]:
    """Returns the segments of a path; of an extremely deep one, those at either end."""
    if path.count("/") < 2 * DEEP:
        return path.split("/")
    return [*path.split("/", DEEP)[:-1], *path.rsplit("/", DEEP)[1:]]


class _Best:
    """The candidates with the highest score so far."""

    __slots__ = ("chosen", "score")

    def __init__(self) -> None:
        self.score = -1.0
        self.chosen: set[int] = set()

    def add(self, score: float, index: int) -> None:
        if score > self.score:
            self.score = score
            self.chosen = {index}
        elif score == self.score:
            self.chosen.add(index)


def _guess(
    paths: list[str],
    other: list[str],
    best_of_paths: list[_Best],
    best_of_other: list[_Best],
    guesses: dict[str, Guess],
) -> None:
    for i, path in enumerate(paths):
        # If a third value is nearer to a candidate, it is none; if as near, it is not sure.
        chosen = [j for j in sorted(best_of_paths[i].chosen) if i in best_of_other[j].chosen]
        if chosen:
            sure = len(chosen) == 1 == len(best_of_other[chosen[0]].chosen)
            guesses[path] = Guess([other[j] for j in chosen[:_MOST_CANDIDATES]], sure)


def _pairs(program: list[list[str]], stored: list[list[str]]) -> Iterable[tuple[int, int]]:
    """Returns the pairs to compare: all if they are few, else those with enough in common.

    A renamed or moved part of a model keeps its inner names; a renamed leaf keeps the path to it;
    numbers mostly stay.
    """
    if len(program) * len(stored) <= _MOST_PAIRS:
        return itertools.product(range(len(program)), range(len(stored)))
    pairs: set[tuple[int, int]] = set()
    for features in (_ends, _beginnings, _numbers):
        pairs.update(_alike(program, stored, features))
        pairs.update((i, j) for j, i in _alike(stored, program, features))
    return pairs


def _alike(
    paths: list[list[str]], other: list[list[str]], features: _Features
) -> Iterator[tuple[int, int]]:
    """Yields for each path the others that share its most specific feature, if they are few."""
    having: dict[Hashable, list[int]] = defaultdict(list)
    for j, segments in enumerate(other):
        for feature in features(segments):
            having[feature].append(j)
    for i, segments in enumerate(paths):
        for feature in features(segments):
            alike = having.get(feature, ())
            if alike:
                if len(alike) <= _MOST_ALIKE:
                    yield from ((i, j) for j in alike)
                break


def _ends(segments: list[str]) -> Iterator[Hashable]:
    for size in range(min(len(segments), _MOST_SEGMENTS), 0, -1):
        yield "/".join(segments[-size:])


def _beginnings(segments: list[str]) -> Iterator[Hashable]:
    for size in range(min(len(segments), _MOST_SEGMENTS), 0, -1):
        yield "/".join(segments[:size])


def _numbers(segments: list[str]) -> Iterator[Hashable]:
    numbered = [segment for segment in segments if not _DIGITS.isdisjoint(segment)]
    yield (*numbered, segments[-1])


def _likeness(a: list[str], b: list[str]) -> float:
    """Returns twice the length of the longest common subsequence by the sum of lengths: 0 to 1."""
    total = len(a) + len(b)
    least = min(len(a), len(b))
    start = 0
    while start < least and a[start] == b[start]:
        start += 1
    end = 0
    while end < least - start and a[-1 - end] == b[-1 - end]:
        end += 1
    # A common beginning and end are part of a longest common subsequence.
    return 2 * (start + end + _common(a[start : len(a) - end], b[start : len(b) - end])) / total


def _common(a: list[str], b: list[str]) -> int:
    """Returns the length of the longest common subsequence."""
    if not a or not b:
        return 0
    row = [0] * (len(b) + 1)
    for segment in a:
        diagonal = 0
        for j, other in enumerate(b, 1):
            above = row[j]
            row[j] = diagonal + 1 if segment == other else max(above, row[j - 1])
            diagonal = above
    return row[-1]
