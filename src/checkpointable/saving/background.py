"""Runs asynchronous saves in a background thread, one after another.

The thread ends when its queue is empty, and the interpreter waits for it before it exits. A forked
process has neither the thread nor its saves.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from contextvars import copy_context

from checkpointable.common.logs import logger
from checkpointable.common.private_api import call_before_threads_end
from checkpointable.common.working_directory import GivenPath

__all__ = ["LastSave", "SaveHandle", "start"]


class SaveHandle:
    """A save that continues in the background; `save_async` and `write_async` return it.

    The checkpoint is complete when `done()` is True and `result()` does not raise.

    Example:
        handle = checkpoint.save_async("runs/a/ckpt")
        …                               # train on: changes are not in this checkpoint
        path = handle.result()          # waits, and raises the error of a failed save
    """

    def __init__(self, path: str) -> None:
        self._path = GivenPath.of(path)
        self._finished = threading.Event()
        self._error: BaseException | None = None
        self._raised = False
        self._bytes = (0, 0)
        self._process = os.getpid()

    @property
    def path(self) -> str:
        """The checkpoint prefix that `result` returns.

        Relative if it was given so, and absolute once the working directory has changed.
        """
        return self._path.display

    def done(self) -> bool:
        """Returns whether the save has ended, successfully or not; never waits."""
        return self._finished.is_set()

    def result(self, timeout: float | None = None) -> str:
        """Waits until the checkpoint is complete.

        Args:
          timeout: the maximum seconds to wait. None: no limit.

        Returns:
          The checkpoint prefix, to pass to `restore`.

        Raises:
          TimeoutError: the save takes longer. It continues.
          CheckpointIOError, CheckpointMismatchError: the save failed. Existing checkpoints are
            intact.
          RuntimeError: the save belongs to the process that this one was forked from.
        """
        self._wait(timeout)
        self._raise_error()
        return self.path

    @property
    def progress(self) -> tuple[int, int]:
        """(bytes written, total bytes); (0, 0) before the first are written."""
        return self._bytes

    def __repr__(self) -> str:
        state = "in progress"
        if self.done():
            state = "done" if self._error is None else f"failed: {self._error}"
        return f"<SaveHandle {self.path!r} {state}>"

    def _wait(self, timeout: float | None = None) -> None:
        if self._process != os.getpid() and not self.done():
            raise RuntimeError(
                f"{self.path}: this save runs in process {self._process}, from which this process "
                "was forked: wait for it there"
            )
        if not self._finished.wait(timeout):
            raise TimeoutError(
                f"{self.path}: the save did not end within {timeout} seconds; it continues"
            )

    def _raise_error(self) -> None:
        if self._error is not None:
            self._raised = True
            raise self._error

    def _advance(self, done: int, total: int, _key: str) -> None:
        self._bytes = (done, total)

    def _end(self, error: BaseException | None) -> None:
        if not self._finished.is_set():
            self._error = error
            self._finished.set()

    def _abandon(self, error: BaseException) -> None:
        """Ends a save that was not started, with the error that its caller gets."""
        self._raised = True
        self._end(error)


class LastSave:
    """The last asynchronous save of a saver, if it has started one."""

    def __init__(self) -> None:
        self._handle: SaveHandle | None = None

    def started(self, handle: SaveHandle) -> None:
        self._handle = handle

    def settle(self) -> None:
        """Waits for the save; raises its error if that was not raised yet."""
        handle = self._handle
        if handle is None or handle._process != os.getpid():
            return
        handle._wait()
        self._handle = None
        if not handle._raised:
            handle._raise_error()


class _Thread:
    """Runs jobs in order, in a thread that exists while there are jobs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: deque[Callable[[], None]] = deque()
        self._thread: threading.Thread | None = None
        self._joined_at_exit = False
        self._at_exit = False

    def submit(self, job: Callable[[], None]) -> None:
        with self._lock:
            self._join_at_exit()
            # The interpreter does not wait for a thread that an `atexit` handler starts.
            if not self._at_exit:
                self._jobs.append(job)
                if self._thread is not None:
                    return
                thread = threading.Thread(target=self._run, name="checkpointable-save")
                try:
                    thread.start()
                except RuntimeError:  # no more threads can be started
                    self._jobs.pop()
                else:
                    self._thread = thread
                    return
        job()

    def join(self) -> None:
        """Waits until the queue is empty; later jobs run in the thread that submits them."""
        self._at_exit = True
        while (thread := self._thread) is not None:
            thread.join()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._jobs:
                    self._thread = None
                    return
                job = self._jobs.popleft()
            job()
            del job  # frees the memory that it refers to

    def _join_at_exit(self) -> None:
        """Makes the interpreter wait for the thread while it may still start thread pools."""
        if not self._joined_at_exit:
            self._joined_at_exit = True
            if not call_before_threads_end(self.join):
                self._at_exit = True


_thread = _Thread()


def _after_fork() -> None:
    """Replaces the thread of the parent process and the locks that it may have held."""
    global _thread  # noqa: PLW0603 - one per process
    _thread = _Thread()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def start(handle: SaveHandle, job: Callable[[], None]) -> None:
    """Runs `job` in the background; `handle` then reports how it ended.

    The job runs in a copy of the caller's context, so that it uses the same default storage.
    """
    context = copy_context()

    def run() -> None:
        error: BaseException | None = None
        try:
            context.run(job)
        except BaseException as raised:  # noqa: BLE001 - `result` raises it
            error = raised
            logger.error("%s: the asynchronous save failed: %s", handle.path, raised)
        handle._end(error)

    _thread.submit(run)
