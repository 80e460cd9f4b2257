"""The base class of load statuses, and how their messages name values."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, TypeVar

from checkpointable.errors import shown_path
from checkpointable.graph.paths import PYTHON_STATE, VARIABLE_VALUE
from checkpointable.graph.patterns import names_object
from checkpointable.report import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from checkpointable.report import Report

__all__ = ["LoadStatus", "label", "listing"]

_MOST_PATHS = 10

Self = TypeVar("Self", bound="LoadStatus")


class LoadStatus(abc.ABC):
    """The outcome of a restore: base class of the statuses that `restore` and `read` return.

    Example:
        status: cp.abc.LoadStatus = checkpoint.restore(path)
        status.allow_missing("optimizer/**").assert_consumed()
        print(status.report())
    """

    @abc.abstractmethod
    def assert_consumed(self: Self) -> Self:
        """Asserts that the checkpoint and the program's objects match completely (S27).

        Returns:
          This status.

        Raises:
          AssertionError: the message lists at most ten paths of each kind, and their number.
        """

    @abc.abstractmethod
    def assert_existing_objects_matched(self: Self) -> Self:
        """Asserts that every existing object has its values in the checkpoint (S28).

        Returns, Raises: as `assert_consumed`.
        """

    @abc.abstractmethod
    def assert_nontrivial_match(self: Self) -> Self:
        """Asserts that an object other than the root matched (S29).

        Returns, Raises: as `assert_consumed`.
        """

    @abc.abstractmethod
    def run_restore_ops(self, session: Any = None) -> None:
        """Runs the scheduled part of the restore: graph mode, and restores by name (S34, S38).

        Args:
          session: runs the operations of a TensorFlow graph. None: the default session.
        """

    @abc.abstractmethod
    def initialize_or_restore(self, session: Any = None) -> None:
        """Calls `run_restore_ops`, and initializes variables that were not restored (S35).

        Args:
          session: as in `run_restore_ops`.
        """

    @abc.abstractmethod
    def allow_missing(self: Self, *patterns: str) -> Self:
        """Excludes the objects that match a pattern from the assertions.

        Args:
          patterns: as in `require`.

        Returns:
          This status.
        """

    @abc.abstractmethod
    def report(self) -> Report:
        """Returns the outcome of each value, as data that prints as a table (S31)."""

    def require(self: Self, *patterns: str) -> Self:
        """Asserts that all values whose paths match the patterns were restored.

            status.require("model/**", "step")

        Args:
          patterns: paths, in which `*` matches any characters within a segment and `**` any number
            of segments. A slot belongs to its optimizer: `optimizer/**` matches it.

        Returns:
          This status.

        Raises:
          AssertionError: A value of the program or of the checkpoint was not restored, or a
            pattern matches nothing. The message names the paths.
        """
        report = self.report()
        problems = []
        for pattern in patterns:
            entries = [entry for entry in report if names_object(entry.path, (pattern,))]
            if not entries:
                problems.append(f"require({pattern!r}): no value on either side has such a path")
            problems += [
                f"{label(entry.path, entry.attribute)} is {entry.outcome.value}"
                for entry in entries
                if entry.outcome is not Outcome.RESTORED
            ]
        if problems:
            raise AssertionError(
                f"{report.checkpoint}: {listing('requirement(s) not met', problems)}"
            )
        return self

    def expect_partial(self: Self) -> Self:
        """Silences the warning about values of the checkpoint that were never restored (S30).

        Returns:
          This status.
        """
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
