"""The interface of readers, from which restores, reports, comparisons and commands read.

The formats of this package implement it: bundles, V1 checkpoints, and tensor files
(`readers.opening.FORMATS`). Code that reads checkpoints uses this interface and nothing else
of a reader; where formats differ, it asks `kind` or `has_checksums`.

`checkpointable.testing.ReaderConformance` tests an implementation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from checkpointable.bundle.reading.descriptions import FileDicts, Location, ReaderKind, StoredValue

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from typing_extensions import Self

    from checkpointable.bundle.reading.slicing import Index
    from checkpointable.bundle.reading.targets import Verify
    from checkpointable.bundle.reading.verify import Damage
    from checkpointable.graph.object_graph import ObjectGraph

__all__ = ["CheckpointReader", "FileDicts", "Location", "ReaderKind", "StoredValue", "ValueReader"]


class ValueReader(Protocol):
    """Describes, verifies and reads values by key: the part of a reader that restores use."""

    @property
    def prefix(self) -> str:
        """The checkpoint prefix, or the path of a tensor file; messages name it."""

    def dtype(self, key: str) -> np.dtype[Any]:
        """Returns the NumPy dtype of a value; `object` for strings (`bytes` elements).

        Raises:
          CheckpointNotFoundError: There is no value of this key; names similar keys.
          CheckpointUnsupportedError: NumPy has no such dtype.
        """

    def shape(self, key: str) -> tuple[int, ...]:
        """Returns the dimensions of a value; `()` for a scalar.

        Raises:
          CheckpointNotFoundError: There is no value of this key.
        """

    def dtype_and_shape(self, key: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
        """Returns `dtype` and `shape` in one call; restores call it for every value."""

    def stored(self, key: str) -> StoredValue:
        """Describes a value without reading it, also one that cannot be read.

        Raises:
          CheckpointNotFoundError: There is no value of this key.
        """

    def check(self, keys: Iterable[str]) -> None:
        """Verifies the checksums of values; looks the keys up if there are no checksums.

        Raises:
          CheckpointNotFoundError: There is no value of one of the keys.
          CheckpointCorruptError: The first damage.
        """

    def get_tensor(self, key: str) -> npt.NDArray[Any] | bytes:
        """Reads and verifies a value.

        Returns:
          A new array; `bytes` for a scalar string.

        Raises:
          CheckpointNotFoundError: There is no value of this key.
          CheckpointCorruptError: The bytes of the value are damaged.
          CheckpointUnsupportedError: NumPy has no such dtype, or not as many dimensions.
        """

    def get_bytes(self, key: str) -> bytes:
        """Reads and verifies the bytes of a value as stored.

        Raises:
          CheckpointNotFoundError, CheckpointCorruptError: As for `get_tensor`.
          CheckpointUnsupportedError: The bytes are not contiguous.
        """

    def read_into(
        self, pairs: Iterable[tuple[str, npt.NDArray[Any]]], verify: Verify = False
    ) -> None:
        """Copies values into arrays of the same shape and dtype, with any strides.

        Args:
          pairs: (key, writable array). No array changes unless all of them fit.
          verify: True: verify all values before the first array changes. "stream": verify in
            the same pass as the copy. False: do not verify.

        Raises:
          CheckpointNotFoundError: There is no value of one of the keys.
          CheckpointMismatchError: The shape or dtype of an array differs, or it is read-only.
          CheckpointCorruptError: A value is damaged.
          TypeError: A target is not an array.
          ValueError: `verify` has another value.
        """


@runtime_checkable
class CheckpointReader(ValueReader, Protocol):
    """Reads one checkpoint or tensor file; a context manager.

    A reader opens its files when it is made and keeps them open, so that all reads are
    consistent. Its methods may be called from several threads. After `close`, methods that read
    raise ValueError.

        with cp.load_checkpoint("runs/a") as reader:
            for key in reader.keys():
                print(key, reader.dtype(key), reader.shape(key))

    Attributes:
      prefix: The checkpoint prefix, or the path of a tensor file; messages name it.
      kind: "object-based", "name-based" or "tensors"; decides how a restore matches keys.
      has_checksums: Whether values can be verified.
      dicts: The dicts within a tensor file; empty for other kinds.
    """

    @property
    def kind(self) -> ReaderKind:
        """The kind of the keys: "object-based", "name-based" or "tensors"."""

    @property
    def has_checksums(self) -> bool:
        """True if values can be verified."""

    @property
    def dicts(self) -> FileDicts:
        """The dicts within a tensor file; empty for other kinds."""

    def keys(self) -> list[str]:
        """Returns the keys of all values, sorted."""

    def __contains__(self, key: object) -> bool: ...

    def __iter__(self) -> Iterator[str]: ...

    def __len__(self) -> int: ...

    def locations(self, key: str) -> list[Location]:
        """Returns the location of a value's bytes; an empty list if it is not known.

        Raises:
          CheckpointNotFoundError: There is no value of this key.
        """

    def graph(self) -> ObjectGraph | None:
        """Returns the object graph, decoded anew; None unless `kind` is "object-based".

        Raises:
          CheckpointCorruptError: The graph is damaged.
        """

    def view(self, key: str) -> npt.NDArray[Any]:
        """Returns a value as a read-only array that is not a copy, unverified.

        Raises:
          CheckpointNotFoundError: There is no value of this key.
          CheckpointUnsupportedError: There is no such array; use `get_tensor`.
        """

    def get_slice(self, key: str, slices: Index) -> npt.NDArray[Any]:
        """Reads part of a value, `value[slices]`, as a new array.

        Args:
          key: The key of the value.
          slices: Integers, slices and `...`, as for an array.

        Raises:
          TypeError, IndexError: `slices` is not a valid index.
          CheckpointNotFoundError, CheckpointUnsupportedError: As for `get_tensor`.
        """

    def verify(self, progress: Callable[[int, int, str], None] | None = None) -> list[Damage]:
        """Returns all damage; an empty list if there is none, or there are no checksums.

        Args:
          progress: Called with (bytes done, bytes in all, key) as values are checked.
        """

    def close(self) -> None:
        """Closes the files. May be called again."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
