"""What is in a bundle: its keys, and what its index says of each."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from checkpointable.bundle.dtypes import numpy_dtype
from checkpointable.bundle.index.entry import Entry
from checkpointable.bundle.index.header import Header
from checkpointable.bundle.reading.open_files import open_files
from checkpointable.common.suggestions import no_such_value
from checkpointable.errors import CheckpointUnsupportedError
from checkpointable.storage import Storage, default_storage

if TYPE_CHECKING:
    from typing import TypeAlias

    import numpy as np

    from checkpointable.manifest import Verifier

    Mapped: TypeAlias = bool | Literal["c"]

__all__ = ["Contents", "check_mapped"]

_Self = TypeVar("_Self", bound="Contents")


def check_mapped(mmap: Any) -> None:
    """Checks an argument `mmap`.

    Raises:
      ValueError: it is neither True, False nor "c".
    """
    if mmap not in (True, False, "c"):
        raise ValueError(f'mmap is {mmap!r}; it must be True, False or "c" (copy on write)')


class Contents:
    """A bundle, opened, and what its index says; see `BundleReader`."""

    prefix: str
    header: Header

    def __init__(
        self,
        prefix: str | os.PathLike[str],
        storage: Storage | None = None,
        *,
        damaged: bool = False,
        mmap: Mapped = False,
        verifier: Verifier | None = None,
    ) -> None:
        check_mapped(mmap)
        self.prefix = os.fspath(prefix)
        self._storage = storage or default_storage()
        self._files = open_files(self.prefix, self._storage, damaged=damaged, verifier=verifier)
        self._index = self._files.index
        self.header = self._index.header
        self._swap = self.header.big_endian != (sys.byteorder == "big")
        self._mmap = mmap
        # What a manifest says of the files' sizes and gaps says more.
        self._structure_checked = self._files.manifest is not None
        self._dtypes: dict[int, np.dtype[Any]] = {}
        self._rows: dict[str, int] | None = None  # once all keys are there as text

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

    def kind(self, key: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
        """`dtype` and `shape` of a value, in one look-up; for who asks for those of many.

        Raises: as these.
        """
        code, shape = self._index.kinds[self._row(key)]
        dtype = self._dtypes.get(code)
        return self.dtype(key) if dtype is None else dtype, shape

    def raw_entries(self) -> list[tuple[bytes | str, Entry]]:
        """Every entry of the index, for `write_index`; parts (keys as bytes) included."""
        index = self._index
        parts: list[tuple[bytes | str, Entry]] = [
            (key, index.entry_of(row)) for key, row in index.parts.items()
        ]
        return parts + [(key, index.entry_of(row)) for key, row in index.rows.items()]

    def _row(self, key: str) -> int:
        if self._rows is None and self._index.text_is_loaded:
            self._rows = self._index.rows
        row = self._index.find(key) if self._rows is None else self._rows.get(key, -1)
        if row >= 0:
            return row
        raise no_such_value(self.prefix, key, self._index.rows)

    # -- closing ---------------------------------------------------------------------------

    def close(self) -> None:
        """Lets go of the files. Idempotent."""
        self._files.close()

    def __enter__(self: _Self) -> _Self:
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

    def _path_of(self, shard: int) -> str:
        return self._files.paths.get(shard, self._index.path)
