"""The keys of an index in their stored form, decoded when they are needed.

A table stores only the part of a key that differs from the key before. To find one key among a
hundred thousand, `LazyKeys` searches the keys that are stored in full. It decodes all keys when
many are needed.
"""

from __future__ import annotations

import bisect
import operator
import sys
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from checkpointable.bundle.index.budget import Budget
from checkpointable.errors import CheckpointCorruptError

if TYPE_CHECKING:
    from typing import TypeAlias

    import numpy.typing as npt

    Ints: TypeAlias = npt.NDArray[np.int64]

__all__ = ["LazyKeys", "keys_increase"]

# After this many single look-ups, decoding all keys pays off.
_FINDS_MAX = 32


class LazyKeys:
    """The keys of a table whose first entry is the header.

    Args:
      buffer: The bytes that contain the suffixes of the keys.
      shared: The number of bytes that each key shares with the one before it.
      start, end: The range in `buffer` of the rest of each key.
      first: The entries whose keys are stored in full.

    Attributes:
      whole: The keys that are stored in full.
    """

    def __init__(self, buffer: bytes, shared: Ints, start: Ints, end: Ints, first: Ints) -> None:
        self._buffer = buffer
        self._shared = shared
        self._start = start
        self._end = end
        self._first = first
        self.whole = _slices(buffer, start[first], end[first])
        self._finds = 0
        self._rows: dict[str, int] | None = None

    def __len__(self) -> int:
        return len(self._shared) - 1

    @property
    def text_is_loaded(self) -> bool:
        """True if all keys are decoded to text."""
        return self._rows is not None

    @property
    def rows(self) -> dict[str, int]:
        """key -> row, in the order of the keys."""
        if self._rows is None:
            self.load_text(None)
            assert self._rows is not None, "keys that are not ASCII have been decoded before"
        return self._rows

    def load_text(self, budget: Budget | None) -> bool:
        """Decodes all keys; returns False if some are not UTF-8 or take too much memory.

        Args:
          budget: Limits the memory for keys. None: all keys are ASCII, and are paid for already.
        """
        text = str(self._buffer, "latin-1")  # one character per byte: sorts and slices like bytes
        keys: list[str] = []
        key = ""
        for shared, start, end in zip(
            self._shared.tolist(), self._start.tolist(), self._end.tolist(), strict=True
        ):
            key = key[:shared] + text[start:end]
            keys.append(key)
        if budget is not None:
            for i, key in enumerate(keys):
                if not key.isascii():
                    try:
                        keys[i] = key.encode("latin-1").decode()
                        budget.spend(sys.getsizeof(keys[i]))
                    except (UnicodeDecodeError, CheckpointCorruptError):
                        return False
        self._rows = dict(zip(islice(keys, 1, None), range(len(keys)), strict=False))
        return True

    def find(self, key: object) -> int:
        """Returns the row of a key; -1 if it does not exist."""
        if self._rows is None:
            self._finds += 1
            if self._finds <= _FINDS_MAX:
                return self._find(key)
        return self.rows.get(key, -1) if isinstance(key, str) else -1

    def _find(self, key: object) -> int:
        if not isinstance(key, str) or not key.isascii() or not key:
            return -1
        wanted = key.encode()
        run = bisect.bisect_right(self.whole, wanted) - 1
        at = int(self._first[run])
        stop = int(self._first[run + 1]) if run + 1 < len(self._first) else len(self._shared)
        candidate = b""
        while at < stop:
            shared = int(self._shared[at])
            candidate = candidate[:shared] + self._buffer[int(self._start[at]) : int(self._end[at])]
            if candidate == wanted:
                return at - 1
            at += 1
        return -1


def _slices(buffer: bytes, start: Ints, end: Ints) -> list[bytes]:
    return [buffer[a:b] for a, b in zip(start.tolist(), end.tolist(), strict=True)]


def keys_increase(
    buffer: bytes,
    data: npt.NDArray[np.uint8],
    shared: Ints,
    start: Ints,
    end: Ints,
    first: Ints,
    whole: list[bytes],
) -> bool:
    """Returns whether the keys increase, and each shares the longest prefix with the one before it.

    The first key of a run shares nothing. The arguments are those of `LazyKeys`; no item of
    `shared` may exceed the size of the key before it.
    """
    size = shared + end - start
    # Within a run, the order depends on the first unshared byte, if the key before has one there.
    inner = np.ones(len(shared), np.bool_)
    inner[first] = False
    rows = np.flatnonzero(inner)
    if (end[rows] <= start[rows]).any():
        return False
    rows = rows[shared[rows] < size[rows - 1]]
    # The previous key may share that byte in turn: find the key that stores it.
    owner = rows - 1
    back = np.flatnonzero(shared[owner] > shared[rows])
    while len(back):
        owner[back] -= 1
        back = back[shared[owner[back]] > shared[rows[back]]]
    before = data[start[owner] + shared[rows] - shared[owner]]
    if (data[start[rows]] <= before).any():
        return False
    # Between runs, compare the last key of each with the first key of the next.
    last = _last_keys(buffer, shared, start, size, first)
    return all(map(operator.lt, last[:-1], whole[1:]))


def _last_keys(buffer: bytes, shared: Ints, start: Ints, size: Ints, first: Ints) -> list[bytes]:
    """Returns the last key of every run."""
    lengths = np.diff(first, append=len(shared))
    position = np.arange(len(shared)) - np.repeat(first, lengths)
    run = np.repeat(np.arange(len(first)), lengths)
    # The number of bytes of each key that remain in the last key of its run: the minimum that a
    # later key shares. Beyond the end of a run, the size of the last key.
    table = np.repeat(size[first + lengths - 1][:, None], int(lengths.max()) + 1, axis=1)
    table[run, position] = shared
    left = np.minimum.accumulate(table[:, ::-1], axis=1)[:, ::-1][run, position + 1]
    rows = np.flatnonzero(shared < left)
    pieces = iter(_slices(buffer, start[rows], start[rows] + left[rows] - shared[rows]))
    counts = np.bincount(run[rows], minlength=len(first))
    return [b"".join(islice(pieces, count)) for count in counts.tolist()]
