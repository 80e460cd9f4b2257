"""Reads a bundle: what is in it, its values, whether they are whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from checkpointable.bundle.reading.values import SingleValues
from checkpointable.bundle.reading.verify import Damage, find_damage, structural_damage
from checkpointable.common.gc_pause import collector_paused
from checkpointable.errors import CheckpointCorruptError, CheckpointMismatchError

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["BundleReader", "Verify", "checked_verify"]

Verify = bool | Literal["stream"]


def checked_verify(verify: Any) -> Verify:
    """An argument `verify`, checked: what is misspelt must not mean that nothing is verified.

    Raises:
      ValueError: it is neither True, False nor "stream".
    """
    if isinstance(verify, str) and verify == "stream":
        return "stream"
    if isinstance(verify, bool | np.bool_):
        return bool(verify)
    raise ValueError(
        f'verify is {verify!r}; it must be True, "stream" (while it is assigned) or False'
    )


class BundleReader(SingleValues):
    """A checkpoint, opened: a context manager.

    Opening reads and verifies the whole index and opens the data files, so what is read
    afterwards belongs together, whatever happens to the files' names. May be used from
    several threads.

    Args:
      prefix: the checkpoint's path, without the endings of its files.
      storage: where to read; the local file system if None.
      damaged: open also where data files are missing or too short, to save what can be
        saved or to list the damage with `verify`.
      mmap: True: `get_tensor` gives read-only arrays on the mapped files, without a copy and
        unverified, where there can be such; "c": arrays that may be changed, in memory of
        this reader's, page by page, and not in the files (copy on write). Whoever asks for a
        value again gets it with the changes.
      verifier: judges the checkpoint's manifest; nothing is read that it does not vouch for.

    Attributes:
      prefix: as given.
      header: what the index says of the bundle as a whole.
      has_checksums: whether there is something to verify.

    Raises:
      CheckpointNotFoundError: there is no such checkpoint; names those beside it.
      CheckpointCorruptError: the index is damaged, or a data file is missing or too short.
      CheckpointUnsupportedError: a newer version of the format, or a single file (V1).
      CheckpointSignatureError: no manifest that `verifier` vouches for.
      CheckpointIOError, CheckpointPermissionError: the operating system refused.
    """

    has_checksums = True

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
        if rows:
            self._files.require_open()
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
          ValueError: `verify` is something else.
        """
        verify = checked_verify(verify)
        targets: list[tuple[str, int, npt.NDArray[Any]]] = []
        strings: list[tuple[str, int, npt.NDArray[Any]]] = []
        index = self._index
        pairs = list(pairs)
        # For many at once; few may be some of a hundred thousand.
        kinds = index.kinds if len(pairs) > len(index) // 8 else None
        codes, shape_of, dtypes = index.columns.dtype, index.shape_of, self._dtypes
        with collector_paused():
            for key, array in pairs:
                row = self._row(key)
                code, shape = kinds[row] if kinds else (codes.item(row), shape_of(row))
                dtype = dtypes.get(code) or self.dtype(key)
                if (
                    type(array) is not np.ndarray
                    or array.dtype != dtype
                    or array.shape != shape
                    or not array.flags.writeable
                ):
                    self._check_array(key, row, array, dtype)
                (strings if dtype.hasobject else targets).append((key, row, array))
        if pairs:
            self._files.require_open()
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
        self._files.require_open()
        return find_damage(self._files, self._storage, progress)

    def _check_structure(self) -> None:
        if self._structure_checked:
            return
        for damage in structural_damage(self._files, self._storage):
            raise CheckpointCorruptError(
                damage.what, path=damage.path, key=damage.key, offset=damage.offset
            )
        self._structure_checked = True

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
