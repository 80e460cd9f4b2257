"""The keys of an index in their stored form, decoded when they are needed.

A table stores only the part of a key that differs from the key before. To find one key among a
hundred thousand, a search among the keys that are stored in full suffices. All keys are decoded
when many are needed.
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

# After so many single look-ups, more are to come.
_FINDS_MAX = 32


class LazyKeys:
    """The keys of a table whose first entry is the header.

    Args:
      buffer: with the keys' suffixes.
      shared: how many bytes each key has in common with the one before.
      start, end: where its further bytes are.
      first: the entries whose keys are stored whole.

    Attributes:
      whole: those keys.
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
        """Whether all keys are there as text."""
        return self._rows is not None

    @property
    def rows(self) -> dict[str, int]:
        """key -> row, in the order of the keys."""
        if self._rows is None:
            self.load_text(None)
            assert self._rows is not None, "keys that are not ASCII were made into text before"
        return self._rows

    def load_text(self, budget: Budget | None) -> bool:
        """Makes all keys into text; False if some are not UTF-8 or take too much memory.

        Args:
          budget: None where all keys are known to be ASCII, whose cost is known.
        """
        text = str(self._buffer, "latin-1")  # a character a byte: sorted and sliced as bytes
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
        """The row of a key, -1 where there is none."""
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
    """Whether every key is above the one before it, and shares all it can with it.

    (The keys at the starts of runs share nothing.)  Arguments as for `LazyKeys`; no `shared`
    may exceed the size of the key before.
    """
    size = shared + end - start
    # Within a run, the first byte that is not shared decides, if the key before has one there.
    inner = np.ones(len(shared), np.bool_)
    inner[first] = False
    rows = np.flatnonzero(inner)
    if (end[rows] <= start[rows]).any():
        return False
    rows = rows[shared[rows] < size[rows - 1]]
    # Its byte there was stored with the last key that shares no more than those before it.
    owner = rows - 1
    back = np.flatnonzero(shared[owner] > shared[rows])
    while len(back):
        owner[back] -= 1
        back = back[shared[owner[back]] > shared[rows[back]]]
    before = data[start[owner] + shared[rows] - shared[owner]]
    if (data[start[rows]] <= before).any():
        return False
    # From run to run, the last key of one is compared with the first of the next.
    last = _last_keys(buffer, shared, start, size, first)
    return all(map(operator.lt, last[:-1], whole[1:]))


def _last_keys(buffer: bytes, shared: Ints, start: Ints, size: Ints, first: Ints) -> list[bytes]:
    """The last key of every run."""
    lengths = np.diff(first, append=len(shared))
    place = np.arange(len(shared)) - np.repeat(first, lengths)
    run = np.repeat(np.arange(len(first)), lengths)
    # How much of each key is left in the last key of its run: the least that any later one
    # shares. Beyond a run's end, all of the last.
    table = np.repeat(size[first + lengths - 1][:, None], int(lengths.max()) + 1, axis=1)
    table[run, place] = shared
    left = np.minimum.accumulate(table[:, ::-1], axis=1)[:, ::-1][run, place + 1]
    rows = np.flatnonzero(shared < left)
    pieces = iter(_slices(buffer, start[rows], start[rows] + left[rows] - shared[rows]))
    counts = np.bincount(run[rows], minlength=len(first))
    return [b"".join(islice(pieces, count)) for count in counts.tolist()]
