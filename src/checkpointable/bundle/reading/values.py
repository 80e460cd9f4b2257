"""Reads values of a bundle one by one: whole, in part, or where they lie."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from checkpointable.bundle.checksum import load_crc32c, mask
from checkpointable.bundle.dtypes import byteswapped
from checkpointable.bundle.reading.checks import check_values, differs, in_file_order, stored_values
from checkpointable.bundle.reading.contents import Contents
from checkpointable.bundle.reading.slicing import Index, Selection
from checkpointable.bundle.reading.transfer import copy_values, native_array
from checkpointable.bundle.slices import resolve
from checkpointable.bundle.strings import decode_strings
from checkpointable.bundle.variants import decode_variants
from checkpointable.errors import CheckpointCorruptError, CheckpointUnsupportedError
from checkpointable.wire.varints import Malformed

if TYPE_CHECKING:
    import numpy.typing as npt

    from checkpointable.bundle.shapes import Extents

__all__ = ["SingleValues"]


# Values of so many bytes are read without a look at how they could best be divided.
_SMALL = 64 * 1024


class SingleValues(Contents):
    """The values of a bundle one by one; see `BundleReader`."""

    def get_tensor(self, key: str) -> npt.NDArray[Any] | bytes:
        """A value, verified, as an array of its own; a scalar string as `bytes`.

        Where the checkpoint was opened with `mmap`, an array on the mapped file instead, not
        verified (`check` does that), if there can be one.

        Raises:
          CheckpointNotFoundError: there is no value of this key.
          CheckpointCorruptError: its bytes are damaged.
          CheckpointUnsupportedError: NumPy has no type for it, or too few dimensions.
        """
        row = self._row(key)
        dtype = self.dtype(key)
        if dtype.hasobject:
            array = self._read_strings(key, row)
            scalar = array.item() if array.shape == () else None
            return array if scalar is None else bytes(scalar)
        if self._mmap and self._not_mapped(key, row, dtype) is None:
            self._check_rank(key, row)
            view = self._view(row, private=self._mmap == "c")
            return native_array(view, dtype, self._index.shape_of(row), swap=False)
        small = self._small(key, row, dtype)
        if small is not None:
            return small
        rows = self._part_rows(key, row)
        self._verify_rows(rows)
        array = self._empty(key, row, dtype)
        self._copy([(key, row, array)], verify=False, threads=None)
        return array

    def get_bytes(self, key: str) -> bytes:
        """A value's bytes as stored, verified, whatever its dtype.

        Raises:
          CheckpointNotFoundError: there is no value of this key.
          CheckpointCorruptError: its bytes are damaged.
          CheckpointUnsupportedError: the value is partitioned: its bytes are not in one place.
        """
        row = self._row(key)
        if self._part_rows(key, row) != [row]:
            raise CheckpointUnsupportedError(
                "the value is partitioned, its bytes are not in one place; use get_tensor",
                path=self.prefix,
                key=key,
            )
        self._verify_rows([row])
        return bytes(self._bytes_of(row))

    def get_variants(self, key: str) -> npt.NDArray[Any]:
        """A value of TensorFlow's opaque objects, verified: an array of `bytes`.

        Each is an encoded `VariantTensorDataProto`.

        Raises: as `get_bytes`.
        """
        return decode_variants(self.get_bytes(key), self.shape(key))

    def view(self, key: str) -> npt.NDArray[Any]:
        """A value as a read-only array over the mapped file, without a copy and unverified.

        `check` verifies it. Large values of files that this package wrote are aligned to 64
        bytes. Stays valid after `close`.

        Raises:
          CheckpointNotFoundError: there is no value of this key.
          CheckpointUnsupportedError: strings, partitioned values, values in the byte order
            of other machines: they have no such array.
        """
        row = self._row(key)
        dtype = self.dtype(key)
        reason = self._not_mapped(key, row, dtype)
        if reason:
            raise CheckpointUnsupportedError(
                f"{reason} cannot be used where they lie in the file; use get_tensor",
                path=self.prefix,
                key=key,
            )
        self._check_rank(key, row)
        return native_array(self._view(row), dtype, self._index.shape_of(row), swap=False)

    def get_slice(self, key: str, slices: Index) -> npt.NDArray[Any]:
        """Part of a value, `value[slices]`, as an array of its own; not verified.

        Reads from the files what it needs, of partitioned values too. A checksum is that of a
        whole value: `check([key])` verifies it.

            reader.get_slice("embedding/.ATTRIBUTES/VARIABLE_VALUE", np.s_[1000:2000, ::2])

        Args:
          slices: integers, slices and `...`, as for an array.

        Raises:
          TypeError, IndexError: `slices` is no such index.
          CheckpointNotFoundError: there is no value of this key.
          CheckpointUnsupportedError: NumPy has no type for it, or too few dimensions.
          CheckpointCorruptError: strings that are damaged: they are read as a whole.
        """
        row = self._row(key)
        dtype = self.dtype(key)
        self._check_rank(key, row)
        selection = Selection(slices, self._index.shape_of(row))
        self._files.require_open()
        if dtype.hasobject:
            return selection.of(self._read_strings(key, row))
        result: npt.NDArray[Any] = np.empty(selection.shape, dtype)
        for extents, part in self._parts_of(key, row):
            places = selection.within(extents)
            if places is None:
                continue
            of_part, of_result = places
            shape = tuple(length for _, length in extents)
            stored: npt.NDArray[Any] = native_array(self._view(part), dtype, shape, swap=False)
            chosen = stored[of_part]
            if self._swap and dtype.itemsize > 1:
                chosen = byteswapped(np.array(chosen).reshape(-1)).reshape(chosen.shape)
            result[of_result] = chosen
        return selection.finished(result)

    def _parts_of(self, key: str, row: int) -> Iterator[tuple[Extents, int]]:
        """(extents, row) of the parts of a value, that is of itself where it is not partitioned."""
        if row not in self._index.partitioned:
            yield tuple((0, size) for size in self._index.shape_of(row)), row
            return
        self._require_tiled(key, row)
        entry = self._index.entry_of(row)
        for extents, part in zip(entry.slices, self._index.part_rows(key, entry), strict=True):
            yield resolve(extents, entry.shape) or (), part

    def _small(self, key: str, row: int, dtype: np.dtype[Any]) -> npt.NDArray[Any] | None:
        """A value of a few bytes in an array of its own: in a tenth of the time.

        None if it is no such value, or is damaged.
        """
        columns = self._index.columns
        if (
            columns.size.item(row) > _SMALL
            or row in self._index.partitioned
            or self._files.manifest is not None
            or (self._swap and dtype.itemsize > 1)
        ):
            return None
        contents = self._bytes_of(row)
        if mask(load_crc32c()(contents)) != columns.crc.item(row):
            return None
        self._check_rank(key, row)
        return native_array(contents, dtype, self._index.shape_of(row), swap=False)

    def _not_mapped(self, key: str, row: int, dtype: np.dtype[Any]) -> str | None:
        """Why a value cannot be used where it lies in the file; None if it can."""
        if dtype.hasobject:
            return "strings"
        if self._swap and dtype.itemsize > 1:
            return "values in another machine's byte order"
        if self._part_rows(key, row) != [row]:
            return "partitioned values"
        return None

    def _view(self, row: int, *, private: bool = False) -> memoryview:
        columns = self._index.columns
        return self._files.view(
            int(columns.shard[row]),
            int(columns.offset[row]),
            int(columns.size[row]),
            private=private,
        )

    def _bytes_of(self, row: int) -> memoryview:
        """The bytes of a value, in memory that is the caller's alone."""
        columns = self._index.columns
        shard, offset = columns.shard.item(row), columns.offset.item(row)
        size = columns.size.item(row)
        if not size:
            self._files.require_open()
            return memoryview(b"")
        # Before memory is asked for: an index may say anything.
        file = self._files.file_of(shard, offset, size)
        memory: npt.NDArray[np.uint8] = np.empty(size, np.uint8)
        file.read_into(offset, memory.data)
        return memory.data

    def _verify_rows(self, rows: list[int], threads: int | None = None) -> None:
        if rows:
            self._files.require_open()
        order = in_file_order(self._files, rows)
        self._files.load(order, threads)
        for stored, what, offset in check_values(self._files, order, threads=threads):
            raise CheckpointCorruptError(
                what,
                path=self._path_of(stored.shard),
                key=self._index.key_of(stored.row),
                offset=offset,
            )

    def _check_rank(self, key: str, row: int) -> None:
        shape = self._index.shape_of(row)
        try:
            np.broadcast_to(np.int8(0), shape)
        except ValueError as error:
            raise CheckpointUnsupportedError(
                f"NumPy has no array of the shape {shape}: {error}", path=self.prefix, key=key
            ) from None

    def _empty(self, key: str, row: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """An array for a value, whose size is known to be that of bytes in the files."""
        self._check_rank(key, row)
        self._require_tiled(key, row)
        return np.empty(self._index.shape_of(row), dtype)

    def _require_tiled(self, key: str, row: int) -> None:
        what = self._index.untiled(key, row)
        if what:
            raise CheckpointCorruptError(what, path=self._index.path, key=key)

    def _read_strings(self, key: str, row: int) -> npt.NDArray[Any]:
        if row in self._index.partitioned:
            raise CheckpointUnsupportedError(
                "the value is a partitioned one of strings, which TensorFlow does not write",
                path=self.prefix,
                key=key,
            )
        self._check_rank(key, row)
        stored = next(stored_values(self._files, np.array([row])))
        try:
            array, crc = decode_strings(
                self._bytes_of(row), self._index.shape_of(row), big_endian=self.header.big_endian
            )
        except Malformed as error:
            raise CheckpointCorruptError(
                error.what,
                path=self._path_of(stored.shard),
                key=key,
                offset=stored.offset + error.position,
            ) from None
        if crc != stored.crc:
            raise CheckpointCorruptError(
                differs(crc, stored.crc),
                path=self._path_of(stored.shard),
                key=key,
                offset=stored.offset,
            )
        return array

    def _copy(
        self,
        targets: list[tuple[str, int, npt.NDArray[Any]]],
        *,
        verify: bool,
        threads: int | None,
    ) -> None:
        partitioned = self._index.partitioned
        if partitioned:
            plain = []
            for key, row, array in targets:
                if row not in partitioned:
                    plain.append((key, row, array))
                    continue
                for extents, part in self._parts_of(key, row):
                    where = tuple(slice(start, start + length) for start, length in extents)
                    plain.append((key, part, array[where]))
            targets = plain
        copy_values(self._files, targets, swap=self._swap, verify=verify, threads=threads)
