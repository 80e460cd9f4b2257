"""Variables with a copy on each replica."""

from __future__ import annotations

from typing import Any

from tensorflow.python.distribute.ps_values import AggregatingVariable, CachingVariable
from tensorflow.python.distribute.sharded_variable import ShardedVariableMixin
from tensorflow.python.distribute.values import DistributedVariable, MirroredVariable
from tensorflow.python.eager import context

from checkpointable.adapters.tensorflow.conversion import numpy_dtype, shape_of, to_tensor
from checkpointable.adapters.tensorflow.deferred import note_restored
from checkpointable.adapters.tensorflow.eager.batched_variables import assign
from checkpointable.adapters.tensorflow.eager.variables import VariableValue
from checkpointable.graph.dtypes import STRING
from checkpointable.graph.value import Value

__all__ = ["MirroredValue", "is_distributed", "is_distributed_type", "mirrored_value"]

_DISTRIBUTED = (DistributedVariable, AggregatingVariable, CachingVariable, ShardedVariableMixin)


def is_distributed(variable: Any) -> bool:
    """Whether a variable has a copy or a part on each replica."""
    return isinstance(variable, _DISTRIBUTED)


def is_distributed_type(cls: type) -> bool:
    """Whether that is so of the variables of a type."""
    return issubclass(cls, _DISTRIBUTED)


def mirrored_value(variable: Any, trackable: Any) -> Value:
    """The value of a distributed variable.

    Raises:
      NotImplementedError: it is not one whose copies are all alike.
    """
    if type(variable) is not MirroredVariable:
        raise NotImplementedError(
            f"the variable {variable.name!r} is a {type(variable).__name__}: of variables that "
            "are distributed over replicas, only MirroredVariables can be saved and restored"
        )
    if variable._in_graph_mode:
        raise NotImplementedError(
            f"the MirroredVariable {variable.name!r} is part of a graph: mirrored variables are "
            "saved and restored eagerly only"
        )
    return MirroredValue(variable, trackable)


class MirroredValue(Value):
    """The value of a mirrored variable: that of its first copy; a restore sets all of them."""

    __slots__ = ("_trackable", "_variable")

    def __init__(self, variable: Any, trackable: Any) -> None:
        self.dtype = numpy_dtype(variable.dtype)
        self.shape = shape_of(variable.shape)
        self.memory = None
        self._variable = variable
        self._trackable = trackable

    def read(self) -> Any:
        return VariableValue(self._variable._primary, self._trackable).read()

    def write(self, contents: Any) -> None:
        with context.eager_mode():
            for copy in self._variable._values:
                # Each its own memory: what one replica changes in place is no other's.
                own = contents if self.dtype == STRING else contents.copy()
                assign(copy, to_tensor(own))

    def settle(self, uid: int) -> None:
        note_restored(self._trackable, uid)
