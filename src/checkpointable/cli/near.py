"""Names that are near to one that is not there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["near_names"]

# difflib takes 20 us a name and more, so it sees those that share the most segments.
_COMPARED = 2000


def near_names(name: str, candidates: Iterable[str], count: int = 5) -> list[str]:
    """The names nearest to `name`, each once; none if nothing is near.

    First those that end with it, as whole segments, then similar ones, best first.
    """
    names = list(dict.fromkeys(candidates))
    ending = [other for other in names if other.endswith(f"/{name}")][:count]
    if len(names) > _COMPARED:
        segments = set(name.split("/"))
        names.sort(key=lambda other: -len(segments.intersection(other.split("/"))))
        del names[_COMPARED:]
    similar = difflib.get_close_matches(name, names, count)
    return list(dict.fromkeys([*ending, *similar]))[:count]
