"""Reads a bundle: its keys, its values, its object graph; finds damage."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from checkpointable.bundle.reading.batches import Batches
from checkpointable.bundle.reading.contents import Contents
from checkpointable.bundle.reading.descriptions import FileDicts, Location, ReaderKind, StoredValue
from checkpointable.bundle.reading.open_files import open_files
from checkpointable.bundle.reading.slicing import Index
from checkpointable.bundle.reading.targets import Mapped, Verify, check_mapped, checked_verify
from checkpointable.bundle.reading.values import Values
from checkpointable.bundle.reading.verify import Damage, find_damage
from checkpointable.bundle.variants import decode_variants
from checkpointable.graph.paths import GRAPH_KEY
from checkpointable.storage import Storage, default_storage

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from typing_extensions import Self

    from checkpointable.bundle.index.entry import Entry
    from checkpointable.graph.object_graph import ObjectGraph
    from checkpointable.manifest import Verifier

__all__ = ["BundleReader", "Verify", "checked_verify"]


class BundleReader:
    """Reads a checkpoint in TensorFlow's V2 format; a context manager.

    Opening reads and verifies the whole index and opens the data files, so later reads are
    consistent, even if the files are replaced. Safe to use from several
    threads. Implements `readers.reader.CheckpointReader`.

        with BundleReader("runs/a/ckpt-7") as reader:
            for key in reader.keys():
                print(key, reader.dtype(key), reader.shape(key))

    Args:
      prefix: The checkpoint prefix.
      storage: Where to read; None: the default storage.
      damaged: Also open a checkpoint whose data files are missing or too short, to save what
        can be saved or to list the damage with `verify`.
      mmap: True: `get_tensor` returns read-only arrays on the mapped files where that is
        possible, without a copy and unverified. "c": writable arrays, copied page by page when
        they are written to (copy on write); the files do not change, but further calls return
        the changed array.
      verifier: Verifies the manifest; every byte that is read is compared with it.

    Attributes:
      prefix: The checkpoint prefix, as given.
      files: The open files and the index.
      header: The header of the index.
      kind: "object-based" or "name-based".
      has_checksums: True: values can be verified.
      dicts: Empty: a bundle stores no dicts.

    Raises:
      CheckpointNotFoundError: There is no such checkpoint; names those in the directory.
      CheckpointCorruptError: The index is damaged, or a data file is missing or too short.
      CheckpointUnsupportedError: The format has a newer version, or is V1 (a single file).
      CheckpointSignatureError: There is no manifest that `verifier` accepts.
      CheckpointIOError, CheckpointPermissionError: The operating system refused.
    """

    has_checksums = True
    dicts = FileDicts()

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
        self.files = open_files(self.prefix, self._storage, damaged=damaged, verifier=verifier)
        self.header = self.files.index.header
        self._contents = Contents(self.files)
        self._values = Values(self._contents, mmap)
        self._batches = Batches(self._contents, self._values, self._storage)
        self.kind: ReaderKind = "object-based" if GRAPH_KEY in self else "name-based"

    # -- keys and descriptions -------------------------------------------------------------

    def keys(self) -> list[str]:
        """Returns the keys of all values, sorted; a partitioned value has one."""
        return list(self.files.index.rows)

    def __contains__(self, key: object) -> bool:
        return self.files.index.find(key) >= 0

    def __iter__(self) -> Iterator[str]:
        return iter(self.files.index.rows)

    def __len__(self) -> int:
        return len(self.files.index)

    def __repr__(self) -> str:
        return f"<BundleReader {self.prefix!r}>"

    def dtype(self, key: str) -> np.dtype[Any]:
        """Returns the NumPy dtype of a value; `object` for strings (`bytes` elements).

        Raises:
          CheckpointNotFoundError: There is no value of this key; names similar keys.
          CheckpointUnsupportedError: NumPy has no such dtype.
        """
        return self._contents.dtype(key)

    def shape(self, key: str) -> tuple[int, ...]:
        """Returns the dimensions of a value. Raises CheckpointNotFoundError as `dtype` does."""
        return self.files.index.shape_of(self._contents.row(key))

    def dtype_and_shape(self, key: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
        """Returns `dtype` and `shape` in one look-up, which pays for many keys."""
        return self._contents.dtype_and_shape(key)

    def stored(self, key: str) -> StoredValue:
        """Describes a value of any dtype without reading it.

        Raises:
          CheckpointNotFoundError: There is no value of this key.
        """
        return self._contents.stored(key)

    def locations(self, key: str) -> list[Location]:
        """Returns the location of a value's bytes, or of each slice of a partitioned value."""
        return self._contents.locations(key)

    def entry(self, key: str) -> Entry:
        """Returns the index entry of a value. Raises CheckpointNotFoundError as `dtype` does."""
        return self.files.index.entry_of(self._contents.row(key))

    def raw_entries(self) -> list[tuple[bytes | str, Entry]]:
        """Returns every entry for `write_index`; those of slices have keys of type `bytes`."""
        index = self.files.index
        slices: list[tuple[bytes | str, Entry]] = [
            (key, index.entry_of(row)) for key, row in index.parts.items()
        ]
        return slices + [(key, index.entry_of(row)) for key, row in index.rows.items()]

    def graph(self) -> ObjectGraph | None:
        """Returns the object graph, decoded anew; None for a name-based checkpoint.

        Raises:
          CheckpointCorruptError: The graph is damaged.
        """
        if self.kind != "object-based":
            return None
        from checkpointable.graph.stored import stored_graph

        return stored_graph(self)

    # -- single values ---------------------------------------------------------------------

    def get_tensor(self, key: str) -> npt.NDArray[Any] | bytes:
        """Reads and verifies a value.

        Returns:
          A new array; `bytes` for a scalar string. If the checkpoint was opened with `mmap`,
          an array on the mapped file where that is possible, unverified (see `check`).

        Raises:
          CheckpointNotFoundError: There is no value of this key.
          CheckpointCorruptError: The bytes of the value are damaged.
          CheckpointUnsupportedError: NumPy has no such dtype, or not as many dimensions.
        """
        return self._values.get(key)

    def get_bytes(self, key: str) -> bytes:
        """Reads and verifies the stored bytes of a value of any dtype.

        Raises:
          CheckpointNotFoundError: There is no value of this key.
          CheckpointCorruptError: The bytes of the value are damaged.
          CheckpointUnsupportedError: The value is partitioned: its bytes are not contiguous.
        """
        return self._values.get_bytes(key)

    def get_variants(self, key: str) -> npt.NDArray[Any]:
        """Reads and verifies a value of TensorFlow's variants.

        Returns:
          An array of `bytes`, each an encoded `VariantTensorDataProto`.

        Raises: As for `get_bytes`.
        """
        return decode_variants(self.get_bytes(key), self.shape(key))

    def view(self, key: str) -> npt.NDArray[Any]:
        """Returns a value as a read-only array on the mapped file: no copy, not verified.

        `check` verifies it. Large values in files that this package wrote are aligned to 64
        bytes. The array stays valid after `close`.

        Raises:
          CheckpointNotFoundError: There is no value of this key.
          CheckpointUnsupportedError: Strings, partitioned values and values in another byte
            order cannot be mapped.
        """
        return self._values.view(key)

    def get_slice(self, key: str, slices: Index) -> npt.NDArray[Any]:
        """Reads part of a value, `value[slices]`, as a new array; does not verify it.

        Only the pages that hold the part are read. A checksum covers a whole value:
        `check([key])` verifies it.

            reader.get_slice("embedding/.ATTRIBUTES/VARIABLE_VALUE", np.s_[1000:2000, ::2])

        Args:
          key: The key of the value.
          slices: Integers, slices and `...`, as for an array.

        Raises:
          TypeError, IndexError: `slices` is not a valid index.
          CheckpointNotFoundError: There is no value of this key.
          CheckpointUnsupportedError: NumPy has no such dtype, or not as many dimensions.
          CheckpointCorruptError: Strings are damaged; they are read as a whole.
        """
        return self._values.get_slice(key, slices)

    # -- many values -----------------------------------------------------------------------

    def check(self, keys: Iterable[str], threads: int | None = None) -> None:
        """Verifies the checksums of values.

        The first call also compares the sizes of the data files, and the bytes between values,
        with the index.

        Raises:
          CheckpointNotFoundError: There is no value of one of the keys.
          CheckpointCorruptError: The first damage, with file, key and offset.
        """
        self._batches.check(keys, threads)

    def read_into(
        self,
        pairs: Iterable[tuple[str, npt.NDArray[Any]]],
        verify: Verify = False,
        threads: int | None = None,
    ) -> None:
        """Copies values into arrays of the same shape and dtype, with any strides.

        Args:
          pairs: (key, writable array). No array changes unless all of them fit.
          verify: True: verify all values before the first array changes. "stream": verify in
            the same pass as the copy, so some arrays may have changed when it raises. False:
            do not verify. Strings are always verified, before any array changes.
          threads: The number of threads; None: as many as pay.

        Raises:
          CheckpointNotFoundError: There is no value of one of the keys.
          CheckpointMismatchError: The shape or dtype of an array differs, or it is read-only.
          CheckpointCorruptError: A value is damaged.
          CheckpointUnsupportedError: NumPy has no dtype for a value.
          TypeError: A target is not an array.
          ValueError: `verify` has another value.
        """
        self._batches.read_into(pairs, checked_verify(verify), threads)

    def verify(self, progress: Callable[[int, int, str], None] | None = None) -> list[Damage]:
        """Returns all damage; an empty list if there is none.

        Lists up to 10,000 damages, and the number of the others.

        Args:
          progress: Called with (bytes done, bytes in all, key) as values are checked.
        """
        self.files.require_open()
        return find_damage(self.files, self._storage, progress)

    # -- closing ---------------------------------------------------------------------------

    def close(self) -> None:
        """Closes the files. May be called again."""
        self.files.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
