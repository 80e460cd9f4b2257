"""One restore in progress: which checkpoint node is which object, and what is still to come.

A restore matches graph against graph from the root (S19), in three steps, and anew for every
dependency that arrives later (S21):

    match    pure: which objects, which values, what is missing, what does not fit
    check    shapes, dtypes and checksums, before anything is changed (S25)
    commit   assign, note on the objects what they hold, leave word where things are missing

It holds no object alive: it refers to them by weak references to their records, and lives as
long as a status or an object that waits for something refers to it (S26).
"""

from __future__ import annotations

import functools
import itertools
import weakref
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from checkpointable.adapters.registry import adapter_of
from checkpointable.errors import CheckpointCorruptError, CheckpointMismatchError
from checkpointable.graph.adapter import Adapter, ObjectRecord, PendingChild
from checkpointable.graph.object_graph import NodePaths, ObjectGraph, SlotVariable
from checkpointable.graph.paths import VARIABLE_VALUE, join
from checkpointable.graph.value import STRING, Value
from checkpointable.logs import logger

if TYPE_CHECKING:
    from checkpointable.bundle import BundleReader

__all__ = ["Conflict", "Restore", "Verify"]

Verify = Literal["stream"] | bool
Attached = Sequence[tuple[str, Any]]

_uids = itertools.count(1)


class Conflict(NamedTuple):
    """A claim that S23 refuses: `node_id` (or its value) is another object's already."""

    node_id: int
    claimed_by: str  # path, as far as the claim tells it
    what: str


class _Assignment(NamedTuple):
    node_id: int
    attribute: str
    key: str
    record: ObjectRecord
    value: Value


class _NewSlot(NamedTuple):
    optimizer: Any
    variable: Any
    slot: SlotVariable
    key: str


@dataclass(slots=True)
class _Match:
    """What a match found; nothing of it has happened yet."""

    bound: dict[int, ObjectRecord] = field(default_factory=dict)
    objects: dict[int, tuple[Any, Adapter]] = field(default_factory=dict)
    assignments: list[_Assignment] = field(default_factory=list)
    in_place: list[tuple[int, str]] = field(default_factory=list)
    missing: list[tuple[ObjectRecord, str, int]] = field(default_factory=list)
    new_slots: dict[int, _NewSlot] = field(default_factory=dict)
    conflicts: list[Conflict] = field(default_factory=list)
    mismatches: list[str] = field(default_factory=list)
    sources: dict[tuple[int, str], int] = field(default_factory=dict)


class Restore:
    """A checkpoint that is being restored into the program's objects.

    Attributes:
      uid: grows with every call of restore; of two that know a value the higher wins (S24).
      graph: the checkpoint's object graph.
      fingerprint: equal for two checkpoints only if their graphs are equal.
      consumed: (node, attribute) of every value that found its object.
      conflicts: the refused claims (S23).
    """

    def __init__(
        self,
        reader: BundleReader,
        graph: ObjectGraph,
        *,
        fingerprint: object,
        verify: Verify = True,
    ) -> None:
        self.uid = next(_uids)
        self.reader = reader
        self.graph = graph
        self.fingerprint = fingerprint
        self.verify = verify
        self.consumed: set[tuple[int, str]] = set()
        self.conflicts: list[Conflict] = []
        self.expect_partial = _Flag()
        self._bound: dict[int, weakref.ref[ObjectRecord]] = {}
        self.value_count = sum(len(node.attributes) for node in graph.nodes)
        self._slots_of_variable, self._slots_of_optimizer = _slot_edges(graph)
        self._check_keys()
        weakref.finalize(
            self, _finish, reader, self.value_count, self.consumed, self.expect_partial
        )

    def _check_keys(self) -> None:
        for node_id, node in enumerate(self.graph.nodes):
            for attribute in node.attributes:
                if attribute.checkpoint_key not in self.reader:
                    raise CheckpointCorruptError(
                        f"the object graph names this key (value {attribute.name!r} of node "
                        f"{node_id}), but the index has no such entry",
                        path=f"{self.reader.prefix}.index",
                        key=attribute.checkpoint_key,
                    )

    @functools.cached_property
    def paths(self) -> NodePaths:
        """The paths of the checkpoint's nodes."""
        return NodePaths(self.graph)

    @property
    def values(self) -> Iterable[tuple[int, str]]:
        """(node, attribute) of every value in the checkpoint."""
        for node_id, node in enumerate(self.graph.nodes):
            for attribute in node.attributes:
                yield node_id, attribute.name

    def bound_count(self) -> int:
        """How many checkpoint nodes found an object, the root included."""
        return len(self._bound)

    def attach(self, node_id: int, obj: Any, attached: Attached = ()) -> None:
        """Matches `obj`, and what it leads to, with the node and restores what exists.

        Args:
          node_id: the node that `obj` is.
          obj: an object that an adapter knows.
          attached: further dependencies of `obj` that it does not track itself.

        Raises:
          CheckpointMismatchError, CheckpointCorruptError: nothing was changed.
        """
        match = self._match([(node_id, obj)], attached)
        self._check(match)
        self._commit(match)

    # Match -------------------------------------------------------------------------------

    def _match(self, starts: Iterable[tuple[int, Any]], attached: Attached = ()) -> _Match:
        match = _Match()
        queue: deque[int] = deque()
        for node_id, obj in starts:
            if self._bind(match, node_id, obj, "", node_id):
                queue.append(node_id)
        extra = dict(attached)
        while queue:
            node_id = queue.popleft()
            obj, adapter = match.objects[node_id]
            self._match_values(match, node_id, obj, adapter)
            for child in self.graph.nodes[node_id].children:
                local = adapter.child(obj, child.local_name)
                if local is None and extra:
                    local = extra.get(child.local_name)
                if local is None or adapter_of(local) is None:
                    if self.graph.nodes[child.node_id].may_have_values:
                        match.missing.append(
                            (match.bound[node_id], child.local_name, child.node_id)
                        )
                elif self._bind(match, child.node_id, local, child.local_name, node_id):
                    queue.append(child.node_id)
            self._match_slots(match, node_id, queue)
            extra = {}
        return match

    def _bind(self, match: _Match, node_id: int, obj: Any, name: str, parent: int) -> bool:
        """Whether `obj` becomes that node now; false if it is already, or another object is."""
        adapter = adapter_of(obj)
        assert adapter is not None
        record = adapter.record(obj)
        current = match.bound.get(node_id)
        if current is None and node_id in self._bound:
            current = self._bound[node_id]()
            if current is None:
                # Its object is gone, but one node goes to one object (S23): what a status
                # says must not depend on when that object was collected.
                current = _GONE
        if current is None:
            match.bound[node_id] = record
            match.objects[node_id] = (obj, adapter)
            return True
        if current is not record and self.graph.nodes[node_id].may_have_values:
            parent_path = self.paths[parent]
            claimed_by = join(parent_path, name) if name else parent_path
            what = (
                "the checkpoint has one object there, the program two: the first that was "
                "matched keeps the value, this one is not restored"
            )
            match.conflicts.append(Conflict(node_id, claimed_by, what))
        return False

    def _match_values(self, match: _Match, node_id: int, obj: Any, adapter: Adapter) -> None:
        attributes = self.graph.nodes[node_id].attributes
        if not attributes:
            return
        record = match.bound[node_id]
        values = adapter.values(obj)
        for attribute in attributes:
            found = values.get(attribute.name)
            if found is None:
                continue
            uid, holder = record.sources.get(attribute.name, (0, 0))
            if uid == self.uid:
                match.sources[id(record), attribute.name] = holder
            holder = match.sources.get((id(record), attribute.name), -1)
            if holder == node_id:  # a variable that was made with this value
                match.in_place.append((node_id, attribute.name))
            elif holder >= 0:
                self._match_second_value(match, node_id, holder, attribute.name)
            elif uid > self.uid:
                match.in_place.append((node_id, attribute.name))  # a later restore has set it
            else:
                key = attribute.checkpoint_key
                value = found if isinstance(found, Value) else found(key)
                match.sources[id(record), attribute.name] = node_id
                match.assignments.append(_Assignment(node_id, attribute.name, key, record, value))
                problem = self._mismatch(key, value.dtype, value.shape)
                if problem:
                    match.mismatches.append(f"{self.paths[node_id]}: {problem}")

    def _match_second_value(self, match: _Match, node_id: int, holder: int, attribute: str) -> None:
        """Two nodes go to one object: fine as long as their values do not collide (S23)."""
        first, second = self._entry(holder, attribute), self._entry(node_id, attribute)
        if (first.dtype, first.shape, first.size, first.crc) == (
            second.dtype,
            second.shape,
            second.size,
            second.crc,
        ):
            match.in_place.append((node_id, attribute))
            return
        what = (
            "the program has one object there, the checkpoint two whose values differ: that "
            f"of {self.paths[holder]} was restored, this one was not"
        )
        match.conflicts.append(Conflict(node_id, self.paths[node_id], what))

    def _entry(self, node_id: int, attribute: str) -> Any:
        for candidate in self.graph.nodes[node_id].attributes:
            if candidate.name == attribute:
                return self.reader.entry(candidate.checkpoint_key)
        raise KeyError((node_id, attribute))

    def _match_slots(self, match: _Match, node_id: int, queue: deque[int]) -> None:
        """Slots whose variable and optimizer are both known, now that `node_id` is (S22)."""
        for optimizer_id, slot in self._slots_of_variable.get(node_id, ()):
            self._match_slot(match, optimizer_id, slot, queue)
        for slot in self._slots_of_optimizer.get(node_id, ()):
            if slot.original_variable_node_id != node_id:
                self._match_slot(match, node_id, slot, queue)

    def _match_slot(
        self, match: _Match, optimizer_id: int, slot: SlotVariable, queue: deque[int]
    ) -> None:
        optimizer = self._object(match, optimizer_id)
        variable = self._object(match, slot.original_variable_node_id)
        node_id = slot.slot_variable_node_id
        if optimizer is None or variable is None:
            return
        if node_id in match.bound or node_id in self._bound:
            return
        adapter = adapter_of(optimizer)
        slots = None if adapter is None else adapter.slots(optimizer)
        if slots is None:
            return
        found = slots.get(variable, slot.slot_name)
        if found is not None:
            if self._bind(match, node_id, found, slot.slot_name, optimizer_id):
                queue.append(node_id)
            return
        attributes = self.graph.nodes[node_id].attributes
        if len(attributes) == 1 and attributes[0].name == VARIABLE_VALUE:
            key = attributes[0].checkpoint_key
            match.new_slots[node_id] = _NewSlot(optimizer, variable, slot, key)

    def _object(self, match: _Match, node_id: int) -> Any | None:
        """The living object that a node is bound to, or None."""
        if node_id in match.objects:
            return match.objects[node_id][0]
        reference = self._bound.get(node_id)
        record = None if reference is None else reference()
        return None if record is None or record.owner is None else record.owner()

    # Check -------------------------------------------------------------------------------

    def _mismatch(
        self, key: str, dtype: np.dtype[Any], shape: tuple[int, ...] | None
    ) -> str | None:
        stored_dtype, stored_shape = self.reader.dtype(key), self.reader.shape(key)
        problems = []
        if stored_dtype != dtype:
            problems.append(
                f"dtype {_dtype_name(stored_dtype)} in the checkpoint, {_dtype_name(dtype)} in "
                "the program"
            )
        if shape is not None and stored_shape != shape:
            problems.append(f"shape {stored_shape} in the checkpoint, {shape} in the program")
        return "; ".join(problems) or None

    def _check(self, match: _Match) -> None:
        if match.mismatches:
            shown = "\n  ".join(match.mismatches[:10])
            more = len(match.mismatches) - 10
            rest = f"\n  … and {more} more" if more > 0 else ""
            raise CheckpointMismatchError(
                f"{len(match.mismatches)} value(s) do not fit the program; nothing was "
                f"restored:\n  {shown}{rest}",
                path=self.reader.prefix,
            )
        if self.verify is True:
            keys = [assignment.key for assignment in match.assignments]
            keys += [new.key for new in match.new_slots.values()]
            self.reader.check(keys)

    # Commit ------------------------------------------------------------------------------

    def _commit(self, match: _Match) -> None:
        in_memory: list[tuple[str, Any]] = []
        unchecked = self.verify is True  # _check has just done it
        for assignment in match.assignments:
            memory = assignment.value.memory
            if memory is not None:
                in_memory.append((assignment.key, memory))
            else:
                # First, since this is code that may refuse: filling memory is not.
                assignment.value.write(self.reader.get_tensor(assignment.key))
        self.reader.read_into(in_memory, verify=False if unchecked else self.verify)
        for assignment in match.assignments:
            assignment.record.sources[assignment.attribute] = (self.uid, assignment.node_id)
            self.consumed.add((assignment.node_id, assignment.attribute))
        self.consumed.update(match.in_place)
        for node_id, record in match.bound.items():
            self._bound[node_id] = weakref.ref(record)
        for record, local_name, node_id in match.missing:
            _leave_word(record, local_name, _Pending(self, node_id))
        for new in match.new_slots.values():
            self._create_slot(new)
        for conflict in match.conflicts:
            self.conflicts.append(conflict)
            logger.warning(
                "%s: %s claims %s: %s",
                self.reader.prefix,
                conflict.claimed_by or "the root",
                self.paths[conflict.node_id] or "the root",
                conflict.what,
            )
        if len(self.consumed) == self.value_count:
            # What still waits can only be a second claim, which needs no file.
            self.reader.close()

    def _create_slot(self, new: _NewSlot) -> None:
        node_id = new.slot.slot_variable_node_id
        adapter = adapter_of(new.optimizer)
        slots = None if adapter is None else adapter.slots(new.optimizer)
        if slots is None:
            return
        contents = self.reader.get_tensor(new.key)
        if isinstance(contents, bytes):
            contents = np.array(contents, dtype=object)
        slot = slots.create(new.variable, new.slot.slot_name, contents)
        slot_adapter = None if slot is None else adapter_of(slot)
        if slot_adapter is None:
            return
        record = slot_adapter.record(slot)
        record.sources[VARIABLE_VALUE] = (self.uid, node_id)
        self._bound[node_id] = weakref.ref(record)
        self.consumed.add((node_id, VARIABLE_VALUE))


class _Pending:
    """Waits on an object's record for a dependency; see `graph.adapter.PendingChild`."""

    __slots__ = ("_strong", "_weak", "fingerprint", "node_id", "uid")

    def __init__(self, restore: Restore, node_id: int) -> None:
        self._strong: Restore | None = restore
        self._weak = weakref.ref(restore)
        self.fingerprint = restore.fingerprint
        self.node_id = node_id
        self.uid = restore.uid

    @property
    def restore(self) -> Restore | None:
        """The restore that waits; None if it was superseded and nobody asks for it any more."""
        return self._weak()

    def yield_to(self, later: _Pending) -> None:
        """Stops keeping the files open if `later` brings every value that this would.

        Without this a program that restores each new checkpoint in turn, and never builds
        some part of it, would keep all of them open.
        """
        if (later.node_id, later.fingerprint) == (self.node_id, self.fingerprint):
            self._strong = None

    def attach(self, child: Any) -> None:
        restore = self.restore
        if restore is not None:
            restore.attach(self.node_id, child)

    def initial_value(
        self, dtype: np.dtype[Any], shape: tuple[int, ...] | None
    ) -> tuple[np.ndarray[Any, np.dtype[Any]], tuple[int, int]] | None:
        restore, node_id = self.restore, self.node_id
        if restore is None:
            return None
        attributes = restore.graph.nodes[node_id].attributes
        if len(attributes) != 1 or attributes[0].name != VARIABLE_VALUE:
            return None
        if node_id in restore._bound:
            return None  # another object has it: attach will say so
        key = attributes[0].checkpoint_key
        problem = restore._mismatch(key, dtype, shape)
        if problem:
            path = restore.paths[node_id]
            raise CheckpointMismatchError(f"{path}: {problem}", path=restore.reader.prefix, key=key)
        contents = restore.reader.get_tensor(key)
        if isinstance(contents, bytes):
            array = np.empty((), dtype=object)
            array[()] = contents
            contents = array
        return contents, (restore.uid, node_id)


def _leave_word(record: ObjectRecord, local_name: str, pending: _Pending) -> None:
    waiting = [earlier for earlier in record.pending.get(local_name, ()) if _is_alive(earlier)]
    for earlier in waiting:
        if isinstance(earlier, _Pending):
            earlier.yield_to(pending)
    record.pending[local_name] = [*filter(_is_alive, waiting), pending]


def _is_alive(pending: PendingChild) -> bool:
    return not isinstance(pending, _Pending) or pending.restore is not None


class _Flag:
    """A switch that outlives the restore it belongs to."""

    __slots__ = ("set",)

    def __init__(self) -> None:
        self.set = False


_GONE = ObjectRecord()


def _slot_edges(
    graph: ObjectGraph,
) -> tuple[dict[int, list[tuple[int, SlotVariable]]], dict[int, list[SlotVariable]]]:
    """The slots by their variable's node and by their optimizer's."""
    by_variable: dict[int, list[tuple[int, SlotVariable]]] = {}
    by_optimizer: dict[int, list[SlotVariable]] = {}
    for node_id, node in enumerate(graph.nodes):
        for slot in node.slot_variables:
            by_variable.setdefault(slot.original_variable_node_id, []).append((node_id, slot))
            by_optimizer.setdefault(node_id, []).append(slot)
    return by_variable, by_optimizer


def _dtype_name(dtype: np.dtype[Any]) -> str:
    return "string" if dtype == STRING else dtype.name


def _finish(
    reader: BundleReader,
    value_count: int,
    consumed: set[tuple[int, str]],
    expect_partial: _Flag,
) -> None:
    """Closes the files and says, once, if values were never used (S30)."""
    reader.close()
    if len(consumed) < value_count and not expect_partial.set:
        logger.warning(
            "%s: %d of %d values were never restored into an object; "
            "status.assert_consumed() names them, status.expect_partial() silences this",
            reader.prefix,
            value_count - len(consumed),
            value_count,
        )
