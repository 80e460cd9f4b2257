"""add_variable: creates a variable that its owner tracks, with its initial value (S6, S21)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from checkpointable.graph.dtypes import STRING, as_dtype
from checkpointable.graph.paths import VARIABLE_VALUE
from checkpointable.tracking.dependencies import dependencies_of
from checkpointable.tracking.variable import Array, Variable, as_array, is_fraction

if TYPE_CHECKING:
    from collections.abc import Callable

    from checkpointable.tracking.base import Checkpointable

__all__ = ["add_variable", "create_tracked_variable"]


def add_variable(
    obj: Checkpointable,
    name: str,
    shape: Any = None,
    dtype: Any = "float32",
    initializer: Any = None,
) -> Variable:
    """Creates a variable that `obj` tracks under `name`, and returns it (S6).

    The variable is a dependency of `obj`; it is an attribute only if you assign it. If a restore
    waits for it, it starts with the stored value, and the initializer does not run (S21).

    Args:
      obj: The owner.
      name: The local name, unique within `obj`; also the variable's global name.
      shape: A shape, or an int for one dimension. None: the shape of the initializer's value.
      dtype: As in `Variable`.
      initializer: The initial value, or a callable `(shape, dtype)` that returns it. None:
        Glorot uniform for floats, zeros (empty strings) for other dtypes.

    Returns:
      The variable.

    Raises:
      ValueError: `name` is taken; a constant initializer comes together with a shape; or there
        is neither.
      CheckpointMismatchError: The stored value has another shape or dtype.

    Example:
        self.kernel = cp.add_variable(self, "kernel", (3, 4))
    """
    variable: Variable = obj._add_variable(name, shape, dtype, initializer)
    return variable


def create_tracked_variable(
    owner: Checkpointable, name: str, shape: Any, dtype: Any, initializer: Any
) -> Variable:
    """Creates the variable; the default of `Checkpointable._add_variable`."""
    if owner._lookup_dependency(name) is not None:
        raise ValueError(
            f"a dependency named {name!r} is already declared on this {type(owner).__name__}; "
            "add_variable needs a new name"
        )
    wanted = as_dtype(dtype)
    if wanted != STRING:
        wanted = wanted.newbyteorder("=")
    if isinstance(shape, (int, np.integer)):
        shape = (int(shape),)
    fixed = None if shape is None else tuple(int(size) for size in shape)
    if fixed is not None and min(fixed, default=0) < 0:
        raise ValueError(f"variable {name!r}: shape {fixed} has a negative dimension")
    if initializer is not None and not callable(initializer) and fixed is not None:
        raise ValueError(
            f"variable {name!r}: the initializer is a constant, so do not specify shape "
            f"(got {fixed})"
        )
    pending = dependencies_of(owner).pending.get(name, ())
    restored = None
    if pending:
        latest = max(pending, key=lambda p: p.uid)
        expected = fixed
        if fixed is None and initializer is not None and not callable(initializer):
            expected = np.shape(initializer)
        restored = latest.initial_value(wanted, expected)
    if restored is not None:
        array, source = restored
        variable = Variable._from_buffer(array, name)
        dependencies_of(variable).sources[VARIABLE_VALUE] = source
    else:
        array = _initial_array(name, fixed, wanted, initializer)
        variable = Variable._from_buffer(array, name)
    owner._track_checkpointable(variable, name)
    return variable


def _initial_array(
    name: str, shape: tuple[int, ...] | None, dtype: np.dtype[Any], initializer: Any
) -> Array:
    if initializer is not None and not callable(initializer):
        return as_array(initializer, dtype)
    if shape is None:
        raise ValueError(f"variable {name!r}: give a shape or a constant initializer")
    make: Callable[..., Any] = initializer or _default_initializer
    array = as_array(make(shape, dtype), dtype)
    if array.shape != shape:
        raise ValueError(
            f"variable {name!r}: the initializer returned shape {array.shape}, but should return "
            f"{shape}"
        )
    return array


def _default_initializer(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    if dtype == STRING:
        return np.full(shape, b"", dtype=object)
    is_float = is_fraction(dtype) and dtype.kind != "c"
    return _glorot_uniform(shape, dtype) if is_float else np.zeros(shape, dtype)


def _glorot_uniform(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Returns values that are uniform on [-x, x], x = sqrt(6 / (fan_in + fan_out)).

    Source: Glorot and Bengio, Understanding the difficulty of training deep feedforward
    neural networks, 2010; fans of a convolution kernel as in TensorFlow: the last two
    dimensions, times the receptive field.
    """
    if len(shape) < 2:
        fan_in = fan_out = shape[0] if shape else 1
    else:
        receptive = math.prod(shape[:-2])
        fan_in, fan_out = shape[-2] * receptive, shape[-1] * receptive
    limit = math.sqrt(6.0 / max(1.0, fan_in + fan_out))
    # NumPy's global generator: a program that seeds it gets the same values every time.
    return np.random.uniform(-limit, limit, shape).astype(dtype)  # noqa: NPY002
