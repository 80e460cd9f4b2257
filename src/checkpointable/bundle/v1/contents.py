"""What is in a checkpoint of TensorFlow before 0.12 ("V1"): its values, and where their parts are.

Every file begins with a list of values and of the parts of them that it has.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from checkpointable.bundle.dtypes import DataType, itemsize, numpy_dtype
from checkpointable.bundle.format import VERSION
from checkpointable.bundle.index.budget import Budget
from checkpointable.bundle.index.entry import Entry
from checkpointable.bundle.index.header import Header
from checkpointable.bundle.reading.data import closed
from checkpointable.bundle.reading.reader import BundleReader
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
from checkpointable.storage import ReadableFile, Storage, default_storage
from checkpointable.wire.varints import Malformed

if TYPE_CHECKING:
    import numpy as np

    from checkpointable.bundle.shapes import Extents

__all__ = ["V1Contents", "V1Part"]


class V1Part(NamedTuple):
    """Where a part of a value is.

    Attributes:
      shard: in which file.
      extents: as stored.
      resolved: with whole dimensions spelled out.
    """

    shard: int
    extents: Extents
    resolved: Extents

    @property
    def elements(self) -> int:
        """How many it has."""
        count = 1
        for _, length in self.resolved:
            count *= length
        return count


class V1Value(NamedTuple):
    """What the files together say of a value."""

    dtype: DataType
    shape: tuple[int, ...]
    parts: list[V1Part]


class V1Contents(BundleReader):
    """A V1 checkpoint, opened, and what its lists say; see `V1Reader`."""

    has_checksums = True  # those of its blocks

    def __init__(self, prefix: str | os.PathLike[str], storage: Storage | None = None) -> None:
        self.prefix = os.fspath(prefix)
        storage = storage or default_storage()
        paths = v1_files(self.prefix, storage)
        if not paths:
            raise CheckpointNotFoundError("there is no such file", path=self.prefix)
        self._opened: list[ReadableFile] = []
        self._closed = False
        self._values: dict[str, V1Value] = {}
        try:
            for path in paths:
                self._opened.append(storage.open(path))
            self._tables = [Table(file) for file in self._opened]
            for shard in range(len(paths)):
                self._read_meta(shard)
        except BaseException:
            self.close()
            raise
        self._values = dict(sorted(self._values.items()))
        self.header = Header(num_shards=len(paths))

    def _read_meta(self, shard: int) -> None:
        table = self._tables[shard]
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
            return CheckpointCorruptError(what, path=self._tables[shard].path, key=meta.name)

        value = self._values.setdefault(meta.name, V1Value(meta.dtype, meta.shape, []))
        if (value.dtype, value.shape) != (meta.dtype, meta.shape):
            raise corrupt(
                f"here it is {meta.dtype.name} of shape {meta.shape}, in another file of the "
                f"checkpoint {value.dtype.name} of shape {value.shape}"
            )
        for extents in meta.slices:
            resolved = resolve(extents, meta.shape)
            if resolved is None:
                raise corrupt(f"its part {extents} does not fit the shape {meta.shape}")
            value.parts.append(V1Part(shard, extents, resolved))

    # -- what is there ---------------------------------------------------------------------

    def keys(self) -> list[str]:
        """The names of all values, sorted."""
        return list(self._values)

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def entry(self, key: str) -> Entry:
        """What the files say of a value; it has no checksum and no place of its own.

        `size` is that of its elements, 0 for strings.

        Raises:
          CheckpointNotFoundError: there is no value of this name; names similar ones.
        """
        value = self._value(key)
        entry = Entry(value.dtype, value.shape, value.parts[0].shard, 0, 0, 0)
        size = entry.num_elements * itemsize(value.dtype)
        return Entry(value.dtype, value.shape, value.parts[0].shard, 0, size, 0)

    def dtype(self, key: str) -> np.dtype[Any]:
        """As `BundleReader.dtype`."""
        try:
            return numpy_dtype(self._value(key).dtype)
        except CheckpointUnsupportedError as error:
            raise CheckpointUnsupportedError(error.what, path=self.prefix, key=key) from None

    def shape(self, key: str) -> tuple[int, ...]:
        """As `BundleReader.shape`."""
        return self._value(key).shape

    def kind(self, key: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
        """As `BundleReader.kind`."""
        return self.dtype(key), self.shape(key)

    def raw_entries(self) -> list[tuple[bytes | str, Entry]]:
        """Raises CheckpointUnsupportedError: a V1 checkpoint has no index of its own."""
        raise self._unsupported("it has no index that could be written again; re-encode it")

    def _value(self, key: str) -> V1Value:
        value = self._values.get(key)
        if value is not None:
            return value
        raise no_such_value(self.prefix, key, self._values)

    def _unsupported(self, what: str, key: str | None = None) -> CheckpointUnsupportedError:
        return CheckpointUnsupportedError(
            f"this is a checkpoint of TensorFlow before 0.12 (V1): {what}",
            path=self.prefix,
            key=key,
        )

    def _require_open(self) -> None:
        if self._closed:
            raise closed(self.prefix)

    def close(self) -> None:
        """Lets go of the files. Idempotent."""
        self._closed = True
        for file in self._opened:
            file.close()
