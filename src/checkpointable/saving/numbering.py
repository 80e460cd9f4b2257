"""The number that a save appends to its prefix: an int, or the value of a variable (S14)."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from checkpointable.adapters.frameworks import evaluated
from checkpointable.common.types import Path
from checkpointable.graph.registry import adapter_of
from checkpointable.graph.value import ValueSpec
from checkpointable.storage import Storage, given_path

__all__ = ["array_of", "in_graph", "number_in_graph", "numbered_prefix"]


def numbered_prefix(
    file_prefix: Path, checkpoint_number: Any, session: Any = None, storage: Storage | None = None
) -> str:
    """Returns `<prefix>-<number>`, or the prefix itself if there is no number.

    Args:
      checkpoint_number: an int, or a scalar variable or tensor of any framework; None.
      session: evaluates a variable of graph mode (S36).
      storage: where the checkpoint is to be written. None: the default storage.

    Raises:
      TypeError: the prefix is not a str or a path.
      ValueError: the prefix names a directory, or the number is not one integer.
    """
    prefix = given_path(file_prefix, storage)
    if not isinstance(prefix, str):
        raise TypeError(f"file_prefix must be a str or a path, not {type(prefix).__name__}")
    if checkpoint_number is not None:
        return f"{prefix}-{_as_int(checkpoint_number, session)}"
    if not os.path.basename(prefix):
        raise ValueError(
            f"file_prefix {prefix!r} names a directory: add the beginning of the file names, "
            "as in 'directory/ckpt'"
        )
    return prefix


def _as_int(number: Any, session: Any) -> int:
    """Returns the value of an int, or of a scalar variable or tensor of any framework."""
    if isinstance(number, int | np.integer):
        return int(number)
    array = number_in_graph(number, session)
    if array is None:
        array = array_of(number)
    if array.size != 1 or array.dtype.kind not in "iu":
        raise ValueError(
            f"checkpoint_number must be one integer, not dtype {array.dtype}, shape {array.shape}"
        )
    return int(array.reshape(()))


def array_of(value: Any) -> np.ndarray[Any, np.dtype[Any]]:
    """Returns an int, or a variable or tensor of any framework, as an array."""
    return np.asarray(value.detach() if hasattr(value, "detach") else value)


def number_in_graph(number: Any, session: Any) -> np.ndarray[Any, np.dtype[Any]] | None:
    """Returns the value of a variable or tensor of graph mode; None for anything else."""
    value = in_graph(number)
    if value is not None and value.executor is not None:
        return np.asarray(value.executor.read([value], session)[0])
    return evaluated(number, session)


def in_graph(number: Any) -> ValueSpec | None:
    """Returns the value of a variable of graph mode; None for anything else."""
    adapter = adapter_of(number)
    values = {} if adapter is None else adapter.values(number)
    for value in values.values():
        if isinstance(value, ValueSpec) and value.executor is not None:
            return value
    return None
