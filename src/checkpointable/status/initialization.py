"""The status of `restore(None)`."""

from __future__ import annotations

from typing import Any

from checkpointable.status.status import LoadStatus

__all__ = ["InitializationOnlyStatus"]


class InitializationOnlyStatus(LoadStatus):
    """The status of `restore(None)`: there was no checkpoint (S32)."""

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
        """Initializes the variables; eagerly they were when they were made."""

    @staticmethod
    def _error() -> AssertionError:
        return AssertionError("No checkpoint specified (save_path=None): nothing is restored")
