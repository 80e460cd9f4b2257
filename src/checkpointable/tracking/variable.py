"""Variable: a NumPy array that is saved, restored and changed in place."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from checkpointable.graph.dtypes import STRING, as_dtype, as_string_array
from checkpointable.graph.paths import VARIABLE_VALUE
from checkpointable.graph.value import Value
from checkpointable.tracking.base import Checkpointable

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Array", "Variable", "VariableValue", "as_array", "is_fraction"]

Array = np.ndarray[Any, np.dtype[Any]]


class Variable(Checkpointable):
    """A NumPy array of fixed shape and dtype that is saved and restored.

    `assign` and `assign_add` change the contents in place; `numpy()` returns a copy;
    `numpy.asarray(variable)` shares the memory. A variable is an object, not an array: `==`
    compares identity, and `int`, `float` and `bool` convert a scalar's value.

    Args:
      value: The initial contents, copied: an array, a number, a string, or nested sequences.
      name: The global name for name-based checkpoints; None for none.
      dtype: What `numpy.dtype` takes, a name of ml_dtypes ("bfloat16", …) or "string". None:
        that of `numpy.asarray(value)`. Strings are kept as arrays of `bytes`.

    Example:
        step = cp.Variable(0, name="step")
        step.assign_add(1)
        int(step)                       # 1
    """

    _array: Array
    name: str | None

    def __init__(self, value: Any, name: str | None = None, dtype: Any = None) -> None:
        self._adopt(as_array(value, dtype), name)

    @classmethod
    def _from_buffer(cls, array: Array, name: str | None) -> Variable:
        """Returns a variable whose memory is `array`, which the caller must not use any more."""
        variable = cls.__new__(cls)
        variable._adopt(array, name)
        return variable

    def _adopt(self, array: Array, name: str | None) -> None:
        # Bypasses __setattr__: neither is tracked, and programs make many variables.
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
        """Returns a copy of the contents."""
        return self._array.copy()

    def assign(self, value: Any) -> Variable:
        """Replaces the contents in place and returns the variable.

        Raises:
          ValueError: `value` has another shape.
          TypeError: The dtype cannot hold the value (1.5 for integers).
        """
        self._array[...] = self._checked(value, "assign")
        return self

    def assign_add(self, value: Any) -> Variable:
        """Adds `value` in place, element by element, and returns the variable.

        Raises:
          ValueError, TypeError: As for `assign`.
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
            raise ValueError(
                f"{what} has shape {self._array.shape}, but the value has {array.shape}"
            )
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
    """The value of a variable: its memory, or its strings."""

    __slots__ = ("_array",)

    def __init__(self, array: Array) -> None:
        # Bypasses the initializer of the base, which normalizes its arguments: every save makes
        # one of these for every variable.
        self.dtype = dtype = array.dtype
        self.shape = array.shape
        self.memory = None if dtype.hasobject else array
        self._array = array

    def read(self) -> Array:
        return self._array

    def write(self, contents: Any) -> None:
        self._array[...] = contents


def as_array(value: Any, dtype: Any) -> Array:
    """Returns a new C-ordered array of `value` in native byte order."""
    if dtype is not None:
        wanted = as_dtype(dtype)
        if wanted == STRING:
            return as_string_array(value)
        return np.array(value, dtype=wanted.newbyteorder("="), order="C")
    try:
        array = np.asarray(value)
    except UnicodeDecodeError:  # a mixture of text and bytes, which NumPy would convert to text
        return as_string_array(value)
    if array.dtype.kind in "OSU":
        return as_string_array(value)
    return np.array(array, dtype=array.dtype.newbyteorder("="), order="C")


def _converted(value: Any, dtype: np.dtype[Any], what: str) -> Array:
    """Returns `value` as an array of `dtype`.

    Raises:
      TypeError: The dtype cannot hold an element without loss, rounding of floats apart.
      OverflowError: A Python integer is out of the dtype's range.
    """
    array = np.asarray(value)
    if not isinstance(value, np.ndarray) and array.dtype.kind in "iu":
        return np.asarray(value, dtype=dtype)  # NumPy checks the range of Python integers
    with np.errstate(invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", np.exceptions.ComplexWarning)
        converted = array.astype(dtype, copy=False)
        # Rounding from one float dtype to another is expected.
        lossy = not is_fraction(dtype) and not np.array_equal(converted.astype(array.dtype), array)
    if lossy or (array.dtype.kind == "c" != dtype.kind and np.any(array.imag)):
        raise TypeError(
            f"{what} has dtype {dtype.name}, which cannot hold the value of dtype "
            f"{array.dtype.name} without loss; convert it first if that is intended"
        )
    return converted


def is_fraction(dtype: np.dtype[Any]) -> bool:
    """Returns whether a dtype is a float or complex one, those of ml_dtypes included."""
    return dtype.kind in "fc" or (dtype.kind == "V" and "float" in dtype.name)
