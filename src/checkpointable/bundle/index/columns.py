"""The entries of an index as columns of numbers, with their keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from checkpointable.bundle.index.header import Header

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["Columns", "EagerKeys", "Keys", "Loaded"]


@dataclass(frozen=True, slots=True)
class Columns:
    """One row per entry, in the order of the keys, including parts of partitioned values.

    The first five columns are as in `Entry`. The others are positions in the buffer of `Loaded`:
    the message is the bytes `[start, end)`, and the shape in it `[shape_start, shape_end)`.
    `shape_start` is -1 unless the shape occurs exactly once.
    """

    dtype: npt.NDArray[np.int64]
    shard: npt.NDArray[np.int64]
    offset: npt.NDArray[np.int64]
    size: npt.NDArray[np.int64]
    crc: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]
    shape_start: npt.NDArray[np.int64]
    shape_end: npt.NDArray[np.int64]


class Keys(Protocol):
    """The keys of all values, without those of parts."""

    def __len__(self) -> int: ...

    def find(self, key: object) -> int:
        """Returns the row of a key; -1 if it does not exist."""

    @property
    def text_is_loaded(self) -> bool:
        """True if all keys are decoded, so that `rows` costs nothing."""

    @property
    def rows(self) -> dict[str, int]:
        """key -> row, in the order of the keys."""


class EagerKeys:
    """Keys that have all been decoded."""

    text_is_loaded = True

    def __init__(self, rows: dict[str, int]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def find(self, key: object) -> int:
        return self.rows.get(key, -1) if isinstance(key, str) else -1


@dataclass(frozen=True, slots=True)
class Loaded:
    """The validated contents of an index file.

    Attributes:
      header: The header.
      buffer: The bytes of all data blocks.
      columns: The numbers, one row per entry.
      keys: key -> row, for each value.
      parts: key -> row, for the parts of partitioned values.
      partitioned: The rows of the partitioned values.
    """

    header: Header
    buffer: bytes
    columns: Columns
    keys: Keys
    parts: dict[bytes, int]
    partitioned: frozenset[int]
