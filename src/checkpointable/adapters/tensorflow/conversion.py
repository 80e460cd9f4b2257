"""Between NumPy's arrays and TensorFlow's tensors, without a copy where there need be none."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
from tensorflow.python.eager import context
from tensorflow.python.framework import dtypes, ops

from checkpointable.graph.dtypes import STRING, VARIANT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tensorflow.python.framework.tensor_shape import TensorShape

__all__ = [
    "eagerly",
    "is_first_cpu",
    "numpy_dtype",
    "shape_of",
    "tensors_of",
    "to_array",
    "to_tensor",
]

Array = np.ndarray[Any, np.dtype[Any]]


@functools.lru_cache(maxsize=256)
def numpy_dtype(dtype: Any) -> np.dtype[Any]:
    """The NumPy type of a tensor's elements, `STRING` or `VARIANT`.

    Raises:
      NotImplementedError: a kind that has none.
    """
    base = dtypes.as_dtype(dtype).base_dtype
    if base == dtypes.string:
        return STRING
    if base == dtypes.variant:
        return VARIANT
    if base == dtypes.resource or base.is_quantized:
        raise NotImplementedError(f"values of dtype {base.name} cannot be saved or restored")
    found: np.dtype[Any] = np.dtype(base.as_numpy_dtype)
    return found


def shape_of(shape: TensorShape) -> tuple[int | None, ...] | None:
    """The sizes, None for one that is not known; None if their number is not known."""
    sizes: tuple[int | None, ...] | None = shape._dims  # `as_list` takes ten times as long
    return sizes


def eagerly() -> Any:
    """A context in which eager objects are read, whatever the program is building.

    Raises:
      NotImplementedError: a `tf.function` is being traced: what is read then is saved once, and
        not, as it seems, whenever the function runs.
    """
    if ops.inside_function():
        raise NotImplementedError(
            "a checkpoint cannot be saved while a tf.function is traced: it would be written "
            "then, and never when the function runs. Save between calls of the function, or "
            "in it by tf.py_function"
        )
    return context.eager_mode()


def to_array(tensor: Any) -> Any:
    """The contents of an eager tensor; of one in host memory, that memory itself.

    Not to be written to: tensors do not change.
    """
    return tensor._numpy()


def to_tensor(contents: Any) -> Any:
    """An eager tensor in host memory of these contents, an array that it may keep."""
    if isinstance(contents, bytes) or contents.dtype == STRING:
        with ops.device("/device:CPU:0"):
            return ops.convert_to_tensor(contents, dtype=dtypes.string)
    # Takes over an aligned array without a copy. `tf.constant` would make one, since its
    # caller might change the array later.
    return ops.EagerTensor(contents, _first_cpu(), None)


def tensors_of(arrays: Sequence[Array]) -> list[Any]:
    """As `to_tensor`, of many arrays that are no strings."""
    make, device = ops.EagerTensor, _first_cpu()
    return [make(own, device, None) for own in arrays]


@functools.lru_cache(maxsize=1)
def _first_cpu() -> str:
    with context.eager_mode(), ops.device("/device:CPU:0"):
        device: str = ops.convert_to_tensor(0.0).device
    return device


@functools.lru_cache(maxsize=256)
def is_first_cpu(device: str) -> bool:
    """Whether a device is the host of this program."""
    return device in ("", _first_cpu())
