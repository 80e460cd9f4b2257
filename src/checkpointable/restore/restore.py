"""Restore: a checkpoint that is being restored into the program's objects."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from checkpointable.bundle.reading.reader import checked_verify
from checkpointable.common.gc_pause import collector_paused
from checkpointable.common.logs import logger
from checkpointable.errors import CheckpointMismatchError, shown_path
from checkpointable.graph.by_executor import by_executor, schedule_values
from checkpointable.graph.paths import SLOT_MARK, VARIABLE_VALUE
from checkpointable.graph.registry import adapter_of
from checkpointable.graph.value import Value
from checkpointable.restore.assigning import assign_values, key_of
from checkpointable.restore.context import RestoreContext
from checkpointable.restore.match import mismatch_error
from checkpointable.restore.matching import match
from checkpointable.restore.pending import (
    Pending,
    PendingSlots,
    as_array,
    leave_word,
    wait_for_slots,
)
from checkpointable.restore.progress import RestoreProgress, ScheduledSource

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from checkpointable.bundle.reading.reader import Verify
    from checkpointable.graph.object_graph import ObjectGraph
    from checkpointable.graph.walk import ObjectWalk
    from checkpointable.readers.reader import CheckpointReader
    from checkpointable.restore.match import Assignment, Edge, Match, NewSlot

__all__ = ["Restore"]

_ADVICE = " (plan() shows likely renames)"
_LATE_ADVICE = (
    " (what was assigned stays, as it was; the value waits for another object of that name)"
)


class Restore(RestoreContext):
    """A checkpoint that is being restored into the program's objects.

    Each of `attach` and `attach_slots` matches, checks, and then commits: until everything that
    was found is known to fit, nothing is changed (S25).
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
        """Whether the restoring of some value was scheduled."""
        return bool(self._scheduled)

    def replaced(self, program: ObjectWalk) -> list[str]:
        """Paths of scheduled values whose object had given way to another one when they were run.

        To be asked after each run: what gives way later has been restored.
        """
        objects = zip(program.objects, program.adapters, strict=True)
        alive = {id(adapter.notes(obj)) for obj, adapter in objects}
        gone = [
            assignment
            for assignment in self._scheduled
            if id(assignment.notes) not in alive
            and assignment.notes.last_uid(assignment.attribute) == self.uid
            and assignment.node_id not in self._was_run
            # What the program has dropped is to be restored nowhere.
            and program.has_path(self.paths[assignment.node_id].partition(SLOT_MARK)[0])
        ]
        self._was_run.update(assignment.node_id for assignment in self._scheduled)
        return [self.paths[assignment.node_id] for assignment in gone]

    def run_scheduled(self, session: Any) -> None:
        """Restores the values whose restoring was scheduled, all that are known by now (S34)."""
        # What a later restore has set, or scheduled, is not this one's any more (S24).
        current = [
            (assignment.key, assignment.value)
            for assignment in self._scheduled
            if assignment.notes.last_uid(assignment.attribute) == self.uid
        ]
        if not current:
            return
        keys = [key for key, _ in current]
        source = ScheduledSource(self.reader, keys, self._verify, self._progress)
        for executor, own in by_executor(current):
            executor.run(own, source, session)

    def match(
        self,
        node_id: int,
        obj: Any,
        attached: Sequence[tuple[str, Any]] = (),
        edge: Edge | None = None,
    ) -> Match:
        """What `attach` would do."""
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
        """Matches `obj`, and what it leads to, with the node and restores what exists.

        Args:
          node_id: the node that `obj` is.
          obj: an object that an adapter knows.
          attached: further dependencies of `obj` that it does not track itself.
          progress: called with (bytes done, bytes in all, key) as it goes; and again when what
            is scheduled is run.
          edge: the dependency by which it has come, if it is not the root.

        Raises:
          CheckpointMismatchError, CheckpointCorruptError: nothing was changed.
        """
        found = self.match(node_id, obj, attached, edge)
        told = None
        self._progress = progress or self._progress
        if progress is not None:
            new = _new_memory(found)
            checked = self._keys(found) if self._verify is True else []
            checked = [key for key in checked if key not in new]
            assigned = [a.key for a in found.assignments if a.value.executor is None]
            told = RestoreProgress(progress, self.reader, checked, assigned)
        self._check(found, told, _ADVICE if edge is None else _LATE_ADVICE)
        self._commit(found, told)

    def attach_slots(self, optimizer_id: int) -> None:
        """Restores slots of variables that an optimizer has got since it was matched (S22).

        Raises: as `attach`.
        """
        with collector_paused():
            found = match(self, [], optimizers=[optimizer_id])
        self._check(found)
        self._commit(found)

    @staticmethod
    def _keys(found: Match) -> list[str]:
        """The keys of what is restored, slots that are still to be made included."""
        keys = [assignment.key for assignment in found.assignments]
        return keys + [new.key for new in found.new_slots.values()]

    def _check(
        self, found: Match, progress: RestoreProgress | None = None, advice: str = _ADVICE
    ) -> None:
        """Raises before anything is changed (S25)."""
        if found.mismatches:
            raise mismatch_error(self.reader.prefix, list(found.mismatches.values()), advice)
        new = _new_memory(found) if self._verify is True else {}
        if self._verify is True:
            keys = [key for key in self._keys(found) if key not in new]
            for step in [keys] if progress is None else progress.steps(keys, str):
                self.reader.check(step)
        self._check_contents(found)
        # Verified in the same pass: should it be damaged, nobody has seen it.
        pairs = list(new.items())
        for part in [pairs] if progress is None else progress.steps(pairs, key_of):
            self.reader.read_into(part, verify="stream")
        found.filled.update(new)

    def _check_contents(self, found: Match) -> None:
        """Asks the values that are more than an array whether they would take what is there."""
        refusals: list[str] = []
        for assignment in found.assignments:
            if type(assignment.value).check is Value.check:
                continue
            try:
                assignment.value.check(self.reader.get_tensor(assignment.key))
            except CheckpointMismatchError as error:
                refusals.append(f"{shown_path(self.paths[assignment.node_id])}: {error.what}")
        if refusals:
            raise mismatch_error(self.reader.prefix, refusals)

    def _commit(self, found: Match, progress: RestoreProgress | None = None) -> None:
        self._assign(found, progress)
        with collector_paused():
            self._leave_notes(found)
        for new in found.new_slots.values():
            self._create_slot(new)
        self.conflicts += found.conflicts
        for conflict in found.conflicts:
            logger.warning(
                "%s: %s claims %s: %s",
                self.reader.prefix,
                shown_path(conflict.claimed_by),
                shown_path(self.paths[conflict.node_id]),
                conflict.what,
            )
        if len(self.consumed) == self.value_count and not self._scheduled:
            # What still waits can only be a second claim, which needs no file.
            self.reader.close()

    def _assign(self, found: Match, progress: RestoreProgress | None) -> None:
        filled = found.filled
        with collector_paused():
            values = [(a.key, a.value) for a in found.assignments if a.key not in filled]
        schedule_values(values)
        self._scheduled += [a for a in found.assignments if a.value.executor is not None]
        assign_values(self.reader, values, self._verify, self.uid, progress)
        for reserved in found.reserved:
            reserved.slots.keep(reserved.variable, reserved.slot_name, reserved.slot)

    def _leave_notes(self, found: Match) -> None:
        """Notes on the objects what they hold, and what they wait for."""
        uid, consume = self.uid, self.consumed.add
        for node_id, attribute, _, notes, _ in found.assignments:
            notes.sources[attribute] = (uid, node_id)
            consume((node_id, attribute))
        self.consumed.update(found.in_place)
        for node_id, notes in found.bound.items():
            self._bound[node_id] = weakref.ref(notes)
        for notes, local_name, node_id, parent in found.missing:
            leave_word(notes, local_name, Pending(self, node_id, (parent, local_name)))
        for node_id, notes in found.waiting_slots.items():
            wait_for_slots(notes, PendingSlots(self, node_id))

    def _create_slot(self, new: NewSlot) -> None:
        node_id = new.slot.slot_variable_node_id
        adapter = adapter_of(new.optimizer)
        slots = None if adapter is None else adapter.slots(new.optimizer)
        if slots is None or slots.wait(new.variable, new.slot.slot_name, Pending(self, node_id)):
            return
        contents = as_array(self.reader.get_tensor(new.key))
        slot = slots.create(new.variable, new.slot.slot_name, contents)
        slot_adapter = None if slot is None else adapter_of(slot)
        if slot_adapter is None:
            return
        notes = slot_adapter.notes(slot)
        notes.sources[VARIABLE_VALUE] = (self.uid, node_id)
        self._bound[node_id] = weakref.ref(notes)
        self.consumed.add((node_id, VARIABLE_VALUE))


def _new_memory(found: Match) -> dict[str, Any]:
    """Key -> memory of slots that their optimizer does not have yet."""
    reserved = {reserved.node_id for reserved in found.reserved}
    return {
        key: value.memory
        for node_id, _, key, _, value in found.assignments
        if node_id in reserved and value.memory is not None and value.executor is None
    }
