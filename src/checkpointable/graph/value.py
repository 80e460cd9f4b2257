"""A value: one tensor, string or piece of state that an object shows to the checkpoint."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from checkpointable.graph.dtypes import ANY, STRING, VARIANT, as_dtype, as_shape

if TYPE_CHECKING:
    import numpy as np

    from checkpointable.graph.executor import Executor

__all__ = [
    "AtOnce",
    "Part",
    "ReadValue",
    "SplitValue",
    "Value",
    "ValueFactory",
    "ValueSource",
    "ValueSpec",
    "ValueTarget",
    "Values",
    "stored_values",
]


class ValueSpec:
    """One checkpointed attribute of one object, described: the base of all values (S7).

    A save and a restore check everything by descriptions before the first byte moves, so
    `dtype` and `shape` are known without reading the value. Contents move through one of:

    - `ValueSource`, which a save reads,
    - `ValueTarget`, which a restore writes,
    - `Value`, which is both,
    - an `executor`, which acts for values that exist only as a description so far.

    Attributes:
      dtype: The NumPy dtype; `STRING`, `VARIANT` or `ANY` for contents that NumPy has no dtype for.
      shape: The shape, `()` for a scalar. None: any shape; a save then uses the shape of
        the contents. A size that is None: any size.
      executor: Reads and assigns the value on its behalf (graph mode, the meta device).
      at_once: Reads and writes many values of this kind in one step, where that is faster.
      absent: There are no contents yet (a parameter that is built lazily): a save omits the
        value, and a status does not report it as missing.
      parts: For a value that is stored as several: suffix of the key -> part. The key of a
        part is the key of the value followed by the suffix.
      part_of: For a part of a larger value that has a name: its position there.
    """

    __slots__ = ("dtype", "shape")

    dtype: np.dtype[Any]
    shape: tuple[int | None, ...] | None

    executor: Executor | None = None
    at_once: AtOnce | None = None
    absent = False
    parts: Mapping[str, ValueSpec] | None = None
    part_of: Part | None = None

    def __repr__(self) -> str:
        shape = "any shape" if self.shape is None else f"shape {self.shape}"
        names = {STRING: "string", VARIANT: "variant", ANY: "any dtype"}
        dtype = names.get(self.dtype, self.dtype.name)
        return f"<{type(self).__name__} {dtype}, {shape}>"


class ValueSource(ValueSpec):
    """A value that a save reads.

    Attributes:
      fresh: `read` returns a new array at each call (a copy from a device, for example)
        that does not change later, so an asynchronous save need not copy it. Read-only arrays are
        recognized without it.
    """

    __slots__ = ()

    fresh = False

    def read(self) -> Any:
        """Returns the contents: an array of `dtype` and `shape`, or `bytes` for a scalar string.

        Raises:
          NoContentsError: There are none yet.
        """
        raise NotImplementedError


class ValueTarget(ValueSpec):
    """A value that a restore writes.

    Attributes:
      memory: An array of the value's dtype and shape that *is* its memory: a restore fills it
        in place, then calls `filled`. None: a restore calls `write`, then `settle`.
    """

    __slots__ = ("memory",)

    memory: np.ndarray[Any, np.dtype[Any]] | None

    def write(self, contents: Any) -> None:
        """Takes new contents.

        Args:
          contents: An array of the stored dtype and shape that the value may keep; `bytes` for
            a scalar string.
        """
        raise NotImplementedError

    def check(self, contents: Any) -> None:
        """Raises the error that `write` would raise, and changes nothing.

        If a class overrides it, a restore calls it before it changes anything (S25).
        """

    def settle(self, uid: int) -> None:
        """Called after `write`, once all values that have no `memory` are written.

        For values of one object that must be applied together. May raise an error to refuse them.

        Args:
          uid: The uid of the restore, as in `RestoreNotes.sources`.
        """

    def filled(self) -> None:
        """Called after `memory` was filled."""


class Value(ValueSource, ValueTarget):
    """One checkpointed attribute of one object, read and written by functions (S7).

    A save calls `read`; a restore calls `write`. Neither is called unless the value is saved or
    restored.

    Args:
      dtype: A NumPy dtype or its name; "string" for strings.
      shape: The shape, `()` for a scalar. None (strings, and state of varying size): the value
        accepts any stored shape, and a save uses the shape of the array that `read` returns. The
        same applies to a single size that is None.
      read: Returns the contents, an array (or anything that `numpy.asarray` accepts) of this
        dtype and shape; for strings an array of `bytes`, or `bytes` for a scalar string.
      write: Takes new contents: an array that it may keep, because nobody else uses it;
        `bytes` for a scalar string. May write to several variables.
      memory: An array of this dtype and shape that *is* the value's memory. Restores then
        fill it in place and do not call `write`.

    Example:
        A value that is mirrored in two arrays:

        class Mirrored(cp.Checkpointable):
            def __init__(self):
                self.copies = cp.NoDependency([np.zeros(3), np.zeros(3)])

            def _gather_saveables_for_checkpoint(self):
                def write(array):
                    for copy in self.copies:
                        copy[...] = array

                return {"VALUE": cp.Value("float64", (3,), lambda: self.copies[0], write)}
    """

    __slots__ = ("_read", "_write")

    def __init__(
        self,
        dtype: Any,
        shape: tuple[int | None, ...] | None,
        read: Callable[[], Any],
        write: Callable[[Any], object],
        *,
        memory: np.ndarray[Any, np.dtype[Any]] | None = None,
    ) -> None:
        self.dtype = as_dtype(dtype)
        self.shape = as_shape(shape)
        self.memory = memory
        self._read = read
        self._write = write

    def read(self) -> Any:
        """Returns the contents: an array, or `bytes` for a scalar string."""
        return self._read()

    def write(self, contents: Any) -> None:
        """Takes new contents, as `read` returns them."""
        self._write(contents)


class ReadValue(ValueSource):
    """A value that is only saved, read by a function.

    Args:
      dtype, shape, read: As of `Value`.
    """

    __slots__ = ("_read",)

    def __init__(
        self, dtype: Any, shape: tuple[int | None, ...] | None, read: Callable[[], Any]
    ) -> None:
        self.dtype = as_dtype(dtype)
        self.shape = as_shape(shape)
        self._read = read

    def read(self) -> Any:
        return self._read()


class SplitValue(ValueSpec):
    """A value that is stored as several, and is neither read nor written itself.

    Args:
      parts: Suffix of the key -> part; see `ValueSpec.parts`.
    """

    __slots__ = ("parts",)

    def __init__(self, parts: Mapping[str, ValueSpec]) -> None:
        self.dtype = ANY
        self.shape = None
        self.parts = parts


class AtOnce(abc.ABC):
    """Reads and writes many values of one kind in fewer steps than one by one.

    For libraries that take microseconds per call and can process a hundred variables in one call.
    """

    @abc.abstractmethod
    def read(self, values: Sequence[Any]) -> Sequence[Any]:
        """Returns the contents of each value, arrays of a known dtype and shape.

        The item is None for a value that should be read later and alone: a large one, or one
        that cannot be read.
        """

    @abc.abstractmethod
    def write(self, values: Sequence[Any], contents: Sequence[Any]) -> None:
        """Writes the contents of each value."""


def stored_values(key: str, value: ValueSpec) -> Iterator[tuple[str, ValueSpec]]:
    """Yields (key, value) of each stored value: `value` itself, or its parts."""
    if value.parts is None:
        yield key, value
    else:
        for suffix, part in value.parts.items():
            yield key + suffix, part


class Part(NamedTuple):
    """The position of a value in a larger value that is saved or restored by name.

    Attributes:
      shape: The shape of the larger value.
      extents: The (start, length) of the part along each dimension.
    """

    shape: tuple[int, ...]
    extents: tuple[tuple[int, int], ...]

    @property
    def slices(self) -> tuple[slice, ...]:
        """The part as an index into the whole."""
        return tuple(slice(start, start + length) for start, length in self.extents)


ValueFactory = Callable[[str], ValueSpec]
"""Makes a value from the key under which it is (or will be) stored."""

Values = Mapping[str, ValueSpec | ValueFactory]
"""The values of an object by attribute name."""
