"""The slots of TensorFlow's optimizers (S11, S22)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tensorflow.python.ops.variables import Variable
from tensorflow.python.training.optimizer import _var_key

from checkpointable.adapters.tensorflow.deferred import SlotPosition
from checkpointable.graph.adapter import PendingChild, Slots

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np

__all__ = ["OptimizerSlots"]


class OptimizerSlots(Slots):
    """The slots of an optimizer with `get_slot_names` and `get_slot`."""

    def __init__(self, optimizer: Any) -> None:
        self._optimizer = optimizer

    def names(self) -> Iterable[str]:
        names: Iterable[str] = self._optimizer.get_slot_names()
        return names

    def get(self, variable: Any, slot_name: str) -> Any | None:
        if not isinstance(variable, Variable):
            return None
        try:
            return self._optimizer.get_slot(variable, slot_name)
        except (AttributeError, KeyError):  # a variable of another graph, or a peculiar one
            return None

    def create(
        self, variable: Any, slot_name: str, contents: np.ndarray[Any, np.dtype[Any]]
    ) -> Any | None:
        return None

    def wait(self, variable: Any, slot_name: str, pending: PendingChild) -> bool:
        """Eagerly the optimizer makes the slot now, from the value; in a graph when it needs it."""
        make = getattr(self._optimizer, "_create_or_restore_slot_variable", None)
        if make is None or not isinstance(variable, Variable):
            return True  # no slots of its own, so there is nothing to restore
        position = SlotPosition(pending)
        slot = make(slot_variable_position=position, slot_name=slot_name, variable=variable)
        if slot is not None:  # Keras 2's leave restoring it to whoever asked
            position.restore(slot)
        # An optimizer around another one (a `LossScaleOptimizer`) has it keep the position.
        waiting = getattr(self._optimizer, "_deferred_slot_restorations", {})
        deferred = waiting.get(slot_name, {})
        key = _var_key(variable)
        if key in deferred:
            deferred[key] = position.without_replaced(deferred[key])
        return True
