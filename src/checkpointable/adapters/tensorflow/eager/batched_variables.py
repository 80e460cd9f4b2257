"""Many eager variables, read and assigned in few steps.

TensorFlow takes 5 us for an operation that reads or assigns a variable. One operation reads any
number of them; a function that assigns `_ASSIGNED_AT_ONCE` takes half the time for each.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tensorflow.core.framework.function_pb2 import FunctionDef
from tensorflow.python.eager import context
from tensorflow.python.eager.execute import quick_execute
from tensorflow.python.framework import dtypes, errors_impl
from tensorflow.python.ops import gen_resource_variable_ops
from tensorflow.python.trackable.constants import VARIABLE_VALUE_KEY

from checkpointable.adapters.tensorflow.conversion import (
    eagerly,
    is_first_cpu,
    tensors_of,
    to_array,
    to_tensor,
)
from checkpointable.graph.value import AtOnce

if TYPE_CHECKING:
    from collections.abc import Sequence

    from checkpointable.adapters.tensorflow.eager.variables import VariableValue

__all__ = ["VARIABLES", "assign"]

# Below this many the one-by-one way is as good; above this size the copy is what takes time,
# and what a variable that is read by copying takes in memory is not to be held for all.
_FEWEST = 16
_LARGEST = 1 << 16
_READ_AT_ONCE = 256

_ASSIGNED_AT_ONCE = 128
# The function is made and prepared when it is first called, which takes 10 ms.
_FEWEST_ASSIGNED = 2048


class _Variables(AtOnce):
    """Reads and assigns variables that lie in host memory."""

    def read(self, values: Sequence[VariableValue]) -> Sequence[Any]:
        found: list[Any] = [None] * len(values)
        if len(values) < _FEWEST:
            return found
        here: list[int] = []
        for position, value in enumerate(values):
            shape = value.shape
            if shape is None or None in shape or math.prod(shape) > _LARGEST:  # type: ignore[arg-type]
                continue
            if is_first_cpu(value._variable.device):
                here.append(position)
        with eagerly():
            for start in range(0, len(here), _READ_AT_ONCE):
                _read(values, here[start : start + _READ_AT_ONCE], found)
        return found

    def write(self, values: Sequence[VariableValue], contents: Sequence[Any]) -> None:
        with context.eager_mode():
            # By NumPy's dtypes, since those of TensorFlow take long to look up.
            by_dtype: dict[Any, tuple[Any, list[tuple[Any, Any]]]] = {}
            for value, own in zip(values, contents, strict=True):
                variable = value._variable
                if is_first_cpu(variable.device):
                    group = by_dtype.get(value.dtype)
                    if group is None:
                        group = by_dtype[value.dtype] = variable.dtype, []
                    group[1].append((variable.handle, own))
                else:
                    assign(variable, to_tensor(own))
            for dtype, pairs in by_dtype.values():
                _assign_all(dtype, pairs)


VARIABLES = _Variables()


def assign(variable: Any, tensor: Any) -> None:
    """Makes `tensor`, in host memory and of the right shape, the value of a variable."""
    if is_first_cpu(variable.device):
        # The variable shares the tensor's memory from here on.
        gen_resource_variable_ops.assign_variable_op(variable.handle, tensor)
    else:
        variable._restore_from_tensors({VARIABLE_VALUE_KEY: tensor})


def _read(values: Sequence[VariableValue], positions: list[int], found: list[Any]) -> None:
    """Reads the values at these positions into `found`, as far as they can be."""
    variables = [values[position]._variable for position in positions]
    try:
        tensors = quick_execute(
            "_ReadVariablesOp",
            num_outputs=len(variables),
            inputs=[variable.handle for variable in variables],
            attrs=(
                "N",
                len(variables),
                "dtypes",
                [variable.dtype.as_datatype_enum for variable in variables],
            ),
            ctx=context.context(),
        )
    except errors_impl.OpError:
        return  # each by itself then, which says what is wrong with which
    for position, tensor in zip(positions, tensors, strict=True):
        contents = to_array(tensor)
        # What was never assigned reads as empty; see `VariableValue.read`.
        if contents.shape == values[position].shape:
            found[position] = contents


def _assign_all(dtype: Any, pairs: list[tuple[Any, Any]]) -> None:
    """Assigns arrays to variables, (handle, array) each, all of one dtype."""
    position = 0
    if len(pairs) >= _FEWEST_ASSIGNED:
        ctx = context.context()
        function = _assigning_function(ctx, dtype)
        while position + _ASSIGNED_AT_ONCE <= len(pairs):
            part = pairs[position : position + _ASSIGNED_AT_ONCE]
            inputs = [handle for handle, _ in part]
            inputs += tensors_of([own for _, own in part])
            quick_execute(function, num_outputs=0, inputs=inputs, attrs=None, ctx=ctx)
            position += _ASSIGNED_AT_ONCE
    rest = pairs[position:]
    for (handle, _), tensor in zip(rest, tensors_of([own for _, own in rest]), strict=True):
        gen_resource_variable_ops.assign_variable_op(handle, tensor)


def _assigning_function(ctx: Any, dtype: Any) -> str:
    """The name of the function that assigns `_ASSIGNED_AT_ONCE` variables of this dtype.

    Its arguments are the variables' handles, then as many tensors.
    """
    name = f"checkpointable_assign_{_ASSIGNED_AT_ONCE}_{dtype.name}"
    if ctx.has_function(name):
        return name
    function = FunctionDef()
    signature = function.signature
    signature.name = name
    signature.is_stateful = True
    for kind, prefix in ((dtypes.resource, "handle"), (dtype, "tensor")):
        for number in range(_ASSIGNED_AT_ONCE):
            signature.input_arg.add(name=f"{prefix}_{number}", type=kind.as_datatype_enum)
    for number in range(_ASSIGNED_AT_ONCE):
        assigning = function.node_def.add(
            name=f"assign_{number}",
            op="AssignVariableOp",
            input=[f"handle_{number}", f"tensor_{number}"],
        )
        assigning.attr["dtype"].type = dtype.as_datatype_enum
        assigning.attr["validate_shape"].b = False
        # Without these nothing would need the operations, and none would run.
        signature.control_output.append(assigning.name)
        function.control_ret[assigning.name] = assigning.name
    ctx.add_function_def(function)
    return name
