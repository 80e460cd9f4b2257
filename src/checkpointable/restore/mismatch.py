"""Values that do not fit the object that they would go to, and the error that lists them (S25)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from checkpointable.bundle import DataType
from checkpointable.errors import CheckpointMismatchError, CheckpointUnsupportedError, shown_path
from checkpointable.graph.value import ANY, STRING, VARIANT, fits

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from checkpointable.restore.by_name.parts import Reader

__all__ = ["Mismatch", "dtype_name", "find_mismatch", "mismatch_error", "stored_dtype"]

_MOST_PROBLEMS = 10


class Mismatch(NamedTuple):
    """A value whose dtype or shape is not that of the object it goes to (S25)."""

    path: str
    stored_dtype: np.dtype[Any]
    stored_shape: tuple[int, ...]
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...] | None

    def __str__(self) -> str:
        return f"{shown_path(self.path)}: {self.what}"

    @property
    def what(self) -> str:
        """Both dtypes, or both shapes, or all four."""
        problems = []
        if not _fits(self.dtype, self.stored_dtype):
            stored, own = dtype_name(self.stored_dtype), dtype_name(self.dtype)
            problems.append(f"dtype {stored} in the checkpoint, {own} in the program")
        if not fits(self.stored_shape, self.shape):
            problems.append(
                f"shape {self.stored_shape} in the checkpoint, {self.shape} in the program"
            )
        return "; ".join(problems)


def find_mismatch(
    reader: Reader,
    path: str,
    key: str,
    dtype: np.dtype[Any],
    shape: tuple[int | None, ...] | None,
) -> Mismatch | None:
    """Whether the value at `key` fits the object at `path`, of this dtype and shape (None: any)."""
    stored, stored_shape = stored_dtype(reader, key), reader.shape(key)
    if _fits(dtype, stored) and fits(stored_shape, shape):
        return None
    return Mismatch(path, stored, stored_shape, dtype, shape)


def mismatch_error(
    prefix: str, problems: Sequence[object], advice: str = ""
) -> CheckpointMismatchError:
    """The error that lists what does not fit, at most ten and a count (S25)."""
    shown = "\n  ".join(map(str, problems[:_MOST_PROBLEMS]))
    more = len(problems) - _MOST_PROBLEMS
    rest = f"\n  … and {more} more" if more > 0 else ""
    return CheckpointMismatchError(
        f"{len(problems)} value(s) do not fit the program; nothing was restored{advice}:\n  "
        f"{shown}{rest}",
        path=prefix,
    )


def stored_dtype(reader: Reader, key: str) -> np.dtype[Any]:
    """The dtype of a stored value, `VARIANT` where it is one of TensorFlow's opaque objects."""
    try:
        return reader.dtype(key)
    except CheckpointUnsupportedError:
        if reader.entry(key).dtype == DataType.DT_VARIANT:
            return VARIANT
        raise


def dtype_name(dtype: np.dtype[Any]) -> str:
    """How messages name a dtype."""
    return {STRING: "string", VARIANT: "variant", ANY: "any"}.get(dtype, str(dtype.name))


def _fits(dtype: np.dtype[Any], stored: np.dtype[Any]) -> bool:
    return stored == dtype or dtype is ANY
