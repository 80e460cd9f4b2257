"""The status of `restore(None)`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from checkpointable.graph.by_executor import initialize
from checkpointable.graph.registry import adapter_of
from checkpointable.graph.walk import walk
from checkpointable.report.build import report_without_checkpoint
from checkpointable.restore.context import next_uid
from checkpointable.status.status import LoadStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from checkpointable.report import Report

__all__ = ["InitializationOnlyStatus"]


class InitializationOnlyStatus(LoadStatus):
    """The status of `restore(None)`: there was no checkpoint (S32)."""

    def __init__(self, root: Any, attached: Sequence[tuple[str, Any]] = ()) -> None:
        self._root = root
        self._attached = attached
        self._uid = next_uid()

    def assert_consumed(self) -> InitializationOnlyStatus:
        """Always raises AssertionError."""
        raise self._error()

    def assert_existing_objects_matched(self) -> InitializationOnlyStatus:
        """Always raises AssertionError."""
        raise self._error()

    def assert_nontrivial_match(self) -> InitializationOnlyStatus:
        """Always raises AssertionError."""
        raise self._error()

    def run_restore_ops(self, session: Any = None) -> None:
        """Always raises AssertionError."""
        raise self._error()

    def initialize_or_restore(self, session: Any = None) -> None:
        """Initializes the variables (graph mode); eagerly they were when they were made (S35).

        Variables that a later restore is going to set are left alone.
        """
        initialize(
            self._root,
            self._attached,
            session,
            lambda notes, attribute: notes.last_uid(attribute) > self._uid,
        )

    def require(self, *patterns: str) -> InitializationOnlyStatus:
        """Always raises AssertionError: nothing is restored."""
        raise self._error()

    def allow_missing(self, *patterns: str) -> InitializationOnlyStatus:
        """Returns the status: all is missing, and the assertions fail all the same."""
        return self

    def report(self) -> Report:
        """A report without a checkpoint: every value of the program is missing (S31)."""
        return report_without_checkpoint(walk(self._root, adapter_of, self._attached))

    @staticmethod
    def _error() -> AssertionError:
        return AssertionError("No checkpoint specified (save_path=None): nothing is restored")
