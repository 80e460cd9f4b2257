"""Reads values of a bundle one by one: whole, in part, or mapped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from checkpointable.bundle.checksum import load_crc32c, mask
from checkpointable.bundle.dtypes import byteswapped
from checkpointable.bundle.reading.checks import check_values, differs, in_file_order, stored_values
from checkpointable.bundle.reading.slicing import Index, Selection
from checkpointable.bundle.reading.transfer import copy_values, native_array
from checkpointable.bundle.strings import decode_strings
from checkpointable.common.scalar_strings import contents_of_array
from checkpointable.errors import CheckpointCorruptError, CheckpointUnsupportedError
from checkpointable.wire.varints import Malformed

if TYPE_CHECKING:
    import numpy.typing as npt

    from checkpointable.bundle.reading.contents import Contents
    from checkpointable.bundle.reading.targets import Mapped

__all__ = ["Values"]

# Values of up to this many bytes are read in one piece, without dividing the work.
_SMALL = 64 * 1024


class Values:
    """Reads single values of a bundle; see `BundleReader`.

    Args:
      contents: The keys of the bundle.
      mmap: As for `BundleReader`.
    """

    def __init__(self, contents: Contents, mmap: Mapped) -> None:
        self._contents = contents
        self._files = contents.files
        self._index = contents.index
        self._mmap = mmap

    def get(self, key: str) -> npt.NDArray[Any] | bytes:
        """Reads a value; see `BundleReader.get_tensor`."""
        contents = self._contents
        row = contents.row(key)
        dtype = contents.dtype(key)
        if dtype.hasobject:
            return contents_of_array(self.get_strings(key, row))
        if self._mmap and self._not_mapped(key, row, dtype) is None:
            contents.check_rank(key, row)
            view = self._view(row, private=self._mmap == "c")
            return native_array(view, dtype, self._index.shape_of(row), swap=False)
        small = self._get_small(key, row, dtype)
        if small is not None:
            return small
        self.verify(contents.part_rows(key, row))
        # The values are known to be in the files, so their size can be trusted.
        contents.check_rank(key, row)
        contents.require_tiled(key, row)
        array = np.empty(self._index.shape_of(row), dtype)
        self.copy([(key, row, array)], verify=False, threads=None)
        return array

    def get_bytes(self, key: str) -> bytes:
        """Reads the bytes of a value as stored; see `BundleReader.get_bytes`."""
        row = self._contents.row(key)
        if self._contents.part_rows(key, row) != [row]:
            raise CheckpointUnsupportedError(
                "the value is partitioned, so its bytes are not contiguous; use get_tensor",
                path=self._contents.prefix,
                key=key,
            )
        self.verify([row])
        return bytes(self._bytes_of(row))

    def view(self, key: str) -> npt.NDArray[Any]:
        """Maps a value; see `BundleReader.view`."""
        row = self._contents.row(key)
        dtype = self._contents.dtype(key)
        reason = self._not_mapped(key, row, dtype)
        if reason:
            raise CheckpointUnsupportedError(
                f"{reason} cannot be mapped; use get_tensor", path=self._contents.prefix, key=key
            )
        self._contents.check_rank(key, row)
        return native_array(self._view(row), dtype, self._index.shape_of(row), swap=False)

    def get_slice(self, key: str, slices: Index) -> npt.NDArray[Any]:
        """Reads part of a value; see `BundleReader.get_slice`."""
        contents = self._contents
        row = contents.row(key)
        dtype = contents.dtype(key)
        contents.check_rank(key, row)
        selection = Selection(slices, self._index.shape_of(row))
        self._files.require_open()
        if dtype.hasobject:
            return selection.of(self.get_strings(key, row))
        result: npt.NDArray[Any] = np.empty(selection.shape, dtype)
        for extents, part in contents.parts(key, row):
            pair = selection.within(extents)
            if pair is None:
                continue
            of_part, of_result = pair
            shape = tuple(length for _, length in extents)
            stored: npt.NDArray[Any] = native_array(self._view(part), dtype, shape, swap=False)
            chosen = stored[of_part]
            if contents.swap and dtype.itemsize > 1:
                chosen = byteswapped(np.array(chosen).reshape(-1)).reshape(chosen.shape)
            result[of_result] = chosen
        return selection.finished(result)

    def get_strings(self, key: str, row: int) -> npt.NDArray[Any]:
        """Reads and verifies a value of strings as an array of `bytes`.

        Raises:
          CheckpointCorruptError: Its bytes are damaged.
          CheckpointUnsupportedError: It is partitioned, or has too many dimensions for NumPy.
        """
        if row in self._index.partitioned:
            raise CheckpointUnsupportedError(
                "the value is partitioned and has strings, which TensorFlow does not write",
                path=self._contents.prefix,
                key=key,
            )
        self._contents.check_rank(key, row)
        stored = next(stored_values(self._files, np.array([row])))

        def corrupt(what: str, offset: int) -> CheckpointCorruptError:
            path = self._contents.path_of(stored.shard)
            return CheckpointCorruptError(what, path=path, key=key, offset=offset)

        try:
            array, crc = decode_strings(
                self._bytes_of(row),
                self._index.shape_of(row),
                big_endian=self._index.header.big_endian,
            )
        except Malformed as error:
            raise corrupt(error.what, stored.offset + error.position) from None
        if crc != stored.crc:
            raise corrupt(differs(crc, stored.crc), stored.offset)
        return array

    def verify(self, rows: list[int], threads: int | None = None) -> None:
        """Verifies the checksums of rows.

        Raises:
          CheckpointCorruptError: The first checksum that differs.
        """
        if rows:
            self._files.require_open()
        order = in_file_order(self._files, rows)
        self._files.load(order, threads)
        for stored, what, offset in check_values(self._files, order, threads=threads):
            raise CheckpointCorruptError(
                what,
                path=self._contents.path_of(stored.shard),
                key=self._index.key_of(stored.row),
                offset=offset,
            )

    def copy(
        self,
        targets: list[tuple[str, int, npt.NDArray[Any]]],
        *,
        verify: bool,
        threads: int | None,
    ) -> None:
        """Copies values that are not strings into arrays of their dtype and shape.

        Args:
          targets: (key, row, array) of each value.
          verify: Verify checksums in the same pass.
          threads: The number of threads; None: as many as pay.
        """
        partitioned = self._index.partitioned
        if partitioned:
            stored = []
            for key, row, array in targets:
                if row not in partitioned:
                    stored.append((key, row, array))
                    continue
                for extents, part in self._contents.parts(key, row):
                    where = tuple(slice(start, start + length) for start, length in extents)
                    stored.append((key, part, array[where]))
            targets = stored
        swap = self._contents.swap
        copy_values(self._files, targets, swap=swap, verify=verify, threads=threads)

    def _get_small(self, key: str, row: int, dtype: np.dtype[Any]) -> npt.NDArray[Any] | None:
        """Reads a small value in a tenth of the time; None if it is large, or damaged."""
        columns = self._index.columns
        if (
            columns.size.item(row) > _SMALL
            or row in self._index.partitioned
            or self._files.manifest is not None
            or (self._contents.swap and dtype.itemsize > 1)
        ):
            return None
        contents = self._bytes_of(row)
        if mask(load_crc32c()(contents)) != columns.crc.item(row):
            return None
        self._contents.check_rank(key, row)
        return native_array(contents, dtype, self._index.shape_of(row), swap=False)

    def _not_mapped(self, key: str, row: int, dtype: np.dtype[Any]) -> str | None:
        """Returns why a value cannot be mapped; None if it can."""
        if dtype.hasobject:
            return "strings"
        if self._contents.swap and dtype.itemsize > 1:
            return "values in another machine's byte order"
        if self._contents.part_rows(key, row) != [row]:
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
        """Reads the bytes of a value into new memory."""
        columns = self._index.columns
        shard, offset = columns.shard.item(row), columns.offset.item(row)
        size = columns.size.item(row)
        if not size:
            self._files.require_open()
            return memoryview(b"")
        # Find the bytes before allocating memory: a hostile index may claim any size.
        file = self._files.file_of(shard, offset, size)
        memory: npt.NDArray[np.uint8] = np.empty(size, np.uint8)
        file.read_into(offset, memory.data)
        return memory.data
