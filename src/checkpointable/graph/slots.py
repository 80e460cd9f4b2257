"""The interface to the slot variables of an optimizer: `Slots` (S11, S22)."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import numpy as np

    from checkpointable.graph.restore_notes import PendingChild
    from checkpointable.graph.value import ValueFactory, ValueSpec

__all__ = ["NewSlot", "Slots"]


class NewSlot(NamedTuple):
    """A slot that a restore is about to give to an optimizer (S22).

    Attributes:
      slot: The object that becomes the slot, which an adapter knows. None if only the optimizer
        can make it.
      values: The values of `slot` by attribute name. They are restored before `keep` is called.
      keep: Gives the optimizer its slot and returns the slot, which may be another object than
        `slot` with the same values. If only the optimizer can make the slot, `keep` asks it to,
        and returns None; the optimizer then passes the slot to `attach` of the argument.
    """

    slot: Any
    values: Mapping[str, ValueSpec | ValueFactory]
    keep: Callable[[PendingChild], Any | None]


class Slots(abc.ABC):
    """The slot variables of one optimizer (S11).

    Example:
        class MomentumSlots(Slots):
            def __init__(self, optimizer):
                self._momentum = optimizer.momentum  # parameter -> tensor

            def names(self):
                return ["momentum"]

            def get(self, variable, slot_name):
                return self._momentum.get(variable)

            def prepare(self, variable, slot_name, dtype, shape):
                if slot_name != "momentum" or dtype is None:
                    return None
                slot = Tensor(shape, dtype)

                def keep(pending):
                    self._momentum[variable] = slot
                    return slot

                return NewSlot(slot, {"VARIABLE_VALUE": value_of(slot)}, keep)
    """

    @abc.abstractmethod
    def names(self) -> Iterable[str]:
        """Returns the slot names in use, in a fixed order."""

    @abc.abstractmethod
    def get(self, variable: Any, slot_name: str) -> Any | None:
        """Returns the slot of `variable`, an object that an adapter knows; None if it has none."""

    @abc.abstractmethod
    def prepare(
        self, variable: Any, slot_name: str, dtype: np.dtype[Any] | None, shape: tuple[int, ...]
    ) -> NewSlot | None:
        """Prepares a slot that the checkpoint has and the optimizer does not have yet.

        Changes nothing: the optimizer gets the slot when `NewSlot.keep` is called, after all values
        of the restore have been checked (S25).

        Args:
          variable: The variable whose slot it is.
          slot_name: The name of the slot.
          dtype: The dtype of the slot, if the checkpoint stores it as one array. None: it is
            stored as Python state.
          shape: The shape of that array.

        Returns:
          The new slot; None if the optimizer keeps no such slot.
        """

    def variables(self) -> Iterable[Any] | None:
        """Returns the variables that the optimizer keeps slots for; None if it takes any.

        Slots of variables that it does not list yet are restored when it lists them.
        """
        return None
