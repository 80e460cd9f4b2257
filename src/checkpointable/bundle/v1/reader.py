"""Reads checkpoints of TensorFlow before 0.12 ("V1"): by name, values in the table itself.

One file `model.ckpt`, or several: `model.ckpt-?????-of-?????`, a name that such a checkpoint
goes by in a state file too. Each is a string table of its own, with parts of values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from checkpointable.bundle.reading.slicing import Index, Selection
from checkpointable.bundle.reading.verify import Damage
from checkpointable.bundle.slices import slice_key, tiles
from checkpointable.bundle.v1.contents import V1Contents, V1Part
from checkpointable.bundle.v1.table import Stretch
from checkpointable.bundle.v1.values import decode_part, is_stored
from checkpointable.errors import (
    CheckpointCorruptError,
    CheckpointMismatchError,
    CheckpointUnsupportedError,
)
from checkpointable.wire.varints import Malformed

if TYPE_CHECKING:
    import numpy.typing as npt

    from checkpointable.bundle.reading.reader import Verify

__all__ = ["V1Reader"]

# A list for people, as that of a bundle.
_DAMAGES_MAX = 10_000


class V1Reader(V1Contents):
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

    def _read_part(self, key: str, part: V1Part) -> npt.NDArray[Any]:
        self._require_open()
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

    def _decode(self, key: str, part: V1Part, stretch: Stretch) -> npt.NDArray[Any]:
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
        self._require_open()
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

    def _damage_of(self, key: str, part: V1Part, stretch: Stretch) -> list[Damage]:
        if not is_stored(self._value(key).dtype):
            return []  # whole, as far as can be told
        try:
            self._decode(key, part, stretch)
        except CheckpointCorruptError as error:
            return [Damage(self._tables[part.shard].path, key, error.offset or 0, error.what)]
        return []
