"""Reads checkpoints of TensorFlow before 0.12 ("V1"), which store values in a string table.

A checkpoint is one file `model.ckpt`, or several with the name `model.ckpt-?????-of-?????`,
also in a state file. Each file is a string table that stores slices of values.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from checkpointable.bundle.reading.descriptions import FileDicts, Location, ReaderKind, StoredValue
from checkpointable.bundle.reading.slicing import Index, Selection
from checkpointable.bundle.reading.targets import Verify, check_target, checked_verify
from checkpointable.bundle.v1.contents import V1Contents
from checkpointable.bundle.v1.slices import V1Slices
from checkpointable.bundle.v1.verify import find_v1_damage
from checkpointable.common.scalar_strings import contents_of_array
from checkpointable.storage import Storage, default_storage

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from typing_extensions import Self

    from checkpointable.bundle.reading.verify import Damage

__all__ = ["V1Reader"]


class V1Reader:
    """Reads a V1 checkpoint; a context manager.

    Opening reads and verifies the list of values; each value is verified when it is read. A
    value of one slice takes its size in memory, and that of the block that stores it.
    Implements `readers.reader.CheckpointReader`; the methods do as those of `BundleReader`.

        with V1Reader("old/model.ckpt") as reader:
            weights = reader.get_tensor("conv1/weights")

    Args:
      prefix: The path of the file, or the name of several: `model.ckpt` or
        `model.ckpt-?????-of-00002`.
      storage: Where to read; None: the default storage.

    Attributes:
      prefix: As given.
      kind: "name-based".
      has_checksums: True: blocks have checksums.
      dicts: Empty.

    Raises:
      CheckpointNotFoundError: There is no such file.
      CheckpointCorruptError: It is damaged, or one of several is missing.
      CheckpointUnsupportedError: The format has a newer version.
    """

    has_checksums = True
    kind: ReaderKind = "name-based"
    dicts = FileDicts()

    def __init__(self, prefix: str | os.PathLike[str], storage: Storage | None = None) -> None:
        self._contents = V1Contents(prefix, storage or default_storage())
        self._slices = V1Slices(self._contents)
        self.prefix = self._contents.prefix

    # -- names and descriptions ------------------------------------------------------------

    def keys(self) -> list[str]:
        """Returns the names of all values, sorted."""
        return list(self._contents.values)

    def __contains__(self, key: object) -> bool:
        return key in self._contents.values

    def __iter__(self) -> Iterator[str]:
        return iter(self._contents.values)

    def __len__(self) -> int:
        return len(self._contents.values)

    def __repr__(self) -> str:
        return f"<V1Reader {self.prefix!r}>"

    def dtype(self, key: str) -> np.dtype[Any]:
        """Returns the NumPy dtype of a value."""
        return self._slices.dtype(key)

    def shape(self, key: str) -> tuple[int, ...]:
        """Returns the dimensions of a value."""
        return self._contents.value(key).shape

    def dtype_and_shape(self, key: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
        """Returns `dtype` and `shape`."""
        return self.dtype(key), self.shape(key)

    def stored(self, key: str) -> StoredValue:
        """Describes a value; `nbytes` is that of its elements, 0 for strings."""
        return self._contents.stored(key)

    def locations(self, key: str) -> list[Location]:
        """Returns an empty list: values lie within messages in blocks."""
        self._contents.value(key)
        return []

    def graph(self) -> None:
        """Returns None: there is no object graph."""

    # -- values ----------------------------------------------------------------------------

    def get_tensor(self, key: str) -> npt.NDArray[Any] | bytes:
        """Reads and verifies a value."""
        return contents_of_array(self._slices.read(key))

    def get_bytes(self, key: str) -> bytes:
        """Raises CheckpointUnsupportedError: a V1 checkpoint stores numbers in messages."""
        raise self._contents.unsupported(
            "the bytes of a value are not contiguous; use get_tensor", key
        )

    def view(self, key: str) -> npt.NDArray[Any]:
        """Raises CheckpointUnsupportedError: a V1 checkpoint stores numbers in messages."""
        raise self._contents.unsupported("a value cannot be mapped; use get_tensor", key)

    def get_slice(self, key: str, slices: Index) -> npt.NDArray[Any]:
        """Reads part of a value; reads and verifies the whole."""
        return Selection(slices, self._contents.value(key).shape).of(self._slices.read(key))

    def check(self, keys: Iterable[str], threads: int | None = None) -> None:
        """Verifies values, on one thread."""
        for key in keys:
            self._slices.check(key)

    def read_into(
        self,
        pairs: Iterable[tuple[str, npt.NDArray[Any]]],
        verify: Verify = False,
        threads: int | None = None,
    ) -> None:
        """Copies values into arrays, on one thread; always verifies each before it is copied."""
        verify = checked_verify(verify)
        chosen = list(pairs)
        for key, array in chosen:
            check_target(self.prefix, key, array, self.dtype(key), self.shape(key))
        if verify is True:
            self.check(key for key, _ in chosen)
        strings = {key: self._slices.read(key) for key, array in chosen if array.dtype.hasobject}
        for key, array in chosen:
            array[...] = strings[key] if key in strings else self._slices.read(key)

    def verify(self, progress: Callable[[int, int, str], None] | None = None) -> list[Damage]:
        """Returns all damage; an empty list if there is none."""
        self._contents.require_open()
        return find_v1_damage(self._contents, self._slices, progress)

    # -- closing ---------------------------------------------------------------------------

    def close(self) -> None:
        """Closes the files. May be called again."""
        self._contents.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
