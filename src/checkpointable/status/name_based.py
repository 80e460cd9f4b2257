"""The status of a checkpoint without an object graph."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from checkpointable.common.logs import logger
from checkpointable.errors import shown_path
from checkpointable.graph.by_executor import initialize, tell_without_contents
from checkpointable.graph.patterns import matches_any, path_pattern
from checkpointable.report import build_report_by_name
from checkpointable.status.status import LoadStatus, listing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from checkpointable.report import Report
    from checkpointable.restore import NameBasedRestore

__all__ = ["NameBasedSaverStatus"]


class NameBasedSaverStatus(LoadStatus):
    """The load status of a name-based checkpoint or a file of tensors (S38).

        status = checkpoint.restore("model.safetensors")
        status.run_restore_ops()
        status.assert_consumed()

    Nothing is read or assigned before `run_restore_ops` or `initialize_or_restore` is called, and
    there is no deferred restore. A warning is logged if neither is called.
    """

    def __init__(
        self,
        restore: NameBasedRestore,
        root: Any,
        attached: Sequence[tuple[str, Any]] = (),
        optional: tuple[str, ...] = (),
    ) -> None:
        self._restore = restore
        self._root = root
        self._attached = attached
        self._optional = self._allowed = optional
        weakref.finalize(self, _warn_if_not_run, restore)

    def __repr__(self) -> str:
        return f"<NameBasedSaverStatus {self._restore.reader.prefix!r}>"

    def run_restore_ops(self, session: Any = None) -> None:
        """Restores every value whose name the checkpoint has (S38, S39).

        Args:
          session: the session of a TensorFlow graph; None uses the default session.

        Raises:
          CheckpointMismatchError, CheckpointCorruptError: Nothing was changed.
        """
        self._run(session)
        if self._restore.has_scheduled:
            tell_without_contents(self._root, self._attached)

    def _run(self, session: Any) -> None:
        restore = self._restore
        restore.run(self._root, self._attached, session)
        if not restore.matched:
            wanted = [name for name in restore.missing.values() if name]
            logger.warning(
                "%s: nothing was restored: the checkpoint has none of the program's names (the "
                "program has %s; the checkpoint has %s). Map paths to names with names=",
                restore.reader.prefix,
                _some(wanted),
                _some(restore.reader.keys()),
            )
        optimizers = restore.reader.dicts.optimizers
        if optimizers:
            logger.warning(
                "%s: %s is the state of an optimizer by the position of its parameters, and was "
                "not restored. Load it with optimizer.load_state_dict()",
                restore.reader.prefix,
                ", ".join(repr(name) for name in optimizers) if any(optimizers) else "this",
            )

    def initialize_or_restore(self, session: Any = None) -> None:
        """Calls `run_restore_ops` and initializes variables that the checkpoint lacks (S35)."""
        self._run(session)
        initialize(self._root, self._attached, session, self._restore.is_set)

    def report(self) -> Report:
        """Returns the outcome of each value (S31).

        Before the status was run, values that the checkpoint has are deferred. The path of a value
        that only the checkpoint has is its name. Never raises.
        """
        return build_report_by_name(self._restore, self._root, self._attached, self._optional)

    def require(self, *patterns: str) -> NameBasedSaverStatus:
        """Asserts that the restore was run, and all values that match; see `LoadStatus.require`."""
        self._assert_run()
        return super().require(*patterns)

    def allow_missing(self, *patterns: str) -> NameBasedSaverStatus:
        """Excludes values from the assertions; see `CheckpointLoadStatus.allow_missing`."""
        for pattern in patterns:
            path_pattern(pattern)
        self._allowed += patterns
        return self

    def assert_consumed(self) -> NameBasedSaverStatus:
        """Asserts that the restore was run, and that the checkpoint had the name of every value.

        Ignores names that only the checkpoint has.

        Raises:
          AssertionError: It was not, or had not. The message names at most ten paths.
        """
        self._assert_run()
        missing = [
            f"{shown_path(path)} ({f'name {name!r}' if name else 'has no name'})"
            for path, name in self._restore.missing.items()
            if not matches_any(path, self._allowed)
        ]
        if missing:
            prefix = self._restore.reader.prefix
            listed = listing("object(s) have no value under their name", missing)
            raise AssertionError(f"{prefix}: {listed}. Map paths to names with names=")
        return self

    def assert_existing_objects_matched(self) -> NameBasedSaverStatus:
        """Asserts the same as `assert_consumed`."""
        return self.assert_consumed()

    def assert_nontrivial_match(self) -> NameBasedSaverStatus:
        """Asserts that the restore was run, and restored a value."""
        self._assert_run()
        if not self._restore.matched:
            raise AssertionError(
                f"{self._restore.reader.prefix}: no object has a value under its name. Map paths "
                "to names with names="
            )
        return self

    def _assert_run(self) -> None:
        if not self._restore.ran:
            raise AssertionError(
                f"{self._restore.reader.prefix}: nothing was restored yet from this name-based "
                "checkpoint: call run_restore_ops() or initialize_or_restore() first"
            )


def _warn_if_not_run(restore: NameBasedRestore) -> None:
    restore.reader.close()
    if not restore.ran:
        logger.warning(
            "%s: nothing was restored from this name-based checkpoint: call run_restore_ops() on "
            "the status that restore() returned",
            restore.reader.prefix,
        )


def _some(names: Sequence[str]) -> str:
    """Returns the first three names as text."""
    shown = ", ".join(repr(name) for name in names[:3])
    return f"{shown}, …" if len(names) > 3 else shown or "none"
