"""Copies values for an asynchronous save, which writes them while the program changes them.

The memory for the copies is kept from one save to the next: new memory costs more time than the
copy, because the system provides it page by page, filled with zeros.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from checkpointable.bundle.dtypes import numpy_dtype
from checkpointable.bundle.format import ALIGNMENT
from checkpointable.bundle.parallel import run_in_order
from checkpointable.bundle.writing.layout import Layout, PlacedValue, ValueToWrite
from checkpointable.bundle.writing.values import contents_of

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Staging", "StagingMemory", "is_immutable"]

# The number of bytes that a thread copies at once. It is large because the cache is not needed
# afterwards: the C library then bypasses the cache, which takes two thirds of the time.
_COPY_SIZE = 128 * 2**20
_GROUP_SIZE = 4 * 2**20  # the total size of smaller values that are copied together, in bytes

# Packages whose arrays are immutable.
_IMMUTABLE_OWNERS = frozenset(("jax", "jaxlib"))


class StagingMemory:
    """Memory for the copies of one save at a time."""

    def __init__(self) -> None:
        self._in_use = threading.Lock()
        self._memory = np.empty(0, np.uint8)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Reserves the memory for the block; waits until no other save uses it.

        Another thread may leave the block, once the copies have been written.
        """
        with self._in_use:
            yield

    @property
    def size(self) -> int:
        """The number of bytes allocated."""
        return self._memory.nbytes

    def get(self, size: int, limit: int | None) -> npt.NDArray[np.uint8]:
        """Returns at least `size` bytes; reuses the memory of earlier calls if it suffices.

        Args:
          size: The number of bytes needed.
          limit: The maximum number of bytes to keep allocated; None for no limit.
        """
        if self.size < size or (limit is not None and self.size > limit):
            self._memory = np.empty(0, np.uint8)  # frees the old memory before the allocation
            self._memory = np.empty(size, np.uint8)
        return self._memory


class Staging:
    """Makes the values of a layout independent of the objects of the program.

    Args:
      layout: The layout. Its values are read here, in the calling thread, and refer to copies
        after `copy`.
      limit: The maximum number of bytes in copies; None for no limit.

    Attributes:
      direct: The number of values, at the start of the layout, that do not fit into the limit. They
        must be written before the program continues.
    """

    def __init__(self, layout: Layout, limit: int | None = None) -> None:
        self._limit = limit
        values = layout.values
        self._contents: list[tuple[PlacedValue, npt.NDArray[Any], bool]] = []
        used = 0
        self.direct = 0
        # From the last value: those that do not fit are written first, in file order.
        for number in range(len(values) - 1, -1, -1):
            placed = values[number]
            if placed.payload is not None:
                continue  # it was encoded with the layout
            fresh = placed.value.fresh
            size = _padded(placed.size)
            over = limit is not None and size > limit - used
            if over and fresh:
                self.direct = number + 1
                break
            contents = contents_of(placed)
            if over and not is_immutable(contents):
                self.direct = number + 1
                break
            copied = not fresh and not is_immutable(contents)
            if copied or fresh:
                used += size
            self._contents.append((placed, contents, copied))

    def copy(self, memory: StagingMemory, threads: int | None = None) -> None:
        """Copies the values into `memory`, which the caller holds."""
        size = sum(_padded(placed.size) for placed, _, copied in self._contents if copied)
        buffer = memory.get(size, self._limit)
        tasks = ((None, task) for task in self._tasks(buffer))
        with closing(run_in_order(tasks, size, threads)) as results:
            for _ in results:
                pass
        self._contents = []

    def _tasks(self, buffer: npt.NDArray[np.uint8]) -> Iterator[Callable[[], None]]:
        """Yields the copying tasks; lets the values refer to the copies."""
        offset = gathered = 0
        group: list[tuple[npt.NDArray[Any], npt.NDArray[Any]]] = []
        for placed, contents, copied in reversed(self._contents):
            held = contents
            if copied:
                dtype = numpy_dtype(placed.value.dtype)
                held = np.ndarray(contents.shape, dtype, buffer, offset)
                offset += _padded(placed.size)
                if placed.size > _COPY_SIZE and contents.flags.c_contiguous:
                    yield from _chunks(held, contents)
                else:
                    group.append((held, contents))
                    gathered += placed.size
            key, kind, shape, _, _, _ = placed.value
            placed.value = ValueToWrite(key, kind, shape, partial(_same, held), fresh=True)
            if gathered >= _GROUP_SIZE:
                yield partial(_copy_each, group)
                group, gathered = [], 0
        if group:
            yield partial(_copy_each, group)


def _padded(size: int) -> int:
    return size + -size % ALIGNMENT


def _same(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return array


def _copy_each(pairs: list[tuple[npt.NDArray[Any], npt.NDArray[Any]]]) -> None:
    for target, source in pairs:
        target[...] = source


def _chunks(target: npt.NDArray[Any], source: npt.NDArray[Any]) -> Iterator[Callable[[], None]]:
    to, of = target.reshape(-1), source.reshape(-1)
    step = _COPY_SIZE // target.itemsize
    for start in range(0, to.size, step):
        yield partial(np.copyto, to[start : start + step], of[start : start + step])


def is_immutable(array: npt.NDArray[Any]) -> bool:
    """Returns whether nothing can write to the memory of an array.

    This is true if neither the array nor any array that it is a view of is writeable, and the
    memory belongs to `bytes` or to a JAX array. Memory of NumPy does not qualify: a read-only array
    can be made writeable again, and older views may still be writeable.
    """
    owner: Any = array
    while isinstance(owner, np.ndarray):
        if owner.flags.writeable:
            return False
        owner = owner.base
    if isinstance(owner, memoryview):
        owner = owner.obj
    if isinstance(owner, bytes):
        return True
    return type(owner).__module__.partition(".")[0] in _IMMUTABLE_OWNERS
