"""Eager variables."""

from __future__ import annotations

from typing import Any

from tensorflow.python.eager import context
from tensorflow.python.ops import gen_resource_variable_ops

from checkpointable.adapters.tensorflow.conversion import (
    eagerly,
    numpy_dtype,
    shape_of,
    to_array,
    to_tensor,
)
from checkpointable.adapters.tensorflow.deferred import note_restored
from checkpointable.adapters.tensorflow.eager.batched_variables import VARIABLES, assign
from checkpointable.adapters.tensorflow.partitioned import part_of
from checkpointable.graph.executor import NoContentsError
from checkpointable.graph.value import Part, Value, ValueTarget

__all__ = ["PlannedValue", "VariableValue"]


class VariableValue(Value):
    """The value of an eager variable: read where it lies, assigned without a copy.

    Args:
      variable: a resource variable.
      trackable: the object that shows it to the checkpoint (a Keras variable, say).
    """

    __slots__ = ("_trackable", "_variable")

    at_once = VARIABLES

    def __init__(self, variable: Any, trackable: Any) -> None:
        # Not the base's initializer: one is made for every variable at every save.
        self.dtype = numpy_dtype(variable.dtype)
        self.shape = shape_of(variable.shape)
        self.memory = None
        self._variable = variable
        self._trackable = trackable

    @property
    def part_of(self) -> Part | None:  # type: ignore[override]
        """Which part of a partitioned variable it is."""
        return part_of(self._variable)

    def read(self) -> Any:
        # Not `Variable.read_value`, which enters the read on tapes and takes ten times as long.
        variable = self._variable
        if not context.executing_eagerly():
            with eagerly():
                return self.read()
        read = gen_resource_variable_ops.read_variable_op(variable.handle, variable.dtype)
        contents = to_array(read)
        # What was never assigned reads as empty; a scalar string has no shape.
        shape = getattr(contents, "shape", ())
        if 0 in shape and shape != self.shape and not variable.is_initialized():
            raise NoContentsError(f"the variable {variable.name!r} is not initialized", self)
        return contents

    def write(self, contents: Any) -> None:
        if context.executing_eagerly():
            assign(self._variable, to_tensor(contents))
        else:  # while a tf.function is traced, or in the block of a graph
            with context.eager_mode():
                assign(self._variable, to_tensor(contents))

    def settle(self, uid: int) -> None:
        note_restored(self._trackable, uid)


class PlannedValue(ValueTarget):
    """The value of a Keras variable that is to be made at the end of a symbolic call.

    Until then it has an initializer. What is restored takes the initializer's place.
    """

    __slots__ = ("_variable",)

    absent = True

    def __init__(self, variable: Any) -> None:
        self.dtype = numpy_dtype(variable.dtype)
        self.shape = tuple(variable.shape)
        self.memory = None
        self._variable = variable

    def write(self, contents: Any) -> None:
        self._variable._initializer = lambda *_, **__: to_tensor(contents)

    def settle(self, uid: int) -> None:
        note_restored(self._variable, uid)
