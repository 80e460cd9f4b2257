"""Reads a bundle: what is in it, its values, whether they are whole."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from checkpointable.bundle.checks import (
    Stored,
    check_values,
    differs,
    in_file_order,
    stored_values,
)
from checkpointable.bundle.coding import Malformed
from checkpointable.bundle.data import open_files
from checkpointable.bundle.dtypes import numpy_dtype
from checkpointable.bundle.entry import Entry, Header
from checkpointable.bundle.slices import resolve
from checkpointable.bundle.strings import decode_strings
from checkpointable.bundle.transfer import copy_values, native_array
from checkpointable.bundle.variants import decode_variants
from checkpointable.bundle.verify import Damage, find_damage, structural_damage
from checkpointable.errors import (
    CheckpointCorruptError,
    CheckpointMismatchError,
    CheckpointNotFoundError,
    CheckpointUnsupportedError,
)
from checkpointable.storage import Storage, default_storage

if TYPE_CHECKING:
    from typing import TypeAlias

    import numpy.typing as npt

    Verify: TypeAlias = bool | Literal["stream"]

__all__ = ["BundleReader"]

_MACHINE_IS_BIG_ENDIAN = sys.byteorder == "big"


class BundleReader:
    """A checkpoint, opened: a context manager.

    Opening reads and verifies the whole index and opens the data files, so what is read
    afterwards belongs together, whatever happens to the files' names. May be used from
    several threads.

    Args:
      prefix: the checkpoint's path, without the endings of its files.
      storage: where to read; the local file system if None.
      damaged: open also where data files are missing or too short, to save what can be
        saved or to list the damage with `verify`.

    Attributes:
      prefix: as given.
      header: what the index says of the bundle as a whole.

    Raises:
      CheckpointNotFoundError: there is no such checkpoint; names those beside it.
      CheckpointCorruptError: the index is damaged, or a data file is missing or too short.
      CheckpointUnsupportedError: a newer version of the format, or a single file (V1).
      CheckpointIOError, CheckpointPermissionError: the operating system refused.
    """

    prefix: str
    header: Header

    def __init__(
        self,
        prefix: str | os.PathLike[str],
        storage: Storage | None = None,
        *,
        damaged: bool = False,
    ) -> None:
        self.prefix = os.fspath(prefix)
        self._storage = storage or default_storage()
        self._files = open_files(self.prefix, self._storage, damaged=damaged)
        self._index = self._files.index
        self.header = self._index.header
        self._swap = self.header.big_endian != _MACHINE_IS_BIG_ENDIAN
        self._structure_checked = False
        self._dtypes: dict[int, np.dtype[Any]] = {}

    # -- what is there ---------------------------------------------------------------------

    def keys(self) -> list[str]:
        """The keys of all values, sorted; a partitioned value's once."""
        return list(self._index.rows)

    def __contains__(self, key: object) -> bool:
        return self._index.find(key) >= 0

    def __iter__(self) -> Iterator[str]:
        return iter(self._index.rows)

    def __len__(self) -> int:
        return len(self._index)

    def entry(self, key: str) -> Entry:
        """What the index says of a value.

        Raises:
          CheckpointNotFoundError: there is no value of this key; names similar ones.
        """
        return self._index.entry_of(self._row(key))

    def dtype(self, key: str) -> np.dtype[Any]:
        """The NumPy type of a value's elements; strings are objects (`bytes`).

        Raises:
          CheckpointNotFoundError: there is no value of this key.
          CheckpointUnsupportedError: NumPy has no type for it.
        """
        code = self._index.columns.dtype.item(self._row(key))
        dtype = self._dtypes.get(code)
        if dtype is not None:
            return dtype
        try:
            dtype = self._dtypes[code] = numpy_dtype(code)
            return dtype
        except CheckpointUnsupportedError as error:
            raise CheckpointUnsupportedError(error.what, path=self.prefix, key=key) from None

    def shape(self, key: str) -> tuple[int, ...]:
        """The dimensions of a value.

        Raises:
          CheckpointNotFoundError: there is no value of this key.
        """
        return self._index.shape_of(self._row(key))

    def raw_entries(self) -> list[tuple[bytes | str, Entry]]:
        """Every entry of the index, for `write_index`; parts (keys as bytes) included."""
        index = self._index
        parts: list[tuple[bytes | str, Entry]] = [
            (key, index.entry_of(row)) for key, row in index.parts.items()
        ]
        return parts + [(key, index.entry_of(row)) for key, row in index.rows.items()]

    def _row(self, key: str) -> int:
        row = self._index.find(key)
        if row >= 0:
            return row
        # Looking for similar keys takes 20 us a key.
        near = difflib.get_close_matches(key, self._index.rows, 3) if len(self) <= 1000 else []
        hint = f"; similar ones are {', '.join(map(repr, near))}" if near else ""
        raise CheckpointNotFoundError(
            f"the checkpoint has no value of this key{hint}", path=self.prefix, key=key
        )

    # -- one value -------------------------------------------------------------------------

    def get_tensor(self, key: str) -> npt.NDArray[Any] | bytes:
        """A value, verified, as an array of its own; a scalar string as `bytes`.

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
        return bytes(self._view(row))

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
        reason = None
        if dtype.hasobject:
            reason = "strings"
        elif self._swap and dtype.itemsize > 1:
            reason = "values in another machine's byte order"
        elif self._part_rows(key, row) != [row]:
            reason = "partitioned values"
        if reason:
            raise CheckpointUnsupportedError(
                f"{reason} cannot be used where they lie in the file; use get_tensor",
                path=self.prefix,
                key=key,
            )
        self._check_rank(key, row)
        return native_array(self._view(row), dtype, self._index.shape_of(row), swap=False)

    # -- many values -----------------------------------------------------------------------

    def check(self, keys: Iterable[str], threads: int | None = None) -> None:
        """Verifies values without reading them into anything.

        The first call also compares the data files' lengths, and what lies between values,
        with the index.

        Raises:
          CheckpointNotFoundError: there is no value of one of the keys.
          CheckpointCorruptError: the first damage, with file, key and offset.
        """
        rows = list(map(self._row, keys))
        if self._index.partitioned:
            names = self._index.row_names()
            rows = [part for row in rows for part in self._part_rows(names[row], row)]
        self._check_structure()
        self._verify_rows(rows, threads)

    def read_into(
        self,
        pairs: Iterable[tuple[str, npt.NDArray[Any]]],
        verify: Verify = False,
        threads: int | None = None,
    ) -> None:
        """Copies values into arrays of the same shape and dtype, of any strides.

        Args:
          pairs: (key, writable array). No array is changed unless all of them fit.
          verify: True verifies everything before the first array is changed; "stream" does
            so in the same pass as the copy, so that damage is found when some arrays have
            changed already; False not at all (`check` has done it, say). Strings are always
            verified, and read before anything is changed.

        Raises:
          CheckpointNotFoundError: there is no value of one of the keys.
          CheckpointMismatchError: an array's shape or dtype differs, or it is read-only.
          CheckpointCorruptError: a value is damaged.
          CheckpointUnsupportedError: NumPy has no type for a value.
        """
        targets: list[tuple[str, int, npt.NDArray[Any]]] = []
        strings: list[tuple[str, int, npt.NDArray[Any]]] = []
        index = self._index
        codes, shape_of, dtypes = index.columns.dtype, index.shape_of, self._dtypes
        for key, array in pairs:
            row = self._row(key)
            dtype = dtypes.get(codes.item(row)) or self.dtype(key)
            if (
                type(array) is not np.ndarray
                or array.dtype != dtype
                or array.shape != shape_of(row)
                or not array.flags.writeable
            ):
                self._check_array(key, row, array, dtype)
            (strings if dtype.hasobject else targets).append((key, row, array))
        if verify is True:
            expanded = [row for _, row, _ in targets]
            if index.partitioned:
                expanded = [row for key, row, _ in targets for row in self._part_rows(key, row)]
            self._check_structure()
            self._verify_rows(expanded, threads)
        contents = [self._read_strings(key, row) for key, row, _ in strings]
        self._copy(targets, verify=verify == "stream", threads=threads)
        for (_, _, array), source in zip(strings, contents, strict=True):
            array[...] = source

    def verify(self, progress: Callable[[int, int, str], None] | None = None) -> list[Damage]:
        """Everything that is damaged; an empty list where nothing is.

        Of more than 10,000 damages the last of the list says how many there are.

        Args:
          progress: called with (bytes done, bytes in all, key) as values are checked.
        """
        return find_damage(self._files, self._storage, progress)

    # -- closing ---------------------------------------------------------------------------

    def close(self) -> None:
        """Lets go of the files. Idempotent."""
        self._files.close()

    def __enter__(self) -> BundleReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # -- parts of the above ----------------------------------------------------------------

    def _part_rows(self, key: str, row: int) -> list[int]:
        if row not in self._index.partitioned:
            return [row]
        return self._index.part_rows(key, self._index.entry_of(row))

    def _path_of(self, stored: Stored) -> str:
        return self._files.paths.get(stored.shard, self._index.path)

    def _view(self, row: int) -> memoryview:
        columns = self._index.columns
        return self._files.view(
            int(columns.shard[row]), int(columns.offset[row]), int(columns.size[row])
        )

    def _check_structure(self) -> None:
        if self._structure_checked:
            return
        for damage in structural_damage(self._files, self._storage):
            raise CheckpointCorruptError(
                damage.what, path=damage.path, key=damage.key, offset=damage.offset
            )
        self._structure_checked = True

    def _verify_rows(self, rows: list[int], threads: int | None = None) -> None:
        order = in_file_order(self._files, rows)
        for stored, what, offset in check_values(self._files, order, threads=threads):
            raise CheckpointCorruptError(
                what, path=self._path_of(stored), key=self._index.key_of(stored.row), offset=offset
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
        what = self._index.untiled(key, row)
        if what:
            raise CheckpointCorruptError(what, path=self._index.path, key=key)
        return np.empty(self._index.shape_of(row), dtype)

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
                self._view(row), self._index.shape_of(row), big_endian=self.header.big_endian
            )
        except Malformed as error:
            raise CheckpointCorruptError(
                error.what,
                path=self._path_of(stored),
                key=key,
                offset=stored.offset + error.position,
            ) from None
        if crc != stored.crc:
            raise CheckpointCorruptError(
                differs(crc, stored.crc), path=self._path_of(stored), key=key, offset=stored.offset
            )
        return array

    def _check_array(self, key: str, row: int, array: Any, dtype: np.dtype[Any]) -> None:
        shape = self._index.shape_of(row)
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
                what = self._index.untiled(key, row)
                if what:
                    raise CheckpointCorruptError(what, path=self._index.path, key=key)
                entry = self._index.entry_of(row)
                for extents, part in zip(
                    entry.slices, self._index.part_rows(key, entry), strict=True
                ):
                    place = resolve(extents, entry.shape) or ()
                    where = tuple(slice(start, start + length) for start, length in place)
                    plain.append((key, part, array[where]))
            targets = plain
        copy_values(self._files, targets, swap=self._swap, verify=verify, threads=threads)
