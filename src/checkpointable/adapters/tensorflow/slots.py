"""The slots of TensorFlow's optimizers (S11, S22)."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from checkpointable.adapters.tensorflow.deferred import SlotPosition
from checkpointable.adapters.tensorflow.private_api import slot_key
from checkpointable.adapters.tensorflow.private_attributes import deferred_slots, slot_maker
from checkpointable.graph.restore_notes import PendingChild
from checkpointable.graph.slots import NewSlot, Slots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

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
        if not isinstance(variable, tf.Variable):
            return None
        try:
            return self._optimizer.get_slot(variable, slot_name)
        except (AttributeError, KeyError):  # a variable of another graph, or of an unusual kind
            return None

    def prepare(
        self, variable: Any, slot_name: str, dtype: np.dtype[Any] | None, shape: tuple[int, ...]
    ) -> NewSlot | None:
        make = slot_maker(self._optimizer)
        if dtype is None or make is None or not isinstance(variable, tf.Variable):
            return None  # an optimizer without slots
        return NewSlot(None, {}, functools.partial(self._make, make, variable, slot_name))

    def _make(
        self, make: Callable[..., Any], variable: Any, slot_name: str, pending: PendingChild
    ) -> None:
        """Requests the slot from the optimizer: made now if eager, in a graph when it is needed."""
        position = SlotPosition(pending)
        slot = make(slot_variable_position=position, slot_name=slot_name, variable=variable)
        if slot is not None:  # optimizers of Keras 2 leave restoring it to the caller
            position.restore(slot)
        # An optimizer around another one (a `LossScaleOptimizer`) gives the position to that one.
        deferred = deferred_slots(self._optimizer, slot_name)
        key = slot_key(variable)
        if key in deferred:
            deferred[key] = position.without_replaced(deferred[key])
