"""Which types are TensorFlow's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tensorflow.python.autograph.core import config
from tensorflow.python.ops.variables import PartitionedVariable
from tensorflow.python.trackable.base import Trackable

from checkpointable.adapters.tensorflow.keras_state import KerasStateAdapter, is_keras_state
from checkpointable.adapters.tensorflow.partitioned import PartitionedAdapter
from checkpointable.adapters.tensorflow.trackables import TrackableAdapter

if TYPE_CHECKING:
    from checkpointable.graph.adapter import Adapter

__all__ = ["find"]


# Called in a `tf.function`, this library's code is run as it is, and not made into a graph.
config.CONVERSION_RULES = (config.DoNotConvert("checkpointable"), *config.CONVERSION_RULES)


def find(cls: type) -> Adapter | None:
    """The adapter of a type that TensorFlow or Keras on it has state in, None for any other."""
    if issubclass(cls, Trackable):
        return TrackableAdapter(cls)
    if is_keras_state(cls):
        return KerasStateAdapter()
    return PartitionedAdapter() if issubclass(cls, PartitionedVariable) else None
