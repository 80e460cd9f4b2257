"""Converts NumPy arrays to TensorFlow's tensors and back, without a copy where possible."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from checkpointable.adapters.tensorflow.private_api import EagerTensor, eager_mode
from checkpointable.adapters.tensorflow.private_attributes import array_of, dimensions
from checkpointable.graph.dtypes import STRING, VARIANT

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    """Returns the NumPy dtype of a tensor's elements, `STRING` or `VARIANT`.

    Raises:
      NotImplementedError: NumPy has no such dtype (resources, quantized numbers).
    """
    base = tf.as_dtype(dtype).base_dtype
    if base == tf.string:
        return STRING
    if base == tf.variant:
        return VARIANT
    if base == tf.resource or base.is_quantized:
        raise NotImplementedError(f"values of dtype {base.name} cannot be saved or restored")
    array_dtype: np.dtype[Any] = np.dtype(base.as_numpy_dtype)
    return array_dtype


def shape_of(shape: tf.TensorShape) -> tuple[int | None, ...] | None:
    """Returns the sizes, None for an unknown one; None if the rank is unknown."""
    sizes: tuple[int | None, ...] | None = dimensions(shape)
    return sizes


def eagerly() -> Any:
    """Returns a context in which eager objects can be read, even inside the block of a graph.

    Raises:
      NotImplementedError: a `tf.function` is being traced. The save would run once, in the
        trace, and not in each call of the function.
    """
    if tf.inside_function():
        raise NotImplementedError(
            "a checkpoint cannot be saved while a tf.function is traced: it would be written "
            "during the trace, and never when the function runs. Save between calls of the "
            "function, or inside it with tf.py_function"
        )
    return eager_mode()


def to_array(tensor: Any) -> Any:
    """Returns the contents of an eager tensor, without a copy if it lies in host memory.

    Do not write to the result: tensors do not change.
    """
    return array_of(tensor)


def to_tensor(contents: Any) -> Any:
    """Returns an eager tensor in host memory, which may share the memory of `contents`."""
    if isinstance(contents, bytes) or contents.dtype == STRING:
        with tf.device("/device:CPU:0"):
            return tf.convert_to_tensor(contents, dtype=tf.string)
    # Shares the memory of an aligned array. `tf.constant` copies it, because its caller may
    # change the array later.
    return EagerTensor(contents, _first_cpu(), None)


def tensors_of(arrays: Sequence[Array]) -> list[Any]:
    """Converts many arrays, none of strings, as `to_tensor` does."""
    make, device = EagerTensor, _first_cpu()
    return [make(array, device, None) for array in arrays]


@functools.lru_cache(maxsize=1)
def _first_cpu() -> str:
    with eager_mode(), tf.device("/device:CPU:0"):
        device: str = tf.convert_to_tensor(0.0).device
    return device


@functools.lru_cache(maxsize=256)
def is_first_cpu(device: str) -> bool:
    """Returns whether a device is the host (CPU) of this program."""
    return device in ("", _first_cpu())
