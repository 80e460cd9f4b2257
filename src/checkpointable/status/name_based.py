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
    """The status of a checkpoint without an object graph (S38).

    Nothing is read or assigned until `run_restore_ops` or `initialize_or_restore` is called;
    there is no deferred restore. Dropped without having been run, it logs a warning.
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

    def run_restore_ops(self, session: Any = None) -> None:
        """Restores every value that has something under its name (S38, S39).

        Raises:
          CheckpointMismatchError, CheckpointCorruptError: nothing was changed.
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
                "%s: nothing was restored: no object has a value under its name (the program has "
                "%s; the checkpoint %s); names= says under which names to look",
                restore.reader.prefix,
                _some(wanted),
                _some(restore.reader.keys()),
            )
        optimizers = restore.reader.dicts.optimizers
        if optimizers:
            logger.warning(
                "%s: %s is the state of an optimizer by the position of its parameters, and is "
                "not restored; optimizer.load_state_dict takes it, and what is saved then is by "
                "object",
                restore.reader.prefix,
                ", ".join(repr(name) for name in optimizers) if any(optimizers) else "this",
            )

    def initialize_or_restore(self, session: Any = None) -> None:
        """Restores what is in the checkpoint and initializes the rest (graph mode, S35)."""
        self._run(session)
        initialize(self._root, self._attached, session, self._restore.is_set)

    def report(self) -> Report:
        """Returns the outcome of each value (S31).

        Before the status was run, values that the checkpoint has are deferred. The path of a value
        that only the checkpoint has is its name. Never raises.
        """
        return build_report_by_name(self._restore, self._root, self._attached, self._optional)

    def require(self, *patterns: str) -> NameBasedSaverStatus:
        """Fails before the status was run, or if anything under the patterns was not restored.

        Args, Returns, Raises: as `CheckpointLoadStatus.require`.
        """
        self._assert_run()
        return super().require(*patterns)

    def allow_missing(self, *patterns: str) -> NameBasedSaverStatus:
        """As `CheckpointLoadStatus.allow_missing`."""
        for pattern in patterns:
            path_pattern(pattern)
        self._allowed += patterns
        return self

    def assert_consumed(self) -> NameBasedSaverStatus:
        """Fails before it was run, or if an object had nothing under its name.

        Raises:
          AssertionError: names the paths and the names, at most ten and a count.
        """
        self._assert_run()
        missing = [
            f"{shown_path(path)} ({f'name {name!r}' if name else 'has no name'})"
            for path, name in self._restore.missing.items()
            if not matches_any(path, self._allowed)
        ]
        if missing:
            prefix = self._restore.reader.prefix
            listed = listing("object(s) have nothing under their name", missing)
            raise AssertionError(f"{prefix}: {listed}")
        return self

    def assert_existing_objects_matched(self) -> NameBasedSaverStatus:
        """As `assert_consumed`: names that nothing asks for are not counted."""
        return self.assert_consumed()

    def assert_nontrivial_match(self) -> NameBasedSaverStatus:
        """Fails before it was run, or if no object had anything under its name."""
        self._assert_run()
        if not self._restore.matched:
            raise AssertionError(
                f"{self._restore.reader.prefix}: no object has a value under its name; names= "
                "says under which names to look"
            )
        return self

    def _assert_run(self) -> None:
        if not self._restore.ran:
            raise AssertionError(
                f"{self._restore.reader.prefix}: a name-based checkpoint, and nothing is "
                "restored yet: call run_restore_ops() or initialize_or_restore() first"
            )


def _warn_if_not_run(restore: NameBasedRestore) -> None:
    restore.reader.close()
    if not restore.ran:
        logger.warning(
            "%s: a name-based checkpoint was to be restored, but nothing was: "
            "call run_restore_ops() on the status that restore returned",
            restore.reader.prefix,
        )


def _some(names: Sequence[str]) -> str:
    """A few of some names."""
    shown = ", ".join(repr(name) for name in names[:3])
    return f"{shown}, …" if len(names) > 3 else shown or "none"
