"""Divides work among threads: their number, the portions, and the order of the results."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = [
    "CHUNK_SIZE",
    "PIECE_SIZE",
    "READ_CHUNK_SIZE",
    "STREAM_CHUNK_SIZE",
    "WRITE_CHUNK_SIZE",
    "Buffers",
    "portions",
    "run_in_order",
    "thread_count",
]

# All sizes are in bytes.

# The portion of work for one thread. Smaller portions cause too many switches of the GIL; larger
# ones leave the cache between a first and a second pass.
CHUNK_SIZE = 2 * 2**20

# For data that is read once, to verify or copy it: it need not stay in a cache.
READ_CHUNK_SIZE = 8 * 2**20

# For data that is verified and copied in one pass.
STREAM_CHUNK_SIZE = 4 * 2**20

# For writes. The system accepts data from one thread at a time, so each switch costs time; larger
# chunks have left the cache, where the checksum brought them, when they are copied.
WRITE_CHUNK_SIZE = 4 * 2**20

# The amount that is read into a buffer and then used: it stays in a core's cache in between.
PIECE_SIZE = 512 * 1024

# Below this total, threads cost more than they gain.
_PARALLEL_SIZE = 4 * 2**20

# More threads do not help: memory and disk are the limit.
_THREADS_MAX = 8

# The maximum number of small values in a portion, because each becomes some Python objects.
_COUNT = 4096

_Work = TypeVar("_Work")
_Result = TypeVar("_Result")


def thread_count(threads: int | None) -> int:
    """Returns the number of threads to use.

    Args:
      threads: The number that the user asked for; None for the number of CPUs available to this
        process, at most 8.

    Raises:
      ValueError: `threads` is not positive.
    """
    if threads is not None:
        if threads < 1:
            raise ValueError(f"threads is {threads}; it must be at least 1")
        return threads
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), _THREADS_MAX)
    return min(os.cpu_count() or 1, _THREADS_MAX)


def run_in_order(
    tasks: Iterable[tuple[_Work, Callable[[], _Result]]], size: int, threads: int | None
) -> Generator[tuple[_Work, _Result], None, None]:
    """Runs tasks in several threads and yields their results in the order of the tasks.

    `tasks` is advanced in the calling thread, and only a few tasks ahead of the results, which
    limits the memory that tasks hold. After an error no further task starts, and none is still
    running when the error is raised here.

    Args:
      tasks: (work, function) pairs; `work` identifies the task.
      size: The number of bytes in all tasks together. Small amounts are processed in the calling
        thread.
      threads: The number of threads; None to choose one, see `thread_count`.

    Yields:
      (work, result of the function).
    """
    workers = thread_count(threads)
    if size < _PARALLEL_SIZE:
        workers = 1
    if workers == 1:
        for work, run in tasks:
            yield work, run()
        return
    with ThreadPoolExecutor(workers, thread_name_prefix="checkpointable") as pool:
        running: deque[tuple[_Work, Future[_Result]]] = deque()
        try:
            for work, run in tasks:
                running.append((work, _submit(pool, run)))
                if len(running) > 2 * workers:
                    done, future = running.popleft()
                    yield done, future.result()
            while running:
                done, future = running.popleft()
                yield done, future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _submit(pool: ThreadPoolExecutor, run: Callable[[], _Result]) -> Future[_Result]:
    """Runs a task in another thread, or here if no more threads can be started.

    The task runs in a copy of the caller's context, so that it uses the same default storage.
    """
    try:
        return pool.submit(copy_context().run, run)
    except RuntimeError:  # the interpreter is shutting down; a save at exit must still succeed
        future: Future[_Result] = Future()
        try:
            future.set_result(run())
        except Exception as error:  # noqa: BLE001 - raised where the result is asked for
            future.set_exception(error)
        return future


def portions(
    shards: npt.NDArray[np.int64],
    offsets: npt.NDArray[np.int64],
    sizes: npt.NDArray[np.int64],
    alone: npt.NDArray[np.bool_],
) -> Iterator[tuple[int, int]]:
    """Divides values, given in file order, into ranges that are processed together.

    The values of a range lie in one data file. A range has one value, or values of about
    `CHUNK_SIZE` bytes that span about as many bytes of the file.

    Args:
      shards: The data file of each value.
      offsets: The offset of each value, in bytes.
      sizes: The size of each value, in bytes.
      alone: Whether each value must be a separate range.

    Yields:
      (start, stop): the range `[start, stop)`.
    """
    count = len(sizes)
    cuts = np.flatnonzero(alone)
    changes = np.flatnonzero(shards[1:] != shards[:-1]) + 1
    bounds = np.unique(np.concatenate((cuts, cuts + 1, changes, (0, count))))
    before = np.concatenate(((0,), np.cumsum(sizes)))
    for first, end in pairwise(bounds.tolist()):
        # The end of the values so far: an empty value may lie before the end of another.
        reach = np.maximum.accumulate(offsets[first:end] + sizes[first:end])
        start = first
        while start < end:
            full = int(np.searchsorted(before, before[start] + CHUNK_SIZE, "right")) - 1
            near = first + int(np.searchsorted(reach, offsets[start] + CHUNK_SIZE, "right"))
            stop = min(end, start + _COUNT, max(start + 1, min(full, near)))
            yield start, stop
            start = stop


class Buffers:
    """Buffers that the tasks of one pass over a file reuse.

    There are as many of them as tasks that run at the same time. A memory map would need none,
    but the system ends the process if it cannot read a page of the map (a disk error, a file
    that was truncated), while a read raises an error that names the file.
    """

    def __init__(self) -> None:
        self._free: list[memoryview] = []

    @contextmanager
    def borrow(self, size: int) -> Iterator[memoryview]:
        """Yields a buffer of at least `size` bytes, whose contents are undefined."""
        try:
            buffer = self._free.pop()
        except IndexError:
            buffer = memoryview(b"")
        if len(buffer) < size:
            buffer = np.empty(max(size, PIECE_SIZE), np.uint8).data
        try:
            yield buffer
        finally:
            self._free.append(buffer)
