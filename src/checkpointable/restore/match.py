"""Matching: which node of the checkpoint is which object of the program. Changes nothing."""

from __future__ import annotations

import weakref
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from checkpointable.adapters.registry import adapter_of
from checkpointable.bundle import DataType
from checkpointable.errors import CheckpointMismatchError, CheckpointUnsupportedError
from checkpointable.graph.adapter import ObjectRecord
from checkpointable.graph.paths import VARIABLE_VALUE, join
from checkpointable.graph.value import ANY, STRING, VARIANT, Value, fits, stored_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np

    from checkpointable.bundle import Entry
    from checkpointable.graph.adapter import Adapter, Slots
    from checkpointable.graph.object_graph import SlotVariable
    from checkpointable.graph.value import ValueFactory
    from checkpointable.restore.parts import Reader
    from checkpointable.restore.restore import Restore

__all__ = [
    "Assignment",
    "Conflict",
    "Edge",
    "Match",
    "Mismatch",
    "NewSlot",
    "Reserved",
    "dtype_name",
    "find_mismatch",
    "match",
    "mismatch_error",
    "stored_dtype",
]

_MOST_PROBLEMS = 10

# The node of an owner and the local name under which it has a dependency; "" for the root, which
# nobody has.
Edge = tuple[int, str]


class Conflict(NamedTuple):
    """A claim that S23 refuses: the node, or its value, is another object's already."""

    node_id: int
    claimed_by: str  # path, as far as the claim tells it
    what: str
    # The record of the object that was refused: without it in the program there is no claim.
    # None where it is the checkpoint that has two.
    claimant: weakref.ref[ObjectRecord] | None = None


class Mismatch(NamedTuple):
    """A value whose dtype or shape is not that of the object it goes to (S25)."""

    path: str
    stored_dtype: np.dtype[Any]
    stored_shape: tuple[int, ...]
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...] | None

    def __str__(self) -> str:
        return f"{self.path or 'the root'}: {self.what}"

    @property
    def what(self) -> str:
        """Both dtypes, or both shapes, or all four."""
        problems = []
        if not _fits(self.dtype, self.stored_dtype):
            stored, own = dtype_name(self.stored_dtype), dtype_name(self.dtype)
            problems.append(f"dtype {stored} in the checkpoint, {own} in the program")
        if not fits(self.stored_shape, self.shape):
            problems.append(
                f"shape {self.stored_shape} in the checkpoint, {self.shape} in the program"
            )
        return "; ".join(problems)


class Assignment(NamedTuple):
    """A value that is to be assigned."""

    node_id: int
    attribute: str
    key: str
    record: ObjectRecord
    value: Value


class NewSlot(NamedTuple):
    """A slot that is to be made with its restored value (S22)."""

    optimizer: Any
    variable: Any
    slot: SlotVariable
    key: str


class Reserved(NamedTuple):
    """A slot that its optimizer gets once its value is restored (S22)."""

    slots: Slots
    variable: Any
    slot_name: str
    slot: Any
    node_id: int


@dataclass(slots=True)
class Match:
    """What a match found; nothing of it has happened yet.

    Attributes:
      bound: node -> the record of the object that it becomes.
      objects: the same, node -> the object and its adapter.
      assignments: values to assign, in breadth-first order.
      in_place: (node, attribute) of values whose object holds them, or later ones, already.
      missing: (record, local name, node, node of the record's object): dependencies that do
        not exist yet.
      new_slots: slot's node -> slot that is to be made.
      reserved: slots that are assigned to, and then given to their optimizer.
      filled: keys of what has been assigned already, since nobody else has its memory.
      waiting_slots: optimizer's node -> its record, if it lacks the variable of some slot.
      conflicts, mismatches: what does not go; (node, attribute) -> mismatch.
    """

    bound: dict[int, ObjectRecord] = field(default_factory=dict)
    objects: dict[int, tuple[Any, Adapter]] = field(default_factory=dict)
    assignments: list[Assignment] = field(default_factory=list)
    in_place: list[tuple[int, str]] = field(default_factory=list)
    missing: list[tuple[ObjectRecord, str, int, int]] = field(default_factory=list)
    new_slots: dict[int, NewSlot] = field(default_factory=dict)
    reserved: list[Reserved] = field(default_factory=list)
    filled: set[str] = field(default_factory=set)
    waiting_slots: dict[int, ObjectRecord] = field(default_factory=dict)
    conflicts: list[Conflict] = field(default_factory=list)
    mismatches: dict[tuple[int, str], Mismatch] = field(default_factory=dict)


def match(
    restore: Restore,
    starts: Iterable[tuple[int, Any, Edge]],
    attached: Sequence[tuple[str, Any]] = (),
    optimizers: Iterable[int] = (),
) -> Match:
    """Matches objects with nodes, and what they lead to, breadth-first.

    Args:
      restore: what has been matched before.
      starts: (node, object, edge that led to it) to begin with.
      attached: further dependencies of the first object that it does not track itself.
      optimizers: nodes of optimizers matched before, whose slots are looked for again.
    """
    matcher = _Matcher(restore)
    extra = dict(attached)
    for node_id, obj, (parent, local_name) in starts:
        matcher.bind(node_id, obj, local_name, parent)
    for node_id in optimizers:
        for slot in restore.slots_of_optimizer.get(node_id, ()):
            matcher._match_slot(node_id, slot)
    while matcher.queue:
        matcher.visit(matcher.queue.popleft(), extra)
        extra = {}
    return matcher.found


class _Matcher:
    def __init__(self, restore: Restore) -> None:
        self.restore = restore
        self.graph = restore.graph
        self.found = Match()
        self.queue: deque[int] = deque()
        self._has_slots = bool(restore.slots_of_optimizer)
        # (record's id, attribute) -> node whose value goes there in this match
        self._holders: dict[tuple[int, str], int] = {}
        # node of an optimizer -> its slots
        self._slots_of: dict[int, Slots | None] = {}
        # node of an optimizer that knows its variables -> these, by the id of their record
        self._variables: dict[int, dict[int, Any]] = {}

    def visit(self, node_id: int, extra: dict[str, Any]) -> None:
        """Matches the values and dependencies of a node that has just got its object."""
        obj, adapter = self.found.objects[node_id]
        node = self.graph.nodes[node_id]
        if node.attributes:
            self._match_values(node_id, obj, adapter)
        if node.children:
            self._match_children(node_id, obj, adapter, extra)
        if self._has_slots:
            self._match_slots(node_id)

    def _match_children(
        self, node_id: int, obj: Any, adapter: Adapter, extra: dict[str, Any]
    ) -> None:
        lookup = adapter.lookup(obj)
        bound, objects, enqueue = self.found.bound, self.found.objects, self.queue.append
        is_bound = self.restore.is_bound
        for child_id, local_name in self.graph.nodes[node_id].children:
            try:
                local = lookup(local_name)
            except (ValueError, NotImplementedError) as error:
                path = self.restore.paths[node_id] or "the root"
                raise type(error)(f"{path}: {error}") from error
            if local is None and extra:
                local = extra.get(local_name)
            local_adapter = None if local is None else adapter_of(local)
            if local_adapter is not None:
                if child_id in bound or is_bound(child_id):
                    self._bind(child_id, local, local_adapter, local_name, node_id)
                else:  # as that would, in fewer steps
                    bound[child_id] = local_adapter.record(local)
                    objects[child_id] = (local, local_adapter)
                    enqueue(child_id)
            elif self.graph.nodes[child_id].may_have_values:
                record = self.found.bound[node_id]
                self.found.missing.append((record, local_name, child_id, node_id))

    def bind(self, node_id: int, obj: Any, local_name: str, parent: int) -> None:
        """Makes `obj` that node, unless it is already, or another object is (S23)."""
        adapter = adapter_of(obj)
        if adapter is None:
            raise TypeError(f"{type(obj).__name__} takes no part in checkpointing")
        self._bind(node_id, obj, adapter, local_name, parent)

    def _bind(self, node_id: int, obj: Any, adapter: Adapter, local_name: str, parent: int) -> None:
        record = adapter.record(obj)
        current = self._current(node_id)
        if current is None:
            self.found.bound[node_id] = record
            self.found.objects[node_id] = (obj, adapter)
            self.queue.append(node_id)
        elif current is not record and self.graph.nodes[node_id].may_have_values:
            parent_path = self.restore.paths[parent]
            self.found.conflicts.append(
                Conflict(
                    node_id,
                    join(parent_path, local_name) if local_name else parent_path,
                    "the checkpoint has one object there, the program two: the first that was "
                    "matched keeps the value, this one is not restored",
                    weakref.ref(record),
                )
            )

    def _current(self, node_id: int) -> ObjectRecord | None:
        current = self.found.bound.get(node_id)
        if current is None and self.restore.is_bound(node_id):
            # Where its object is gone the node is taken all the same: what a status says
            # must not depend on when that object was collected.
            return self.restore.record(node_id) or _GONE
        return current

    def _match_values(self, node_id: int, obj: Any, adapter: Adapter) -> None:
        try:
            values = adapter.values(obj)
        except (ValueError, NotImplementedError) as error:
            path = self.restore.paths[node_id] or "the root"
            raise type(error)(f"{path}: {error}") from error
        self._match_each(node_id, values)

    def _match_each(self, node_id: int, values: Mapping[str, Value | ValueFactory]) -> None:
        restore = self.restore
        record = self.found.bound[node_id]
        for name, _, key in self.graph.nodes[node_id].attributes:
            made = values.get(name)
            if made is None:
                continue
            uid, source = record.sources.get(name, _NOWHERE)
            place = (id(record), name)
            holder = self._holders.get(place, source if uid == restore.uid else None)
            if holder == node_id or (holder is None and uid > restore.uid):
                # A variable that was made with this value, or a later restore has set it.
                self.found.in_place.append((node_id, name))
            elif holder is not None:
                self._match_second_value(node_id, holder, name)
            else:
                self._holders[place] = node_id
                value = made if isinstance(made, Value) else made(key)
                if value.parts is None and key not in restore.stored_as_several:
                    self._assign(node_id, name, key, record, value)
                    continue
                parts = list(stored_values(key, value))
                if all(part in restore.reader for part, _ in parts):
                    for part, own in parts:
                        self._assign(node_id, name, part, record, own)

    def _assign(
        self, node_id: int, attribute: str, key: str, record: ObjectRecord, value: Value
    ) -> None:
        # Past the class's own, slower way of being made: one a value.
        assignment = tuple.__new__(Assignment, (node_id, attribute, key, record, value))
        self.found.assignments.append(assignment)
        reader = self.restore.reader
        try:
            stored, shape = reader.kind(key)
        except CheckpointUnsupportedError:
            stored, shape = stored_dtype(reader, key), reader.shape(key)
        if stored == value.dtype and value.shape == shape:
            return  # the path of what fits is not asked for
        problem = find_mismatch(reader, self.restore.paths[node_id], key, value.dtype, value.shape)
        if problem is not None:
            self.found.mismatches[node_id, attribute] = problem

    def _match_second_value(self, node_id: int, holder: int, attribute: str) -> None:
        """Two nodes go to one object: fine as long as their values do not collide (S23)."""
        first, second = self._entry(holder, attribute), self._entry(node_id, attribute)
        if _same_contents(first, second):
            self.found.in_place.append((node_id, attribute))
            return
        paths = self.restore.paths
        what = (
            "the program has one object there, the checkpoint two whose values differ: that "
            f"of {paths[holder]} was restored, this one was not"
        )
        self.found.conflicts.append(Conflict(node_id, paths[node_id], what))

    def _entry(self, node_id: int, attribute: str) -> Entry | None:
        for candidate in self.graph.nodes[node_id].attributes:
            if candidate.name == attribute:
                return self.restore.reader.entry(candidate.checkpoint_key)
        return None

    def _match_slots(self, node_id: int) -> None:
        """Slots whose variable and optimizer are both known, now that this node is (S22)."""
        for optimizer_id, slot in self.restore.slots_of_variable.get(node_id, ()):
            self._match_slot(optimizer_id, slot)
        for slot in self.restore.slots_of_optimizer.get(node_id, ()):
            if slot.original_variable_node_id != node_id:
                self._match_slot(node_id, slot)

    def _match_slot(self, optimizer_id: int, slot: SlotVariable) -> None:
        node_id = slot.slot_variable_node_id
        if node_id in self.found.bound or self.restore.is_bound(node_id):
            return
        if self._current(optimizer_id) is None:
            return
        slots = self._slots(optimizer_id)
        if slots is None or self._current(slot.original_variable_node_id) is None:
            return
        if slots.variables() is not None:
            self._match_known_slot(node_id, optimizer_id, slots, slot)
            return
        optimizer = self._object(optimizer_id)
        variable = self._object(slot.original_variable_node_id)
        if variable is None:
            return
        existing = slots.get(variable, slot.slot_name)
        if existing is not None:
            self.bind(node_id, existing, slot.slot_name, optimizer_id)
            return
        key = self._variable_key(node_id)
        if key is not None:
            self.found.new_slots[node_id] = NewSlot(optimizer, variable, slot, key)

    def _match_known_slot(
        self, node_id: int, optimizer_id: int, slots: Slots, slot: SlotVariable
    ) -> None:
        """Matches a slot of an optimizer that knows its variables and makes its slots itself."""
        record = self._current(slot.original_variable_node_id)
        variable = self._variables_of(optimizer_id, slots).get(id(record))
        if variable is None:  # it may get that variable later
            optimizer_record = self._current(optimizer_id)
            if optimizer_record is not None:
                self.found.waiting_slots[optimizer_id] = optimizer_record
            return
        existing = slots.get(variable, slot.slot_name)
        if existing is not None:
            self.bind(node_id, existing, slot.slot_name, optimizer_id)
            return
        key = self._variable_key(node_id)
        reader = self.restore.reader
        dtype, shape = (None, ()) if key is None else (reader.dtype(key), reader.shape(key))
        reserved = slots.reserve(variable, slot.slot_name, dtype, shape)
        if reserved is None:
            return
        obj, values = reserved
        adapter = adapter_of(obj)
        assert adapter is not None
        self.found.bound[node_id] = adapter.record(obj)
        self.found.objects[node_id] = (obj, adapter)
        self.found.reserved.append(Reserved(slots, variable, slot.slot_name, obj, node_id))
        self._match_each(node_id, values)

    def _variable_key(self, node_id: int) -> str | None:
        """The key of a slot that is one array, None for one that is not."""
        attributes = self.graph.nodes[node_id].attributes
        if len(attributes) == 1 and attributes[0].name == VARIABLE_VALUE:
            return attributes[0].checkpoint_key
        return None

    def _slots(self, optimizer_id: int) -> Slots | None:
        """The slots of the optimizer that a node is bound to, one object in all of a match."""
        if optimizer_id not in self._slots_of:
            optimizer = self._object(optimizer_id)
            adapter = None if optimizer is None else adapter_of(optimizer)
            self._slots_of[optimizer_id] = None if adapter is None else adapter.slots(optimizer)
        return self._slots_of[optimizer_id]

    def _variables_of(self, optimizer_id: int, slots: Slots) -> dict[int, Any]:
        """The variables of an optimizer by the id of their record."""
        known = self._variables.get(optimizer_id)
        if known is None:
            known = self._variables[optimizer_id] = {}
            for variable in slots.variables() or ():
                adapter = adapter_of(variable)
                if adapter is not None:
                    known[id(adapter.record(variable))] = variable
        return known

    def _object(self, node_id: int) -> Any | None:
        """The living object that a node is bound to, or None."""
        if node_id in self.found.objects:
            return self.found.objects[node_id][0]
        record = self.restore.record(node_id)
        return None if record is None or record.owner is None else record.owner()


_GONE = ObjectRecord()
_NOWHERE = (0, 0)


def stored_dtype(reader: Reader, key: str) -> np.dtype[Any]:
    """The dtype of a stored value, `VARIANT` where it is one of TensorFlow's opaque objects."""
    try:
        return reader.dtype(key)
    except CheckpointUnsupportedError:
        if reader.entry(key).dtype == DataType.DT_VARIANT:
            return VARIANT
        raise


def find_mismatch(
    reader: Reader,
    path: str,
    key: str,
    dtype: np.dtype[Any],
    shape: tuple[int | None, ...] | None,
) -> Mismatch | None:
    """Whether the value at `key` fits the object at `path`, of this dtype and shape (None: any)."""
    stored, stored_shape = stored_dtype(reader, key), reader.shape(key)
    if _fits(dtype, stored) and fits(stored_shape, shape):
        return None
    return Mismatch(path, stored, stored_shape, dtype, shape)


def mismatch_error(
    prefix: str, problems: Sequence[object], advice: str = ""
) -> CheckpointMismatchError:
    """The error that lists what does not fit, at most ten and a count (S25)."""
    shown = "\n  ".join(map(str, problems[:_MOST_PROBLEMS]))
    more = len(problems) - _MOST_PROBLEMS
    rest = f"\n  … and {more} more" if more > 0 else ""
    return CheckpointMismatchError(
        f"{len(problems)} value(s) do not fit the program; nothing was restored{advice}:\n  "
        f"{shown}{rest}",
        path=prefix,
    )


def _same_contents(first: Entry | None, second: Entry | None) -> bool:
    """Whether two values are equal, as far as dtype, shape, size and checksum tell."""
    if first is None or second is None:
        return False
    return (first.dtype, first.shape, first.size, first.crc) == (
        second.dtype,
        second.shape,
        second.size,
        second.crc,
    )


def dtype_name(dtype: np.dtype[Any]) -> str:
    """How messages name a dtype."""
    return {STRING: "string", VARIANT: "variant", ANY: "any"}.get(dtype, str(dtype.name))


def _fits(dtype: np.dtype[Any], stored: np.dtype[Any]) -> bool:
    return stored == dtype or dtype is ANY
