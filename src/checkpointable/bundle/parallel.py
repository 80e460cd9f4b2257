"""Work shared among threads: how many, in what portions, and in what order it ends."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = [
    "CHUNK_SIZE",
    "READ_CHUNK_SIZE",
    "STREAM_CHUNK_SIZE",
    "WRITE_CHUNK_SIZE",
    "portions",
    "run_in_order",
    "thread_count",
]

# The portion of bytes that a thread takes at a time. Smaller, and the threads hand over the
# GIL too often; larger, and what a first pass brought into the cache is gone at the second.
CHUNK_SIZE = 2 * 2**20

# What is read once, to be verified or to be copied, need not stay in a cache: fewer turns.
READ_CHUNK_SIZE = 8 * 2**20

# Verified and copied in one pass: between the two.
STREAM_CHUNK_SIZE = 4 * 2**20

# Written: the system takes from one thread at a time, and each handing over costs; what is
# larger is gone from the cache, where its checksum brought it, when it is copied.
WRITE_CHUNK_SIZE = 4 * 2**20

# With less than this to do in all, threads cost more than they bring.
_PARALLEL_SIZE = 4 * 2**20

# Beyond, memory and disk are the limit, not the processors.
_THREADS_MAX = 8

# Nor is more shared than so many small values at a time, whose numbers become objects.
_COUNT = 4096

_Work = TypeVar("_Work")
_Result = TypeVar("_Result")


def thread_count(threads: int | None) -> int:
    """The number of threads to use: `threads`, or as many as this process has processors.

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
    """Runs tasks on several threads; yields (work, result) in the order they came.

    `tasks` is advanced in the calling thread and only a few tasks ahead of what was yielded,
    so what the tasks hold stays little. After an error no further task starts, and none
    runs any more when the error leaves.

    Args:
      tasks: pairs of what names the work, and a function that does it.
      size: bytes there are to do in all; few are done in the calling thread alone.
      threads: how many; None for as many as there are processors.
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
    except RuntimeError:  # the interpreter is about to end: a save at exit is one all the same
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
    """Divides values, given in file order, into ranges `[start, stop)` to be done in one go.

    A range is of one data file, and has and covers about a chunk's bytes, or has one value.

    Args:
      shards, offsets, sizes: of the values.
      alone: which values are to be ranges by themselves.
    """
    count = len(sizes)
    cuts = np.flatnonzero(alone)
    changes = np.flatnonzero(shards[1:] != shards[:-1]) + 1
    bounds = np.unique(np.concatenate((cuts, cuts + 1, changes, (0, count))))
    before = np.concatenate(((0,), np.cumsum(sizes)))
    for first, end in pairwise(bounds.tolist()):
        # Where all values up to each have ended: an empty one may lie before another's end.
        reach = np.maximum.accumulate(offsets[first:end] + sizes[first:end])
        start = first
        while start < end:
            full = int(np.searchsorted(before, before[start] + CHUNK_SIZE, "right")) - 1
            near = first + int(np.searchsorted(reach, offsets[start] + CHUNK_SIZE, "right"))
            stop = min(end, start + _COUNT, max(start + 1, min(full, near)))
            yield start, stop
            start = stop
