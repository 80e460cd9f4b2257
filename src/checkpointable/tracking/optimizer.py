"""Optimizer: a base class for optimizers that keep slot variables (S11, S22)."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from checkpointable.common.locks import ForkSafeLock
from checkpointable.tracking.base import Checkpointable
from checkpointable.tracking.variable import Variable

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Optimizer"]

_SLOTS_NAME = "_optimizer_slots"
_claiming = ForkSafeLock()


class Optimizer(Checkpointable):
    """Base class of optimizers: keeps slot variables, such as a momentum for each weight.

    A slot belongs to the variable object, not to a position or a name. It is saved if both
    its optimizer and its variable are reachable from the root. It is restored when both exist,
    whichever is created first. A subclass need not call `__init__`.

    Example:
        class Momentum(cp.Optimizer):
            def step(self, variable, gradient):
                velocity = self.add_slot(variable, "velocity", np.zeros(variable.shape))
                velocity.assign(0.9 * velocity.numpy() + gradient)
                variable.assign_add(-0.01 * velocity.numpy())
    """

    def add_slot(self, variable: Any, slot_name: str, initial: Any | Callable[[], Any]) -> Variable:
        """Returns the slot of `variable`; creates it if there is none.

        A slot that exists, a restored one included, is returned unchanged.

        Args:
          variable: Any checkpointable object, by identity.
          slot_name: The name of the slot, unique for this optimizer and variable.
          initial: The initial contents, or a callable without arguments that returns them.
        """
        existing = self.get_slot(variable, slot_name)
        if existing is not None:
            return existing
        slot = Variable(
            initial() if callable(initial) else initial, name=_name(variable, slot_name)
        )
        return self._keep_slot(variable, slot_name, slot)

    def get_slot(self, variable: Any, slot_name: str) -> Variable | None:
        """Returns the slot of `variable`, None if there is none."""
        held = self._slots().get(slot_name, {}).get(id(variable))
        return None if held is None else held[1]

    def get_slot_names(self) -> list[str]:
        """Returns the slot names in use, sorted."""
        return sorted(self._slots())

    def _new_slot(
        self, variable: Any, slot_name: str, array: np.ndarray[Any, np.dtype[Any]]
    ) -> Variable:
        """Returns a new slot that uses `array` as its memory; does not add it to the optimizer."""
        return Variable._from_buffer(array, _name(variable, slot_name))

    def _keep_slot(self, variable: Any, slot_name: str, slot: Variable) -> Variable:
        # Refers to the variable as well as to its slot: an id is valid only while its object lives.
        self._slots().setdefault(slot_name, {})[id(variable)] = (variable, slot)
        return slot

    def _slots(self) -> dict[str, dict[int, tuple[Any, Variable]]]:
        # Bypasses __setattr__: slots are not dependencies.
        table: _SlotTable | None = self.__dict__.get(_SLOTS_NAME)
        if table is None or table.owner() is not self:
            with _claiming:
                table = self._claimed_slots()
        return table.slots

    def _claimed_slots(self) -> _SlotTable:
        table: _SlotTable | None = self.__dict__.get(_SLOTS_NAME)
        if table is None or table.owner() is not self:
            # None yet, or the table of the optimizer that this is a shallow copy of.
            table = _SlotTable([] if table is None else table.items())
            table.owner = weakref.ref(self)
            self.__dict__[_SLOTS_NAME] = table
        return table


class _SlotTable:
    """slot name -> id of the variable -> (variable, slot).

    Copies and pickles refer to the objects themselves, because the copies have other ids.
    """

    def __init__(self, items: list[tuple[str, Any, Variable]]) -> None:
        self.owner: Callable[[], Any] = _nobody
        self.slots: dict[str, dict[int, tuple[Any, Variable]]] = {}
        for slot_name, variable, slot in items:
            self.slots.setdefault(slot_name, {})[id(variable)] = (variable, slot)

    def items(self) -> list[tuple[str, Any, Variable]]:
        return [
            (slot_name, variable, slot)
            for slot_name, held in self.slots.items()
            for variable, slot in held.values()
        ]

    def __reduce__(self) -> tuple[Any, ...]:
        return _SlotTable, (self.items(),)


def _nobody() -> None:
    """The owner of a table that no optimizer has claimed yet."""


def _name(variable: Any, slot_name: str) -> str | None:
    name = getattr(variable, "name", None)
    return f"{name}/{slot_name}" if isinstance(name, str) and name else None
