"""Which value of the program is probably which of the checkpoint, under another name.

Two values can be counterparts only if they have the same attribute, dtype and shape. Of those
the one whose path shares most segments, in order, is the likeliest. Where several share as many
it is ambiguous: nothing is suggested, since a wrong suggestion is worse than none.
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

    # From the segments of a path to what it may share with another, the most telling first.
    _Features: TypeAlias = Callable[[list[str]], Iterator[Hashable]]

__all__ = [
    "Candidates",
    "Guess",
    "Unmatched",
    "find_counterparts",
    "unmatched",
]

# Above this many pairs of one kind only likely ones are compared, so that the work grows as the
# number of values does.
_MOST_PAIRS = 1024
_MOST_ALIKE = 32  # what has more in common with more than this is ambiguous anyway
_MOST_SEGMENTS = 16  # from either end of a path
_MOST_CANDIDATES = 5
_DIGITS = frozenset("0123456789")


class Unmatched(NamedTuple):
    """A value on one side that found none on the other.

    Attributes:
      path: its object's.
      kind: what its counterpart has alike: see `unmatched`.
    """

    path: str
    kind: Hashable


def unmatched(path: str, attribute: str, info: Hashable) -> Unmatched:
    """A value by its attribute, dtype and shape; a slot also by its name."""
    _, is_slot, slot = path.rpartition(SLOT_MARK)
    return Unmatched(path, (attribute, info, slot.rpartition("/")[2] if is_slot else None))


class Guess(NamedTuple):
    """The likeliest counterparts of a value; `sure` if there is one, and it is nobody else's."""

    paths: list[str]
    sure: bool


class Candidates(NamedTuple):
    """For the paths of either side a guess at their counterparts on the other."""

    of_program: dict[str, Guess]
    of_checkpoint: dict[str, Guess]

    def moved(self) -> list[tuple[str, str]]:
        """(checkpoint's path, program's path) of those that are sure, and not slots."""
        return [
            (guess.paths[0], path)
            for path, guess in self.of_program.items()
            if guess.sure and SLOT_MARK not in path and guess.paths[0] != path
        ]


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
        _compare(own, other, of_program, of_checkpoint)
    return Candidates(of_program, of_checkpoint)


def _by_kind(values: Iterable[Unmatched]) -> dict[Hashable, list[str]]:
    kinds: dict[Hashable, list[str]] = defaultdict(list)
    for value in values:
        kinds[value.kind].append(value.path)
    return kinds


def _compare(
    own: list[str],
    other: list[str],
    of_program: dict[str, Guess],
    of_checkpoint: dict[str, Guess],
) -> None:
    own_segments = list(map(_segments, own))
    other_segments = list(map(_segments, other))
    best_of_own = [_Best() for _ in own]
    best_of_other = [_Best() for _ in other]
    for i, j in _pairs(own_segments, other_segments):
        score = _likeness(own_segments[i], other_segments[j])
        best_of_own[i].add(score, j)
        best_of_other[j].add(score, i)
    _guess(own, other, best_of_own, best_of_other, of_program)
    _guess(other, own, best_of_other, best_of_own, of_checkpoint)


def _segments(path: str) -> list[str]:
    """Of a path that is far deeper than programs are, those at either end."""
    if path.count("/") < 2 * DEEP:
        return path.split("/")
    return [*path.split("/", DEEP)[:-1], *path.rsplit("/", DEEP)[1:]]


class _Best:
    """Those of the highest score so far."""

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
    own: list[str],
    other: list[str],
    best_of_own: list[_Best],
    best_of_other: list[_Best],
    guesses: dict[str, Guess],
) -> None:
    for i, path in enumerate(own):
        # What a third is nearer to is no candidate; what a third is as near to is not sure.
        chosen = [j for j in sorted(best_of_own[i].chosen) if i in best_of_other[j].chosen]
        if chosen:
            sure = len(chosen) == 1 == len(best_of_other[chosen[0]].chosen)
            guesses[path] = Guess([other[j] for j in chosen[:_MOST_CANDIDATES]], sure)


def _pairs(own: list[list[str]], other: list[list[str]]) -> Iterable[tuple[int, int]]:
    """What to compare: all pairs if they are few, else those that have enough in common.

    A renamed part of a model keeps its inner names, a moved one too; a renamed leaf keeps what
    leads to it; numbers mostly stay.
    """
    if len(own) * len(other) <= _MOST_PAIRS:
        return itertools.product(range(len(own)), range(len(other)))
    found: set[tuple[int, int]] = set()
    for features in (_ends, _beginnings, _numbers):
        found.update(_alike(own, other, features))
        found.update((i, j) for j, i in _alike(other, own, features))
    return found


def _alike(
    own: list[list[str]], other: list[list[str]], features: _Features
) -> Iterator[tuple[int, int]]:
    """For each of `own` those of `other` that share the most telling feature, if they are few."""
    having: dict[Hashable, list[int]] = defaultdict(list)
    for j, segments in enumerate(other):
        for feature in features(segments):
            having[feature].append(j)
    for i, segments in enumerate(own):
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
    """Twice the longest common subsequence of the segments, by their number: 0 to 1."""
    total = len(a) + len(b)
    least = min(len(a), len(b))
    start = 0
    while start < least and a[start] == b[start]:
        start += 1
    end = 0
    while end < least - start and a[-1 - end] == b[-1 - end]:
        end += 1
    # What they have in common at their ends belongs to a longest one.
    return 2 * (start + end + _common(a[start : len(a) - end], b[start : len(b) - end])) / total


def _common(a: list[str], b: list[str]) -> int:
    """The length of the longest common subsequence."""
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
