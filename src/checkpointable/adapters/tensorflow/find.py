"""Finds the adapter of a type of TensorFlow, or of Keras on TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from checkpointable.adapters.tensorflow.keras_state import KerasStateAdapter, is_keras_state
from checkpointable.adapters.tensorflow.partitioned import PartitionedAdapter
from checkpointable.adapters.tensorflow.private_api import (
    PartitionedVariable,
    Trackable,
    exempt_from_autograph,
)
from checkpointable.adapters.tensorflow.trackables import TrackableAdapter

if TYPE_CHECKING:
    from checkpointable.graph.adapter import Adapter

__all__ = ["find"]


# A `tf.function` that saves calls the code of this library unconverted.
exempt_from_autograph("checkpointable")


def find(cls: type) -> Adapter | None:
    """Returns the adapter of a type of TensorFlow or Keras that has state; None for other types."""
    if issubclass(cls, Trackable):
        return TrackableAdapter(cls)
    if is_keras_state(cls):
        return KerasStateAdapter()
    return PartitionedAdapter() if issubclass(cls, PartitionedVariable) else None
