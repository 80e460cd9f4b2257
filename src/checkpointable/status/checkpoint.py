"""The load status of an object-based checkpoint."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from checkpointable.adapters.watch import look_again
from checkpointable.common.gc_pause import collector_paused
from checkpointable.common.logs import logger
from checkpointable.errors import CheckpointMismatchError, shown_path
from checkpointable.graph.by_executor import initialize, tell_without_contents
from checkpointable.graph.patterns import matches_any, names_object, path_pattern
from checkpointable.graph.registry import adapter_of
from checkpointable.graph.walk import ObjectWalk, walk
from checkpointable.report import build_report
from checkpointable.report.snapshot import TAKEN, is_taken, present_conflicts, snapshot_of_restore
from checkpointable.restore.refused import refused_arrivals
from checkpointable.status.status import LoadStatus, label, listing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from checkpointable.report import Report
    from checkpointable.restore import Restore

__all__ = ["CheckpointLoadStatus"]

_ADVICE = " (status.report() shows every value and likely renames)"


class CheckpointLoadStatus(LoadStatus):
    """The load status of an object-based checkpoint.

        status = checkpoint.restore("runs/a/ckpt-7")
        print(status.report())
        status.require("model/**", "step")
        model.build()                       # creates variables, which are restored as well
        status.assert_consumed()

    The status follows the program: objects that are created and restored later count as matched,
    and so do values that a later restore sets (S24).
    """

    def __init__(
        self, restore: Restore, root: Any, attached: Sequence[tuple[str, Any]] = ()
    ) -> None:
        self._restore = restore
        self._root = root
        self._attached = attached
        self._allowed: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<CheckpointLoadStatus {self._restore.reader.prefix!r}>"

    def report(self) -> Report:
        """Returns the outcome for each value, as data that prints as a table (S31).

        Objects that were created and restored since count as restored. Never raises.
        """
        with suppress(CheckpointMismatchError):  # of a new object: the report shows it
            look_again()
        with collector_paused():
            program = self._program()
            snapshot = snapshot_of_restore(self._restore, program)
            return build_report(self._restore, program, snapshot)

    def allow_missing(self, *patterns: str) -> CheckpointLoadStatus:
        """Excludes values whose paths match the patterns from the `assert_…` methods.

            status.allow_missing("optimizer/**").assert_consumed()

        Args:
          patterns: paths of objects that may lack a value, or of values that may lack an object;
            as in `require`. A slot matches by its variable's path and by its optimizer's.

        Returns:
          This status.
        """
        for pattern in patterns:
            path_pattern(pattern)  # raises for a malformed pattern here, not in an assertion
        self._allowed += patterns
        self._restore.waive(self._is_allowed)
        return self

    def assert_consumed(self) -> CheckpointLoadStatus:
        """Asserts that every value has its object and every object its values (S27).

        Raises:
          AssertionError: One does not. The message names at most ten paths of each kind.
        """
        problems = self._unmatched_objects()
        restore = self._restore
        unused = [
            value_id
            for value_id in (() if len(restore.consumed) == restore.value_count else restore.values)
            if value_id not in restore.consumed
            and not (self._allowed and self._is_allowed(restore.paths[value_id[0]]))
        ]
        if unused:
            problems.append(
                listing(
                    "value(s) in the checkpoint have no object",
                    unused,
                    lambda value_id: label(restore.paths[value_id[0]], value_id[1]),
                )
            )
        self._raise(problems, _ADVICE)
        return self

    def assert_existing_objects_matched(self) -> CheckpointLoadStatus:
        """Asserts that every existing object has its values in the checkpoint (S28).

        Ignores objects that are not created yet, containers without values, and values of the
        checkpoint that no object matches.

        Raises:
          AssertionError: An object lacks a value. The message names at most ten paths.
        """
        self._raise(self._unmatched_objects(), _ADVICE)
        return self

    def assert_nontrivial_match(self) -> CheckpointLoadStatus:
        """Asserts that an object other than the root matched (S29).

        Raises:
          AssertionError: The root has no dependencies, or the checkpoint is of another program.
        """
        if self._restore.bound_count <= 1:
            program = self._walk()
            if len(program.objects) <= 1:
                self._raise([f"nothing to restore: {self._root!r} has no dependencies yet"])
            self._raise(
                [
                    "only the root matched: the checkpoint is of another program. "
                    + "".join(self._objects_without_value("object(s) were not restored", program))
                ]
            )
        return self

    def run_restore_ops(self, session: Any = None) -> None:
        """Restores the scheduled values: those of TensorFlow graphs and the `meta` device (S34).

        Does nothing in eager mode, where `restore` has assigned all values. You can call it again
        after more objects were created.

        Args:
          session: the session of a TensorFlow graph; None uses the default session.
        """
        self._restore.run_scheduled(session)
        if self._restore.has_scheduled:
            self._tell_of_replaced()
            tell_without_contents(self._root, self._attached)

    def initialize_or_restore(self, session: Any = None) -> None:
        """Calls `run_restore_ops` and initializes variables that the checkpoint lacks (S35).

        Variables that a later restore sets stay as they are.

        Args:
          session: the session of a TensorFlow graph; None uses the default session.
        """
        self._restore.run_scheduled(session)
        if self._restore.has_scheduled:
            self._tell_of_replaced()
        uid = self._restore.uid
        initialize(
            self._root,
            self._attached,
            session,
            lambda notes, attribute: notes.last_uid(attribute) >= uid,
        )

    def expect_partial(self) -> CheckpointLoadStatus:
        """Silences the warning about values of the checkpoint that were never restored (S30)."""
        self._restore.expect_partial()
        return self

    def _tell_of_replaced(self) -> None:
        """Warns about values that were restored into objects which the program has replaced."""
        gone = self._restore.replaced(self._program())
        if gone:
            logger.warning(
                "%s: %s. Their replacements were not restored (PyTorch's to_empty() and to() "
                "replace parameters on the meta device): call restore() again",
                self._restore.reader.prefix,
                listing("object(s) were replaced between restore and run", gone),
            )

    def _walk(self) -> ObjectWalk:
        look_again()
        return self._program()

    def _program(self) -> ObjectWalk:
        with collector_paused():
            return walk(self._root, adapter_of, self._attached)

    def _objects_without_value(self, what: str, program: ObjectWalk) -> list[str]:
        """Returns a message on values that neither this nor a later restore has set, if any."""
        missing: list[tuple[int, str]] = []
        uid = self._restore.uid
        for node_id, (obj, adapter) in enumerate(
            zip(program.objects, program.adapters, strict=True)
        ):
            try:
                names = adapter.value_names(obj)
            except NotImplementedError:  # NotCheckpointable: an error only when saving
                continue
            if not names:
                continue
            notes = adapter.notes(obj)
            missing += [
                (node_id, attribute)
                for attribute in names
                if notes.last_uid(attribute) < uid
                and not (self._allowed and self._is_allowed(program.path(node_id)))
            ]

        refused = refused_arrivals(self._restore, program) if missing else None

        def label_of(value_id: tuple[int, str]) -> str:
            node_id, attribute = value_id
            path = program.path(node_id)
            notes = program.adapters[node_id].notes(program.objects[node_id])
            misfit = None if refused is None else refused.of_notes(notes, attribute)
            if misfit is not None:
                return f"{label(path, attribute)} (does not fit: {misfit.what})"
            taken = is_taken(self._restore, path, attribute)
            return label(path, attribute) + (f" ({TAKEN})" if taken else "")

        return [listing(what, missing, label_of)] if missing else []

    def _unmatched_objects(self) -> list[str]:
        look_again()
        with collector_paused():
            program = self._program()
            what = "object(s) have no value in the checkpoint"
            problems = self._objects_without_value(what, program)
        conflicts = [
            f"{shown_path(conflict.claimed_by)} ({conflict.what})"
            for conflict in present_conflicts(self._restore, program)
            if not self._is_allowed(conflict.claimed_by)
        ]
        if conflicts:
            problems.append(listing("claim(s) were refused", conflicts))
        return problems

    def _is_allowed(self, path: str) -> bool:
        # A slot is missing because its variable or its optimizer is.
        allowed = self._allowed
        return bool(allowed) and (matches_any(path, allowed) or names_object(path, allowed))

    def _raise(self, problems: list[str], advice: str = "") -> None:
        if problems:
            raise AssertionError(f"{self._restore.reader.prefix}: {'; '.join(problems)}{advice}")
