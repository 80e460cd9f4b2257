"""Suggests the shortest renames that match counterparts and leave other matches as they are."""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from checkpointable.graph.paths import upwards

__all__ = ["DEEP", "beginning_of", "suggest_renames"]

DEEP = 64  # segments; deeper paths than programs have are not renamed


def suggest_renames(
    pairs: Iterable[tuple[str, str]], settled: Iterable[str] = (), taken: Iterable[str] = ()
) -> dict[str, str]:
    """Returns the shortest renames, checkpoint's path -> program's, that match each pair.

    The common end of two paths is left off, so that one rename covers a whole part of a model.
    More of it is kept if the shorter rename would move a settled path, put two objects at one
    path, or contradict another pair. Pairs that no rename can match are left out, and so are
    paths of more than 64 segments.

    Args:
      pairs: (checkpoint's path, program's path).
      settled: paths of the checkpoint that match without a rename.
      taken: paths of all objects in the checkpoint.
    """
    fixed, occupied = sorted(settled), frozenset(taken)
    kept: dict[str, str] = {}
    undecided = sorted({pair for pair in pairs if all(path.count("/") < DEEP for path in pair)})
    extra = 0
    while undecided:
        shortened = {pair: _shorten(*pair, extra) for pair in undecided}
        accepted = _accept(set(shortened.values()), kept, fixed, occupied)
        kept.update(accepted)
        undecided = [
            pair
            for pair, short in shortened.items()
            if short != pair and accepted.get(short[0]) != short[1]
        ]
        extra += 1
    return kept


def beginning_of(path: str) -> str:
    """Returns a path; of one too deep to be renamed, only its first segments."""
    return path if path.count("/") < DEEP else "/".join(path.split("/", DEEP)[:-1])


def _accept(
    renames: set[tuple[str, str]],
    kept: Mapping[str, str],
    fixed: list[str],
    occupied: Collection[str],
) -> dict[str, str]:
    """Returns those of `renames` that are compatible with each other and with `kept`."""
    targets: dict[str, set[str]] = defaultdict(set)
    sources: dict[str, set[str]] = defaultdict(set)
    for old, new in kept.items():
        sources[new].add(old)
    for old, new in renames:
        targets[old].add(new)
        sources[new].add(old)
    accepted = {
        old: new
        for old, new in sorted(renames)
        if len(targets[old]) == 1 == len(sources[new]) and not _holds_any(old, fixed)
    }
    # A target path that is taken must be vacated by another rename, which may itself be refused.
    while True:
        moves = _Moves({**kept, **accepted}, occupied)
        refused = [old for old, new in accepted.items() if moves.collides(old, new)]
        if not refused:
            return accepted
        for old in refused:
            del accepted[old]


class _Moves:
    """Renames that are applied to the taken paths, all at once."""

    def __init__(self, renames: Mapping[str, str], occupied: Collection[str]) -> None:
        self._renames = renames
        self._occupied = occupied
        self._sources: dict[str, list[str]] = defaultdict(list)
        for old, new in renames.items():
            self._sources[new].append(old)

    def collides(self, old: str, new: str) -> bool:
        """Returns whether another object than `old` ends up, or stays, at `new`."""
        if new != old and new in self._occupied and self._mover(new) is None:
            return True
        for above in upwards(new):
            for source in self._sources.get(above, ()):
                other = source + new[len(above) :]
                if other != old and other in self._occupied and self._mover(other) == source:
                    return True
        return False

    def _mover(self, path: str) -> str | None:
        """Returns the source of the rename that moves the object at `path`, or None."""
        return next((above for above in upwards(path) if above in self._renames), None)


def _holds_any(path: str, sorted_paths: list[str]) -> bool:
    """Returns whether one of the paths is `path` or lies below it."""
    position = bisect.bisect_left(sorted_paths, path)
    if position < len(sorted_paths) and sorted_paths[position] == path:
        return True
    position = bisect.bisect_left(sorted_paths, path + "/")
    return position < len(sorted_paths) and sorted_paths[position].startswith(path + "/")


def _shorten(old: str, new: str, extra: int) -> tuple[str, str]:
    """Returns both paths without their common end, except for `extra` segments of it."""
    a, b = old.split("/"), new.split("/")
    common = 0
    while common < min(len(a), len(b)) - 1 and a[-1 - common] == b[-1 - common]:
        common += 1
    cut = max(0, common - extra)
    return "/".join(a[: len(a) - cut]), "/".join(b[: len(b) - cut])
