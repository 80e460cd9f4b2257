"""Scalar strings: `bytes` for users, arrays of shape () for code that takes arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

__all__ = ["array_of_contents", "contents_of_array"]


def contents_of_array(array: Array) -> Array | bytes:
    """Returns the contents of a value: `bytes` for a scalar string, else the array itself.

    Args:
      array: An array; of strings, it holds `bytes` objects.
    """
    if array.dtype.hasobject and array.shape == ():
        return bytes(array.item())
    return array


def array_of_contents(contents: Array | bytes) -> Array:
    """Returns the contents of a value as an array: of shape () and of objects for `bytes`."""
    if not isinstance(contents, bytes):
        return contents
    import numpy as np

    array = np.empty((), dtype=object)
    array[()] = contents
    return array
