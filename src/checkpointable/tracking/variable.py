"""Variable: a NumPy array that is state, changed in place; and add_variable (S6)."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from checkpointable.graph.paths import VARIABLE_VALUE
from checkpointable.graph.value import STRING, Value, as_dtype, as_string_array
from checkpointable.tracking.base import Checkpointable
from checkpointable.tracking.state import state_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Variable", "VariableValue", "add_variable", "create_tracked_variable"]

Array = np.ndarray[Any, np.dtype[Any]]


class Variable(Checkpointable):
    """A NumPy array of fixed shape and dtype that is saved and restored.

    Args:
      value: the initial contents, copied: an array, a number, a string, or nested sequences.
      name: a global name, for name-based checkpoints; None for none.
      dtype: what `numpy.dtype` takes, an ml_dtypes name ("bfloat16", …) or "string". None:
        what `numpy.asarray(value)` has; strings are kept as arrays of `bytes`.

    `assign` and `assign_add` change the contents in place; `numpy()` returns a copy;
    `numpy.asarray(variable)` shares the memory. A variable is an object, not an array: `==`
    compares identity, and `int`, `float` and `bool` take a scalar's value.

        step = cp.Variable(0, name="step")
        step.assign_add(1)
        int(step)                       # 1
    """

    _array: Array
    name: str | None

    def __init__(self, value: Any, name: str | None = None, dtype: Any = None) -> None:
        self._adopt(_as_array(value, dtype), name)

    @classmethod
    def _from_buffer(cls, array: Array, name: str | None) -> Variable:
        """A variable on `array` itself, which nobody else may hold."""
        variable = cls.__new__(cls)
        variable._adopt(array, name)
        return variable

    def _adopt(self, array: Array, name: str | None) -> None:
        # Past __setattr__: neither takes part in tracking, and many variables are made.
        self.__dict__["_array"] = array
        self.__dict__["name"] = name

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype; `numpy.dtype(object)` for strings."""
        return self._array.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape, `()` for a scalar."""
        shape: tuple[int, ...] = self._array.shape
        return shape

    def numpy(self) -> Array:
        """A copy of the contents."""
        return self._array.copy()

    def assign(self, value: Any) -> Variable:
        """Replaces the contents in place and returns the variable.

        Raises:
          ValueError: `value` has another shape.
          TypeError: it is of a kind that the dtype cannot hold (1.5 for integers).
        """
        self._array[...] = self._checked(value, "assign")
        return self

    def assign_add(self, value: Any) -> Variable:
        """Adds `value` in place, element by element, and returns the variable.

        Raises:
          ValueError, TypeError: as `assign`.
        """
        self._array += self._checked(value, "assign_add")
        return self

    def _checked(self, value: Any, what: str) -> Array:
        what = f"{what}: variable {self.name or '(unnamed)'}"
        if self._array.dtype == STRING:
            array = as_string_array(value, what)
        else:
            array = _converted(value, self._array.dtype, what)
        if array.shape != self._array.shape:
            raise ValueError(f"{what} has shape {self._array.shape}, the value has {array.shape}")
        return array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        array = self._array if dtype is None else self._array.astype(dtype, copy=False)
        return array.copy() if copy and array is self._array else array

    def __bool__(self) -> bool:
        return bool(self._array)

    def __int__(self) -> int:
        return int(self._array)

    def __index__(self) -> int:
        return self._array.__index__()

    def __float__(self) -> float:
        return float(self._array)

    def __repr__(self) -> str:
        name = "" if self.name is None else f" {self.name!r}"
        return f"<Variable{name} shape={self.shape} dtype={self.dtype.name}>"

    def _gather_saveables_for_checkpoint(self) -> Mapping[str, Value]:
        return {VARIABLE_VALUE: VariableValue(self._array)}


class VariableValue(Value):
    """The value of a variable: its own memory, or its strings."""

    __slots__ = ("_array",)

    def __init__(self, array: Array) -> None:
        # Not the base's initializer, which normalizes what is normal here: one is made for
        # every variable at every save.
        self.dtype = dtype = array.dtype
        self.shape = array.shape
        self.memory = None if dtype.hasobject else array
        self._array = array

    def read(self) -> Array:
        return self._array

    def write(self, contents: Any) -> None:
        self._array[...] = contents


def _as_array(value: Any, dtype: Any) -> Array:
    """A fresh C-ordered array of `value`, in the machine's byte order."""
    if dtype is not None:
        wanted = as_dtype(dtype)
        if wanted == STRING:
            return as_string_array(value)
        return np.array(value, dtype=wanted.newbyteorder("="), order="C")
    try:
        array = np.asarray(value)
    except UnicodeDecodeError:  # text and bytes side by side, which NumPy would make text of
        return as_string_array(value)
    if array.dtype.kind in "OSU":
        return as_string_array(value)
    return np.array(array, dtype=array.dtype.newbyteorder("="), order="C")


def _converted(value: Any, dtype: np.dtype[Any], what: str) -> Array:
    """`value` as an array of `dtype`; one that would lose its fractions, or more, is refused.

    Raises:
      TypeError: an element that the dtype cannot hold.
      OverflowError: a Python integer out of the dtype's range.
    """
    array = np.asarray(value)
    if not isinstance(value, np.ndarray) and array.dtype.kind in "iu":
        return np.asarray(value, dtype=dtype)  # NumPy checks the range of Python's integers
    with np.errstate(invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", np.exceptions.ComplexWarning)
        converted = array.astype(dtype, copy=False)
        # From one kind of float to another rounding is what everybody expects.
        lossy = not _is_fraction(dtype) and not np.array_equal(converted.astype(array.dtype), array)
    if lossy or (array.dtype.kind == "c" != dtype.kind and np.any(array.imag)):
        raise TypeError(
            f"{what} has dtype {dtype.name}, which cannot hold the value of dtype "
            f"{array.dtype.name} without loss; convert it first if that is meant"
        )
    return converted


def _is_fraction(dtype: np.dtype[Any]) -> bool:
    """Whether it is a kind of float or complex, ml_dtypes' included (kind "V")."""
    return dtype.kind in "fc" or (dtype.kind == "V" and "float" in dtype.name)


def add_variable(
    obj: Checkpointable,
    name: str,
    shape: Any = None,
    dtype: Any = "float32",
    initializer: Any = None,
) -> Variable:
    """Creates a variable that `obj` tracks under `name`, and returns it (S6).

    It is a dependency of `obj`; as an attribute it is there only if you assign it:

        self.kernel = cp.add_variable(self, "kernel", (3, 4))

    If a restore waits for it, it starts from the checkpointed value: the initializer is not
    run (S21).

    Args:
      obj: the owner.
      name: local name, unique within `obj`; also the variable's global name.
      shape: a shape, or an int for one dimension. None: the initializer's value says.
      dtype: as in `Variable`.
      initializer: the initial value, or a callable `(shape, dtype)` that returns it. None:
        Glorot uniform for floats, zeros (empty strings) for the rest.

    Raises:
      ValueError: `name` is taken; a constant initializer together with a shape; neither.
      CheckpointMismatchError: the checkpointed value has another shape or dtype.
    """
    variable: Variable = obj._add_variable(name, shape, dtype, initializer)
    return variable


def create_tracked_variable(
    owner: Checkpointable, name: str, shape: Any, dtype: Any, initializer: Any
) -> Variable:
    """What `Checkpointable._add_variable` does."""
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
    pending = state_of(owner).pending.get(name, ())
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
        state_of(variable).sources[VARIABLE_VALUE] = source
    else:
        array = _initial_array(name, fixed, wanted, initializer)
        variable = Variable._from_buffer(array, name)
    owner._track_checkpointable(variable, name)
    return variable


def _initial_array(
    name: str, shape: tuple[int, ...] | None, dtype: np.dtype[Any], initializer: Any
) -> Array:
    if initializer is not None and not callable(initializer):
        return _as_array(initializer, dtype)
    if shape is None:
        raise ValueError(f"variable {name!r}: give a shape or a constant initializer")
    make: Callable[..., Any] = initializer or _default_initializer
    array = _as_array(make(shape, dtype), dtype)
    if array.shape != shape:
        raise ValueError(
            f"variable {name!r}: the initializer returned shape {array.shape}, asked for {shape}"
        )
    return array


def _default_initializer(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    if dtype == STRING:
        return np.full(shape, b"", dtype=object)
    is_float = _is_fraction(dtype) and dtype.kind != "c"
    return glorot_uniform(shape, dtype) if is_float else np.zeros(shape, dtype)


def glorot_uniform(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Uniform on [-x, x], x = sqrt(6 / (fan_in + fan_out)), from NumPy's global generator.

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
    # The global generator: a program that seeds it gets the same start every time.
    return np.random.uniform(-limit, limit, shape).astype(dtype)  # noqa: NPY002
