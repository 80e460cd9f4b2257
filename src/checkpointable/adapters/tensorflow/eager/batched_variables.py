"""Reads and assigns many eager variables in few operations.

An operation that reads or assigns one variable takes 5 us. One operation reads any number of
them; a function that assigns `_ASSIGNED_AT_ONCE` takes half the time per variable.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import tensorflow as tf
from tensorflow.core.framework.function_pb2 import FunctionDef

from checkpointable.adapters.tensorflow.conversion import (
    eagerly,
    is_first_cpu,
    tensors_of,
    to_array,
    to_tensor,
)
from checkpointable.adapters.tensorflow.private_api import (
    assign_variable,
    eager_context,
    eager_mode,
    quick_execute,
)
from checkpointable.adapters.tensorflow.private_attributes import restore_from_tensors
from checkpointable.graph.paths import VARIABLE_VALUE
from checkpointable.graph.value import AtOnce

if TYPE_CHECKING:
    from collections.abc import Sequence

    from checkpointable.adapters.tensorflow.eager.variables import VariableValue

__all__ = ["VARIABLES", "assign"]

# Fewer variables than this are as fast one by one. Copies of variables larger than this (in
# elements) dominate the time, and should not all be in memory at once.
_FEWEST = 16
_LARGEST = 1 << 16
_READ_AT_ONCE = 256

_ASSIGNED_AT_ONCE = 128
# The first call of the function prepares it, which takes 10 ms.
_FEWEST_ASSIGNED = 2048


class _Variables(AtOnce):
    """Reads and assigns many variables in host memory."""

    def read(self, values: Sequence[VariableValue]) -> Sequence[Any]:
        contents: list[Any] = [None] * len(values)
        if len(values) < _FEWEST or quick_execute is None:
            return contents
        in_batches: list[int] = []
        for position, value in enumerate(values):
            shape = value.shape
            if shape is None or None in shape or math.prod(shape) > _LARGEST:  # type: ignore[arg-type]
                continue
            if is_first_cpu(value._variable.device):
                in_batches.append(position)
        with eagerly():
            for start in range(0, len(in_batches), _READ_AT_ONCE):
                _read(values, in_batches[start : start + _READ_AT_ONCE], contents)
        return contents

    def write(self, values: Sequence[VariableValue], contents: Sequence[Any]) -> None:
        with eager_mode():
            # By NumPy dtype, because a TensorFlow dtype is slow to hash.
            by_dtype: dict[Any, tuple[Any, list[tuple[Any, Any]]]] = {}
            for value, array in zip(values, contents, strict=True):
                variable = value._variable
                if is_first_cpu(variable.device):
                    group = by_dtype.get(value.dtype)
                    if group is None:
                        group = by_dtype[value.dtype] = variable.dtype, []
                    group[1].append((variable.handle, array))
                else:
                    assign(variable, to_tensor(array))
            for dtype, pairs in by_dtype.values():
                _assign_all(dtype, pairs)


VARIABLES = _Variables()


def assign(variable: Any, tensor: Any) -> None:
    """Assigns `tensor`, in host memory and of the right shape, to a variable."""
    if is_first_cpu(variable.device):
        # The variable shares the tensor's memory from now on.
        assign_variable(variable.handle, tensor)
    else:
        restore_from_tensors(variable, {VARIABLE_VALUE: tensor})


def _read(values: Sequence[VariableValue], positions: list[int], contents: list[Any]) -> None:
    """Reads the values at these positions into `contents`; skips those that cannot be read."""
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
            ctx=eager_context(),
        )
    except tf.errors.OpError:
        return  # reading them one by one shows which one fails
    for position, tensor in zip(positions, tensors, strict=True):
        array = to_array(tensor)
        # A variable that was never assigned reads as empty; see `VariableValue.read`.
        if array.shape == values[position].shape:
            contents[position] = array


def _assign_all(dtype: Any, pairs: list[tuple[Any, Any]]) -> None:
    """Assigns arrays of one dtype to variables.

    Args:
      dtype: The TensorFlow dtype.
      pairs: (handle of the variable, array).
    """
    position = 0
    if len(pairs) >= _FEWEST_ASSIGNED and quick_execute is not None:
        ctx = eager_context()
        function = _assigning_function(ctx, dtype)
        while position + _ASSIGNED_AT_ONCE <= len(pairs):
            part = pairs[position : position + _ASSIGNED_AT_ONCE]
            inputs = [handle for handle, _ in part]
            inputs += tensors_of([array for _, array in part])
            quick_execute(function, num_outputs=0, inputs=inputs, attrs=None, ctx=ctx)
            position += _ASSIGNED_AT_ONCE
    rest = pairs[position:]
    for (handle, _), tensor in zip(rest, tensors_of([array for _, array in rest]), strict=True):
        assign_variable(handle, tensor)


def _assigning_function(ctx: Any, dtype: Any) -> str:
    """Returns the name of the function that assigns `_ASSIGNED_AT_ONCE` variables of this dtype.

    Its arguments are the variables' handles, then as many tensors.
    """
    name = f"checkpointable_assign_{_ASSIGNED_AT_ONCE}_{dtype.name}"
    if ctx.has_function(name):
        return name
    function = FunctionDef()
    signature = function.signature
    signature.name = name
    signature.is_stateful = True
    for kind, prefix in ((tf.resource, "handle"), (dtype, "tensor")):
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
        # Only operations that an output depends on run.
        signature.control_output.append(assigning.name)
        function.control_ret[assigning.name] = assigning.name
    ctx.add_function_def(function)
    return name
