"""Reads checkpoints of TensorFlow before 0.12 ("V1"): by name, values in the table itself.

One file `model.ckpt`, or several: `model.ckpt-?????-of-?????`, a name that such a checkpoint
goes by in a state file too. Each is a string table of its own, with parts of values.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from checkpointable.bundle.budget import Budget
from checkpointable.bundle.coding import Malformed
from checkpointable.bundle.dtypes import DataType, itemsize, numpy_dtype
from checkpointable.bundle.entry import Entry, Header
from checkpointable.bundle.format import VERSION
from checkpointable.bundle.reader import BundleReader
from checkpointable.bundle.slices import resolve, slice_key, tiles
from checkpointable.bundle.slicing import Index, Selection
from checkpointable.bundle.v1_files import v1_files
from checkpointable.bundle.v1_table import Stretch, Table
from checkpointable.bundle.v1_values import SavedMeta, decode_meta, decode_part, is_stored
from checkpointable.bundle.verify import Damage
from checkpointable.errors import (
    CheckpointCorruptError,
    CheckpointMismatchError,
    CheckpointNotFoundError,
    CheckpointUnsupportedError,
)
from checkpointable.storage import ReadableFile, Storage, default_storage

if TYPE_CHECKING:
    import numpy.typing as npt

    from checkpointable.bundle.entry import Extents
    from checkpointable.bundle.reader import Verify

__all__ = ["V1Reader"]

# A list for people, as that of a bundle.
_DAMAGES_MAX = 10_000


class _Part(NamedTuple):
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


class _Value(NamedTuple):
    """What the files together say of a value."""

    dtype: DataType
    shape: tuple[int, ...]
    parts: list[_Part]


class V1Reader(BundleReader):
    """A V1 checkpoint, opened: read as a bundle is, by key; it cannot be written.

    Opening reads and verifies the list of values; a value's bytes are verified whenever they are
    read. A value of one part takes its own size in memory, and that of the block it lies in.

    Args:
      prefix: the file's path, or what several have in common: `model.ckpt` or
        `model.ckpt-?????-of-00002`.
      storage: where to read; the local file system if None.

    Raises:
      CheckpointNotFoundError: there is no such file.
      CheckpointCorruptError: it is damaged, or one of several is missing.
      CheckpointUnsupportedError: a newer version of the format.
    """

    def __init__(self, prefix: str | os.PathLike[str], storage: Storage | None = None) -> None:
        self.prefix = os.fspath(prefix)
        storage = storage or default_storage()
        paths = v1_files(self.prefix, storage)
        if not paths:
            raise CheckpointNotFoundError("there is no such file", path=self.prefix)
        self._opened: list[ReadableFile] = []
        self._values: dict[str, _Value] = {}
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

        value = self._values.setdefault(meta.name, _Value(meta.dtype, meta.shape, []))
        if (value.dtype, value.shape) != (meta.dtype, meta.shape):
            raise corrupt(
                f"here it is {meta.dtype.name} of shape {meta.shape}, in another file of the "
                f"checkpoint {value.dtype.name} of shape {value.shape}"
            )
        for extents in meta.slices:
            resolved = resolve(extents, meta.shape)
            if resolved is None:
                raise corrupt(f"its part {extents} does not fit the shape {meta.shape}")
            value.parts.append(_Part(shard, extents, resolved))

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

    def _value(self, key: str) -> _Value:
        value = self._values.get(key)
        if value is not None:
            return value
        import difflib  # for messages alone

        near = difflib.get_close_matches(key, self._values, 3) if len(self) <= 1000 else []
        hint = f"; similar ones are {', '.join(map(repr, near))}" if near else ""
        raise CheckpointNotFoundError(
            f"the checkpoint has no value of this key{hint}", path=self.prefix, key=key
        )

    def _unsupported(self, what: str, key: str | None = None) -> CheckpointUnsupportedError:
        return CheckpointUnsupportedError(
            f"this is a checkpoint of TensorFlow before 0.12 (V1): {what}",
            path=self.prefix,
            key=key,
        )

    # -- values ----------------------------------------------------------------------------

    def get_tensor(self, key: str) -> npt.NDArray[Any] | bytes:
        """As `BundleReader.get_tensor`."""
        array = self._read(key)
        scalar = array.item() if array.dtype.hasobject and array.shape == () else None
        return array if scalar is None else bytes(scalar)

    def get_bytes(self, key: str) -> bytes:
        """Raises CheckpointUnsupportedError: a V1 checkpoint stores numbers in messages."""
        raise self._unsupported("a value's bytes are not in one place; use get_tensor", key)

    def view(self, key: str) -> npt.NDArray[Any]:
        """Raises CheckpointUnsupportedError: a V1 checkpoint stores numbers in messages."""
        raise self._unsupported("a value cannot be used where it lies; use get_tensor", key)

    def get_slice(self, key: str, slices: Index) -> npt.NDArray[Any]:
        """As `BundleReader.get_slice`, verified: a V1 checkpoint is read value by value."""
        return Selection(slices, self._value(key).shape).of(self._read(key))

    def check(self, keys: Iterable[str], threads: int | None = None) -> None:
        """As `BundleReader.check`, in one thread."""
        for key in keys:
            self._check_parts(key)

    def read_into(
        self,
        pairs: Iterable[tuple[str, npt.NDArray[Any]]],
        verify: Verify = False,
        threads: int | None = None,
    ) -> None:
        """As `BundleReader.read_into`, in one thread; values are verified in any case."""
        chosen = list(pairs)
        for key, array in chosen:
            self._check_target(key, array)
        if verify is True:
            self.check(key for key, _ in chosen)
        strings = {key: self._read(key) for key, array in chosen if array.dtype.hasobject}
        for key, array in chosen:
            array[...] = strings[key] if key in strings else self._read(key)

    def _check_target(self, key: str, array: npt.NDArray[Any]) -> None:
        dtype, shape = self.dtype(key), self.shape(key)
        if not isinstance(array, np.ndarray):
            raise TypeError(f"key {key!r}: {type(array).__name__} is not an array to read into")
        if array.dtype != dtype or array.shape != shape:
            raise CheckpointMismatchError(
                f"the checkpoint has {dtype} of shape {shape}, but the array to read it into is "
                f"{array.dtype} of shape {array.shape}",
                path=self.prefix,
                key=key,
            )
        if not array.flags.writeable:
            raise CheckpointMismatchError(
                "the array to read the value into is read-only", path=self.prefix, key=key
            )

    def _read(self, key: str) -> npt.NDArray[Any]:
        """A value as an array of its own."""
        value, dtype = self._value(key), self.dtype(key)
        parts = value.parts
        if len(parts) == 1:
            self._check_covered(key)
            array = self._read_part(key, parts[0])
            # Nothing may change, or keep, the block that it may lie in.
            own = np.array(array, dtype)
            return self._shaped(key, own, value.shape)
        # Nothing of the size that the file claims is made before its bytes are seen.
        self._check_parts(key)
        result = self._shaped(key, np.empty(self.entry(key).num_elements, dtype), value.shape)
        for part in parts:
            place = tuple(slice(start, start + length) for start, length in part.resolved)
            shape = tuple(length for _, length in part.resolved)
            result[place] = self._read_part(key, part).reshape(shape)
        return result

    def _shaped(
        self, key: str, array: npt.NDArray[Any], shape: tuple[int, ...]
    ) -> npt.NDArray[Any]:
        try:
            return array.reshape(shape)
        except ValueError as error:
            raise CheckpointUnsupportedError(
                f"NumPy has no array of the shape {shape}: {error}", path=self.prefix, key=key
            ) from None

    def _check_parts(self, key: str) -> None:
        self._check_covered(key)
        for part in self._value(key).parts:
            self._read_part(key, part)
        self._check_tiled(key)

    def _check_tiled(self, key: str) -> None:
        """Takes a byte an element: the parts must have been seen to have as many."""
        value = self._value(key)
        if len(value.parts) > 1 and not tiles([p.resolved for p in value.parts], value.shape):
            raise self._uncovered(key)

    def _check_covered(self, key: str) -> None:
        """By the number of elements alone."""
        value = self._value(key)
        if sum(part.elements for part in value.parts) != self.entry(key).num_elements:
            raise self._uncovered(key)

    def _uncovered(self, key: str) -> CheckpointCorruptError:
        value = self._value(key)
        return CheckpointCorruptError(
            f"its {len(value.parts)} parts do not cover the shape {value.shape}, each element "
            "once: a file of the checkpoint is missing, or was never written",
            path=self.prefix,
            key=key,
        )

    def _read_part(self, key: str, part: _Part) -> npt.NDArray[Any]:
        value = self._value(key)
        if not is_stored(value.dtype):
            raise self._unsupported(f"it cannot hold values of dtype {value.dtype.name}", key)
        table = self._tables[part.shard]
        try:
            stretch = table.find(slice_key(key, part.extents))
        except CheckpointCorruptError as error:
            error.key = key
            raise
        if stretch is None:
            raise CheckpointCorruptError(
                f"its part {part.extents} is listed, but not in the file", path=table.path, key=key
            )
        return self._decode(key, part, stretch)

    def _decode(self, key: str, part: _Part, stretch: Stretch) -> npt.NDArray[Any]:
        value = self._value(key)
        data, start, end = stretch.data, stretch.start, stretch.end
        try:
            return decode_part(data, (start, end), key, value.dtype, part.extents, part.elements)
        except Malformed as error:
            raise CheckpointCorruptError(
                error.what,
                path=self._tables[part.shard].path,
                key=key,
                offset=stretch.where(error.position),
            ) from None

    # -- verify ----------------------------------------------------------------------------

    def verify(self, progress: Callable[[int, int, str], None] | None = None) -> list[Damage]:
        """As `BundleReader.verify`."""
        total = sum(table.size for table in self._tables)
        done, key = 0, ""
        damages: list[Damage] = []
        for shard in range(len(self._tables)):
            for size, key_of_block, found in self._verify_table(shard):
                damages += found[: _DAMAGES_MAX - len(damages)]
                done, key = done + size, key_of_block or key
                if progress is not None:
                    progress(done, total, key)
        if progress is not None:
            progress(total, total, key)
        touched = {damage.key for damage in damages}
        for key in self._values:
            try:
                self._check_covered(key)
                if key not in touched:
                    self._check_tiled(key)
            except CheckpointCorruptError as error:
                damages.append(Damage(self.prefix, key, 0, error.what))
        return damages[:_DAMAGES_MAX]

    def _verify_table(self, shard: int) -> Iterator[tuple[int, str, list[Damage]]]:
        """Of each block: its size, the key of its last value, what is wrong with it."""
        table = self._tables[shard]
        expected = {
            slice_key(key, part.extents): (key, part)
            for key, value in self._values.items()
            for part in value.parts
            if part.shard == shard
        }
        for offset, size, entries in table.blocks():
            if isinstance(entries, str):
                yield size, "", [Damage(table.path, None, offset, entries)]
                continue
            key, damages = "", []
            for stored, stretch in entries:
                if stored in expected:
                    key, part = expected.pop(stored)
                    damages += self._damage_of(key, part, stretch)
                elif stored and len(damages) < _DAMAGES_MAX:
                    what = f"the entry {stored!r:.200} belongs to no value that is listed"
                    damages.append(Damage(table.path, None, offset, what))
            yield size, key, damages
        for key, part in expected.values():
            what = f"its part {part.extents} is not in the file, or in a damaged block"
            yield 0, key, [Damage(table.path, key, 0, what)]

    def _damage_of(self, key: str, part: _Part, stretch: Stretch) -> list[Damage]:
        if not is_stored(self._value(key).dtype):
            return []  # whole, as far as can be told
        try:
            self._decode(key, part, stretch)
        except CheckpointCorruptError as error:
            return [Damage(self._tables[part.shard].path, key, error.offset or 0, error.what)]
        return []

    def close(self) -> None:
        """Lets go of the files. Idempotent."""
        for file in self._opened:
            file.close()
