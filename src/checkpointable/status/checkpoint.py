"""The status of an object-based checkpoint."""

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
from checkpointable.report import Outcome, build_report
from checkpointable.report.snapshot import TAKEN, is_taken, present_conflicts, snapshot_of_restore
from checkpointable.restore.refused import refused_arrivals
from checkpointable.status.status import LoadStatus, label, listing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from checkpointable.report import Report
    from checkpointable.restore import Restore

__all__ = ["CheckpointLoadStatus"]


class CheckpointLoadStatus(LoadStatus):
    """The status of an object-based checkpoint that is being restored.

    It follows the program: an object that is built later and restored then counts as matched,
    and a value that a later restore has set does too (S24).
    """

    def __init__(
        self, restore: Restore, root: Any, attached: Sequence[tuple[str, Any]] = ()
    ) -> None:
        self._restore = restore
        self._root = root
        self._attached = attached
        self._allowed: tuple[str, ...] = ()

    def report(self) -> Report:
        """The outcome, value by value, as data that prints as a table (S31).

        An object that was built and restored since counts as restored. Never raises.
        """
        with suppress(CheckpointMismatchError):  # of an object that has just come: it is shown
            look_again()
        with collector_paused():
            program = self._program()
            snapshot = snapshot_of_restore(self._restore, program)
            return build_report(self._restore, program, snapshot)

    def require(self, *patterns: str) -> CheckpointLoadStatus:
        """Fails if anything under the patterns was not restored; returns the status.

            status.require("model/**", "step")

        Args:
          patterns: `*` stands for a run of characters within a segment, `**` for any number
            of segments. A slot is its optimizer's: `optimizer/**` names it.

        Raises:
          AssertionError: names the paths, on either side; or a pattern that matches nothing.
        """
        found = self.report()
        problems = []
        for pattern in patterns:
            entries = [entry for entry in found if names_object(entry.path, (pattern,))]
            if not entries:
                problems.append(f"require({pattern!r}): nothing has such a path, on either side")
            problems += [
                f"{label(entry.path, entry.attribute)} is {entry.outcome.value}"
                for entry in entries
                if entry.outcome is not Outcome.RESTORED
            ]
        if problems:
            self._raise([listing("requirement(s) not met", problems)])
        return self

    def allow_missing(self, *patterns: str) -> CheckpointLoadStatus:
        """Takes what the patterns name out of what the assertions demand; returns the status.

        On either side: objects without a value, and values without an object. Patterns as in
        `require`; a slot goes with its variable, and with its optimizer.

            status.allow_missing("optimizer/**").assert_consumed()
        """
        for pattern in patterns:
            path_pattern(pattern)  # refuses a malformed one here, not in an assertion
        self._allowed += patterns
        self._restore.waive(self._is_allowed)
        return self

    def assert_consumed(self) -> CheckpointLoadStatus:
        """Fails unless every value found its object and every object its value (S27).

        Raises:
          AssertionError: names the paths, at most ten of a kind and a count.
        """
        problems = self._unmatched_objects()
        restore = self._restore
        # Only values of the checkpoint are ever consumed.
        unused = [
            place
            for place in (() if len(restore.consumed) == restore.value_count else restore.values)
            if place not in restore.consumed
            and not (self._allowed and self._is_allowed(restore.paths[place[0]]))
        ]
        if unused:
            problems.append(
                listing(
                    "value(s) in the checkpoint have no object",
                    unused,
                    lambda place: label(restore.paths[place[0]], place[1]),
                )
            )
        self._raise(problems)
        return self

    def assert_existing_objects_matched(self) -> CheckpointLoadStatus:
        """Fails if an object that exists has no value in the checkpoint (S28).

        Objects that are not built yet, containers that hold no values, and values that no
        object matches do not make it fail.

        Raises:
          AssertionError: names the paths, at most ten and a count.
        """
        self._raise(self._unmatched_objects())
        return self

    def assert_nontrivial_match(self) -> CheckpointLoadStatus:
        """Fails if nothing but the root matched (S29).

        Raises:
          AssertionError: says whether the root had no dependencies or the checkpoint is of
            another program.
        """
        if self._restore.bound_count <= 1:
            program = self._walk()
            if len(program.objects) <= 1:
                self._raise(
                    [f"nothing to restore: no dependencies were added to {self._root!r} yet"]
                )
            self._raise(
                [
                    "nothing but the root matched: the checkpoint is of another program. "
                    + "".join(self._objects_without_value("object(s) were not restored", program))
                ]
            )
        return self

    def run_restore_ops(self, session: Any = None) -> None:
        """Restores what could only be recorded, as far as it is known by now (S34).

        That is so in graph mode; eager values are in place when `restore` returns, and nothing
        is left to do. May be called while `assert_consumed` still fails, and again.

        Args:
          session: runs the operations of a TensorFlow graph; None: the default session.
        """
        self._restore.run_scheduled(session)
        if self._restore.has_scheduled:
            self._tell_of_replaced()
            tell_without_contents(self._root, self._attached)

    def initialize_or_restore(self, session: Any = None) -> None:
        """As `run_restore_ops`, and initializes what is not in the checkpoint (S35).

        Variables that a later restore is going to set are left alone.
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
        """Silences the warning that values of the checkpoint were never used (S30)."""
        self._restore.expect_partial()
        return self

    def _tell_of_replaced(self) -> None:
        """Warns of values that were restored into objects which others have taken the place of."""
        gone = self._restore.replaced(self._program())
        if gone:
            logger.warning(
                "%s: %s. What took their place (PyTorch's to_empty() and to() make new parameters "
                "of those on the meta device) was not restored: restore once more",
                self._restore.reader.prefix,
                listing("object(s) were replaced between restore and run", gone),
            )

    def _walk(self) -> ObjectWalk:
        look_again()
        return self._program()

    def _program(self) -> ObjectWalk:
        with collector_paused():
            return walk(self._root, adapter_of, self._attached)

    def _objects_without_value(self, what: str, found: ObjectWalk) -> list[str]:
        """A message on objects with a value that neither this nor a later restore has set."""
        missing: list[tuple[int, str]] = []
        uid = self._restore.uid
        for node_id, (obj, adapter) in enumerate(zip(found.objects, found.adapters, strict=True)):
            try:
                names = adapter.value_names(obj)
            except NotImplementedError:  # NotCheckpointable: saving it is the error
                continue
            if not names:
                continue
            notes = adapter.notes(obj)
            missing += [
                (node_id, attribute)
                for attribute in names
                if notes.last_uid(attribute) < uid
                and not (self._allowed and self._is_allowed(found.path(node_id)))
            ]

        refused = refused_arrivals(self._restore, found) if missing else None

        def label_of(place: tuple[int, str]) -> str:
            path, attribute = found.path(place[0]), place[1]
            notes = found.adapters[place[0]].notes(found.objects[place[0]])
            misfit = None if refused is None else refused.of_notes(notes, attribute)
            if misfit is not None:
                return f"{label(path, attribute)} (does not fit: {misfit.what})"
            taken = is_taken(self._restore, path, attribute)
            return label(path, attribute) + (f" ({TAKEN})" if taken else "")

        return [listing(what, missing, label_of)] if missing else []

    def _unmatched_objects(self) -> list[str]:
        look_again()
        with collector_paused():
            found = self._program()
            what = "object(s) have no value in the checkpoint"
            problems = self._objects_without_value(what, found)
        conflicts = [
            f"{shown_path(conflict.claimed_by)} ({conflict.what})"
            for conflict in present_conflicts(self._restore, found)
            if not self._is_allowed(conflict.claimed_by)
        ]
        if conflicts:
            problems.append(listing("claim(s) were refused", conflicts))
        return problems

    def _is_allowed(self, path: str) -> bool:
        # A slot that is missing is explained by what became of its variable, or its optimizer.
        allowed = self._allowed
        return bool(allowed) and (matches_any(path, allowed) or names_object(path, allowed))

    def _raise(self, problems: list[str]) -> None:
        if problems:
            raise AssertionError(f"{self._restore.reader.prefix}: " + "; ".join(problems))
