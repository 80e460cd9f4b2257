"""What every status offers, and how their messages name things."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, TypeVar

from checkpointable.errors import shown_path
from checkpointable.graph.paths import PYTHON_STATE, VARIABLE_VALUE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["LoadStatus", "label", "listing"]

_MOST_PATHS = 10

Self = TypeVar("Self", bound="LoadStatus")


class LoadStatus(abc.ABC):
    """What every status offers."""

    @abc.abstractmethod
    def assert_consumed(self: Self) -> Self:
        """Fails unless the checkpoint and the program's objects match completely."""

    @abc.abstractmethod
    def assert_existing_objects_matched(self: Self) -> Self:
        """Fails if an object that exists has no value in the checkpoint."""

    @abc.abstractmethod
    def assert_nontrivial_match(self: Self) -> Self:
        """Fails if nothing but the root matched."""

    @abc.abstractmethod
    def run_restore_ops(self, session: Any = None) -> None:
        """Runs what the restore has recorded (graph mode)."""

    @abc.abstractmethod
    def initialize_or_restore(self, session: Any = None) -> None:
        """Restores what is in the checkpoint and initializes the rest (graph mode)."""

    def expect_partial(self: Self) -> Self:
        """Silences the warning that values of the checkpoint were never used (S30)."""
        return self


def label(path: str, attribute: str) -> str:
    """How a message names a value: by its object's path, and by itself if that is not enough."""
    name = shown_path(path)
    if attribute in (VARIABLE_VALUE, PYTHON_STATE):
        return name
    return f"{name} ({attribute})"


def listing(what: str, items: Sequence[Any], label_of: Callable[[Any], str] = str) -> str:
    """At most ten of the items and a count; only those shown get a label.

    Labels are paths: all of a deep graph would be larger than the graph by its depth.
    """
    shown = ", ".join(map(label_of, items[:_MOST_PATHS]))
    more = len(items) - _MOST_PATHS
    return f"{len(items)} {what}: {shown}" + (f", … and {more} more" if more > 0 else "")
