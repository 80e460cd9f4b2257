"""Checks the options of a read, and the arrays that values are read into."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from checkpointable.errors import CheckpointMismatchError

__all__ = ["Mapped", "Verify", "check_mapped", "check_target", "checked_verify"]

Mapped = bool | Literal["c"]
Verify = bool | Literal["stream"]


def check_mapped(mmap: Any) -> None:
    """Checks an argument `mmap`.

    Raises:
      ValueError: It is neither True, False nor "c".
    """
    if mmap not in (True, False, "c"):
        raise ValueError(f'mmap is {mmap!r}; it must be True, False or "c" (copy on write)')


def checked_verify(verify: Any) -> Verify:
    """Returns an argument `verify`, checked, so that a misspelling does not disable verification.

    Raises:
      ValueError: It is neither True, False nor "stream".
    """
    if isinstance(verify, str) and verify == "stream":
        return "stream"
    if isinstance(verify, bool | np.bool_):
        return bool(verify)
    raise ValueError(
        f'verify is {verify!r}; it must be True, "stream" (while it is assigned) or False'
    )


def check_target(
    prefix: str, key: str, array: Any, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> None:
    """Checks an array that a value is to be read into.

    Args:
      prefix: The checkpoint prefix, or the path of the file.
      key: The key of the value.
      array: The array to read into.
      dtype: The dtype of the value.
      shape: The shape of the value.

    Raises:
      TypeError: `array` is not an array.
      CheckpointMismatchError: Its dtype or shape differs, or it is read-only.
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"key {key!r}: {type(array).__name__} is not an array to read into")
    if array.dtype != dtype or array.shape != shape:
        raise CheckpointMismatchError(
            f"the checkpoint has {dtype} of shape {shape}, but the array to read it into is "
            f"{array.dtype} of shape {array.shape}",
            path=prefix,
            key=key,
        )
    if not array.flags.writeable:
        raise CheckpointMismatchError(
            "the array to read the value into is read-only", path=prefix, key=key
        )
