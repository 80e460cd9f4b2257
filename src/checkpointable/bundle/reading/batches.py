"""Verifies and reads many values of a bundle at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from checkpointable.bundle.reading.targets import check_target
from checkpointable.bundle.reading.verify import structural_damage
from checkpointable.common.gc_pause import collector_paused
from checkpointable.errors import CheckpointCorruptError

if TYPE_CHECKING:
    import numpy.typing as npt

    from checkpointable.bundle.reading.contents import Contents
    from checkpointable.bundle.reading.targets import Verify
    from checkpointable.bundle.reading.values import Values
    from checkpointable.storage import Storage

    _Target = tuple[str, int, npt.NDArray[Any]]

__all__ = ["Batches"]


class Batches:
    """Verifies and reads many values at once; see `BundleReader`.

    Args:
      contents: The keys of the bundle.
      values: Reads single values.
      storage: The storage of the files.
    """

    def __init__(self, contents: Contents, values: Values, storage: Storage) -> None:
        self._contents = contents
        self._values = values
        self._storage = storage
        # A manifest pins the sizes and the gaps of the files already.
        self._structure_is_checked = contents.files.manifest is not None

    def check(self, keys: Iterable[str], threads: int | None) -> None:
        """Verifies values; see `BundleReader.check`."""
        contents = self._contents
        rows = list(map(contents.row, keys))
        if rows:
            contents.files.require_open()
        if contents.index.partitioned:
            names = contents.index.row_names()
            rows = [part for row in rows for part in contents.part_rows(names[row], row)]
        self._check_structure()
        self._values.verify(rows, threads)

    def read_into(
        self,
        pairs: Iterable[tuple[str, npt.NDArray[Any]]],
        verify: Verify,
        threads: int | None,
    ) -> None:
        """Copies values into arrays; see `BundleReader.read_into`."""
        contents, values = self._contents, self._values
        pairs = list(pairs)
        with collector_paused():
            targets, strings = self._targets(pairs)
        if targets or strings:
            contents.files.require_open()
        if verify is True:
            rows = [row for _, row, _ in targets]
            if contents.index.partitioned:
                rows = [part for key, row, _ in targets for part in contents.part_rows(key, row)]
            self._check_structure()
            values.verify(rows, threads)
        texts = [values.get_strings(key, row) for key, row, _ in strings]
        values.copy(targets, verify=verify == "stream", threads=threads)
        for (_, _, array), text in zip(strings, texts, strict=True):
            array[...] = text

    def _targets(
        self, pairs: list[tuple[str, npt.NDArray[Any]]]
    ) -> tuple[list[_Target], list[_Target]]:
        """Returns the rows of the keys, strings apart; checks that every array fits."""
        targets: list[_Target] = []
        strings: list[_Target] = []
        contents, index = self._contents, self._contents.index
        row_of, dtypes = contents.row, contents.dtypes
        # `kinds` decodes the whole index, which pays unless the pairs are a few of very many.
        kinds = index.kinds if len(pairs) > len(index) // 8 else None
        codes, shape_of = index.columns.dtype, index.shape_of
        for key, array in pairs:
            row = row_of(key)
            code, shape = kinds[row] if kinds else (codes.item(row), shape_of(row))
            dtype = dtypes.get(code) or contents.dtype(key)
            if (
                type(array) is not np.ndarray
                or array.dtype != dtype
                or array.shape != shape
                or not array.flags.writeable
            ):
                check_target(contents.prefix, key, array, dtype, shape)
            (strings if dtype.hasobject else targets).append((key, row, array))
        return targets, strings

    def _check_structure(self) -> None:
        if self._structure_is_checked:
            return
        for damage in structural_damage(self._contents.files, self._storage):
            raise CheckpointCorruptError(
                damage.what, path=damage.path, key=damage.key, offset=damage.offset
            )
        self._structure_is_checked = True
