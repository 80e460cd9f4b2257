"""Eager variables."""

from __future__ import annotations

from typing import Any

from tensorflow.python.eager import context
from tensorflow.python.framework import ops
from tensorflow.python.ops import gen_resource_variable_ops
from tensorflow.python.trackable.constants import VARIABLE_VALUE_KEY

from checkpointable.adapters.tensorflow.deferred import note_restored
from checkpointable.adapters.tensorflow.eager import (
    is_first_cpu,
    numpy_dtype,
    shape_of,
    to_array,
    to_tensor,
)
from checkpointable.adapters.tensorflow.partitioned import part_of
from checkpointable.graph.value import Value

__all__ = ["PlannedValue", "VariableValue", "assign"]


class VariableValue(Value):
    """The value of an eager variable: read where it lies, assigned without a copy.

    Args:
      variable: a resource variable.
      trackable: the object that shows it to the checkpoint (a Keras variable, say).
    """

    __slots__ = ("_trackable", "_variable", "part_of")

    def __init__(self, variable: Any, trackable: Any) -> None:
        # Not the base's initializer: one is made for every variable at every save.
        self.dtype = numpy_dtype(variable.dtype)
        self.shape = shape_of(variable.shape)
        self.memory = None
        self.part_of = part_of(variable)
        self._variable = variable
        self._trackable = trackable

    def read(self) -> Any:
        # Not `Variable.read_value`, which records the read on tapes and takes ten times as long.
        variable = self._variable
        if not context.executing_eagerly():
            with ops.init_scope():
                return self.read()
        read = gen_resource_variable_ops.read_variable_op(variable.handle, variable.dtype)
        contents = to_array(read)
        # What was never assigned reads as empty.
        if self.shape and contents.shape != self.shape and not variable.is_initialized():
            raise ValueError(f"the variable {variable.name!r} is not initialized")
        return contents

    def write(self, contents: Any) -> None:
        if context.executing_eagerly():
            assign(self._variable, to_tensor(contents))
        else:  # a variable that is restored while a tf.function is traced
            with ops.init_scope():
                assign(self._variable, to_tensor(contents))

    def settle(self, uid: int) -> None:
        note_restored(self._trackable, uid)


class PlannedValue(Value):
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

    def read(self) -> Any:
        raise ValueError(f"the variable {self._variable.path!r} is not initialized")

    def write(self, contents: Any) -> None:
        self._variable._initializer = lambda *_, **__: to_tensor(contents)

    def settle(self, uid: int) -> None:
        note_restored(self._variable, uid)


def assign(variable: Any, tensor: Any) -> None:
    """Makes `tensor`, in host memory and of the right shape, the value of a variable."""
    if is_first_cpu(variable.device):
        # The variable shares the tensor's memory from here on.
        gen_resource_variable_ops.assign_variable_op(variable.handle, tensor)
    else:
        variable._restore_from_tensors({VARIABLE_VALUE_KEY: tensor})
