"""A value: one tensor, string or piece of state that an object shows to the checkpoint."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from checkpointable.graph.executor import Executor

__all__ = [
    "ANY",
    "STRING",
    "VARIANT",
    "AtOnce",
    "Part",
    "Value",
    "ValueFactory",
    "Values",
    "as_dtype",
    "as_string_array",
    "fits",
    "stored_values",
]

STRING = np.dtype(object)
"""The dtype of string values: arrays of `bytes` objects."""

ANY = np.dtype([])
"""Stands for a dtype that is not known: whatever the checkpoint holds is taken."""

VARIANT = np.dtype([("variant", object)])
"""Stands for opaque objects of TensorFlow: arrays of `bytes`, an encoded message each."""


def as_dtype(dtype: Any) -> np.dtype[Any]:
    """The NumPy dtype that `dtype` names.

    Takes whatever `numpy.dtype` takes, the names of ml_dtypes ("bfloat16",
    "float8_e4m3fn", "int4", …) and "string"; every kind of string is `STRING`.

    Raises:
      TypeError: nothing of these.
    """
    if isinstance(dtype, str):
        if dtype == "string":
            return STRING
        try:
            found = np.dtype(dtype)
        except TypeError:
            import ml_dtypes

            scalar = getattr(ml_dtypes, dtype, None)
            if scalar is None:
                raise
            found = np.dtype(scalar)
    else:
        found = np.dtype(dtype)
    return STRING if found.kind in "OSU" else found


def as_string_array(value: Any, what: str = "value") -> np.ndarray[Any, np.dtype[Any]]:
    """`value` (str, bytes, or nested sequences or an array of them) as an array of bytes.

    Text is encoded as UTF-8. The shape is that of `value`.

    Raises:
      TypeError: an element is neither `str` nor `bytes`.
    """
    # By way of dtype=object, since NumPy's own "S" dtype drops trailing NULs.
    array = np.array(value, dtype=object)
    flat = [_as_bytes(element, what) for element in array.ravel()]
    result = np.empty(array.shape, dtype=object)
    result.ravel()[:] = flat
    return result


def _as_bytes(element: Any, what: str) -> bytes:
    if isinstance(element, bytes):
        return bytes(element)
    if isinstance(element, str):
        return element.encode()
    raise TypeError(
        f"{what}: an array of objects holds strings (str or bytes) only, not "
        f"{type(element).__name__}"
    )


class Value:
    """One checkpointed attribute of one object (S7).

    A save asks `read` for the contents; a restore hands them to `write`. Neither is called
    unless the value is saved or restored, and `dtype` and `shape` are known without them, so
    everything is checked before the first byte moves.

    Args:
      dtype: a NumPy dtype or its name; "string" for strings.
      shape: the shape, `()` for a scalar. None: whatever the checkpoint holds is taken, and a
        save uses the shape of what `read` returns (strings, and state of no fixed size). The
        same for a single size that is None.
      read: returns the contents, an array (or what `numpy.asarray` takes) of this dtype and
        shape; for strings an array of `bytes`, for a scalar string `bytes` too.
      write: takes new contents: an array that it may keep, since nobody else holds it;
        `bytes` for a scalar string. May write to several variables.
      memory: an array of this dtype and shape that *is* the value's own memory. Restores then
        fill it in place and `write` is not called.

    Example, a value mirrored in two arrays:

        class Mirrored(cp.Checkpointable):
            def __init__(self):
                self.copies = cp.NoDependency([np.zeros(3), np.zeros(3)])

            def _gather_saveables_for_checkpoint(self):
                def write(array):
                    for copy in self.copies:
                        copy[...] = array

                return {"VALUE": cp.Value("float64", (3,), lambda: self.copies[0], write)}
    """

    __slots__ = ("_read", "_write", "dtype", "memory", "shape")

    # What acts for this value as long as it cannot be read or assigned itself; a subclass for
    # such values has one.
    executor: Executor | None = None

    # What reads and writes values of this kind many at once, where that takes much less time.
    at_once: AtOnce | None = None

    # What `read` returns is made anew at each call, so that nobody changes it later (a copy
    # from a device, say): an asynchronous save need not copy it. Arrays that nobody can write
    # to are recognized as such.
    fresh = False

    # There are no contents yet (a parameter that is built lazily): a save leaves the value out,
    # and a status does not miss it.
    absent = False

    # Where a value is stored as several: what follows its key in theirs -> the value there.
    parts: Mapping[str, Value] | None = None

    # Where a value is a part of a larger one that has a name: which.
    part_of: Part | None = None

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
        self.shape = (
            None if shape is None else tuple(None if size is None else int(size) for size in shape)
        )
        self.memory = memory
        self._read = read
        self._write = write

    def read(self) -> Any:
        """The contents: an array, or `bytes` for a scalar string."""
        return self._read()

    def write(self, contents: Any) -> None:
        """Takes new contents, as `read` gives them."""
        self._write(contents)

    # Asked for by a restore, for values that are more than an array of their own.

    def check(self, contents: Any) -> None:
        """Raises what `write` would raise, and changes nothing.

        Called, where a class overrides it, before a restore changes anything (S25).
        """

    def settle(self, uid: int) -> None:
        """Called after `write`, once that was called for all values that have no memory.

        For values of one object that must be taken together. May refuse, by an exception.

        Args:
          uid: that of the restore, as in `RestoreNotes.sources`.
        """

    def filled(self) -> None:
        """Called after `memory` was filled."""

    def __repr__(self) -> str:
        shape = "any shape" if self.shape is None else f"shape {self.shape}"
        names = {STRING: "string", VARIANT: "variant", ANY: "any dtype"}
        dtype = names.get(self.dtype, self.dtype.name)
        return f"<{type(self).__name__} {dtype}, {shape}>"


class AtOnce(abc.ABC):
    """Reads and writes many values of one kind in fewer steps than one by one.

    A library that takes microseconds for every call can be asked for a hundred variables in one.
    """

    @abc.abstractmethod
    def read(self, values: Sequence[Any]) -> Sequence[Any]:
        """What `Value.read` gives of each of them, arrays of a dtype and shape that are known.

        None for what is better read by itself, late: what is large, or cannot be read.
        """

    @abc.abstractmethod
    def write(self, values: Sequence[Any], contents: Sequence[Any]) -> None:
        """As `Value.write` of each of them."""


def stored_values(key: str, value: Value) -> Iterator[tuple[str, Value]]:
    """(key, value) of what `value` is stored as: itself, or its parts."""
    if value.parts is None:
        yield key, value
    else:
        for suffix, part in value.parts.items():
            yield key + suffix, part


def fits(stored: tuple[int, ...], shape: tuple[int | None, ...] | None) -> bool:
    """Whether a stored shape goes to a value of this shape (None: any size, or any shape)."""
    if shape is None or stored == shape:
        return True
    return len(stored) == len(shape) and all(
        size in (None, own) for own, size in zip(stored, shape, strict=True)
    )


class Part(NamedTuple):
    """Which part of a larger value a value is, where it is saved or restored by name.

    Attributes:
      shape: of the whole.
      extents: start and length along each dimension.
    """

    shape: tuple[int, ...]
    extents: tuple[tuple[int, int], ...]

    @property
    def slices(self) -> tuple[slice, ...]:
        """The part as an index into the whole."""
        return tuple(slice(start, start + length) for start, length in self.extents)


ValueFactory = Callable[[str], Value]
"""Makes a value when told the key under which it is (or will be) stored."""

Values = Mapping[str, Value | ValueFactory]
