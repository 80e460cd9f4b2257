"""Matches stored slots with the slots of optimizers (S22). Changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from checkpointable.graph.paths import VARIABLE_VALUE
from checkpointable.graph.registry import adapter_of

if TYPE_CHECKING:
    from checkpointable.graph.object_graph import SlotVariable
    from checkpointable.graph.slots import Slots
    from checkpointable.restore.binding import Binding
    from checkpointable.restore.values import ValueMatcher

__all__ = ["SlotMatcher"]


class SlotMatcher:
    """Matches slots whose variable and optimizer are both bound.

    Attributes:
      has_any: whether the checkpoint has slots.
    """

    def __init__(self, binding: Binding, values: ValueMatcher) -> None:
        self._restore = binding.restore
        self._graph = binding.restore.graph
        self._match = binding.match
        self.has_any = bool(binding.restore.slots_of_optimizer)
        self._binding = binding
        self._values = values
        # node of an optimizer -> its slots
        self._slots_of: dict[int, Slots | None] = {}
        # node of an optimizer that knows its variables -> id of notes -> variable
        self._variables: dict[int, dict[int, Any]] = {}

    def match_again(self, optimizer_id: int) -> None:
        """Matches the slots of an optimizer that was matched before."""
        for slot in self._restore.slots_of_optimizer.get(optimizer_id, ()):
            self._match_slot(optimizer_id, slot)

    def match(self, node_id: int) -> None:
        """Matches the slots of a variable or an optimizer whose node was just bound (S22)."""
        for optimizer_id, slot in self._restore.slots_of_variable.get(node_id, ()):
            self._match_slot(optimizer_id, slot)
        for slot in self._restore.slots_of_optimizer.get(node_id, ()):
            if slot.original_variable_node_id != node_id:
                self._match_slot(node_id, slot)

    def _match_slot(self, optimizer_id: int, slot: SlotVariable) -> None:
        node_id = slot.slot_variable_node_id
        if node_id in self._match.bound or node_id in self._match.new_slots:
            return
        if self._restore.is_bound(node_id):
            return
        if self._binding.notes(optimizer_id) is None:
            return
        slots = self._slots(optimizer_id)
        if slots is None or self._binding.notes(slot.original_variable_node_id) is None:
            return
        variable = self._variable(slot.original_variable_node_id, optimizer_id, slots)
        if variable is None:
            return
        if self._bind_existing(node_id, optimizer_id, slots, variable, slot.slot_name):
            return
        key = self._variable_key(node_id)
        reader = self._restore.reader
        dtype, shape = (None, ()) if key is None else (reader.dtype(key), reader.shape(key))
        new = slots.prepare(variable, slot.slot_name, dtype, shape)
        if new is None:
            return
        self._match.new_slots[node_id] = new
        if new.slot is None:  # the optimizer makes it when the match is committed, or later
            return
        adapter = adapter_of(new.slot)
        assert adapter is not None
        self._match.bound[node_id] = adapter.notes(new.slot)
        self._match.objects[node_id] = (new.slot, adapter)
        self._values.match_each(node_id, new.values)

    def _variable(self, node_id: int, optimizer_id: int, slots: Slots) -> Any | None:
        """Returns the variable that a node is bound to, if the optimizer keeps slots for it."""
        if slots.variables() is None:
            return self._binding.object(node_id)
        notes = self._binding.notes(node_id)
        variable = self._variables_of(optimizer_id, slots).get(id(notes))
        if variable is None:  # the optimizer may get that variable later
            optimizer_notes = self._binding.notes(optimizer_id)
            if optimizer_notes is not None:
                self._match.waiting_slots[optimizer_id] = optimizer_notes
        return variable

    def _bind_existing(
        self, node_id: int, optimizer_id: int, slots: Slots, variable: Any, slot_name: str
    ) -> bool:
        """Binds the existing slot of a variable; returns whether there is one."""
        existing = slots.get(variable, slot_name)
        if existing is not None:
            self._binding.bind(node_id, existing, slot_name, optimizer_id)
        return existing is not None

    def _variable_key(self, node_id: int) -> str | None:
        """Returns the key of a slot that is a single array, else None."""
        attributes = self._graph.nodes[node_id].attributes
        if len(attributes) == 1 and attributes[0].name == VARIABLE_VALUE:
            return attributes[0].checkpoint_key
        return None

    def _slots(self, optimizer_id: int) -> Slots | None:
        """Returns the slots of the optimizer of a node, the same object during the whole match."""
        if optimizer_id not in self._slots_of:
            optimizer = self._binding.object(optimizer_id)
            adapter = None if optimizer is None else adapter_of(optimizer)
            self._slots_of[optimizer_id] = None if adapter is None else adapter.slots(optimizer)
        return self._slots_of[optimizer_id]

    def _variables_of(self, optimizer_id: int, slots: Slots) -> dict[int, Any]:
        """Returns the variables of an optimizer by the id of their notes."""
        known = self._variables.get(optimizer_id)
        if known is None:
            known = self._variables[optimizer_id] = {}
            for variable in slots.variables() or ():
                adapter = adapter_of(variable)
                if adapter is not None:
                    known[id(adapter.notes(variable))] = variable
        return known
