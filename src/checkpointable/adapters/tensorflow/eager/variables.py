"""Values of eager variables."""

from __future__ import annotations

from typing import Any

from tensorflow import executing_eagerly

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
from checkpointable.adapters.tensorflow.private_api import eager_mode, read_variable
from checkpointable.adapters.tensorflow.private_attributes import set_keras_initializer
from checkpointable.graph.executor import NoContentsError
from checkpointable.graph.value import Part, Value, ValueTarget

__all__ = ["PlannedValue", "VariableValue"]


class VariableValue(Value):
    """The value of an eager variable, read and assigned without a copy.

    Args:
      variable: a resource variable.
      trackable: the object that has this value in the checkpoint: the variable, or a Keras
        variable around it.
    """

    __slots__ = ("_trackable", "_variable")

    at_once = VARIABLES

    def __init__(self, variable: Any, trackable: Any) -> None:
        # Bypasses the initializer of the base, because every save makes one for every variable.
        self.dtype = numpy_dtype(variable.dtype)
        self.shape = shape_of(variable.shape)
        self.memory = None
        self._variable = variable
        self._trackable = trackable

    @property
    def part_of(self) -> Part | None:  # type: ignore[override]
        """The position in a partitioned variable; None for a whole variable."""
        return part_of(self._variable)

    def read(self) -> Any:
        # `Variable.read_value` records the read on tapes, and takes ten times as long.
        variable = self._variable
        if not executing_eagerly():
            with eagerly():
                return self.read()
        read = read_variable(variable.handle, variable.dtype)
        contents = to_array(read)
        # A variable that was never assigned reads as empty; a scalar string has no shape.
        shape = getattr(contents, "shape", ())
        if 0 in shape and shape != self.shape and not variable.is_initialized():
            raise NoContentsError(f"the variable {variable.name!r} is not initialized", self)
        return contents

    def write(self, contents: Any) -> None:
        if executing_eagerly():
            assign(self._variable, to_tensor(contents))
        else:  # in the trace of a tf.function, or in the block of a graph
            with eager_mode():
                assign(self._variable, to_tensor(contents))

    def settle(self, uid: int) -> None:
        note_restored(self._trackable, uid)


class PlannedValue(ValueTarget):
    """The value of a Keras variable that Keras makes only at the end of a symbolic call.

    Until then the variable has an initializer, which a restore replaces.
    """

    __slots__ = ("_variable",)

    absent = True

    def __init__(self, variable: Any) -> None:
        self.dtype = numpy_dtype(variable.dtype)
        self.shape = tuple(variable.shape)
        self.memory = None
        self._variable = variable

    def write(self, contents: Any) -> None:
        set_keras_initializer(self._variable, lambda: to_tensor(contents))

    def settle(self, uid: int) -> None:
        note_restored(self._variable, uid)
