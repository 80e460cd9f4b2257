"""Looks up keys in the index of a bundle."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from checkpointable.bundle.dtypes import itemsize, numpy_dtype
from checkpointable.bundle.format import data_path
from checkpointable.bundle.reading.descriptions import Location, StoredValue, dtype_name
from checkpointable.bundle.slices import resolve
from checkpointable.common.suggestions import no_such_value
from checkpointable.errors import CheckpointCorruptError, CheckpointUnsupportedError

if TYPE_CHECKING:
    from checkpointable.bundle.index.entry import Entry
    from checkpointable.bundle.reading.data import Files
    from checkpointable.bundle.shapes import Extents

__all__ = ["Contents"]


class Contents:
    """The keys of a bundle and their entries in the index; see `BundleReader`.

    Args:
      files: The open files of the bundle.

    Attributes:
      prefix: The checkpoint prefix.
      files: The open files.
      index: The decoded index.
      swap: Whether the values are in the byte order of other machines.
      dtypes: The NumPy dtype of each data type that was looked up before.
    """

    def __init__(self, files: Files) -> None:
        self.prefix = files.prefix
        self.files = files
        self.index = files.index
        self.swap = self.index.header.big_endian != (sys.byteorder == "big")
        self.dtypes: dict[int, np.dtype[Any]] = {}
        self._rows: dict[str, int] | None = None  # set once the index has decoded all keys

    def row(self, key: str) -> int:
        """Returns the row of a key in the index.

        Raises:
          CheckpointNotFoundError: There is no value of this key; names similar keys.
        """
        if self._rows is None and self.index.text_is_loaded:
            self._rows = self.index.rows
        row = self.index.find(key) if self._rows is None else self._rows.get(key, -1)
        if row >= 0:
            return row
        raise no_such_value(self.prefix, key, self.index.rows)

    def dtype(self, key: str) -> np.dtype[Any]:
        """Returns the NumPy dtype of a value; see `BundleReader.dtype`."""
        code = self.index.columns.dtype.item(self.row(key))
        dtype = self.dtypes.get(code)
        if dtype is not None:
            return dtype
        try:
            dtype = self.dtypes[code] = numpy_dtype(code)
            return dtype
        except CheckpointUnsupportedError as error:
            raise CheckpointUnsupportedError(error.what, path=self.prefix, key=key) from None

    def dtype_and_shape(self, key: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
        """Returns dtype and shape in one look-up; see `BundleReader.dtype_and_shape`."""
        code, shape = self.index.kinds[self.row(key)]
        dtype = self.dtypes.get(code)
        return self.dtype(key) if dtype is None else dtype, shape

    def stored(self, key: str) -> StoredValue:
        """Describes a value; see `BundleReader.stored`."""
        entry = self.index.entry_of(self.row(key))
        if entry.slices:
            nbytes, checksum = entry.num_elements * itemsize(entry.dtype), None
        else:
            nbytes, checksum = entry.size, entry.crc
        return StoredValue(key, dtype_name(entry.dtype), entry.shape, nbytes, checksum)

    def locations(self, key: str) -> list[Location]:
        """Returns the locations of a value's bytes; see `BundleReader.locations`."""
        row = self.row(key)
        entry = self.index.entry_of(row)
        if not entry.slices:
            return [self._location(entry)]
        parts = map(self.index.entry_of, self.index.part_rows(key, entry))
        return [
            self._location(part, extents) for extents, part in zip(entry.slices, parts, strict=True)
        ]

    def _location(self, entry: Entry, extents: Extents = ()) -> Location:
        path = data_path(self.prefix, entry.shard, self.index.header.num_shards)
        return Location(path, entry.offset, entry.size, entry.crc, extents)

    def part_rows(self, key: str, row: int) -> list[int]:
        """Returns the rows of the slices of a value, or the row of a value without slices."""
        if row not in self.index.partitioned:
            return [row]
        return self.index.part_rows(key, self.index.entry_of(row))

    def parts(self, key: str, row: int) -> Iterator[tuple[Extents, int]]:
        """Yields (extents, row) of the slices of a value, or of the whole value."""
        if row not in self.index.partitioned:
            yield tuple((0, size) for size in self.index.shape_of(row)), row
            return
        self.require_tiled(key, row)
        entry = self.index.entry_of(row)
        for extents, part in zip(entry.slices, self.index.part_rows(key, entry), strict=True):
            yield resolve(extents, entry.shape) or (), part

    def require_tiled(self, key: str, row: int) -> None:
        """Checks that the slices of a partitioned value cover it, each element once.

        Raises:
          CheckpointCorruptError: They do not.
        """
        what = self.index.untiled(key, row)
        if what:
            raise CheckpointCorruptError(what, path=self.index.path, key=key)

    def check_rank(self, key: str, row: int) -> None:
        """Checks that NumPy has arrays of the value's shape.

        Raises:
          CheckpointUnsupportedError: It has none.
        """
        shape = self.index.shape_of(row)
        try:
            np.broadcast_to(np.int8(0), shape)
        except ValueError as error:
            raise CheckpointUnsupportedError(
                f"NumPy has no array of the shape {shape}: {error}", path=self.prefix, key=key
            ) from None

    def path_of(self, shard: int) -> str:
        """Returns the path of a data file; that of the index for a shard without bytes."""
        return self.files.paths.get(shard, self.index.path)
