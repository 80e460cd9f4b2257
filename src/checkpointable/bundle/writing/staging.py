"""Copies of values that are going to be written after their owner has gone on.

The memory for the copies is kept from one save to the next: fresh memory costs more than the
copy, since the system hands it out page by page, as zeros.
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

# The portion of bytes that a thread copies at a time. So large since nothing follows that would
# need it in the cache: the C library then writes past the cache, in two thirds of the time.
_COPY_SIZE = 128 * 2**20
_GROUP_SIZE = 4 * 2**20  # of smaller values

# Arrays on the memory of these are read-only for everybody.
_IMMUTABLE_OWNERS = frozenset(("jax", "jaxlib"))


class StagingMemory:
    """Memory for the copies of one save at a time."""

    def __init__(self) -> None:
        self._in_use = threading.Lock()
        self._memory = np.empty(0, np.uint8)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Waits until no other save uses it; the next one has it after the block.

        Which any thread may leave, once what was copied is written.
        """
        with self._in_use:
            yield

    @property
    def size(self) -> int:
        """The bytes that it holds."""
        return self._memory.nbytes

    def get(self, size: int, limit: int | None) -> npt.NDArray[np.uint8]:
        """At least `size` bytes, the same ones as before where these are enough.

        Args:
          limit: bytes that it may hold; None for any number.
        """
        if self.size < size or (limit is not None and self.size > limit):
            self._memory = np.empty(0, np.uint8)  # the old goes before the new comes
            self._memory = np.empty(size, np.uint8)
        return self._memory


class Staging:
    """The values of a layout, made independent of their owners.

    Args:
      layout: its values are read here, in the calling thread, and refer to copies afterwards.
      limit: bytes that copies may take; None for any number.

    Attributes:
      direct: so many of the values of the layout, its first ones, could not be copied within the
        limit: they must be written before their owner goes on.
    """

    def __init__(self, layout: Layout, limit: int | None = None) -> None:
        self._limit = limit
        values = layout.values
        self._contents: list[tuple[PlacedValue, npt.NDArray[Any], bool]] = []
        used = 0
        self.direct = 0
        # The last come first: the others are written meanwhile, in the order of the file.
        for number in range(len(values) - 1, -1, -1):
            placed = values[number]
            if placed.payload is not None:
                continue  # its bytes were made with the layout
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
        """Copies what must be copied into `memory`, which is the caller's to hold."""
        size = sum(_padded(placed.size) for placed, _, copied in self._contents if copied)
        buffer = memory.get(size, self._limit)
        tasks = ((None, task) for task in self._tasks(buffer))
        with closing(run_in_order(tasks, size, threads)) as results:
            for _ in results:
                pass
        self._contents = []

    def _tasks(self, buffer: npt.NDArray[np.uint8]) -> Iterator[Callable[[], None]]:
        """The copies, in portions; has all values refer to them."""
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
    """Whether nobody has a way to write to the memory of an array.

    So it is where neither it nor any array that it is a view of is writeable, and the memory
    is that of `bytes` or of a JAX array in the end. Memory of NumPy's own is not: whoever has
    the array may make it writeable again, and views of before may be so still.
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
