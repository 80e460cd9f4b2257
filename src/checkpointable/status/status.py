"""The base class of load statuses, and how their messages name values."""

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
    """The outcome of a restore, which `restore` returns.

    status = checkpoint.restore("runs/a/ckpt-7")
    status.assert_existing_objects_matched()
    """

    @abc.abstractmethod
    def assert_consumed(self: Self) -> Self:
        """Asserts that the checkpoint and the program's objects match completely."""

    @abc.abstractmethod
    def assert_existing_objects_matched(self: Self) -> Self:
        """Asserts that every existing object has its values in the checkpoint."""

    @abc.abstractmethod
    def assert_nontrivial_match(self: Self) -> Self:
        """Asserts that an object other than the root matched."""

    @abc.abstractmethod
    def run_restore_ops(self, session: Any = None) -> None:
        """Runs the restore operations of a TensorFlow graph (graph mode)."""

    @abc.abstractmethod
    def initialize_or_restore(self, session: Any = None) -> None:
        """Restores the values in the checkpoint and initializes all others (graph mode)."""

    def expect_partial(self: Self) -> Self:
        """Silences the warning about values of the checkpoint that were never restored (S30)."""
        return self


def label(path: str, attribute: str) -> str:
    """Returns the path of a value, with its attribute unless that is the usual one."""
    name = shown_path(path)
    if attribute in (VARIABLE_VALUE, PYTHON_STATE):
        return name
    return f"{name} ({attribute})"


def listing(what: str, items: Sequence[Any], label_of: Callable[[Any], str] = str) -> str:
    """Returns a message that lists at most ten of the items, and counts the others.

    Args:
      what: the message, which the number of items precedes.
      items: the items.
      label_of: returns the text of an item. It is called only for the items shown: all paths of a
        deep graph take far more memory than the graph.
    """
    shown = ", ".join(map(label_of, items[:_MOST_PATHS]))
    more = len(items) - _MOST_PATHS
    return f"{len(items)} {what}: {shown}" + (f", … and {more} more" if more > 0 else "")
