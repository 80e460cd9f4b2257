"""Reads the lists of values in a checkpoint of TensorFlow before 0.12 ("V1").

Each file begins with a list of the values, and the slices of values, that it stores.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, NamedTuple

from checkpointable.bundle.dtypes import itemsize
from checkpointable.bundle.format import VERSION
from checkpointable.bundle.index.budget import Budget
from checkpointable.bundle.reading.data import closed
from checkpointable.bundle.reading.descriptions import StoredValue, dtype_name
from checkpointable.bundle.slices import resolve
from checkpointable.bundle.v1.files import v1_files
from checkpointable.bundle.v1.table import Table
from checkpointable.bundle.v1.values import SavedMeta, decode_meta
from checkpointable.common.suggestions import no_such_value
from checkpointable.errors import (
    CheckpointCorruptError,
    CheckpointNotFoundError,
    CheckpointUnsupportedError,
)
from checkpointable.wire.varints import Malformed

if TYPE_CHECKING:
    from checkpointable.bundle.dtypes import DataType
    from checkpointable.bundle.shapes import Extents
    from checkpointable.storage import ReadableFile, Storage

__all__ = ["V1Contents", "V1Slice", "V1Value"]


class V1Slice(NamedTuple):
    """A slice of a value.

    Attributes:
      shard: The number of its file.
      extents: Its extents as stored.
      resolved: Its extents with full dimensions spelled out.
    """

    shard: int
    extents: Extents
    resolved: Extents

    @property
    def elements(self) -> int:
        """The number of its elements."""
        return math.prod(length for _, length in self.resolved)


class V1Value(NamedTuple):
    """A value, with the slices of all files."""

    dtype: DataType
    shape: tuple[int, ...]
    slices: list[V1Slice]

    @property
    def elements(self) -> int:
        """The number of its elements."""
        return math.prod(self.shape)


class V1Contents:
    """The open files of a V1 checkpoint and the values that they list; see `V1Reader`.

    Args:
      prefix: As for `V1Reader`.
      storage: Where to read.

    Attributes:
      prefix: As given.
      tables: The table of each file.
      values: Every value by name, sorted.
    """

    def __init__(self, prefix: str | os.PathLike[str], storage: Storage) -> None:
        self.prefix = os.fspath(prefix)
        paths = v1_files(self.prefix, storage)
        if not paths:
            raise CheckpointNotFoundError("there is no such file", path=self.prefix)
        self._files: list[ReadableFile] = []
        self._closed = False
        self.values: dict[str, V1Value] = {}
        try:
            for path in paths:
                self._files.append(storage.open(path))
            self.tables = [Table(file) for file in self._files]
            for shard in range(len(paths)):
                self._read_meta(shard)
        except BaseException:
            self.close()
            raise
        self.values = dict(sorted(self.values.items()))

    def _read_meta(self, shard: int) -> None:
        table = self.tables[shard]
        stretch = table.find(b"")
        if stretch is None:
            raise table.corrupt("the file does not begin with a list of its values", 0)
        budget = Budget(table.path, table.size)
        data, start, end = stretch.data, stretch.start, stretch.end
        try:
            metas, (_, min_consumer, bad) = decode_meta(data, start, end, budget)
        except Malformed as error:
            raise table.corrupt(error.what, stretch.where(error.position)) from None
        if min_consumer > VERSION or VERSION in bad:
            raise CheckpointUnsupportedError(
                f"a reader must know version {min_consumer} of the format; this one knows "
                f"{VERSION}",
                path=table.path,
            )
        names = set()
        for meta in metas:
            if meta.name in names:
                raise table.corrupt(f"the value {meta.name!r:.200} is listed twice", 0)
            names.add(meta.name)
            self._add(shard, meta)

    def _add(self, shard: int, meta: SavedMeta) -> None:
        def corrupt(what: str) -> CheckpointCorruptError:
            return CheckpointCorruptError(what, path=self.tables[shard].path, key=meta.name)

        value = self.values.setdefault(meta.name, V1Value(meta.dtype, meta.shape, []))
        if (value.dtype, value.shape) != (meta.dtype, meta.shape):
            raise corrupt(
                f"here it is {meta.dtype.name} of shape {meta.shape}, in another file of the "
                f"checkpoint {value.dtype.name} of shape {value.shape}"
            )
        for extents in meta.slices:
            resolved = resolve(extents, meta.shape)
            if resolved is None:
                raise corrupt(f"its part {extents} does not fit the shape {meta.shape}")
            value.slices.append(V1Slice(shard, extents, resolved))

    def value(self, key: str) -> V1Value:
        """Returns a value.

        Raises:
          CheckpointNotFoundError: There is no value of this name; names similar ones.
        """
        value = self.values.get(key)
        if value is not None:
            return value
        raise no_such_value(self.prefix, key, self.values)

    def stored(self, key: str) -> StoredValue:
        """Describes a value; its size is that of its elements, 0 for strings."""
        value = self.value(key)
        size = value.elements * itemsize(value.dtype)
        return StoredValue(key, dtype_name(value.dtype), value.shape, size, None)

    def unsupported(self, what: str, key: str | None = None) -> CheckpointUnsupportedError:
        """Returns the error for a feature that the V1 format lacks."""
        return CheckpointUnsupportedError(
            f"this is a checkpoint of TensorFlow before 0.12 (V1): {what}",
            path=self.prefix,
            key=key,
        )

    def require_open(self) -> None:
        """Checks that the files are open.

        Raises:
          ValueError: They were closed.
        """
        if self._closed:
            raise closed(self.prefix)

    def close(self) -> None:
        """Closes the files. May be called again."""
        self._closed = True
        for file in self._files:
            file.close()
