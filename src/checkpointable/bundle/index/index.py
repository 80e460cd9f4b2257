"""A bundle's index in memory: every entry, each judged before anything is done with it.

The entries stay the bytes they are; columns of numbers say what each means, so that a
hundred thousand of them cost neither a hundred thousand objects nor a loop when many values
are looked for, sorted or compared at once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from checkpointable.bundle.format import INT64_MAX
from checkpointable.bundle.index.budget import Budget
from checkpointable.bundle.index.columns import Loaded
from checkpointable.bundle.index.entry import Entry, decode_entry
from checkpointable.bundle.index.fast import load_fast
from checkpointable.bundle.index.header import Header
from checkpointable.bundle.index.plain import first_header, load_plainly
from checkpointable.bundle.index.table_reader import read_data_blocks
from checkpointable.bundle.shapes import decode_shape
from checkpointable.bundle.slices import resolve, slice_key, tiles
from checkpointable.errors import CheckpointCorruptError

__all__ = ["Index", "load_header", "load_index"]


_NO_ROW = -1


class Index:
    """What an index file says; made by `load_index`.

    Attributes:
      path: of the index file.
      header, columns, parts, partitioned: see `Loaded`.
    """

    def __init__(self, path: str, loaded: Loaded) -> None:
        self.path = path
        self.header = loaded.header
        self.columns = loaded.columns
        self.parts = loaded.parts
        self.partitioned = loaded.partitioned
        self._keys = loaded.keys
        # The row of a value, -1 where there is none; quick also for one key of many.
        self.find: Callable[[object], int] = loaded.keys.find
        self._buffer = loaded.buffer
        self._shapes: dict[bytes, tuple[int, ...]] = {}

    def __len__(self) -> int:
        """The number of values."""
        return len(self._keys)

    @property
    def text_is_loaded(self) -> bool:
        """Whether `rows` costs nothing."""
        return self._keys.text_is_loaded

    @property
    def rows(self) -> dict[str, int]:
        """key -> row for every value, sorted; without the parts of partitioned ones."""
        return self._keys.rows

    def entry_of(self, row: int) -> Entry:
        """The entry of a row."""
        columns = self.columns
        return decode_entry(self._buffer, int(columns.start[row]), int(columns.end[row]))

    def shape_of(self, row: int) -> tuple[int, ...]:
        """The shape of a row; quick for shapes seen before."""
        start = self.columns.shape_start.item(row)
        if start < 0:
            return self.entry_of(row).shape
        stored = self._buffer[start : self.columns.shape_end.item(row)]
        shape = self._shapes.get(stored)
        if shape is None:
            shape = self._shapes[stored] = decode_shape(stored, 0, len(stored))[0]
        return shape

    @functools.cached_property
    def kinds(self) -> list[tuple[int, tuple[int, ...]]]:
        """(dtype's number, shape) of every row: for who is about to ask for most of them."""
        columns, buffer = self.columns, self._buffer
        known: dict[tuple[int, bytes], tuple[int, tuple[int, ...]]] = {}
        kinds = []
        for row, (code, start, end) in enumerate(
            zip(
                columns.dtype.tolist(),
                columns.shape_start.tolist(),
                columns.shape_end.tolist(),
                strict=True,
            )
        ):
            if start < 0:
                kinds.append((code, self.shape_of(row)))
                continue
            # Most rows have the dtype and the shape of others, and share these.
            place = (code, buffer[start:end])
            kind = known.get(place)
            if kind is None:
                kind = known[place] = (code, self.shape_of(row))
            kinds.append(kind)
        return kinds

    def part_rows(self, key: str, entry: Entry) -> list[int]:
        """The rows of a partitioned value's parts, in the order of `entry.slices`."""
        return [self.parts[slice_key(key, extents)] for extents in entry.slices]

    def row_names(self) -> list[str]:
        """The key of every row; for a part, that of its value."""
        names = [""] * len(self.columns.dtype)
        for key, row in self.rows.items():
            names[row] = key
            if row in self.partitioned:
                for part in self.part_rows(key, self.entry_of(row)):
                    names[part] = key
        return names

    def key_of(self, row: int) -> str:
        """The key of a row, for an error; see `row_names`."""
        return self.row_names()[row]

    def untiled(self, key: str, row: int) -> str | None:
        """What is wrong with how the parts of a partitioned value cover it; None if nothing."""
        if row not in self.partitioned:
            return None
        entry = self.entry_of(row)
        parts = [resolve(extents, entry.shape) for extents in entry.slices]
        if tiles([part for part in parts if part is not None], entry.shape):
            return None
        return f"its {len(parts)} parts do not cover the shape {entry.shape}, each element once"

    def check_data_sizes(self, sizes: dict[int, int], paths: dict[int, str]) -> None:
        """Checks that every value lies within its data file.

        Args:
          sizes, paths: of the data files, by shard.

        Raises:
          CheckpointCorruptError: names the file and the first value that does not.
        """
        columns = self.columns
        for gap in self.header.unreferenced:
            if gap.offset + gap.size > sizes.get(gap.shard, INT64_MAX):
                raise CheckpointCorruptError(
                    f"the file has {sizes[gap.shard]} bytes, but the index knows of {gap.size} "
                    f"bytes at {gap.offset} that no value uses: it was cut short, or belongs to "
                    "another checkpoint",
                    path=paths[gap.shard],
                    offset=min(sizes[gap.shard], gap.offset),
                )
        for shard, size in sizes.items():
            outside = (columns.shard == shard) & (columns.offset + columns.size > size)
            if outside.any():
                rows = np.flatnonzero(outside)
                row = int(rows[np.argmin(columns.offset[rows])])
                raise CheckpointCorruptError(
                    f"the file has {size} bytes, but the index puts {int(columns.size[row])} "
                    f"bytes of this value at {int(columns.offset[row])}: it was cut short, or "
                    "belongs to another checkpoint",
                    path=paths[shard],
                    key=self.key_of(row),
                    offset=min(size, int(columns.offset[row])),
                )


def load_index(data: bytes, path: str) -> Index:
    """Reads and verifies a whole index.

    Args:
      data: the contents of the file.
      path: its path, for errors.

    Raises:
      CheckpointCorruptError
      CheckpointUnsupportedError: a newer version of the format.
    """
    budget = Budget(path, len(data))
    blocks = read_data_blocks(data, path, budget)
    loaded = load_fast(blocks, budget) or load_plainly(path, blocks, budget)
    index = Index(path, loaded)
    _check_overlaps(index)
    return index


def load_header(data: bytes, path: str) -> Header:
    """Reads the header of an index, and verifies no more of the index than it must.

    Raises:
      CheckpointCorruptError, CheckpointUnsupportedError
    """
    budget = Budget(path, len(data))
    return first_header(path, read_data_blocks(data, path, budget, only_first=True), budget)


def _check_overlaps(index: Index) -> None:
    """No byte of the data belongs to two values, or to one and to none."""
    columns = index.columns
    rows = np.flatnonzero(columns.size)
    shard, offset, size = columns.shard[rows], columns.offset[rows], columns.size[rows]
    gaps = np.array(index.header.unreferenced, np.int64).reshape(-1, 4)
    if len(gaps):
        rows = np.append(rows, np.full(len(gaps), _NO_ROW))
        shard, offset, size = (
            np.append(a, gaps[:, i]) for i, a in enumerate((shard, offset, size))
        )
    # Mostly the values lie in the order of their keys.
    if ((shard[1:] == shard[:-1]) & (offset[1:] < offset[:-1]) | (shard[1:] < shard[:-1])).any():
        order = np.lexsort((offset, shard))
        rows, shard, offset, size = rows[order], shard[order], offset[order], size[order]
    end = offset + size
    bad = (shard[1:] == shard[:-1]) & (offset[1:] < end[:-1])
    if bad.any():
        first = int(np.argmax(bad))
        keys = [None if row == _NO_ROW else index.key_of(int(row)) for row in rows[first:][:2]]
        raise CheckpointCorruptError(
            f"its bytes {int(offset[first + 1])} to {int(end[first + 1])} of data file "
            f"{int(shard[first])} overlap those of {keys[0]!r}, which end at {int(end[first])}",
            path=index.path,
            key=keys[1],
        )
