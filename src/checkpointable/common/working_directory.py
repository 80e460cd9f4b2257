"""Paths that still mean the same when the program has gone to another working directory."""

from __future__ import annotations

import os
from typing import NamedTuple

__all__ = ["Place", "place_of", "whole_path"]


def whole_path(path: str) -> str:
    """`path` from the root of the file system, if the working directory can be told.

    Not normalized: `link/..` is above what the link leads to, and stays it.
    """
    if os.path.isabs(path):
        return path
    try:
        return os.path.join(os.getcwd(), path)
    except FileNotFoundError:  # it is deleted: nothing can be there, and whoever opens it says so
        return path


class Place(NamedTuple):
    """A path as its user gave it, and what it meant then.

    Attributes:
      given: relative to the working directory, maybe.
      whole: what everything is done with.
    """

    given: str
    whole: str

    @property
    def shown(self) -> str:
        """The path for the user: as given, where that still means the same."""
        return self.given if whole_path(self.given) == self.whole else self.whole

    def below(self, path: str) -> str:
        """A whole path for the user: as `shown`, if it lies in this directory."""
        start = os.path.join(self.whole, "")
        return os.path.join(self.shown, path[len(start) :]) if path.startswith(start) else path


def place_of(path: str) -> Place:
    """The place that a path means now."""
    return Place(path, whole_path(path))
