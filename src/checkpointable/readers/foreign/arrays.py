"""Reads tensor files as arrays, mapped or in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from checkpointable.bundle.dtypes import datatype_of
from checkpointable.bundle.parallel import CHUNK_SIZE, run_in_order
from checkpointable.bundle.reading.data import closed
from checkpointable.bundle.reading.descriptions import dtype_name
from checkpointable.bundle.reading.slicing import Index, Selection
from checkpointable.bundle.reading.targets import Verify, check_target, checked_verify
from checkpointable.common.suggestions import no_such_value
from checkpointable.errors import CheckpointUnsupportedError
from checkpointable.readers.foreign.array_items import FilePosition, Unreadable
from checkpointable.readers.reader import FileDicts, Location, ReaderKind, StoredValue

if TYPE_CHECKING:
    import numpy.typing as npt
    from typing_extensions import Self

    from checkpointable.bundle.reading.verify import Damage
    from checkpointable.readers.foreign.zip_records import RecordChecksums

__all__ = ["ArrayReader"]

Array = np.ndarray[Any, np.dtype[Any]]


class ArrayReader:
    """Reads arrays by name. A context manager.

    Implements `CheckpointReader`, which describes the methods. A reader for a new
    tensor format is a function that opens the file and returns one of these:

        reader = ArrayReader("weights.npz", dict(np.load("weights.npz")))

    Args:
      path: The path of the file.
      arrays: The arrays by name, which must not change; `Unreadable` for those that the
        library cannot represent.
      positions: The positions of mapped arrays. Copies are read from there, because an I/O error
        under a mapped file ends the process.
      dicts: The dicts within the file.
      checksums: The checksums of the file that a tensor is in, by name. Tensors without are not
        verified. The reader closes their files.
      in_place: `get_tensor` returns read-only arrays without a copy.

    Attributes:
      prefix: The path of the file.
      kind: "tensors".
      has_checksums: Whether any tensor has checksums.
      dicts: As given.
    """

    kind: ReaderKind = "tensors"

    def __init__(
        self,
        path: str,
        arrays: Mapping[str, Array | Unreadable],
        positions: Mapping[str, FilePosition] | None = None,
        *,
        dicts: FileDicts | None = None,
        checksums: Mapping[str, RecordChecksums] | None = None,
        in_place: bool = False,
    ) -> None:
        self.prefix = path
        self.dicts = dicts or FileDicts()
        self._in_place = in_place
        self._arrays = dict(sorted(arrays.items()))
        self._positions = dict(positions or {})
        self._checksums = dict(checksums or {})
        self.has_checksums = bool(self._checksums)
        self._closed = False

    # -- names and descriptions ------------------------------------------------------------

    def keys(self) -> list[str]:
        """Returns the names, sorted."""
        return list(self._arrays)

    def __contains__(self, key: object) -> bool:
        return key in self._arrays

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __repr__(self) -> str:
        return f"<ArrayReader {self.prefix!r}>"

    def dtype(self, key: str) -> np.dtype[Any]:
        """Returns the dtype of a tensor."""
        return self._array(key).dtype

    def shape(self, key: str) -> tuple[int, ...]:
        """Returns the dimensions of a tensor, also of one that cannot be read."""
        return self._item(key).shape

    def dtype_and_shape(self, key: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
        """Returns `dtype` and `shape`."""
        array = self._array(key)
        return array.dtype, array.shape

    def stored(self, key: str) -> StoredValue:
        """Describes a tensor, also one that cannot be read."""
        item = self._item(key)
        if isinstance(item, Unreadable):
            return StoredValue(key, item.dtype.lower(), item.shape, item.size, None)
        name = dtype_name(datatype_of(item.dtype))
        return StoredValue(key, name, item.shape, item.nbytes, None)

    def locations(self, key: str) -> list[Location]:
        """Returns an empty list: a location has a checksum."""
        self._item(key)
        return []

    def graph(self) -> None:
        """Returns None: there is no object graph."""

    def arrays(self) -> Mapping[str, Array | Unreadable]:
        """Returns the arrays by name, without a copy."""
        self._require_open()
        return self._arrays

    def positions(self) -> Mapping[str, FilePosition]:
        """Returns the positions of the mapped arrays by name."""
        self._require_open()
        return self._positions

    def checksums(self) -> Mapping[str, RecordChecksums]:
        """Returns the checksums of the tensors' files by name."""
        return self._checksums

    # -- values ----------------------------------------------------------------------------

    def get_tensor(self, key: str) -> npt.NDArray[Any] | bytes:
        """Returns a tensor as a new array, or without a copy if `in_place`."""
        if self._in_place:
            return self.view(key)
        stored = self._array(key)
        copy = np.empty(stored.shape, stored.dtype)
        self.read_into([(key, copy)], verify=True)
        return copy

    def get_bytes(self, key: str) -> bytes:
        """Returns the elements of a tensor, row by row."""
        array = self._array(key)
        self.check([key])
        return array.tobytes()

    def view(self, key: str) -> npt.NDArray[Any]:
        """Returns a tensor as a read-only array without a copy."""
        view = self._array(key).view()
        view.flags.writeable = False
        return view

    def get_slice(self, key: str, slices: Index) -> npt.NDArray[Any]:
        """Returns part of a tensor as a new array."""
        array = self._array(key)
        return Selection(slices, array.shape).of(array)

    def check(self, keys: Iterable[str], threads: int | None = None) -> None:
        """Checks that the names exist, and verifies the files of tensors that have checksums."""
        files: dict[RecordChecksums, None] = {}
        for key in keys:
            self._array(key)
            if key in self._checksums:
                files[self._checksums[key]] = None
        for file in files:
            file.check(threads)

    def read_into(
        self,
        pairs: Iterable[tuple[str, npt.NDArray[Any]]],
        verify: Verify = False,
        threads: int | None = None,
    ) -> None:
        """Copies tensors into arrays. "stream" verifies their files before, as True does."""
        checked_verify(verify)
        chosen = [(key, self._array(key), target) for key, target in pairs]
        for key, source, target in chosen:
            check_target(self.prefix, key, target, source.dtype, source.shape)
        if verify:
            self.check((key for key, _, _ in chosen), threads)
        total = sum(source.nbytes for _, source, _ in chosen)
        with closing(run_in_order(self._copies(chosen), total, threads)) as copies:
            for _ in copies:
                pass

    def verify(self, progress: Callable[[int, int, str], None] | None = None) -> list[Damage]:
        """Returns the damage of all files that have checksums; progress names their records."""
        self._require_open()
        files = dict.fromkeys(self._checksums.values())
        total, before = sum(file.size for file in files), 0
        damages: list[Damage] = []
        for file in files:

            def advance(done: int, name: str, before: int = before) -> None:
                if progress is not None:
                    progress(before + done, total, name)

            damages += file.damages(advance)
            before += file.size
        return damages

    # -- closing ---------------------------------------------------------------------------

    def close(self) -> None:
        """Closes the file; the names stay. May be called again."""
        self._closed = True
        gone = Unreadable("", (), 0, "the reader was closed")
        self._arrays = dict.fromkeys(self._arrays, gone)
        for file, _ in self._positions.values():
            file.close()
        self._positions = {}
        for checksums in self._checksums.values():
            checksums.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- details ---------------------------------------------------------------------------

    def _require_open(self) -> None:
        if self._closed:
            raise closed(self.prefix)

    def _item(self, key: str) -> Array | Unreadable:
        self._require_open()
        item = self._arrays.get(key)
        if item is None:
            raise no_such_value(self.prefix, key, self._arrays)
        return item

    def _array(self, key: str) -> Array:
        item = self._item(key)
        if isinstance(item, Unreadable):
            raise CheckpointUnsupportedError(item.why, path=self.prefix, key=key)
        return item

    def _copies(
        self, chosen: list[tuple[str, Array, Array]]
    ) -> Iterator[tuple[str, Callable[[], None]]]:
        for key, source, target in chosen:
            if not (source.flags.c_contiguous and target.flags.c_contiguous):
                yield key, partial(np.copyto, target, source)
                continue
            position = self._positions.get(key)
            step = max(CHUNK_SIZE // source.itemsize, 1)
            flat, into = source.reshape(-1), target.reshape(-1)
            for start in range(0, source.size, step):
                part = into[start : start + step]
                if position is None:
                    yield key, partial(np.copyto, part, flat[start : start + step])
                else:
                    offset = position.offset + start * source.itemsize
                    yield key, partial(position.file.read_into, offset, part.view(np.uint8).data)
