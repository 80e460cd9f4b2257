"""Paths that keep their meaning when the program changes its working directory."""

from __future__ import annotations

import os
from typing import NamedTuple

from checkpointable.common.urls import url_scheme

__all__ = ["GivenPath", "absolute_path"]


def absolute_path(path: str) -> str:
    """Returns `path` joined to the working directory, unless it is absolute already.

    The path is not normalized: `link/..` stays the parent of the directory that the link points
    to. A URL, which some storages take for a path, is absolute. If the working directory has been
    deleted, `path` is returned unchanged: nothing can exist there, and opening it raises the error.
    """
    if os.path.isabs(path) or url_scheme(path) is not None:
        return path
    try:
        return os.path.join(os.getcwd(), path)
    except FileNotFoundError:
        return path


class GivenPath(NamedTuple):
    """A path as the user gave it, and the absolute path that it meant at that time.

    Attributes:
      given: The path as given; it may be relative.
      absolute: The path that all file operations use.
    """

    given: str
    absolute: str

    @classmethod
    def of(cls, path: str) -> GivenPath:
        """Resolves `path` against the current working directory."""
        return cls(path, absolute_path(path))

    @property
    def display(self) -> str:
        """The path to show to the user: as given, if that still means the same file."""
        return self.given if absolute_path(self.given) == self.absolute else self.absolute

    def display_below(self, path: str) -> str:
        """Returns an absolute path in the form of `display`, if it is below this directory."""
        start = os.path.join(self.absolute, "")
        return os.path.join(self.display, path[len(start) :]) if path.startswith(start) else path
