"""The load status of `restore(None)`."""

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
    """The load status of `restore(None)`, where there was no checkpoint (S32).

    status = checkpoint.restore(cp.latest_checkpoint("runs/a"))  # None on the first start
    status.initialize_or_restore()
    """

    def __init__(self, root: Any, attached: Sequence[tuple[str, Any]] = ()) -> None:
        self._root = root
        self._attached = attached
        self._uid = next_uid()

    def __repr__(self) -> str:
        return "<InitializationOnlyStatus: there was no checkpoint>"

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
        """Initializes the variables of a TensorFlow graph (S35).

        Does nothing in eager mode. Variables that a later restore sets stay as they are.
        """
        initialize(
            self._root,
            self._attached,
            session,
            lambda notes, attribute: notes.last_uid(attribute) > self._uid,
        )

    def require(self, *patterns: str) -> InitializationOnlyStatus:
        """Always raises AssertionError: nothing was restored."""
        raise self._error()

    def allow_missing(self, *patterns: str) -> InitializationOnlyStatus:
        """Returns the status. The assertions fail regardless."""
        return self

    def report(self) -> Report:
        """Returns a report in which every value of the program is missing (S31)."""
        return report_without_checkpoint(walk(self._root, adapter_of, self._attached))

    @staticmethod
    def _error() -> AssertionError:
        return AssertionError("No checkpoint specified (save_path=None): nothing was restored")
