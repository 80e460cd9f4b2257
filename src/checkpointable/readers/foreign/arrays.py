"""A reader of arrays that are there already, mapped or loaded: what foreign files look like."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from checkpointable.bundle import BundleReader, Damage, Entry, Header, datatype_of
from checkpointable.bundle.parallel import CHUNK_SIZE, run_in_order
from checkpointable.bundle.reading.data import closed
from checkpointable.bundle.reading.slicing import Index, Selection
from checkpointable.common.suggestions import no_such_value
from checkpointable.errors import (
    CheckpointMismatchError,
    CheckpointUnsupportedError,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    from checkpointable.bundle.reading.reader import Verify
    from checkpointable.storage import ReadableFile

__all__ = ["ArrayReader", "Unreadable"]

Array = np.ndarray[Any, np.dtype[Any]]


class Unreadable(NamedTuple):
    """A tensor that a checkpoint has no place for: it can be listed, and no more.

    Attributes:
      dtype: what the file calls its dtype.
      shape, size: its dimensions, its bytes.
      why: what is wrong with it.
    """

    dtype: str
    shape: tuple[int, ...]
    size: int
    why: str


class Place(NamedTuple):
    """Where the elements of an array lie, row by row.

    Attributes:
      file: open.
      offset: of the first, in bytes.
    """

    file: ReadableFile
    offset: int


class ArrayReader(BundleReader):
    """Arrays by name, read as a bundle is, by key. They have no checksums.

    Args:
      path: where they come from.
      arrays: the arrays, nobody's to change; or what is known of one that cannot be read.
      places: of arrays that are mapped. What is to be copied is read from there: a mapped file
        ends the process where the disk fails.

    Attributes:
      has_checksums: no.
      in_place: `get_tensor` gives read-only arrays where they lie, not copies.
      sections: names of dicts within the file, whose tensors' names begin with theirs.
      optimizers: those that are an optimizer's state, which goes by position.
      others: names of what is neither a tensor nor a dict, that of optimizers left out.
    """

    has_checksums = False
    in_place = False
    sections: tuple[str, ...] = ()
    optimizers: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    def __init__(
        self,
        path: str,
        arrays: Mapping[str, Array | Unreadable],
        places: Mapping[str, Place] | None = None,
    ) -> None:
        self.prefix = path
        self.header = Header(num_shards=1)
        self._arrays = dict(sorted(arrays.items()))
        self._places = dict(places or {})
        self._closed = False

    def keys(self) -> list[str]:
        """The names, sorted."""
        return list(self._arrays)

    def __contains__(self, key: object) -> bool:
        return key in self._arrays

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def unreadable(self, key: str) -> Unreadable | None:
        """What is known of a tensor that cannot be read; None of any other."""
        self._require_open()
        found = self._arrays.get(key)
        return found if isinstance(found, Unreadable) else None

    def _require_open(self) -> None:
        if self._closed:
            raise closed(self.prefix)

    def _array(self, key: str) -> Array:
        self._require_open()
        found = self._arrays.get(key)
        if isinstance(found, Unreadable):
            raise CheckpointUnsupportedError(found.why, path=self.prefix, key=key)
        if found is None:
            raise no_such_value(self.prefix, key, self._arrays)
        return found

    def entry(self, key: str) -> Entry:
        """What is known of a tensor: it has no place and no checksum."""
        array = self._array(key)
        return Entry(datatype_of(array.dtype), array.shape, 0, 0, array.nbytes, 0)

    def dtype(self, key: str) -> np.dtype[Any]:
        """As `BundleReader.dtype`."""
        return self._array(key).dtype

    def shape(self, key: str) -> tuple[int, ...]:
        """As `BundleReader.shape`; also of one that cannot be read."""
        unreadable = self.unreadable(key)
        if unreadable is not None:
            return unreadable.shape
        shape: tuple[int, ...] = self._array(key).shape
        return shape

    def kind(self, key: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
        """As `BundleReader.kind`."""
        return self.dtype(key), self.shape(key)

    def raw_entries(self) -> list[tuple[bytes | str, Entry]]:
        """Raises CheckpointUnsupportedError: it has no index."""
        raise CheckpointUnsupportedError(
            "this file is no bundle: it has no index", path=self.prefix
        )

    def get_tensor(self, key: str) -> npt.NDArray[Any] | bytes:
        """A tensor in an array of its own, or where it lies."""
        if self.in_place:
            return self.view(key)
        stored = self._array(key)
        made = np.empty(stored.shape, stored.dtype)
        self.read_into([(key, made)])
        return made

    def get_bytes(self, key: str) -> bytes:
        """A tensor's elements, row by row."""
        return self._array(key).tobytes()

    def view(self, key: str) -> npt.NDArray[Any]:
        """A tensor where it lies, read-only."""
        view = self._array(key).view()
        view.flags.writeable = False
        return view

    def get_slice(self, key: str, slices: Index) -> Array:
        """As `BundleReader.get_slice`."""
        array = self._array(key)
        return Selection(slices, array.shape).of(array)

    def check(self, keys: Iterable[str], threads: int | None = None) -> None:
        """Whether they are there: there are no checksums to verify."""
        for key in keys:
            self._array(key)

    def read_into(
        self,
        pairs: Iterable[tuple[str, npt.NDArray[Any]]],
        verify: Verify = False,
        threads: int | None = None,
    ) -> None:
        """As `BundleReader.read_into`, without checksums."""
        chosen = [(key, self._array(key), target) for key, target in pairs]
        for key, source, target in chosen:
            if (target.dtype, target.shape) != (source.dtype, source.shape):
                raise CheckpointMismatchError(
                    f"the file has {source.dtype} of shape {source.shape}, but the array to read "
                    f"it into is {target.dtype} of shape {target.shape}",
                    path=self.prefix,
                    key=key,
                )
        total = sum(source.nbytes for _, source, _ in chosen)
        with closing(run_in_order(self._copies(chosen), total, threads)) as copies:
            for _ in copies:
                pass

    def verify(self, progress: Callable[[int, int, str], None] | None = None) -> list[Damage]:
        """Nothing: there are no checksums."""
        self._require_open()
        return []

    def close(self) -> None:
        """Lets go of the file. Idempotent."""
        self._closed = True
        gone = Unreadable("", (), 0, "the reader was closed")
        self._arrays = dict.fromkeys(self._arrays, gone)  # the names stay
        for file, _ in self._places.values():
            file.close()
        self._places = {}

    def _copies(
        self, chosen: list[tuple[str, Array, Array]]
    ) -> Iterator[tuple[str, Callable[[], None]]]:
        for key, source, target in chosen:
            if not (source.flags.c_contiguous and target.flags.c_contiguous):
                yield key, partial(np.copyto, target, source)
                continue
            place = self._places.get(key)
            step = max(CHUNK_SIZE // source.itemsize, 1)
            flat, into = source.reshape(-1), target.reshape(-1)
            for start in range(0, source.size, step):
                part = into[start : start + step]
                if place is None:
                    yield key, partial(np.copyto, part, flat[start : start + step])
                else:
                    offset = place.offset + start * source.itemsize
                    yield key, partial(place.file.read_into, offset, part.view(np.uint8).data)
