"""The index of a checkpoint in memory, with all entries validated.

The entries stay encoded, and columns of numbers describe them. So a hundred thousand entries need
neither a hundred thousand objects nor a Python loop to look up, sort or compare many of them.
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
    """A loaded index; created by `load_index`.

    Attributes:
      path: The path of the index file.
      header: See `Loaded`, as for `columns`, `parts` and `partitioned`.
    """

    def __init__(self, path: str, loaded: Loaded) -> None:
        self.path = path
        self.header = loaded.header
        self.columns = loaded.columns
        self.parts = loaded.parts
        self.partitioned = loaded.partitioned
        self._keys = loaded.keys
        # Returns the row of a key, -1 if it does not exist; fast also for a single key of many.
        self.find: Callable[[object], int] = loaded.keys.find
        self._buffer = loaded.buffer
        self._shapes: dict[bytes, tuple[int, ...]] = {}

    def __len__(self) -> int:
        """The number of values."""
        return len(self._keys)

    @property
    def text_is_loaded(self) -> bool:
        """True if all keys are decoded, so that `rows` costs nothing."""
        return self._keys.text_is_loaded

    @property
    def rows(self) -> dict[str, int]:
        """key -> row for each value, sorted; without the parts of partitioned values."""
        return self._keys.rows

    def entry_of(self, row: int) -> Entry:
        """Returns the entry of a row."""
        columns = self.columns
        return decode_entry(self._buffer, int(columns.start[row]), int(columns.end[row]))

    def shape_of(self, row: int) -> tuple[int, ...]:
        """Returns the shape of a row; cached by the encoded shape."""
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
        """(number of the dtype, shape) of each row, for access to most of them."""
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
            # Many rows share their dtype and shape.
            encoded = (code, buffer[start:end])
            kind = known.get(encoded)
            if kind is None:
                kind = known[encoded] = (code, self.shape_of(row))
            kinds.append(kind)
        return kinds

    def part_rows(self, key: str, entry: Entry) -> list[int]:
        """Returns the rows of the parts of a partitioned value, in the order of `entry.slices`."""
        return [self.parts[slice_key(key, extents)] for extents in entry.slices]

    def row_names(self) -> list[str]:
        """Returns the key of each row; for a part, the key of its value."""
        names = [""] * len(self.columns.dtype)
        for key, row in self.rows.items():
            names[row] = key
            if row in self.partitioned:
                for part in self.part_rows(key, self.entry_of(row)):
                    names[part] = key
        return names

    def key_of(self, row: int) -> str:
        """Returns the key of a row, for an error; see `row_names`."""
        return self.row_names()[row]

    def untiled(self, key: str, row: int) -> str | None:
        """Describes how the parts of a partitioned value fail to cover it; None if they do."""
        if row not in self.partitioned:
            return None
        entry = self.entry_of(row)
        parts = [resolve(extents, entry.shape) for extents in entry.slices]
        if tiles([part for part in parts if part is not None], entry.shape):
            return None
        return f"its {len(parts)} parts do not cover the shape {entry.shape}, each element once"

    def check_data_sizes(self, sizes: dict[int, int], paths: dict[int, str]) -> None:
        """Checks that each value lies within its data file.

        Args:
          sizes: shard -> size of the data file in bytes.
          paths: shard -> path of the data file.

        Raises:
          CheckpointCorruptError: Names the file and the first value that does not.
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
    """Decodes and verifies a whole index.

    Args:
      data: The contents of the file.
      path: Its path, for errors.

    Raises:
      CheckpointCorruptError: The index is damaged.
      CheckpointUnsupportedError: A newer version of the format.
    """
    budget = Budget(path, len(data))
    blocks = read_data_blocks(data, path, budget)
    loaded = load_fast(blocks, budget) or load_plainly(path, blocks, budget)
    index = Index(path, loaded)
    _check_overlaps(index)
    return index


def load_header(data: bytes, path: str) -> Header:
    """Decodes the header of an index; verifies only the blocks that it needs.

    Raises:
      CheckpointCorruptError: The index is damaged.
      CheckpointUnsupportedError: A newer version of the format.
    """
    budget = Budget(path, len(data))
    return first_header(path, read_data_blocks(data, path, budget, only_first=True), budget)


def _check_overlaps(index: Index) -> None:
    """Checks that no byte of the data belongs to two values, or is both used and unreferenced."""
    columns = index.columns
    rows = np.flatnonzero(columns.size)
    shard, offset, size = columns.shard[rows], columns.offset[rows], columns.size[rows]
    gaps = np.array(index.header.unreferenced, np.int64).reshape(-1, 4)
    if len(gaps):
        rows = np.append(rows, np.full(len(gaps), _NO_ROW))
        shard, offset, size = (
            np.append(a, gaps[:, i]) for i, a in enumerate((shard, offset, size))
        )
    # Usually the values lie in the order of their keys.
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
