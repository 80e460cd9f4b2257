"""Variables with a copy on each replica."""

from __future__ import annotations

from typing import Any

from checkpointable.adapters.tensorflow.conversion import numpy_dtype, shape_of, to_tensor
from checkpointable.adapters.tensorflow.deferred import note_restored
from checkpointable.adapters.tensorflow.eager.batched_variables import assign
from checkpointable.adapters.tensorflow.eager.variables import VariableValue
from checkpointable.adapters.tensorflow.private_api import DISTRIBUTED, MirroredVariable, eager_mode
from checkpointable.adapters.tensorflow.private_attributes import copies_of, in_graph_mode
from checkpointable.graph.dtypes import STRING
from checkpointable.graph.value import Value

__all__ = ["MirroredValue", "is_distributed", "is_distributed_type", "mirrored_value"]


def is_distributed(variable: Any) -> bool:
    """Returns whether a variable has a copy or a part on each replica."""
    return isinstance(variable, DISTRIBUTED)


def is_distributed_type(cls: type) -> bool:
    """Returns whether the variables of a class have a copy or a part on each replica."""
    return issubclass(cls, DISTRIBUTED)


def mirrored_value(variable: Any, trackable: Any) -> Value:
    """Returns the value of a distributed variable.

    Raises:
      NotImplementedError: its copies may differ, or it is part of a graph.
    """
    if type(variable) is not MirroredVariable:
        raise NotImplementedError(
            f"the variable {variable.name!r} is a {type(variable).__name__}: of distributed "
            "variables, only MirroredVariables can be saved and restored"
        )
    if in_graph_mode(variable):
        raise NotImplementedError(
            f"the MirroredVariable {variable.name!r} is part of a graph: mirrored variables are "
            "saved and restored eagerly only"
        )
    return MirroredValue(variable, trackable)


class MirroredValue(Value):
    """The value of a mirrored variable. Saves read the first copy; restores assign all."""

    __slots__ = ("_trackable", "_variable")

    def __init__(self, variable: Any, trackable: Any) -> None:
        self.dtype = numpy_dtype(variable.dtype)
        self.shape = shape_of(variable.shape)
        self.memory = None
        self._variable = variable
        self._trackable = trackable

    def read(self) -> Any:
        return VariableValue(copies_of(self._variable)[0], self._trackable).read()

    def write(self, contents: Any) -> None:
        with eager_mode():
            for copy in copies_of(self._variable):
                # Separate memory for each, because a replica may change its copy in place.
                array = contents if self.dtype == STRING else contents.copy()
                assign(copy, to_tensor(array))

    def settle(self, uid: int) -> None:
        note_restored(self._trackable, uid)
