"""The entries of an index as columns of numbers, and its keys."""

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
    """A row an entry, in the order of the keys; parts of partitioned values included.

    The first five are as in `Entry`. Positions are those in the buffer of `Loaded`: the
    message is the bytes `[start, end)`, the shape within it `[shape_start, shape_end)`, with
    `shape_start` -1 where it does not occur just once.
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
        """The row of a key, -1 where there is none."""

    @property
    def text_is_loaded(self) -> bool:
        """Whether all keys are there as text, so that `rows` costs nothing."""

    @property
    def rows(self) -> dict[str, int]:
        """key -> row, in the order of the keys."""


class EagerKeys:
    """Keys that are all there as text."""

    text_is_loaded = True

    def __init__(self, rows: dict[str, int]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def find(self, key: object) -> int:
        return self.rows.get(key, -1) if isinstance(key, str) else -1


@dataclass(frozen=True, slots=True)
class Loaded:
    """What an index file says, judged.

    Attributes:
      header: of the bundle as a whole.
      buffer: the bytes of all data blocks.
      columns: the numbers, a row an entry.
      keys: key -> row, for every value.
      parts: key -> row, for the parts of partitioned values.
      partitioned: the rows of the partitioned values.
    """

    header: Header
    buffer: bytes
    columns: Columns
    keys: Keys
    parts: dict[bytes, int]
    partitioned: frozenset[int]
