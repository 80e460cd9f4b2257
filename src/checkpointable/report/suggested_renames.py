"""The shortest renames that bring counterparts together, and nothing else out of place."""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from checkpointable.graph.paths import upwards

__all__ = ["DEEP", "beginning_of", "suggest_renames"]

# Programs have no paths of more segments.
DEEP = 64


def suggest_renames(
    pairs: Iterable[tuple[str, str]], settled: Iterable[str] = (), taken: Iterable[str] = ()
) -> dict[str, str]:
    """The shortest renames, checkpoint's path -> program's, that bring each pair together.

    What two paths have in common at their ends is left off, so that one rename serves a whole
    part of a model. Where that would move what is to stay, put two objects under one path, or
    pairs disagree, more is kept; what cannot be renamed at all is left out, and so are paths of
    more than 64 segments.

    Args:
      pairs: (checkpoint's path, program's path).
      settled: paths of the checkpoint that match as they are.
      taken: paths of all objects of the checkpoint.
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
    """A path, or of one that is too deep to be renamed what leads to it."""
    return path if path.count("/") < DEEP else "/".join(path.split("/", DEEP)[:-1])


def _accept(
    renames: set[tuple[str, str]],
    kept: Mapping[str, str],
    fixed: list[str],
    occupied: Collection[str],
) -> dict[str, str]:
    """Those of `renames` that can be done beside `kept`."""
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
    # A place that is taken must be left by another; which may turn out to stay.
    while True:
        moves = _Moves({**kept, **accepted}, occupied)
        refused = [old for old, new in accepted.items() if moves.collides(old, new)]
        if not refused:
            return accepted
        for old in refused:
            del accepted[old]


class _Moves:
    """Renames, all applied at once to paths that are taken."""

    def __init__(self, renames: Mapping[str, str], occupied: Collection[str]) -> None:
        self._renames = renames
        self._occupied = occupied
        self._sources: dict[str, list[str]] = defaultdict(list)
        for old, new in renames.items():
            self._sources[new].append(old)

    def collides(self, old: str, new: str) -> bool:
        """Whether something else than `old` comes to be, or stays, at `new`."""
        if new != old and new in self._occupied and self._mover(new) is None:
            return True
        for above in upwards(new):
            for source in self._sources.get(above, ()):
                other = source + new[len(above) :]
                if other != old and other in self._occupied and self._mover(other) == source:
                    return True
        return False

    def _mover(self, path: str) -> str | None:
        """The rename, by its source, that moves what is at `path`."""
        return next((above for above in upwards(path) if above in self._renames), None)


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
