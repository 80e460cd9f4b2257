"""Restore: a checkpoint that is being restored into the program's objects."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from checkpointable.bundle.reading.reader import checked_verify
from checkpointable.common.gc_pause import collector_paused
from checkpointable.common.logs import logger
from checkpointable.errors import CheckpointMismatchError, shown_path
from checkpointable.graph.by_executor import by_executor, schedule_values
from checkpointable.graph.paths import SLOT_MARK
from checkpointable.graph.registry import adapter_of
from checkpointable.graph.value import ValueTarget
from checkpointable.restore.assigning import assign_values, key_of
from checkpointable.restore.context import RestoreContext
from checkpointable.restore.match import mismatch_error
from checkpointable.restore.matching import match
from checkpointable.restore.pending import (
    Pending,
    PendingSlots,
    wait_for_child,
    wait_for_slots,
)
from checkpointable.restore.progress import RestoreProgress, ScheduledSource, steps

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from checkpointable.bundle.reading.reader import Verify
    from checkpointable.graph.object_graph import ObjectGraph
    from checkpointable.graph.slots import NewSlot
    from checkpointable.graph.walk import ObjectWalk
    from checkpointable.readers.reader import CheckpointReader
    from checkpointable.restore.match import Assignment, Edge, Match

__all__ = ["Restore"]

_ADVICE = " (plan() shows likely renames)"
_LATE_ADVICE = (
    " (the assigned object stays as it was; the value waits for another object of that name)"
)


class Restore(RestoreContext):
    """A checkpoint that is being restored into the program's objects.

    `attach` and `attach_slots` match, check and commit: nothing is changed before everything that
    was matched is known to fit (S25).

    Args:
      reader: the open checkpoint.
      graph: its object graph, with renames applied.
      fingerprint: equal for two checkpoints only if their graphs are equal.
      verify: as in `CheckpointableSaver.restore`.
    """

    def __init__(
        self,
        reader: CheckpointReader,
        graph: ObjectGraph,
        *,
        fingerprint: object,
        verify: Verify = True,
    ) -> None:
        self._verify = checked_verify(verify)
        self._scheduled: list[Assignment] = []
        self._was_run: set[int] = set()  # nodes of scheduled values that were restored since
        self._progress: Callable[[int, int, str], None] | None = None
        super().__init__(reader, graph, fingerprint=fingerprint)

    @property
    def has_scheduled(self) -> bool:
        """Whether a value was scheduled for an executor."""
        return bool(self._scheduled)

    def replaced(self, program: ObjectWalk) -> list[str]:
        """Returns the paths of scheduled values whose object was replaced before they were run.

        Call this after each run: objects that are replaced later have been restored.
        """
        objects = zip(program.objects, program.adapters, strict=True)
        alive = {id(adapter.notes(obj)) for obj, adapter in objects}
        gone = [
            assignment
            for assignment in self._scheduled
            if id(assignment.notes) not in alive
            and assignment.notes.last_uid(assignment.attribute) == self.uid
            and assignment.node_id not in self._was_run
            # Objects that the program has removed have no replacement.
            and program.has_path(self.paths[assignment.node_id].partition(SLOT_MARK)[0])
        ]
        self._was_run.update(assignment.node_id for assignment in self._scheduled)
        return [self.paths[assignment.node_id] for assignment in gone]

    def run_scheduled(self, session: Any) -> None:
        """Restores the scheduled values (S34), except those that a later restore sets (S24)."""
        current = [
            (assignment.key, assignment.value)
            for assignment in self._scheduled
            if assignment.notes.last_uid(assignment.attribute) == self.uid
        ]
        if not current:
            return
        keys = [key for key, _ in current]
        source = ScheduledSource(self.reader, keys, self._verify, self._progress)
        for executor, values in by_executor(current):
            executor.run(values, source, session)

    def match(
        self,
        node_id: int,
        obj: Any,
        attached: Sequence[tuple[str, Any]] = (),
        edge: Edge | None = None,
    ) -> Match:
        """Returns what `attach` would commit."""
        with collector_paused():
            return match(self, [(node_id, obj, edge or (node_id, ""))], attached)

    def attach(
        self,
        node_id: int,
        obj: Any,
        attached: Sequence[tuple[str, Any]] = (),
        progress: Callable[[int, int, str], None] | None = None,
        edge: Edge | None = None,
    ) -> None:
        """Restores `obj` and the objects below it from a node and the nodes below it.

        Args:
          node_id: the node of `obj`.
          obj: an object that an adapter knows.
          attached: further dependencies of `obj`, which it does not track itself.
          progress: called with (bytes done, bytes in total, key) as values are restored, now and
            when scheduled values are run.
          edge: the edge that leads to `obj`, unless it is the root.

        Raises:
          CheckpointMismatchError, CheckpointCorruptError: Nothing was changed.
        """
        matched = self.match(node_id, obj, attached, edge)
        self._progress = progress or self._progress
        advance = None if progress is None else self._progress_of(matched, progress)
        self._check(matched, advance, _ADVICE if edge is None else _LATE_ADVICE)
        self._commit(matched, advance)

    def attach_slots(self, optimizer_id: int) -> None:
        """Restores slots of variables that an optimizer got since it was matched (S22).

        Raises:
          CheckpointMismatchError, CheckpointCorruptError: Nothing was changed.
        """
        with collector_paused():
            matched = match(self, [], optimizers=[optimizer_id])
        self._check(matched)
        self._commit(matched)

    def _progress_of(
        self, matched: Match, callback: Callable[[int, int, str], None]
    ) -> RestoreProgress:
        new = _new_memory(matched)
        checked = self._keys(matched) if self._verify is True else []
        checked = [key for key in checked if key not in new]
        assigned = [a.key for a in matched.assignments if a.value.executor is None]
        return RestoreProgress(callback, self.reader, checked, assigned)

    def _keys(self, matched: Match) -> list[str]:
        """Returns the keys of the values to restore, those of slots to come included."""
        keys = [assignment.key for assignment in matched.assignments]
        for node_id, new in matched.new_slots.items():
            if new.slot is None:
                keys += [a.checkpoint_key for a in self.graph.nodes[node_id].attributes]
        return keys

    def _check(
        self, matched: Match, progress: RestoreProgress | None = None, advice: str = _ADVICE
    ) -> None:
        """Raises if a value does not fit or is damaged, before anything is changed (S25)."""
        if matched.mismatches:
            raise mismatch_error(self.reader.prefix, list(matched.mismatches.values()), advice)
        new = _new_memory(matched) if self._verify is True else {}
        if self._verify is True:
            keys = [key for key in self._keys(matched) if key not in new]
            for step in steps(progress, keys, str):
                self.reader.check(step)
        self._check_contents(matched)
        # Verified while it is read: nothing refers to this memory yet.
        for pairs in steps(progress, list(new.items()), key_of):
            self.reader.read_into(pairs, verify="stream")
        matched.filled.update(new)

    def _check_contents(self, matched: Match) -> None:
        """Checks the contents of values that are more than an array, such as Python state."""
        refusals: list[str] = []
        for assignment in matched.assignments:
            value = assignment.value
            if not isinstance(value, ValueTarget) or type(value).check is ValueTarget.check:
                continue
            try:
                value.check(self.reader.get_tensor(assignment.key))
            except CheckpointMismatchError as error:
                refusals.append(f"{shown_path(self.paths[assignment.node_id])}: {error.what}")
        if refusals:
            raise mismatch_error(self.reader.prefix, refusals)

    def _commit(self, matched: Match, progress: RestoreProgress | None = None) -> None:
        self._assign(matched, progress)
        with collector_paused():
            self._leave_notes(matched)
        for node_id, new in matched.new_slots.items():
            self._keep_slot(node_id, new, matched)
        self.conflicts += matched.conflicts
        for conflict in matched.conflicts:
            logger.warning(
                "%s: %s claims %s: %s",
                self.reader.prefix,
                shown_path(conflict.claimed_by),
                shown_path(self.paths[conflict.node_id]),
                conflict.what,
            )
        if len(self.consumed) == self.value_count and not self._scheduled:
            # Only objects that claim a value again can still come, which need no file.
            self.reader.close()

    def _assign(self, matched: Match, progress: RestoreProgress | None) -> None:
        filled = matched.filled
        with collector_paused():
            values = [(a.key, a.value) for a in matched.assignments if a.key not in filled]
        schedule_values(values)
        self._scheduled += [a for a in matched.assignments if a.value.executor is not None]
        assign_values(self.reader, values, self._verify, self.uid, progress)

    def _leave_notes(self, matched: Match) -> None:
        """Notes on the objects which values they have, and which dependencies they wait for."""
        uid, consume = self.uid, self.consumed.add
        for node_id, attribute, _, notes, _ in matched.assignments:
            notes.sources[attribute] = (uid, node_id)
            consume((node_id, attribute))
        self.consumed.update(matched.in_place)
        for node_id, notes in matched.bound.items():
            self._bound[node_id] = weakref.ref(notes)
        for notes, local_name, node_id, parent in matched.missing:
            wait_for_child(notes, local_name, Pending(self, node_id, (parent, local_name)))
        for node_id, notes in matched.waiting_slots.items():
            wait_for_slots(notes, PendingSlots(self, node_id))

    def _keep_slot(self, node_id: int, new: NewSlot, matched: Match) -> None:
        """Gives an optimizer a slot whose values are restored."""
        slot = new.keep(Pending(self, node_id))
        if slot is None or slot is new.slot:
            return
        adapter = adapter_of(slot)
        if adapter is None:
            return
        # The optimizer made its slot from the values of the prepared one.
        notes = adapter.notes(slot)
        notes.sources.update(matched.bound[node_id].sources)
        self._bound[node_id] = weakref.ref(notes)


def _new_memory(matched: Match) -> dict[str, Any]:
    """Returns key -> memory of slots that their optimizer does not have yet."""
    new = matched.new_slots
    return {
        key: value.memory
        for node_id, _, key, _, value in matched.assignments
        if node_id in new and isinstance(value, ValueTarget) and value.memory is not None
    }
