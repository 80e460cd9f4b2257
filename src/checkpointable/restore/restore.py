"""Restore: a checkpoint that is being restored into the program's objects."""

from __future__ import annotations

import bisect
import functools
import itertools
import weakref
from typing import TYPE_CHECKING, Any, Literal

from checkpointable.adapters.registry import adapter_of
from checkpointable.bundle.reader import checked_verify
from checkpointable.collector import collector_paused
from checkpointable.errors import CheckpointCorruptError, CheckpointMismatchError
from checkpointable.graph.object_graph import NodePaths, ObjectGraph, SlotVariable
from checkpointable.graph.paths import VARIABLE_VALUE
from checkpointable.graph.value import Value
from checkpointable.logs import logger
from checkpointable.restore.executors import by_executor
from checkpointable.restore.match import (
    Assignment,
    Conflict,
    Edge,
    Match,
    NewSlot,
    match,
    mismatch_error,
)
from checkpointable.restore.pending import (
    Pending,
    PendingSlots,
    as_array,
    leave_word,
    wait_for_slots,
)
from checkpointable.restore.progress import RestoreProgress
from checkpointable.restore.writes import write_values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from checkpointable.bundle import BundleReader
    from checkpointable.graph.adapter import ObjectRecord
    from checkpointable.restore.parts import Reader

__all__ = ["Restore", "Verify", "assign_values", "next_uid"]

Verify = Literal["stream"] | bool

_uids = itertools.count(1)

_ADVICE = " (plan() shows likely renames)"
_LATE_ADVICE = (
    " (what was assigned stays, as it was; the value waits for another object of that name)"
)


def next_uid() -> int:
    """A number that is higher than that of every restore before (S24)."""
    return next(_uids)


class Restore:
    """A checkpoint that is being restored into the program's objects.

    Attributes:
      uid: grows with every call of restore; of two that know a value the higher wins (S24).
      reader: the open checkpoint.
      graph: its object graph, renames applied.
      fingerprint: equal for two checkpoints only if their graphs are equal.
      consumed: (node, attribute) of every value that found its object.
      conflicts: the refused claims (S23).
      stored_as_several: keys of values that have no entry of their own: others begin with them.
      value_count: how many values the checkpoint has.
      slots_of_variable, slots_of_optimizer: the slots by the node of either.
    """

    def __init__(
        self,
        reader: BundleReader,
        graph: ObjectGraph,
        *,
        fingerprint: object,
        verify: Verify = True,
    ) -> None:
        self.uid = next_uid()
        self.reader = reader
        self.graph = graph
        self.fingerprint = fingerprint
        self.consumed: set[tuple[int, str]] = set()
        self.conflicts: list[Conflict] = []
        self.value_count = sum(len(node.attributes) for node in graph.nodes)
        self.slots_of_variable, self.slots_of_optimizer = _slot_edges(graph)
        self._mark_slotted_nodes()
        self._verify = checked_verify(verify)
        self._waived: set[tuple[int, str]] = set()
        self._expect_partial = _Flag()
        self._bound: dict[int, weakref.ref[ObjectRecord]] = {}
        self._recorded: list[Assignment] = []
        self.stored_as_several: set[str] = set()
        self._check_keys()
        weakref.finalize(
            self,
            _finish,
            reader,
            self.value_count,
            self.consumed,
            self._waived,
            self._expect_partial,
        )

    def _mark_slotted_nodes(self) -> None:
        """An object without values that has slots is waited for too: its slots are values."""
        slotted = [n for n in self.slots_of_variable if not self.graph.nodes[n].may_have_values]
        if slotted:
            self.graph.mark_nodes_with_values(slotted)

    def _check_keys(self) -> None:
        named = {key for node in self.graph.nodes for _, _, key in node.attributes}
        missing = named.difference(self.reader.keys())
        if not missing:
            return
        for node_id, node in enumerate(self.graph.nodes):
            for attribute in node.attributes:
                if attribute.checkpoint_key not in missing:
                    continue
                # A value that TensorFlow stores as several has keys that begin with its own.
                if self._is_prefix(attribute.checkpoint_key):
                    self.stored_as_several.add(attribute.checkpoint_key)
                else:
                    raise CheckpointCorruptError(
                        f"the object graph names this key (value {attribute.name!r} of node "
                        f"{node_id}), but the index has no such entry",
                        path=f"{self.reader.prefix}.index",
                        key=attribute.checkpoint_key,
                    )

    def _is_prefix(self, key: str) -> bool:
        if "/.ATTRIBUTES/" not in key:
            return False
        keys = self.reader.keys()
        position = bisect.bisect_left(keys, key)
        return position < len(keys) and keys[position].startswith(key)

    @functools.cached_property
    def paths(self) -> NodePaths:
        """The paths of the checkpoint's nodes."""
        return NodePaths(self.graph)

    @property
    def values(self) -> Iterator[tuple[int, str]]:
        """(node, attribute) of every value in the checkpoint."""
        for node_id, node in enumerate(self.graph.nodes):
            for attribute in node.attributes:
                yield node_id, attribute.name

    @property
    def bound_count(self) -> int:
        """How many nodes found an object, the root included."""
        return len(self._bound)

    def is_bound(self, node_id: int) -> bool:
        """Whether the node found an object, which may be gone by now."""
        return node_id in self._bound

    def record(self, node_id: int) -> ObjectRecord | None:
        """The record of the living object that the node is bound to, or None."""
        reference = self._bound.get(node_id)
        return None if reference is None else reference()

    def expect_partial(self) -> None:
        """Silences the warning that values were never used (S30)."""
        self._expect_partial.set = True

    def waive(self, is_waived: Callable[[str], bool]) -> None:
        """Leaves values out of that warning, by the paths of their nodes."""
        self._waived.update(place for place in self.values if is_waived(self.paths[place[0]]))

    @property
    def has_recorded(self) -> bool:
        """Whether the restoring of some value was recorded."""
        return bool(self._recorded)

    def run_recorded(self, session: Any) -> None:
        """Restores the values whose restoring was recorded, all that are known by now (S34)."""
        # What a later restore has set, or recorded, is not this one's any more (S24).
        current = [
            (assignment.key, assignment.value)
            for assignment in self._recorded
            if assignment.record.sources.get(assignment.attribute, (0, 0))[0] == self.uid
        ]
        for executor, own in by_executor(current):
            executor.run(own, self.reader, session)

    def match(
        self,
        node_id: int,
        obj: Any,
        attached: Sequence[tuple[str, Any]] = (),
        edge: Edge | None = None,
    ) -> Match:
        """What `attach` would do."""
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
          progress: called with (bytes done, bytes in all, key) as it goes.
          edge: the dependency by which it has come, if it is not the root.

        Raises:
          CheckpointMismatchError, CheckpointCorruptError: nothing was changed.
        """
        # To the end, though values are read meanwhile: lists as long as the checkpoint are made
        # all along, and the collector would look through the whole program for each.
        with collector_paused():
            found = self.match(node_id, obj, attached, edge)
            told = None
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
        for part in [pairs] if progress is None else progress.steps(pairs, _key):
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
                refusals.append(f"{self.paths[assignment.node_id] or 'the root'}: {error.what}")
        if refusals:
            raise mismatch_error(self.reader.prefix, refusals)

    def _commit(self, found: Match, progress: RestoreProgress | None = None) -> None:
        self._assign(found, progress)
        for node_id, record in found.bound.items():
            self._bound[node_id] = weakref.ref(record)
        for record, local_name, node_id, parent in found.missing:
            leave_word(record, local_name, Pending(self, node_id, (parent, local_name)))
        for node_id, record in found.waiting_slots.items():
            wait_for_slots(record, PendingSlots(self, node_id))
        for new in found.new_slots.values():
            self._create_slot(new)
        self.conflicts += found.conflicts
        for conflict in found.conflicts:
            logger.warning(
                "%s: %s claims %s: %s",
                self.reader.prefix,
                conflict.claimed_by or "the root",
                self.paths[conflict.node_id] or "the root",
                conflict.what,
            )
        if len(self.consumed) == self.value_count and not self._recorded:
            # What still waits can only be a second claim, which needs no file.
            self.reader.close()

    def _assign(self, found: Match, progress: RestoreProgress | None) -> None:
        filled = found.filled
        values = [(a.key, a.value) for a in found.assignments if a.key not in filled]
        record_values(values)
        self._recorded += [a for a in found.assignments if a.value.executor is not None]
        assign_values(self.reader, values, self._verify, self.uid, progress)
        for reserved in found.reserved:
            reserved.slots.keep(reserved.variable, reserved.slot_name, reserved.slot)
        uid, consume = self.uid, self.consumed.add
        for node_id, attribute, _, record, _ in found.assignments:
            record.sources[attribute] = (uid, node_id)
            consume((node_id, attribute))
        self.consumed.update(found.in_place)

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
        record = slot_adapter.record(slot)
        record.sources[VARIABLE_VALUE] = (self.uid, node_id)
        self._bound[node_id] = weakref.ref(record)
        self.consumed.add((node_id, VARIABLE_VALUE))


def _new_memory(found: Match) -> dict[str, Any]:
    """Key -> memory of slots that their optimizer does not have yet."""
    reserved = {reserved.node_id for reserved in found.reserved}
    return {
        key: value.memory
        for node_id, _, key, _, value in found.assignments
        if node_id in reserved and value.memory is not None and value.executor is None
    }


def record_values(values: Iterable[tuple[str, Value]]) -> list[tuple[str, Value]]:
    """Records the restoring of values that cannot be assigned yet, and returns these (S34)."""
    recorded = [(key, value) for key, value in values if value.executor is not None]
    for executor, own in by_executor(recorded):
        executor.record([value for _, value in own])
    return recorded


def assign_values(
    reader: Reader,
    values: Sequence[tuple[str, Value]],
    verify: Verify,
    uid: int,
    progress: RestoreProgress | None = None,
) -> None:
    """Assigns what `reader` holds under the keys; what fits has been checked by now.

    Where all was to be verified before the first assignment (`verify=True`), it has been.
    Values that an executor acts for are left to it.

    Args:
      uid: that of the restore.
    """
    in_memory: list[tuple[str, Any]] = []
    to_write: list[tuple[str, Value]] = []
    for key, value in values:
        if value.executor is not None:
            continue
        if value.memory is not None:
            in_memory.append((key, value.memory))
        else:
            to_write.append((key, value))
    # First, since this is code that may refuse: filling memory is not.
    for written in [to_write] if progress is None else progress.steps(to_write, _key):
        write_values(reader, written, verify)
    for _, value in to_write:
        value.settle(uid)
    how: Verify = "stream" if verify == "stream" else False
    for filled in [in_memory] if progress is None else progress.steps(in_memory, _key):
        reader.read_into(filled, verify=how)
    for _, value in values:
        if value.memory is not None and value.executor is None:
            value.filled()


def _key(pair: tuple[str, Any]) -> str:
    return pair[0]


class _Flag:
    """A switch that outlives the restore it belongs to."""

    __slots__ = ("set",)

    def __init__(self) -> None:
        self.set = False


def _slot_edges(
    graph: ObjectGraph,
) -> tuple[dict[int, list[tuple[int, SlotVariable]]], dict[int, list[SlotVariable]]]:
    """The slots by their variable's node, with the optimizer's, and by the optimizer's."""
    by_variable: dict[int, list[tuple[int, SlotVariable]]] = {}
    by_optimizer: dict[int, list[SlotVariable]] = {}
    for node_id, node in enumerate(graph.nodes):
        for slot in node.slot_variables:
            by_variable.setdefault(slot.original_variable_node_id, []).append((node_id, slot))
            by_optimizer.setdefault(node_id, []).append(slot)
    return by_variable, by_optimizer


def _finish(
    reader: BundleReader,
    value_count: int,
    consumed: set[tuple[int, str]],
    waived: set[tuple[int, str]],
    expect_partial: _Flag,
) -> None:
    """Closes the files and says, once, if values were never used (S30)."""
    reader.close()
    unused = value_count - len(consumed | waived)
    if unused and not expect_partial.set:
        logger.warning(
            "%s: %d of %d values were never restored into an object; "
            "status.assert_consumed() names them, status.expect_partial() silences this",
            reader.prefix,
            unused,
            value_count,
        )
